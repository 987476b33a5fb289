"""Object stores: images in private buckets, asked for with requests that are signed here.

obstore signs, for S3 and all that speaks it, Google Cloud Storage and Azure Blob Storage, and finds the
credentials (files, environment, workload identity). What is signed is asked for as any other URL, by
`download.py`: the same time, bytes and reasons. An endpoint is the operator's and may have any address; where
it redirects to is not asked.

Whose fault is it, beside what `download.py` says?

| what happens                                                    | outcome                          |
|-----------------------------------------------------------------|----------------------------------|
| a bucket that no store in the settings may read from            | `source.unsupported`             |
| a key that cannot be signed: with a dot segment, outside S3 with | `source.unsupported`             |
| a slash at its end, in Azure without a key with escapes          |                                  |
| the store does not let us read this object                      | `fetch.http_status`              |
| no credentials, or ones that the store does not take            | StoreFailed, ours: waited for    |
| a redirect, or a wrong region                                   | StoreFailed, ours: waited for    |
"""

import configparser
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import httpcore2
from pydantic import ValidationError

from schemas.events import ImageReference, ObjectReference
from schemas.rejection import RejectionReason
from worker.errors import ConfigurationError, Rejection, StoreFailed
from worker.fetch.azure_signature import is_signed_escaped, signed_anew
from worker.fetch.download import Downloader, TakeRoom
from worker.fetch.headers import values
from worker.fetch.urls import ImageUrl
from worker.settings import ObjectStoreSettings

# URL schemes of objects, and the kind of store that each means; None: any.
SCHEMES: Mapping[str, str | None] = {"s3": "s3", "gs": "gcs", "az": "azure", "object": None}

_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]{0,254}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
# Of the answer of a store that refuses, in bytes: its code is near the beginning.
_READ = 4096
# How long what is signed holds, in seconds: more than any download takes.
_LEAST_HOLDS = 300.0

# Kept at once: one for each bucket, and one for each beginning of keys with an empty segment.
_SIGNERS = 64

