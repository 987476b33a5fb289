"""Requests and answers of the search API."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from schemas.events import Identifier
from schemas.rejection import RejectionReason
from schemas.vector import Vector

MAX_RESULTS = 1000
MAX_TERMS = 16
MAX_EXCLUDED = 1000
MAX_FILTERED = 100
MAX_SEARCHES = 100
# Pages of one search go so many results deep.
MAX_PAGED = 10_000
# Room for an image id of 2,048 characters, written as JSON and base64.
MAX_CURSOR = 20_000
# Of one request of several searches: what it may ask for in all.
MAX_RESULTS_OF_BATCH = 10_000

_IMAGE = "image:"

CosineDistance = Annotated[float, Field(ge=0, le=2, description="cosine distance, 0 to 2")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _one_of(*names: str) -> ConfigDict:
    """In JSON Schema: exactly one of the fields `names` is given, and not null."""
    given: list[Any] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names
    ]
    return ConfigDict(json_schema_extra={"oneOf": given})


class Term(_Model):
    """What is added to a query or taken off: an attribute of the bundle, or the vector of an image."""

    model_config = _one_of("attribute", "image_id")

    attribute: Annotated[str, Field(min_length=1, description="GET /index names them")] | None = None
    image_id: Identifier | None = None
    weight: Annotated[float, Field(gt=0, le=100)] = 1.0

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.attribute is None) == (self.image_id is None):
            raise ValueError("exactly one of attribute and image_id must be given")
        return self


def read_term(text: str) -> Term:
    """`NAME`, `NAME=WEIGHT`, `image:ID` or `image:ID=WEIGHT`.

    Raises:
        ValidationError: the weight is no number over 0.

    """
    name, equals, weight = text.rpartition("=") if "=" in text else (text, "", "1")
    given = {"image_id": name[len(_IMAGE) :]} if name.startswith(_IMAGE) else {"attribute": name}
    return Term.model_validate({**given, "weight": weight if equals else 1.0})


class SearchFilter(_Model):
    """Which images may be results: those for which every field that is given holds.

    What is not known of an image holds nothing: one without a category is in none.
    """

    categories: Annotated[
        list[Identifier], Field(max_length=MAX_FILTERED, description="the upload's category is one of these")
    ] = []
    listing_ids: Annotated[
        list[Identifier], Field(max_length=MAX_FILTERED, description="of one of these listings")
    ] = []
    tags: Annotated[
        list[Identifier], Field(max_length=MAX_FILTERED, description="it has all of these predicted tags")
    ] = []
    uploaded_from: Annotated[AwareDatetime, Field(description="uploaded then or later")] | None = None
    uploaded_before: Annotated[AwareDatetime, Field(description="uploaded earlier than that")] | None = None


class SearchRequest(_Model):
    """`POST /search`: what to search by, and how many results.

    Exactly one of `image`, `image_id` and `vector` is given. By `image_id`, the image itself is not
    among the results. Terms of `plus` and `minus` change what is searched by: the query, of length 1, and
    each term times its weight are added up. Images of `exclude` are left out, in the index or not, and others
    take their places. The next page is asked for by the same request with the `cursor` of the answer before;
    `k` may differ.
    """

    model_config = _one_of("image", "image_id", "vector")

    image: Annotated[str, Field(description="base64 of an encoded image, such as a JPEG file")] | None = None
    image_id: Identifier | None = None
    vector: Annotated[Vector, Field(description="of the index's space; need not be normalised")] | None = None
    plus: Annotated[list[Term], Field(max_length=MAX_TERMS)] = []
    minus: Annotated[list[Term], Field(max_length=MAX_TERMS)] = []
    k: Annotated[int, Field(ge=1, le=MAX_RESULTS, description="most results")] = 10
    radius: Annotated[CosineDistance, Field(description="results are no farther than this")] | None = None
    exclude: Annotated[
        list[Identifier], Field(max_length=MAX_EXCLUDED, description="image ids that are no results")
    ] = []
    filter: Annotated[SearchFilter, Field(description="others are no results")] | None = None
    order_by: (
        Annotated[
            str,
            Field(
                min_length=1,
                description="a preference of the bundle (GET /index names them): the k nearest come by its "
                "score, the highest first; those without one last, nearest first",
            ),
        ]
        | None
    ) = None
    distinct: Annotated[
        bool, Field(description="one result of each group of copies: the nearest, or the first by its id")
    ] = False
    cursor: (
        Annotated[str, Field(max_length=MAX_CURSOR, description="of the answer that this one goes on from")]
        | None
    ) = None
    space: (
        Annotated[
            Identifier,
            Field(
                description="of the answer, and of `vector`, where there are indexes of two spaces. "
                "Unset: a vector is of the current index, else that which serves answers"
            ),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("image", "image_id", "vector") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of image, image_id and vector must be given, not {given or 'none'}"
            )
        return self

    def kind(self) -> Literal["image", "image_id", "vector"]:
        """What is searched by."""
        if self.image is not None:
            return "image"
        return "image_id" if self.image_id is not None else "vector"


class SearchResult(_Model):
    """An image that was found."""

    image_id: str
    distance: CosineDistance
    preference: Annotated[
        float | None,
        Field(
            description="the score that it was ordered by; left out where it has none",
            exclude_if=lambda value: value is None,
        ),
    ] = None
    group: Annotated[
        str | None,
        Field(
            description="of copies, where `distinct` was asked for; left out where it has none",
            exclude_if=lambda value: value is None,
        ),
    ] = None


class SearchResponse(_Model):
    """The nearest images, nearest first, or as `order_by` says."""

    results: list[SearchResult]
    space: str
    generation: Annotated[str | None, Field(description="the generation searched, beside the newest changes")]
    took_ms: Annotated[float, Field(ge=0)]
    cursor: Annotated[
        str | None,
        Field(
            description="for the next page, for an hour from the first one on; null: there are no more, or "
            f"{MAX_PAGED:,} results were shown"
        ),
    ] = None


class SearchBatchRequest(_Model):
    """`POST /search/batch`: several searches by `image_id` or `vector`, answered in one go.

    Their `k` and the numbers of their excluded ids make 10,000 at most, added up.
    """

    searches: Annotated[list[SearchRequest], Field(min_length=1, max_length=MAX_SEARCHES)]

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        for number, search in enumerate(self.searches):
            if search.image is not None:
                raise ValueError(f"search {number} is by image: send it to /search, alone")
            if search.cursor is not None:
                raise ValueError(f"search {number} has a cursor: send it to /search, alone")
        asked = sum(search.k + len(search.exclude) for search in self.searches)
        if asked > MAX_RESULTS_OF_BATCH:
            raise ValueError(
                f"k and excluded ids add up to {asked}, over {MAX_RESULTS_OF_BATCH}: send several requests"
            )
        return self


class SearchErrorReason(StrEnum):
    """Why a search was refused, where the image or vector itself is not at fault."""

    INVALID_REQUEST = "request.invalid"
    TOO_LARGE = "request.too_large"
    UNKNOWN_IMAGE = "index.unknown_image"
    UNKNOWN_ATTRIBUTE = "request.unknown_attribute"
    UNKNOWN_PREFERENCE = "request.unknown_preference"
    OTHER_SPACE = "request.other_space"
    NOT_READY = "index.not_ready"
    UNAVAILABLE = "index.unavailable"
    BUSY = "request.busy"
    TIMEOUT = "request.timeout"
    UNAUTHORIZED = "request.unauthorized"
    CURSOR_INVALID = "cursor.invalid"
    CURSOR_EXPIRED = "cursor.expired"
    CURSOR_OF_ANOTHER_QUERY = "cursor.other_query"
    CURSOR_OF_ANOTHER_SPACE = "cursor.other_space"


class SearchError(_Model):
    """The body of a 400, 401, 404, 408, 413, 415, 421 or 503 answer."""

    reason: SearchErrorReason | RejectionReason
    detail: str


class SearchBatchResponse(_Model):
    """One answer for each search, in their order; what is wrong with one is told in its place."""

    answers: list[SearchResponse | SearchError]
    took_ms: Annotated[float, Field(ge=0)]


class IndexState(_Model):
    """`GET /index`: what is searchable now, and how it stands to the log."""

    vectors: Annotated[int, Field(ge=0, description="searchable images")]
    tail: Annotated[int, Field(ge=0, description="changes that no generation holds yet")]
    space: str
    dim: int
    attributes: Annotated[list[str], Field(description="that terms of a search may name")] = []
    preferences: Annotated[list[str], Field(description="that a search may be ordered by")] = []
    topic: str
    generation: str | None
    generation_age_seconds: Annotated[
        float | None, Field(description="since every record before the generation's offsets was in")
    ]
    offsets: Annotated[dict[int, int], Field(description="partition -> offset of the next record")]
    caught_up: Annotated[bool, Field(description="all that stood in the log at the start is searchable")]
    serves: Annotated[bool, Field(description="searches that name no space are answered by it")] = True
    next: Annotated[
        "IndexState | None", Field(description="the index of another space that is built beside this one")
    ] = None
