"""Fetch: an image reference to the image's bytes: from the event, the folder, a URL or an object store."""

import binascii
import ssl
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from types import TracebackType
from typing import Self

import certifi
import httpcore2

from schemas.events import ImageReference
from schemas.rejection import RejectionReason
from worker.errors import ConfigurationError, Rejection
from worker.fetch.addresses import AddressBook, Resolver, system_resolver
from worker.fetch.connections import Connector, VettedBackend, tcp_connector
from worker.fetch.download import Downloader, DownloadLimits, TakeRoom, unbounded
from worker.fetch.folder import FolderReader
from worker.fetch.object_stores import ObjectStore, ObjectStores, object_at, read_ca, reference_to, refused
from worker.settings import FetchSettings

# Seconds that an idle connection is kept: under the 60 s or more after which servers usually hang up.
_KEEP_ALIVE = 30.0
_ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class Fetcher:
    """Fetches images. Used from many threads at once; use as a context manager, or `close` it.

    `folder` is None where no folder is configured: path references are then rejected.
    """

    def __init__(
        self, downloader: Downloader, stores: ObjectStores, folder: FolderReader | None, max_bytes: int
    ) -> None:
        self._downloader = downloader
        self._stores = stores
        self._folder = folder
        self._max_bytes = max_bytes

    @property
    def max_bytes(self) -> int:
        """The most that one image may have."""
        return self._max_bytes

    def host(self, reference: ImageReference) -> str | None:
        """Whom the image is asked of: a host or store, "" for the folder, None where the event itself has it.

        Raises:
            Rejection: its URL is none, or no store may read it.

        """
        if (there := reference_to(reference)) is not None:
            return self._stores.host(*there)
        if reference.url is not None:
            return self._downloader.host(reference.url)
        return None if reference.path is None else ""

    def fetch(self, reference: ImageReference, take_room: TakeRoom = unbounded) -> bytes:
        """Fetch the bytes of one image: at least one, at most `max_bytes`. They may not be an image.

        `take_room` is asked for the bytes of what is not in the event, before they are read, and may refuse
        by an exception of its own.

        Raises:
            StoreFailed: its server fails for now.
            Rejection: the reference, or what it refers to, is at fault.
            StageError: this machine is at fault: its disk, name server, network or resources.

        """
        data = self._bytes(reference, take_room)
        if not data:
            raise Rejection(RejectionReason.SOURCE_EMPTY, "the image has no bytes: upload it again")
        return data

    def look(self, url: str) -> Mapping[str, str]:
        """Ask whether something is at `url`: the header of the answer, names in lower case.

        Raises:
            Rejection: nothing is there (`fetch.not_found`), or the URL or its server is at fault.
            StageError: this machine is at fault.

        """
        if (there := object_at(url)) is not None:
            return self._stores.look(*there)
        return self._downloader.look(url)

    def close(self) -> None:
        """Close idle connections; no attempt is begun from now on, and those under way end in their time."""
        self._downloader.close()
        self._stores.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _bytes(self, reference: ImageReference, take_room: TakeRoom) -> bytes:
        if (there := reference_to(reference)) is not None:
            return self._stores.read(there[0], take_room, there[1])
        if reference.url is not None:
            return self._downloader.download(reference.url, take_room)
        if reference.data is not None:
            return decode_base64(reference.data, self._max_bytes)
        if reference.path is None:
            raise Rejection(RejectionReason.SOURCE_EMPTY, "the reference names no url, path, data or object")
        if self._folder is None:
            raise Rejection(
                RejectionReason.SOURCE_UNSUPPORTED,
                f"{reference.path!r} is a path, but this worker reads from no folder: set fetch.folder",
            )
        return self._folder.read(reference.path, take_room)


