"""What other sites send, and how often one may ask."""

import pytest

from console.protection import RateLimit, is_cross_site, names_this_machine


@pytest.mark.parametrize(
    ("headers", "cross"),
    [
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://a"}, True),
        ({"origin": "http://a:1", "host": "a:1"}, False),
        ({"origin": "http://a", "host": "a:1"}, True),
        ({"origin": "null", "host": "a"}, True),
        ({}, False),
    ],
)
def test_cross_site(headers, cross):
    assert is_cross_site(headers) is cross


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost:9465", True),
        ("127.0.0.1", True),
        ("[::1]:9465", True),
        ("evil.test:9465", False),
        ("", False),
    ],
)
def test_names(host, ours):
    assert names_this_machine(host) is ours


def test_a_burst_then_a_rate():
    limit = RateLimit(0.001, 3)
    assert [limit.allows("a") for _ in range(5)] == [True, True, True, False, False]
    assert limit.allows("b", 0)
    assert limit.allows("b")
    assert not limit.allows("a", 0)
