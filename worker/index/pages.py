"""Pages of a search: a cursor says behind which result the next page goes on, and no process remembers it.

Results have one order, by distance and then by id, and each page is what stands behind the last result of the
page before it, as the index is then. So any replica answers the next page, also after a restart.
"""

import base64
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.search import MAX_PAGED, CosineDistance, SearchErrorReason
from worker.errors import MekikiError
from worker.index.neighbour import Neighbour

CURSOR_SECONDS = 3600.0
# What clocks of two replicas may differ by.
_CLOCK_SECONDS = 60.0
_CHECK_BYTES = 8


class CursorRefused(MekikiError):
    """A cursor that leads nowhere: `reason` says why, the message what to do."""

    def __init__(self, reason: SearchErrorReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Cursor(BaseModel):
    """Where a search goes on: behind the image `after`, which had `distance`.

    `query` is a digest of what was searched by. So many results as `reach` were looked at. `began` is when
    the first page was answered, in seconds since 1970.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[1] = 1
    space: str
    query: str
    distance: CosineDistance
    after: str
    reach: Annotated[int, Field(ge=1, le=MAX_PAGED)]
    began: float

    def text(self) -> str:
        """What a client gives back: not signed, since it says nothing that its owner may not ask for."""
        body = self.model_dump_json().encode()
        return base64.urlsafe_b64encode(_checksum(body) + body).rstrip(b"=").decode("ascii")


class Page(NamedTuple):
    """Results, and how many results there are up to the last of them; None: there are no more pages."""

    results: Sequence[Neighbour]
    reach: int | None

    def cursor(self, space: str, query: str, began: float) -> str | None:
        """For the page behind this one; None where there is none. The arguments are as in Cursor."""
        if self.reach is None:
            return None
        last = self.results[-1]
        return Cursor(
            space=space,
            query=query,
            distance=last.distance,
            after=last.image_id,
            reach=self.reach,
            began=began,
        ).text()


def read_cursor(text: str, space: str, query: str, now: float | None = None) -> Cursor:
    """The cursor in `text`, of a search in `space` by what has the digest `query`.

    Raises:
        CursorRefused: it is damaged, of another space or query, or too old.

    """
    cursor = _read(text)
    if cursor.space != space:
        raise CursorRefused(
            SearchErrorReason.CURSOR_OF_ANOTHER_SPACE,
            f"the cursor is of space {cursor.space!r}, the index holds {space!r}: begin at the first page",
        )
    if cursor.query != query:
        raise CursorRefused(
            SearchErrorReason.CURSOR_OF_ANOTHER_QUERY,
            "the cursor is of another search, or an image that is searched by has another vector since: "
            "send the first page's request with it (k may differ), or begin at the first page",
        )
    age = (time.time() if now is None else now) - cursor.began
    if not -_CLOCK_SECONDS <= age <= CURSOR_SECONDS:
        raise CursorRefused(
            SearchErrorReason.CURSOR_EXPIRED,
            f"the cursor's first page was answered {age:.0f} s ago, over {CURSOR_SECONDS:.0f}: begin again",
        )
    return cursor


def space_of_cursor(text: str) -> str | None:
    """The space of the search that the cursor in `text` goes on with; None where it is damaged."""
    try:
        return _read(text).space
    except CursorRefused:
        return None


def find_page(find: Callable[[int], Sequence[Neighbour]], count: int, cursor: Cursor | None = None) -> Page:
    """The first `count` results behind `cursor`; `find` gives so many results, in order, from the first on.

    As many as the cursor saw are asked for first, and more where what is new takes their places.
    """
    asked = count + 1 + (0 if cursor is None else cursor.reach)
    while True:
        asked = min(asked, MAX_PAGED + 1)
        found = find(asked)
        behind = _behind(found, cursor)
        if len(behind) > count or len(found) < asked or asked > MAX_PAGED:
            break
        asked *= 2
    places = behind[:count]
    more = len(behind) > count and places[-1] < MAX_PAGED
    return Page([found[place] for place in places], places[-1] + 1 if more else None)


def _behind(found: Sequence[Neighbour], cursor: Cursor | None) -> list[int]:
    """The places of what stands behind the cursor."""
    if cursor is None:
        return [*range(len(found))]
    last = (cursor.distance, cursor.after)
    return [
        place
        for place, near in enumerate(found)
        if (near.distance, near.image_id) > last and near.image_id != cursor.after
    ]


def _read(text: str) -> Cursor:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        check, body = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check == _checksum(body):
            return Cursor.model_validate_json(body)
    except (ValueError, ValidationError):
        pass
    raise CursorRefused(
        SearchErrorReason.CURSOR_INVALID,
        "this is not the cursor of an answer, whole: send it as it came, or begin at the first page",
    )


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECK_BYTES]
