"""Object stores, against a loopback server that checks signatures by AWS's published algorithm."""

import base64
import json
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import httpcore2
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import worker.fetch.object_stores
from schemas.events import ImageReference
from schemas.rejection import RejectionReason
from tests.connectors import RecordingConnector, TableResolver
from tests.object_store import SigningStore
from worker.errors import Rejection, StoreFailed
from worker.fetch.azure_signature import signed_anew
from worker.fetch.fetch import Fetcher, build_fetcher
from worker.fetch.object_stores import ObjectStore, refused
from worker.fetch.urls import ImageUrl
from worker.settings import FetchSettings, ObjectStoreSettings

PHOTO = b"red shirt"
KEYS = {"first": "first secret", "second": "second secret"}


@pytest.fixture
def server() -> Iterator[SigningStore]:
    with SigningStore(KEYS) as server:
        server.objects["shirt.jpg"] = PHOTO
        yield server


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    file = tmp_path / "credentials"
    write(file, "first")
    return file


def write(file: Path, key: str, secret: str | None = None) -> None:
    """As a mounted Secret: another file takes the place of the old one."""
    new = file.with_suffix(".new")
    secret = KEYS.get(key, "none") if secret is None else secret
    new.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    new.replace(file)


def built(server: SigningStore, credentials: Path | None, **more: Any) -> Fetcher:
    ca, first_byte = more.pop("ca_file", None), more.pop("first_byte_timeout", 20.0)
    store = {
        "endpoint": server.endpoint("store.test"),
        "buckets": ["ok", "4*", "5*", "redirect", "never", "huge"],
        "credentials_file": credentials,
        **more,
    }
    settings = FetchSettings(
        max_bytes=1000,
        retries=0,
        timeout=20.0,
        first_byte_timeout=first_byte,
        object_stores={"shop": store},
        ca_file=ca,
    )
    tls = None if ca else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the authorities takes long
    names = {"store.test": [server.address], "ok.store.test": [server.address]}
    return build_fetcher(settings, TableResolver(names), RecordingConnector(), tls)


def fetched(fetcher: Fetcher, bucket: str, key: str = "shirt.jpg", **more: str) -> bytes:
    with fetcher:
        return fetcher.fetch(ImageReference(object={"bucket": bucket, "key": key, **more}))


def test_what_is_asked_for_is_signed_and_no_private_address_stands_in_its_way(server, credentials):
    assert fetched(built(server, credentials), "ok") == PHOTO


@pytest.mark.parametrize("scheme", ["s3", "object"])
def test_a_url_names_an_object_too(server, credentials, scheme):
    with built(server, credentials) as fetcher:
        reference = ImageReference(url=f"{scheme}://ok/shirt.jpg")
        assert fetcher.host(reference) == "shop"
        assert fetcher.fetch(reference) == PHOTO
        assert fetcher.look(reference.url or "")["content-length"] == str(len(PHOTO))


@pytest.mark.parametrize(
    "key", ["a b+c%20.jpg", "目/é.jpg", "a#b?c&d=e.jpg", "~x*'().jpg", 'a\\{}[]^|<>`".jpg', "x" * 1024]
)
def test_a_key_is_asked_for_as_it_is(server, credentials, key):
    server.objects[key] = PHOTO
    assert fetched(built(server, credentials), "ok", key) == PHOTO


@pytest.mark.parametrize(
    "key", ["/a.jpg", "a//b.jpg", "a/", "//", "a b//+目/c.jpg", "a///b/c%2F.jpg", "x//" + "y" * 1021]
)
@pytest.mark.parametrize("path_style", [True, False])
def test_a_key_with_empty_segments_is_asked_for_as_it_is(server, credentials, key, path_style):
    server.objects |= {"a": b"another", "a/b.jpg": b"another", key: PHOTO}
    assert fetched(built(server, credentials, path_style=path_style), "ok", key) == PHOTO


def test_without_an_endpoint_a_key_with_empty_segments_is_asked_of_the_providers_own(credentials):
    url = store("s3", credentials_file=credentials, region="eu-west-1").url("listings", "a//b c.jpg", 60)
    assert url.startswith("https://s3.eu-west-1.amazonaws.com/listings/a//b%20c.jpg?")
    url = store("s3", credentials_file=credentials, path_style=False).url("listings", "/b.jpg", 60)
    assert url.startswith("https://listings.s3.us-east-1.amazonaws.com//b.jpg?")