def decode_base64(text: str, max_bytes: int) -> bytes:
    """Decode base64 (RFC 4648, section 4) strictly: padded, and nothing else in between.

    Raises:
        Rejection: it is not base64, or more than `max_bytes` bytes.

    """
    if len(text) // 4 * 3 - 2 > max_bytes:
        raise Rejection(
            RejectionReason.FETCH_TOO_LARGE,
            f"image.data has about {len(text) // 4 * 3} bytes, over the limit of {max_bytes}: "
            "send a smaller image, or raise fetch.max_bytes",
        )
    try:
        if len(text) % 4:  # strict_mode lets a needless last "=" pass
            raise ValueError("the length is no multiple of 4")
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # binascii.Error, and what is not ASCII
        raise Rejection(
            RejectionReason.SOURCE_BAD_BASE64,
            f"image.data is not base64 ({error}): send the standard alphabet with padding, "
            "without line breaks and without a data: prefix",
        ) from error
    if len(data) > max_bytes:
        raise Rejection(
            RejectionReason.FETCH_TOO_LARGE,
            f"image.data has {len(data)} bytes, over the limit of {max_bytes}: "
            "send a smaller image, or raise fetch.max_bytes",
        )
    return data


def build_fetcher(
    settings: FetchSettings,
    resolver: Resolver = system_resolver,
    connector: Connector = tcp_connector,
    tls: ssl.SSLContext | None = None,
    folder: FolderReader | None = None,
) -> Fetcher:
    """Put a fetcher together from its settings; `folder` takes the place of the configured one.

    Without `tls`, certificates are checked against the machine's authorities, which `SSL_CERT_FILE` may
    name, certifi's, and those of fetch.ca_file. Proxies named in the environment are not used: a proxy would
    connect to addresses that were not judged.

    Raises:
        ConfigurationError: the configured folder is not a directory, or fetch.ca_file no PEM file.

    """
    addresses = AddressBook(resolver, settings.allowed_networks, settings.dns_witnesses)
    tls = tls or _authorities(settings.ca_file)
    pool = _pool(settings, addresses, connector, tls)
    limits = DownloadLimits(
        schemes=tuple(settings.schemes),
        timeout=settings.timeout,
        first_byte_timeout=settings.first_byte_timeout,
        max_bytes=int(settings.max_bytes),
        max_redirects=settings.max_redirects,
        retries=settings.retries,
    )
    if folder is None and settings.folder is not None:
        folder = FolderReader(settings.folder, limits.max_bytes)
    return Fetcher(
        downloader=Downloader(pool, limits, addresses.answers_otherwise, addresses.served),
        stores=_object_stores(settings, limits, resolver, connector, tls),
        folder=folder,
        max_bytes=limits.max_bytes,
    )


def _pool(
    settings: FetchSettings, addresses: AddressBook, connector: Connector, tls: ssl.SSLContext
) -> httpcore2.ConnectionPool:
    return httpcore2.ConnectionPool(
        ssl_context=tls,
        max_connections=None,  # one for each thread that fetches; a limit would make them wait
        max_keepalive_connections=4 * settings.threads,
        keepalive_expiry=_KEEP_ALIVE,
        network_backend=VettedBackend(addresses, connector, settings.connect_timeout),
    )


def _object_stores(
    settings: FetchSettings,
    limits: DownloadLimits,
    resolver: Resolver,
    connector: Connector,
    tls: ssl.SSLContext,
) -> ObjectStores:
    """The stores of the settings, with connections of their own: to any address, and to no redirect's."""
    anywhere = AddressBook(resolver, _ANYWHERE, settings.dns_witnesses)
    downloader = Downloader(
        _pool(settings, anywhere, connector, tls),
        replace(limits, schemes=("https", "http"), max_redirects=0),
        anywhere.answers_otherwise,
        anywhere.served,
        refused,
    )
    ca = read_ca(settings.ca_file)
    stores = [
        ObjectStore(name, store, settings.first_byte_timeout, ca)
        for name, store in settings.object_stores.items()
    ]
    return ObjectStores(stores, downloader, 2 * settings.timeout)


def _authorities(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError among them
            raise ConfigurationError(
                f"fetch.ca_file {ca_file} is no PEM file of authorities: {error}"
            ) from error
    return context
