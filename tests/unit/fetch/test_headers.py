"""What answers' headers say, also where one comes twice."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from worker.fetch.headers import combined, compressions, locations, retry_after


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([b"7"], 7),
        ([b"7", b"90"], 90),
        ([b"90", b"7"], 90),
        ([b"soon", b"7"], 7),
        ([b"7", b""], 7),
        ([b"7, 90"], 90),
        ([b"0", b"Wed, 21 Oct 2015 07:28:00 GMT"], 0),
        ([b"9" * 30], None),
        ([b"soon", b"later"], None),
        ([], None),
    ],
)
def test_of_two_waits_the_longer_one_holds(values: list[bytes], seconds: float | None) -> None:
    assert retry_after([(b"Retry-After", value) for value in values]) == seconds


def test_a_wait_may_be_a_date_beside_a_number() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True).encode()
    found = retry_after([(b"retry-after", b"5"), (b"Retry-After", then)])
    assert found == pytest.approx(100, abs=5)


@pytest.mark.parametrize(
    ("values", "targets"),
    [
        ([b"/a"], ["/a"]),
        ([b"/a", b"/a"], ["/a"]),
        ([b"/a", b"/b"], ["/a", "/b"]),
        ([b"/caf\xe9", "/é".encode()], ["/caf%E9", "/é"]),
        ([], []),
    ],
)
def test_all_places_that_differ_are_told(values: list[bytes], targets: list[str]) -> None:
    assert locations([(b"Location", value) for value in values]) == targets


def test_compressions_are_found_in_any_of_several_headers() -> None:
    several = [(b"Content-Encoding", b"identity, GZip"), (b"content-encoding", b"aws-chunked"), (b"X", b"br")]
    assert compressions(several) == ["gzip"]


def test_values_are_joined_and_equal_ones_told_once() -> None:
    several = [(b"ETag", b"a"), (b"x-version", b"1"), (b"etag", b"a"), (b"X-Version", b"2")]
    assert combined(several) == {"etag": "a", "x-version": "1, 2"}