# Codes that are about who asks, not about what is asked for.
_OURS = {
    *("AccountProblem", "AuthFailure", "AuthenticationRequired", "AuthorizationHeaderMalformed"),
    *("AuthorizationQueryParametersError", "ExpiredToken", "IllegalLocationConstraintException"),
    *("InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSecurity", "InvalidToken", "NotSignedUp"),
    *("PermanentRedirect", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired"),
    *("XMinioInvalidRegion",),
    *("AuthenticationFailed", "InvalidAuthenticationInfo", "KeyBasedAuthenticationNotPermitted"),  # Azure
}

_Taken = TypeVar("_Taken")
Stamp = tuple[int, int, int] | None


class NotTaken(StoreFailed):
    """The store does not take the credentials, or the request as it was signed."""


class ObjectStore:
    """One store of the settings. Used from many threads at once.

    `seconds` bounds what obstore asks itself, such as a token of the workload's identity; `ca` is PEM.
    """

    def __init__(self, name: str, settings: ObjectStoreSettings, seconds: float, ca: bytes | None) -> None:
        self.name = name
        self._settings = settings
        self._seconds = timedelta(seconds=seconds)
        self._ca = ca
        self._lock = threading.Lock()
        self._signers: dict[tuple[str, str | None], tuple[Stamp, Any]] = {}

    def reads(self, bucket: str, kind: str | None) -> bool:
        """Whether the operator lets images be read from `bucket` of this store."""
        settings = self._settings
        return kind in {None, settings.kind} and any(fnmatchcase(bucket, name) for name in settings.buckets)

    def url(self, bucket: str, key: str, holds: float) -> str:
        """A signed URL of an object that holds for `holds` seconds.

        Raises:
            Rejection: the key cannot be signed.
            NotTaken: there are no credentials.

        """
        import obstore  # noqa: PLC0415 - where no store is set, nobody pays for it
        from obstore.exceptions import BaseError  # noqa: PLC0415

        segments = key.split("/")
        ends = key.endswith("/") and self._settings.kind != "s3"
        if _CONTROL.search(key) or {".", ".."} & {*segments} or ends:
            raise _unsignable(key, "ends with a slash, or has a segment . or .. or a control character")
        valid = timedelta(seconds=holds)
        try:
            signer = self._signer(bucket)
            if "" in segments:
                beginning, key = _split(key)
                within = obstore.sign(signer, "GET", "x", valid).partition("/x?")[0]
                signer = self._signer(bucket, f"{within}/{quote(beginning)}")
            url = obstore.sign(signer, "GET", key, valid)
            return self._azure(url) if self._settings.kind == "azure" and is_signed_escaped(url) else url
        except (BaseError, OSError, ValueError, TypeError) as error:
            raise self.failed(f"nothing can be signed: {str(error)[:300]}") from error

    def _azure(self, url: str) -> str:
        names = ("account_name", "account_key")
        given = {name: os.environ.get(f"AZURE_STORAGE_{name.upper()}", "") for name in names}
        given |= self._settings.properties | _credentials(self._settings)
        if not given["account_name"] or not given["account_key"]:
            raise _unsignable(
                unquote(url.partition("?")[0]), "needs escapes, which only an account_key can sign"
            )
        return signed_anew(url, given["account_name"], given["account_key"])

    def failed(self, why: str) -> NotTaken:
        """What is of the operator's making, and is waited for."""
        settings = self._settings
        detail = (
            f"fetch.object_stores.{self.name}: {why}; look at its credentials"
            f"{f' ({settings.credentials_file})' if settings.credentials_file else ''}, endpoint and region"
        )
        return NotTaken(RejectionReason.FETCH_UNREACHABLE, detail, self.name, is_ours=True)

    def stamp(self) -> Stamp:
        """What changes when the file of credentials does."""
        file = self._settings.credentials_file
        if file is None:
            return None
        try:
            status = file.stat()
        except OSError as error:
            raise self.failed(f"its credentials cannot be read: {error}") from error
        return status.st_mtime_ns, status.st_ino, status.st_size

    def forget(self, bucket: str) -> None:
        """Take the credentials anew next time."""
        with self._lock:
            self._signers = {place: known for place, known in self._signers.items() if place[0] != bucket}

    def _signer(self, bucket: str, within: str | None = None) -> Any:
        """What signs for `bucket`, or for what is `within` a URL: the bucket's, and how keys begin."""
        stamp, place = self.stamp(), (bucket, within)
        with self._lock:
            known = self._signers.pop(place, None)
            if known is None or known[0] != stamp:
                known = (stamp, self._new_signer(bucket, within))
            self._signers[place] = known  # the latest last
            if len(self._signers) > _SIGNERS:
                del self._signers[next(iter(self._signers))]
            return known[1]

    def _new_signer(self, bucket: str, within: str | None) -> Any:
        from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415

        settings = self._settings
        client: dict[str, Any] = {"timeout": self._seconds, "connect_timeout": self._seconds}
        if self._ca:
            client["root_certificate"] = self._ca
        retry = {"max_retries": 1, "retry_timeout": self._seconds}
        options: dict[str, Any] = {**_credentials(settings), **settings.properties}
        if settings.kind == "gcs":
            if settings.endpoint:
                options["base_url"] = settings.endpoint
            if within:
                bucket, options["base_url"] = "", within[:-1]
            return GCSStore(bucket, config=options, client_options=client, retry_config=retry)  # type: ignore[arg-type]
        if settings.kind == "azure":
            if settings.endpoint:
                options["endpoint"] = settings.endpoint
            if within:
                bucket, options["endpoint"] = "", within[:-1]
            return AzureStore(bucket, config=options, client_options=client, retry_config=retry)  # type: ignore[arg-type]
        options |= self._s3_options(bucket)
        if within:
            options |= {"endpoint": within, "virtual_hosted_style_request": True}
        return S3Store(bucket, config=options, client_options=client, retry_config=retry)  # type: ignore[arg-type]

    def _s3_options(self, bucket: str) -> dict[str, Any]:
        settings = self._settings
        options: dict[str, Any] = {"virtual_hosted_style_request": not settings.path_style}
        if settings.endpoint:
            options["endpoint"] = settings.endpoint.rstrip("/")
            if not settings.path_style:
                options["endpoint"] = options["endpoint"].replace("://", f"://{bucket}.", 1)
        if settings.region:
            options["region"] = settings.region
        return options


class ObjectStores:
    """Reads objects. Used from many threads at once; `downloader` must let no redirect be followed.

    `holds` is how long what is signed holds, in seconds.
    """

    def __init__(self, stores: Sequence[ObjectStore], downloader: Downloader, holds: float) -> None:
        self._stores = stores
        self._downloader = downloader
        self._holds = max(holds, _LEAST_HOLDS)

    def host(self, reference: ObjectReference, kind: str | None = None) -> str:
        """Whom an object is asked of: the store's name in the settings.

        Raises:
            Rejection: none may read it.

        """
        return self._store(reference, kind).name

    def read(self, reference: ObjectReference, take_room: TakeRoom, kind: str | None = None) -> bytes:
        """The bytes of an object; see `Downloader.download`.

        Raises:
            StoreFailed: the store fails for now, or does not take our credentials.
            Rejection: the object is at fault, or no store may read it.
            StageError: this machine is at fault.

        """
        download = self._downloader.download
        return self._ask(reference, kind, lambda url: download(url, take_room))

    def look(self, reference: ObjectReference, kind: str | None = None) -> Mapping[str, str]:
        """The header of the answer for an object, names in lower case; raises as `read`."""
        return self._ask(reference, kind, self._downloader.look)

    def close(self) -> None:
        """Close idle connections."""
        self._downloader.close()

    def _store(self, reference: ObjectReference, kind: str | None) -> ObjectStore:
        bucket = reference.bucket
        for store in self._stores:
            is_meant = reference.store in {None, store.name}
            if is_meant and _BUCKET.fullmatch(bucket) and store.reads(bucket, kind):
                return store
        raise Rejection(
            RejectionReason.SOURCE_UNSUPPORTED,
            f"no object store of this worker may read from the bucket {bucket[:100]!r}: "
            "add it to the buckets of one in fetch.object_stores",
        )

    def _ask(self, reference: ObjectReference, kind: str | None, ask: Callable[[str], _Taken]) -> _Taken:
        store = self._store(reference, kind)
        while True:
            before = store.stamp()
            try:
                return ask(store.url(reference.bucket, reference.key, self._holds))
            except NotTaken as error:
                store.forget(reference.bucket)
                if store.stamp() == before:
                    raise error if error.host == store.name else store.failed(error.detail) from error
            except StoreFailed as error:
                raise StoreFailed(
                    error.reason, error.detail, store.name, error.retry_after, is_ours=error.is_ours
                ) from error


def _unsignable(key: str, why: str) -> Rejection:
    return Rejection(
        RejectionReason.SOURCE_UNSUPPORTED,
        f"the key {key[:200]!r} {why}: it cannot be signed, rename the object",
    )


def _split(key: str) -> tuple[str, str]:
    """A key with empty segments as what stands before its last one, and what is left, which has none.

    obstore drops empty segments, which would be another object; in the URL of a store it keeps them. The URL
    of S3 is then what stands before, for the others without its last slash, and with a bucket of no name.
    """
    if key.endswith("/"):
        return key[:-1], ""
    segments = key.split("/")
    last = len(segments) - segments[::-1].index("")
    return "/".join(segments[:last]), "/".join(segments[last:])


def object_at(url: str) -> tuple[ObjectReference, str | None] | None:
    """The object that a URL such as s3://bucket/key names, and the kind of its store; None for other URLs.

    Raises:
        Rejection: the URL is of an object and names none.

    """
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES or "://" not in url:
        return None
    bucket, _, key = url.partition("://")[2].partition("/")
    try:
        return ObjectReference(bucket=unquote(bucket), key=unquote(key, errors="strict")), SCHEMES[scheme]
    except (ValidationError, UnicodeError) as error:
        raise Rejection(
            RejectionReason.SOURCE_UNSUPPORTED,
            f"{url[:200]!r} names no object: write {scheme}://bucket/key, the key escaped as in any URL",
        ) from error


def reference_to(reference: ImageReference) -> tuple[ObjectReference, str | None] | None:
    """The object that a reference is to, and the kind of its store; None where it is to none.

    Raises:
        Rejection: as `object_at`.

    """
    if reference.object is not None:
        return reference.object, None
    return None if reference.url is None else object_at(reference.url)


def refused(url: ImageUrl, response: httpcore2.Response) -> Exception:
    """What it means that a store answers neither with the object nor that there is none."""
    codes = [code.decode("latin-1") for code in values(response.headers, b"x-ms-error-code")]
    codes = codes or [_code(response)]
    said = ", ".join(filter(None, codes))
    shown = f"{url} answers with status {response.status}{f' ({said})' if said else ''}"
    if 300 <= response.status < 400 or _OURS.intersection(codes) or response.status == 401:
        return NotTaken(RejectionReason.FETCH_UNREACHABLE, shown, url.authority, is_ours=True)
    return Rejection(
        RejectionReason.FETCH_HTTP_STATUS,
        f"{shown}: let the worker's credentials read this object, or name one that they may read",
    )


def _code(response: httpcore2.Response) -> str:
    start = b""
    with suppress(httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
        for chunk in response.iter_stream():
            start += chunk
            if len(start) >= _READ:
                break
    found = _CODE.search(start[:_READ])
    return found.group(1).decode("ascii") if found else ""


def _credentials(settings: ObjectStoreSettings) -> dict[str, str]:
    """What the file of credentials says, under obstore's names; without a file, obstore looks itself."""
    file = settings.credentials_file
    if file is None:
        return {}
    if settings.kind == "gcs":
        return {"service_account": str(file)}
    text = file.read_text(encoding="utf-8")
    parser = configparser.RawConfigParser(default_section="")
    try:
        parser.read_string(text if "[" in text else f"[{settings.profile}]\n{text}")
        section = parser[settings.profile]
    except (configparser.Error, KeyError) as error:
        raise ValueError(f"{file} has no profile {settings.profile!r} in the form of AWS: {error}") from error
    names = {name.removeprefix("aws_").removeprefix("azure_"): value for name, value in section.items()}
    wanted = {
        "s3": ("access_key_id", "secret_access_key", "session_token"),
        "azure": ("account_name", "account_key", "sas_token", "client_id", "client_secret", "tenant_id"),
    }[settings.kind]
    found = {name: names[name] for name in wanted if names.get(name)}
    if not found:  # or obstore would look elsewhere, and sign as somebody else
        raise ValueError(f"{file} names none of {', '.join(wanted)}")
    return found


def read_ca(file: Path | None) -> bytes | None:
    """The authorities in `file`, PEM.

    Raises:
        ConfigurationError: it cannot be read.

    """
    try:
        return None if file is None else file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"fetch.ca_file cannot be read: {error}") from error
