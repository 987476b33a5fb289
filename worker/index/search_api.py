"""The search API: POST /search by image, image id or vector, several at /search/batch, and GET /index."""

import base64
import binascii
import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from schemas.rejection import RejectionReason
from schemas.search import (
    MAX_PAGED,
    IndexState,
    SearchBatchRequest,
    SearchBatchResponse,
    SearchError,
    SearchErrorReason,
    SearchRequest,
    SearchResponse,
    SearchResult,
    Term,
)
from worker.errors import IndexUnavailable, MekikiError, Rejection
from worker.index.change import unit_vector
from worker.index.neighbour import Neighbour
from worker.index.pages import Cursor, CursorRefused, find_page, read_cursor, space_of_cursor
from worker.index.serving import Searched, Serving
from worker.index.turns import NoTurn, Turns
from worker.metrics import Metrics

logger = logging.getLogger(__name__)

# One decoder child works for all: a second search may parse its body meanwhile.
_IMAGES_AT_ONCE = 2
# Bodies of up to so many bytes are read at once, larger ones where searches by image are.
_LIGHT = 65_536
_OTHERS_AT_ONCE = 16
_MOST_OTHERS = 256
# Requests of several searches: those of one search go on beside them.
_BATCHES_AT_ONCE = 2
_MOST_BATCHES = 32
# Of all batches: searches that come together cost less.
_SIDE_BY_SIDE = 4
# Of a query of length 1: what is left of it by rounding alone has no direction.
_NOTHING_LEFT = 1e-4
# For one result of each group: copies of one picture may be many.
_MOST_LOOKED_AT = 2 * (MAX_PAGED + 1)

_UNAVAILABLE = "what keeps the vectors does not answer in time: ask again"

Body = TypeVar("Body", bound=BaseModel)