def test_what_signs_for_many_beginnings_of_keys_is_bounded_and_renewed(credentials, monkeypatch):
    monkeypatch.setattr(worker.fetch.object_stores, "_SIGNERS", 3)
    signer = store("s3", credentials_file=credentials)
    urls = [signer.url("listings", f"{number}//b.jpg", 60) for number in range(6)]
    assert all(f"/listings/{number}//b.jpg?" in url for number, url in enumerate(urls))
    assert len(signer._signers) == 3
    write(credentials, "second")
    assert "Credential=second" in signer.url("listings", "5//b.jpg", 60)


@pytest.mark.parametrize("key", ["a\nb.jpg", "../a.jpg", "a/../b.jpg", "./a", "a//../b.jpg"])
def test_a_key_that_would_lead_to_another_object_is_refused(server, credentials, key):
    with pytest.raises(Rejection, match="segment") as caught:
        fetched(built(server, credentials), "ok", key)
    assert caught.value.reason is RejectionReason.SOURCE_UNSUPPORTED
    assert server.asked == []


@pytest.mark.parametrize(
    ("bucket", "more"),
    [("okay", {}), ("ok", {"store": "other"}), ("o", {}), ("OK", {}), ("..", {}), ("4/x", {})],
)
def test_only_buckets_of_the_settings_are_read(server, credentials, bucket, more):
    with pytest.raises(Rejection, match="no object store") as caught:
        fetched(built(server, credentials), bucket, **more)
    assert caught.value.reason is RejectionReason.SOURCE_UNSUPPORTED
    assert server.asked == []


def test_another_kind_of_store_is_not_asked(server, credentials):
    with built(server, credentials) as fetcher, pytest.raises(Rejection, match="no object store"):
        fetcher.fetch(ImageReference(url="gs://ok/shirt.jpg"))


