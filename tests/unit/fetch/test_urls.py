"""URLs taken apart strictly, so that every later step means the same host."""

import pytest

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.fetch.urls import ImageUrl

SCHEMES = ("https", "http")


def parsed(text: str) -> ImageUrl:
    return ImageUrl.parse(text, SCHEMES)


def rejected(text: str) -> Rejection:
    with pytest.raises(Rejection) as caught:
        parsed(text)
    assert caught.value.reason is RejectionReason.SOURCE_UNSUPPORTED
    assert "secret" not in caught.value.detail
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shirt.jpg",
        "//8.8.8.8/a.jpg",
        "http:/8.8.8.8",
        "http://",
        "http:///a.jpg",
        "http://[::1",
        "http://[nonsense]/",
        "http://8.8.8.8:99999/",
        "http://8.8.8.8:x/",
        "http://8.8.8.8:0/",
        "http://user:secret@8.8.8.8/",
        "http://user@8.8.8.8/",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://8.8.8.8/\r\nX-Injected: 1",
        "http://8.8.8.8/\x00",
        "http://a b/",
        "http://a%2eb/",
        "http://" + "a" * 64 + ".test/",
        "http://" + "a." * 130 + "test/",
        "http://..\u3002/",
        "file:///etc/passwd",
        "ftp://8.8.8.8/a.jpg",
        "ftp:user:secret@8.8.8.8/a.jpg",
        "http:user:secret@8.8.8.8/a.jpg",
        "gopher://8.8.8.8/",
        "data:image/png;base64,AAAA",
        "s3://bucket/key",
    ],
)
def test_what_is_no_image_url_is_rejected(url: str) -> None:
    rejected(url)


@pytest.mark.parametrize(
    ("text", "host", "port", "target"),
    [
        ("https://Shop.Example/a.jpg", "shop.example", 443, "/a.jpg"),
        ("http://shop.example", "shop.example", 80, "/"),
        ("http://shop.example:8080/a?size=full#top", "shop.example", 8080, "/a?size=full"),
        ("https://[2001:DB8::1]:444/a", "2001:db8::1", 444, "/a"),
        ("https://b\u00fccher.test/", "xn--bcher-kva.test", 443, "/"),
        ("https://shop.example/\u76ee \u5229.jpg", "shop.example", 443, "/%E7%9B%AE%20%E5%88%A9.jpg"),
        ("https://shop.example/%7Ea%20b", "shop.example", 443, "/%7Ea%20b"),
    ],
)
def test_the_parts_of_a_url(text: str, host: str, port: int, target: str) -> None:
    url = parsed(text)
    assert (url.host, url.port, url.target) == (host, port, target)


def test_a_scheme_that_is_not_configured_names_the_setting() -> None:
    with pytest.raises(Rejection, match=r"fetch\.schemes"):
        ImageUrl.parse("http://shop.example/", ("https",))


@pytest.mark.parametrize(
    ("location", "joined"),
    [
        ("b.jpg", "https://shop.example/images/b.jpg"),
        ("/b.jpg", "https://shop.example/b.jpg"),
        ("?size=full", "https://shop.example/images/a.jpg"),
        ("//other.example/b.jpg", "https://other.example/b.jpg"),
        ("http://other.example:8080/b.jpg", "http://other.example:8080/b.jpg"),
    ],
)
def test_a_redirect_is_resolved(location: str, joined: str) -> None:
    base = parsed("https://shop.example/images/a.jpg?signature=x")
    assert str(base.join(location, SCHEMES)) == joined


@pytest.mark.parametrize("location", ["ftp://other.example/", "https://user:secret@other.example/", "//[::1"])
def test_a_redirect_is_judged_as_strictly(location: str) -> None:
    with pytest.raises(Rejection) as caught:
        parsed("https://shop.example/a.jpg").join(location, SCHEMES)
    assert caught.value.reason is RejectionReason.SOURCE_UNSUPPORTED


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("https://shop.example:443/", "shop.example"),
        ("https://shop.example:80/", "shop.example:80"),
        ("http://[::1]:80/", "[::1]"),
        ("http://[::1]:81/", "[::1]:81"),
    ],
)
def test_the_host_header_leaves_the_schemes_own_port_out(text: str, authority: str) -> None:
    assert parsed(text).authority == authority


def test_what_people_see_has_no_query_and_an_end() -> None:
    shown = str(parsed("https://shop.example/" + "a" * 500 + "?token=secret"))
    assert "secret" not in shown
    assert shown.startswith("https://shop.example/aaa")
    assert len(shown) == 203