class SearchRefused(MekikiError):
    """A search that is answered with an error."""

    def __init__(self, status: int, reason: SearchErrorReason | RejectionReason, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


class _Query(NamedTuple):
    """What is searched by: float32 [dim] of unit norm, and a digest of all that a cursor must agree with."""

    vector: NDArray[np.float32]
    digest: str


def create_search_router(
    serving: Serving,
    metrics: Metrics,
    max_body_bytes: int,
    image_searches: int = 16,
) -> APIRouter:
    """The routes over what `serving` gives.

    At most `image_searches` by image wait or are worked on, half of them of one client.
    """
    router = APIRouter()
    by_image = Turns(_IMAGES_AT_ONCE, image_searches, max(1, image_searches // 2))
    others = Turns(_OTHERS_AT_ONCE, _MOST_OTHERS, _MOST_OTHERS)
    batches = Turns(_BATCHES_AT_ONCE, _MOST_BATCHES, _MOST_BATCHES // 2)
    search = _Search(serving, metrics)
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": SearchError} for status in (400, 401, 404, 408, 413, 415, 503)
    }

    async def answered(
        request: Request, model: type[Body], work: Callable[[Body], BaseModel]
    ) -> JSONResponse:
        try:
            raw = await _bounded_body(request, max_body_bytes)
            asked = _parse(model, raw) if len(raw) <= _LIGHT else raw
            client = request.client.host if request.client else ""
            return _json(200, await turns_of(model, asked).run(client, _parsed_first(model, work), asked))
        except NoTurn:
            metrics.search_errors.labels(SearchErrorReason.BUSY.value).inc()
            busy = SearchError(reason=SearchErrorReason.BUSY, detail="too many searches wait: ask again")
            return _json(503, busy, {"Retry-After": "1"})
        except SearchRefused as refused:
            return _json(refused.status, _told(refused, metrics))

    def turns_of(model: type[BaseModel], asked: BaseModel | bytes) -> Turns:
        """A search by image costs a hundred times one by id or vector, and so do many in one request."""
        if model is SearchBatchRequest:
            return batches
        return others if isinstance(asked, SearchRequest) and asked.image is None else by_image

    @router.post(
        "/search",
        response_model=SearchResponse,
        responses=errors,
        openapi_extra=_body_of(SearchRequest),
    )
    async def post_search(request: Request) -> JSONResponse:
        return await answered(request, SearchRequest, search.one)

    @router.post(
        "/search/batch",
        response_model=SearchBatchResponse,
        responses=errors,
        openapi_extra=_body_of(SearchBatchRequest),
    )
    async def post_search_batch(request: Request) -> JSONResponse:
        return await answered(request, SearchBatchRequest, search.several)

    @router.head("/index", include_in_schema=False)
    @router.get("/index", response_model=IndexState)
    def get_index() -> IndexState:
        chosen, beside = serving.chosen(), serving.next
        current = _state(serving.current, chosen)
        if beside is None:
            return current
        return current.model_copy(update={"next": _state(beside, chosen)})

    return router


class _Search:
    """Answers requests; called from threads of the server's pool."""

    def __init__(self, serving: Serving, metrics: Metrics) -> None:
        self._serving = serving
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(_SIDE_BY_SIDE, "searches-of-batches")

    def one(self, request: SearchRequest) -> SearchResponse:
        """The answer to `request`.

        Raises:
            SearchRefused: not ready, or the request cannot be answered.

        """
        return self._answer(request)

    def several(self, request: SearchBatchRequest) -> SearchBatchResponse:
        """The answers to `request`, each of a moment of its own.

        Raises:
            SearchRefused: not ready.

        """
        began = time.perf_counter()
        _check_ready(self._serving.chosen())
        answers = [*self._threads.map(self._answer_or_refusal, request.searches)]
        return SearchBatchResponse(answers=answers, took_ms=(time.perf_counter() - began) * 1000)

    def _answer_or_refusal(self, request: SearchRequest) -> SearchResponse | SearchError:
        try:
            return self._answer(request)
        except SearchRefused as refused:
            return _told(refused, self._metrics)

    def _answer(self, request: SearchRequest) -> SearchResponse:
        answer = _Asked(self._asked(request)).answer(request)
        self._metrics.search_seconds.labels(request.kind()).observe(answer.took_ms / 1000)
        return answer

    def _asked(self, request: SearchRequest) -> Searched:
        """The index that answers: of the space that is named, or that a cursor is of.

        A vector that names no space is of the current one, as it was before there were two.
        """
        if request.space is None:
            chosen = self._serving.current if request.vector is not None else self._serving.chosen()
            space = None if request.cursor is None else space_of_cursor(request.cursor)
            return chosen if space is None else self._serving.of_space(space) or chosen
        if (asked := self._serving.of_space(request.space)) is None:
            raise SearchRefused(
                400,
                SearchErrorReason.OTHER_SPACE,
                f"no index here holds vectors of space {request.space!r}: GET /index says which there are",
            )
        return asked


class _Asked:
    """One index that is asked: all of an answer is of it."""

    def __init__(self, searched: Searched) -> None:
        self._searched, self._index = searched, searched.index

    def answer(self, request: SearchRequest) -> SearchResponse:
        """The answer to `request`.

        Raises:
            SearchRefused: not ready, or the request cannot be answered.

        """
        _check_ready(self._searched)
        self._check_preference(request.order_by)
        began, now = time.perf_counter(), time.time()
        space, snapshot = self._index.identity.space, self._index.snapshot()
        query = self._query(request)
        cursor = self._cursor(request, query)
        find = self._distinct if request.distinct else self._neighbours
        page = find_page(lambda count: find(request, query, count), request.k, cursor)
        results = self._results(page.results, request)
        return SearchResponse(
            results=results,
            space=space,
            generation=None if snapshot is None else snapshot.name,
            took_ms=(time.perf_counter() - began) * 1000,
            cursor=page.cursor(space, query.digest, now if cursor is None else cursor.began),
        )

    def _check_preference(self, name: str | None) -> None:
        if name is not None and name not in self._searched.preferences:
            raise SearchRefused(
                400,
                SearchErrorReason.UNKNOWN_PREFERENCE,
                f"the bundle has no preference {name!r}; "
                f"it has {', '.join(sorted(self._searched.preferences)) or 'none'}",
            )

    def _results(self, found: Sequence[Neighbour], request: SearchRequest) -> list[SearchResult]:
        """`found` by the preference that is asked for, the highest first; by distance without one."""
        order_by = request.order_by
        if order_by is None and not request.distinct:
            return [SearchResult(image_id=near.image_id, distance=near.distance) for near in found]
        known = self._index.attributes_of([near.image_id for near in found])
        results = [
            SearchResult(
                image_id=near.image_id,
                distance=near.distance,
                preference=None if order_by is None else each.preferences.get(order_by),
                group=each.group if request.distinct else None,
            )
            for near, each in zip(found, known, strict=True)
        ]
        return results if order_by is None else sorted(results, key=_by_preference)

    def _distinct(self, request: SearchRequest, query: _Query, count: int) -> list[Neighbour]:
        """The `count` nearest, the first of each group, among the nearest that are looked at."""
        asked = 2 * count
        while True:
            asked = min(asked, _MOST_LOOKED_AT)
            found = self._neighbours(request, query, asked)
            known = self._index.attributes_of([near.image_id for near in found])
            first: dict[str, Neighbour] = {}
            for near, each in zip(found, known, strict=True):
                first.setdefault(each.group or f"image {near.image_id}", near)
            if len(first) >= count or len(found) < asked or asked == _MOST_LOOKED_AT:
                return [*first.values()][:count]
            asked *= 4

    def _cursor(self, request: SearchRequest, query: _Query) -> Cursor | None:
        if request.cursor is None:
            return None
        try:
            return read_cursor(request.cursor, self._index.identity.space, query.digest)
        except CursorRefused as refused:
            raise SearchRefused(400, refused.reason, str(refused)) from refused

    def _neighbours(self, request: SearchRequest, query: _Query, count: int) -> list[Neighbour]:
        """The `count` nearest that are not left out; an image that is searched by is."""
        left_out = {*request.exclude, *([] if request.image_id is None else [request.image_id])}
        most = count + len(left_out)
        try:
            found = self._index.search(query.vector, most, request.radius, request.filter)
        except IndexUnavailable as error:
            logger.warning("a search is not answered: %s", error)
            raise SearchRefused(503, SearchErrorReason.UNAVAILABLE, _UNAVAILABLE) from error
        return [near for near in found if near.image_id not in left_out][:count]

    def _query(self, request: SearchRequest) -> _Query:
        try:
            given = self._given(request)
        except Rejection as rejection:
            raise SearchRefused(400, rejection.reason, rejection.detail) from rejection
        terms = [*self._terms(request)]
        digest = hashlib.sha256(request.model_dump_json(exclude={"k", "cursor"}).encode())
        for vector in ([given] if request.image_id is not None else []) + [each for _, each in terms]:
            digest.update(vector.tobytes())
        return _Query(_changed(given, terms), digest.hexdigest())

    def _of_image(self, image_id: str) -> NDArray[np.float32]:
        vector = self._index.vector(image_id)
        if vector is None:
            raise SearchRefused(
                404, SearchErrorReason.UNKNOWN_IMAGE, f"no image {image_id!r} is in the index"
            )
        return vector

    def _terms(self, request: SearchRequest) -> Iterator[tuple[float, NDArray[np.float32]]]:
        for sign, terms in ((1, request.plus), (-1, request.minus)):
            for term in terms:
                yield sign * term.weight, self._term(term)

    def _term(self, term: Term) -> NDArray[np.float32]:
        if term.image_id is not None:
            return self._of_image(term.image_id)
        assert term.attribute is not None
        if term.attribute not in self._searched.attributes:
            raise SearchRefused(
                400,
                SearchErrorReason.UNKNOWN_ATTRIBUTE,
                f"the bundle has no attribute {term.attribute!r}; "
                f"it has {', '.join(sorted(self._searched.attributes)) or 'none'}",
            )
        return self._searched.attributes[term.attribute]

    def _given(self, request: SearchRequest) -> NDArray[np.float32]:
        """The unit vector of what is given, float32 [dim]."""
        if request.image_id is not None:
            return self._of_image(request.image_id)
        dim = self._index.identity.dim
        if request.vector is not None:
            return unit_vector(request.vector.to_array(), dim)
        assert request.image is not None
        try:
            image = base64.b64decode(request.image, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Rejection(RejectionReason.SOURCE_BAD_BASE64, f"image is not base64: {error}") from error
        if not image:
            raise Rejection(RejectionReason.SOURCE_EMPTY, "image has no bytes")
        return unit_vector(self._searched.embedder(image), dim)


def _check_ready(asked: Searched) -> None:
    if not asked.is_ready():
        raise SearchRefused(
            503,
            SearchErrorReason.NOT_READY,
            "the index is still reading the log; ask again when /readyz says so",
        )


def _by_preference(result: SearchResult) -> float:
    return math.inf if result.preference is None else -result.preference


def _changed(
    query: NDArray[np.float32], terms: Sequence[tuple[float, NDArray[np.float32]]]
) -> NDArray[np.float32]:
    """`query` with weighted terms added, float32 [dim] of unit norm."""
    if not terms:
        return query
    changed = query.astype(np.float64)
    for weight, vector in terms:
        changed += weight * vector
    if np.linalg.norm(changed) < _NOTHING_LEFT:
        raise SearchRefused(
            400, SearchErrorReason.INVALID_REQUEST, "plus and minus leave nothing of the query"
        )
    return unit_vector(changed.astype(np.float32), len(query))


def _parse(model: type[Body], raw: bytes) -> Body:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise SearchRefused(400, SearchErrorReason.INVALID_REQUEST, f"{where}: {first['msg']}") from error


def _parsed_first(
    model: type[Body], work: Callable[[Body], BaseModel]
) -> Callable[[Body | bytes], BaseModel]:
    """`work`, of a body that may be left to be parsed."""
    return lambda asked: work(_parse(model, asked) if isinstance(asked, bytes) else asked)


def _told(refused: SearchRefused, metrics: Metrics) -> SearchError:
    """What `refused` says to who asked; counted."""
    metrics.search_errors.labels(refused.reason.value).inc()
    return SearchError(reason=refused.reason, detail=refused.detail)


async def _bounded_body(request: Request, limit: int) -> bytes:
    """The body of at most `limit` bytes; no more than that is ever held."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise SearchRefused(413, SearchErrorReason.TOO_LARGE, f"the body has more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _state(asked: Searched, chosen: Searched) -> IndexState:
    index = asked.index
    size = index.size()
    snapshot = index.snapshot()
    return IndexState(
        vectors=size.vectors,
        tail=size.tail,
        space=index.identity.space,
        dim=index.identity.dim,
        attributes=sorted(asked.attributes),
        preferences=sorted(asked.preferences),
        topic=index.identity.topic,
        generation=None if snapshot is None else snapshot.name,
        generation_age_seconds=None if snapshot is None else snapshot.age(),
        offsets=index.offsets(),
        caught_up=asked.is_ready(),
        serves=asked is chosen,
    )


def _body_of(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that is read by `model`."""
    content = {"application/json": {"schema": _body_schema(model)}}
    return {"requestBody": {"required": True, "content": content}}


def _body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of `model` in one piece: OpenAPI has no place for definitions that are put aside."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inlined(part: Any) -> Any:
        if isinstance(part, list):
            return [inlined(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return inlined(definitions[part["$ref"].rpartition("/")[2]])
        return {key: inlined(value) for key, value in part.items()}

    return cast(dict[str, Any], inlined(schema))


def _json(status: int, model: BaseModel, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(model.model_dump(mode="json"), status, headers)