def test_without_stores_an_object_is_refused():
    with (
        build_fetcher(FetchSettings(), tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as fetcher,
        pytest.raises(Rejection, match=r"fetch\.object_stores"),
    ):
        fetcher.fetch(ImageReference(object={"bucket": "ok", "key": "a"}))


@pytest.mark.parametrize(
    ("bucket", "key", "reason"),
    [
        ("404", "x", RejectionReason.FETCH_NOT_FOUND),
        ("403", "x", RejectionReason.FETCH_HTTP_STATUS),
        ("huge", "x", RejectionReason.FETCH_TOO_LARGE),
    ],
)
def test_what_the_object_is_to_blame_for(server, credentials, bucket, key, reason):
    with pytest.raises(Rejection) as caught:
        fetched(built(server, credentials), bucket, key)
    assert caught.value.reason is reason
    assert not isinstance(caught.value, StoreFailed)
    assert "Signature" not in str(caught.value)


@pytest.mark.parametrize("bucket", ["503", "429", "never"])
def test_a_store_that_fails_is_told_by_its_name_in_the_settings(server, credentials, bucket):
    with pytest.raises(StoreFailed) as caught:
        fetched(built(server, credentials, first_byte_timeout=0.5), bucket)
    assert (caught.value.host, caught.value.is_ours) == ("shop", False)


def test_no_redirect_is_followed(server, credentials):
    with pytest.raises(StoreFailed) as caught:
        fetched(built(server, credentials), "redirect")
    assert caught.value.is_ours
    assert len(server.asked) == 1


def test_credentials_are_read_again_when_they_change(server, credentials):
    with built(server, credentials) as fetcher:
        reference = ImageReference(object={"bucket": "ok", "key": "shirt.jpg"})
        assert fetcher.fetch(reference) == PHOTO
        write(credentials, "second")
        del server.keys["first"]
        assert fetcher.fetch(reference) == PHOTO


@pytest.mark.parametrize(("key", "secret"), [("unknown", None), ("first", "wrong"), ("", "")])
def test_credentials_that_are_not_taken_are_ours_until_they_are_mended(server, credentials, key, secret):
    write(credentials, key, secret)
    with built(server, credentials) as fetcher:
        reference = ImageReference(object={"bucket": "ok", "key": "shirt.jpg"})
        with pytest.raises(StoreFailed, match="credentials") as caught:
            fetcher.fetch(reference)
        assert (caught.value.host, caught.value.is_ours) == ("shop", True)
        write(credentials, "first")
        assert fetcher.fetch(reference) == PHOTO


@pytest.mark.parametrize("text", ["", "[other]\naws_access_key_id = x\n", "no = \n[", "\x00"])
def test_a_damaged_file_of_credentials_is_ours(server, credentials, text, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    credentials.write_text(text)
    with pytest.raises(StoreFailed) as caught:
        fetched(built(server, credentials), "ok")
    assert caught.value.is_ours


def test_a_lost_file_of_credentials_is_ours(server, tmp_path):
    with pytest.raises(StoreFailed, match="cannot be read") as caught:
        fetched(built(server, tmp_path / "none"), "ok")
    assert caught.value.is_ours


def test_credentials_may_be_in_the_environment(server, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "first")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["first"])
    assert fetched(built(server, None), "ok") == PHOTO


def test_the_bucket_may_be_part_of_the_host(credentials, server):
    assert fetched(built(server, credentials, path_style=False), "ok") == PHOTO
    assert server.hosts[0].startswith("ok.store.test")


def test_a_private_authority_is_believed_where_it_is_named(credentials, tmp_path):
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("store.test").configure_cert(tls)
    with SigningStore(KEYS, tls) as server:
        server.objects["shirt.jpg"] = PHOTO
        assert fetched(built(server, credentials, ca_file=file), "ok") == PHOTO
        with pytest.raises(StoreFailed, match="certificate"):
            fetched(built(server, credentials), "ok")


def test_azure_and_google_are_signed_for_with_keys_of_their_own(tmp_path):
    azure = tmp_path / "azure"
    azure.write_text(f"account_name = shop\naccount_key = {base64.b64encode(b'key').decode()}\n")
    url = store("azure", credentials_file=azure).url("listings", "a b.jpg", 60)
    assert url.startswith("https://shop.blob.core.windows.net/listings/a%20b.jpg?")
    assert "sig=" in url
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    google = tmp_path / "google.json"
    account = {
        "type": "service_account",
        "private_key": private.decode(),
        "private_key_id": "1",
        "client_email": "worker@shop.test",
        "gcs_base_url": "https://storage.googleapis.com",
        "disable_oauth": False,
    }
    google.write_text(json.dumps(account))
    url = store("gcs", credentials_file=google).url("listings", "a b.jpg", 60)
    assert url.startswith("https://storage.googleapis.com/listings/a%20b.jpg?")
    assert "X-Goog-Signature=" in url
    for other in (store("azure", credentials_file=azure), store("gcs", credentials_file=google)):
        for key in ("a//b.jpg", "/b.jpg", "a//b//c.jpg", "a///b.jpg"):
            assert f"/listings/{key}?" in other.url("listings", key, 60)
        with pytest.raises(Rejection, match="slash"):
            other.url("listings", "a/", 60)


@pytest.mark.parametrize("key", ["a b.jpg", "目/é.jpg", "a b//c.jpg", "x.jpg"])
def test_a_blob_is_signed_by_its_name_and_not_as_it_is_escaped(tmp_path, key):
    secret = base64.b64encode(b"key").decode()
    azure = tmp_path / "azure"
    azure.write_text(f"account_name = shop\naccount_key = {secret}\n")
    url = store("azure", credentials_file=azure).url("listings", key, 60)
    assert url.startswith(f"https://shop.blob.core.windows.net/listings/{quote(key)}?")
    signed = parse_qs(url.partition("?")[2])
    assert signed == parse_qs(signed_anew(url, "shop", secret).partition("?")[2])
    token = store("azure", properties={"account_name": "shop", "sas_token": "sv=2023-11-03&sig=x"})
    if key != "x.jpg":
        with pytest.raises((Rejection, StoreFailed)):
            token.url("listings", key, 60)


def store(kind: str, **more: Any) -> ObjectStore:
    return ObjectStore("shop", ObjectStoreSettings(kind=kind, buckets=["*"], **more), 1.0, None)


def test_a_signature_costs_little(credentials):
    signer = store("s3", credentials_file=credentials, endpoint="https://store.test")
    signer.url("ok", "a", 60)
    began = time.process_time()
    for _ in range(100):
        signer.url("ok", "a", 60)
    assert time.process_time() - began < 0.2


@pytest.mark.parametrize(
    ("codes", "is_ours"),
    [
        (["AuthenticationFailed"], True),
        (["AuthorizationFailure", "AuthenticationFailed"], True),
        (["AuthenticationFailed", "AuthorizationFailure"], True),
        (["AuthorizationFailure", "AuthorizationFailure"], False),
    ],
)
def test_of_two_codes_of_an_azure_store_either_may_be_ours(codes, is_ours):
    headers = [("x-ms-error-code", code) for code in codes]
    url = ImageUrl.parse("https://acct.blob.core.windows.net/c/a.jpg", ("https",))
    error = refused(url, httpcore2.Response(403, headers=headers))
    assert getattr(error, "is_ours", False) == is_ours
    assert all(code in str(error) for code in codes)
