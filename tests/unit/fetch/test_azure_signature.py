"""Signatures as azure-storage-blob 12.31.1 gives them for these times (generate_blob_sas, sv 2023-11-03)."""

import base64
from urllib.parse import parse_qs, quote

import pytest

from worker.fetch.azure_signature import is_signed_escaped, signed_anew

KEY = base64.b64encode(b"key").decode()
TIMES = "st=2026-01-02T03%3A04%3A05Z&se=2026-01-02T03%3A09%3A05Z&sp=r&sv=2023-11-03&sr=b"


def url(name):
    return f"https://shop.blob.core.windows.net/listings/{quote(name)}?{TIMES}&sig=other"


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("a b.jpg", "+h0D7PlSzUerAKPPnBdzWvKisKjWdQmmRMpbEfJ8ou8="),
        ("写真/靴+%20.jpg", "XqFE48xfL11NPlSXxpf13qMl4ACr7OwhEfvnyYoN7xQ="),
        ("x.jpg", "T9BYGmOUACMVRCG1My0ztZZUCR6nT+Z/f3KNYUBWgAE="),
        ("a//b.jpg", "1cfD5qTnmiokKXsNAtgyJF7CanOdlUIX8fpkxLgXwfE="),
        ("/b.jpg", "uQdb+vsfFMug4S2FYS0nWutFcMjcGAtYsz4/9weZIBM="),
    ],
)
def test_a_blob_is_signed_by_its_name_as_azures_own_client_does(name, signature):
    signed = signed_anew(url(name), "shop", KEY)
    path, _, query = signed.partition("?")
    assert path == url(name).partition("?")[0]
    assert parse_qs(query)["sig"] == [signature]
    assert parse_qs(query)["se"] == ["2026-01-02T03:09:05Z"]


@pytest.mark.parametrize(
    ("name", "escaped"), [("a b", True), ("靴", True), ("a%", True), ("a//b-._~.jpg", False)]
)
def test_what_is_escaped_is_signed_anew(name, escaped):
    assert is_signed_escaped(url(name)) == escaped


def test_what_cannot_be_signed_says_so():
    with pytest.raises(ValueError, match="other fields"):
        signed_anew(url("a").replace("2023-11-03", "2018-11-09"), "shop", KEY)
    with pytest.raises(ValueError, match="base64"):
        signed_anew(url("a"), "shop", "no key")
