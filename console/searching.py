"""Asks the index role for what looks alike, with what is added to it and taken off."""

import base64
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.search import (
    IndexState,
    SearchError,
    SearchRequest,
    SearchResponse,
    Term,
    read_term,
)
from worker.errors import ConfigurationError, StageError
from worker.search_key import read_search_key

_SECONDS = 10.0
_MOST_ANSWER = 4 << 20
_KNOWN_SECONDS = 60.0
_BETWEEN = re.compile(r"\s*[,\n]\s*")

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class Wanted:
    """What a person wrote beside an image: terms to add and take off, which images may be results, and how.

    `distinct` is any text for one of each group of copies; `cursor` that of the page before.
    """

    plus: str = ""
    minus: str = ""
    exclude: str = ""
    radius: str = ""
    categories: str = ""
    tags: str = ""
    listing_ids: str = ""
    uploaded_from: str = ""
    uploaded_before: str = ""
    distinct: str = ""
    order_by: str = ""
    cursor: str = ""

    @property
    def is_filtered(self) -> bool:
        """Whether some images may be no results for what they are."""
        return bool(self._filter())

    def fields(self) -> dict[str, Any]:
        """The fields of a search request.

        Raises:
            ConfigurationError: a term is none.

        """
        fields: dict[str, Any] = {
            "plus": _terms(self.plus),
            "minus": _terms(self.minus),
            "exclude": _listed(self.exclude),
            "distinct": bool(self.distinct),
        }
        texts = {name: getattr(self, name).strip() for name in ("radius", "order_by", "cursor")}
        where = {"filter": self._filter()} if self.is_filtered else {}
        return fields | where | {name: text for name, text in texts.items() if text}

    def _filter(self) -> dict[str, Any]:
        lists = {name: _listed(getattr(self, name)) for name in ("categories", "tags", "listing_ids")}
        days = {name: getattr(self, name).strip() for name in ("uploaded_from", "uploaded_before")}
        return {
            **{name: values for name, values in lists.items() if values},
            **{name: f"{day}T00:00:00Z" for name, day in days.items() if day},
        }


@dataclass(frozen=True)
class Known:
    """What the index says that terms may name, and what results may be ordered by."""

    attributes: Sequence[str] = ()
    preferences: Sequence[str] = ()


class Searching:
    """`url` is that of the index role, which an operator sets; None: there is none. Thread-safe.

    `key_file` has a key of it, where it wants one, and is read for each search: keys change.
    """

    def __init__(self, url: str | None, key_file: Path | None = None) -> None:
        self._key_file = key_file
        self._url = None if url is None else url.rstrip("/")
        self._lock = threading.Lock()
        self._known: tuple[float, Known] = (float("-inf"), Known())

    @property
    def is_there(self) -> bool:
        """Whether there is somebody to ask."""
        return self._url is not None

    def known(self) -> Known:
        """What searches may name; nothing where the index does not answer. Asked for once a minute."""
        with self._lock:
            at, known = self._known
            if self._url is not None and time.monotonic() - at > _KNOWN_SECONDS:
                try:
                    state = _read(IndexState, self._answer("/index"))
                    known = Known(state.attributes, state.preferences)
                except (ConfigurationError, StageError):
                    known = Known()
                self._known = (time.monotonic(), known)
            return known

    def by_id(self, image_id: str, wanted: Wanted, count: int) -> SearchResponse:
        """What is nearest to an image of the index.

        Raises:
            ConfigurationError: what is asked is no search, the index refuses, or the key is no good.
            StageError: it does not answer.

        """
        return self._found({"image_id": image_id, "k": count, **wanted.fields()})

    def by_image(self, data: bytes, wanted: Wanted, count: int) -> SearchResponse:
        """What is nearest to an encoded image. Raises as `by_id` does."""
        image = base64.b64encode(data).decode("ascii")
        return self._found({"image": image, "k": count, **wanted.fields()})

    def _found(self, asked: dict[str, Any]) -> SearchResponse:
        try:
            request = SearchRequest.model_validate(asked)
        except ValidationError as error:
            said = error.errors(include_url=False)[0]
            where = ".".join(map(str, said["loc"]))
            raise ConfigurationError(f"this is no search: {where} {said['msg']}") from error
        body = request.model_dump_json(exclude_defaults=True).encode()
        return _read(SearchResponse, self._answer("/search", body))

    def _answer(self, path: str, body: bytes | None = None) -> bytes:
        headers = {"content-type": "application/json", **read_search_key(self._key_file)}
        request = urllib.request.Request(f"{self._url}{path}", body, headers)  # noqa: S310 - the operator's
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
                return bytes(response.read(_MOST_ANSWER))
        except urllib.error.HTTPError as error:
            raise ConfigurationError(_read(SearchError, error.read(10_000)).detail) from error
        except OSError as error:
            raise StageError(f"the index does not answer: {error}") from error


def _read(model: type[Answer], answer: bytes) -> Answer:
    try:
        return model.model_validate_json(answer, extra="ignore")  # of a later release
    except ValidationError as error:
        raise StageError("console.search_url does not answer as an index role does") from error


def _terms(text: str) -> list[Term]:
    try:
        return [read_term(part) for part in _listed(text)]
    except ValidationError as error:
        raise ConfigurationError(
            f"{text!r} is not NAME, NAME=WEIGHT or image:ID, with commas between"
        ) from error


def _listed(text: str) -> list[str]:
    return [part for part in _BETWEEN.split(text.strip()) if part]
