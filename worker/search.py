"""Search: ask a running index role, by an image and by what is added to it and taken off."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpcore2
from pydantic import ValidationError

from schemas.search import SearchError, SearchFilter, SearchRequest, SearchResponse, Term
from schemas.search import read_term as term_of
from worker.errors import ConfigurationError, StageError
from worker.search_key import read_search_key


def read_term(text: str) -> Term:
    """`NAME`, `NAME=WEIGHT`, `image:ID` or `image:ID=WEIGHT`.

    Raises:
        ConfigurationError: the weight is no number over 0.

    """
    try:
        return term_of(text)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"]
        raise ConfigurationError(f"{text!r} is not NAME, NAME=WEIGHT or image:ID=WEIGHT: {said}") from None


def read_filter(given: Mapping[str, list[str] | str | None]) -> SearchFilter | None:
    """A filter of fields by name, those that are given; None where none is.

    Raises:
        ConfigurationError: a field has no such value.

    """
    told = {name: value for name, value in given.items() if value}
    if not told:
        return None
    try:
        return SearchFilter.model_validate(told)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]
        where = ".".join(map(str, said["loc"]))
        raise ConfigurationError(f"this is no filter: {where} {said['msg']}") from None


def build_request(
    image: Path | None,
    image_id: str | None,
    plus: list[str],
    minus: list[str],
    k: int,
    exclude: Sequence[str] = (),
    among: SearchFilter | None = None,
    order_by: str | None = None,
    cursor: str | None = None,
    distinct: bool = False,
) -> SearchRequest:
    """What to ask.

    Raises:
        ConfigurationError: the image cannot be read, or what is asked is no search.

    """
    try:
        encoded = None if image is None else base64.b64encode(image.read_bytes()).decode("ascii")
        return SearchRequest(
            image=encoded,
            image_id=image_id,
            plus=[read_term(text) for text in plus],
            minus=[read_term(text) for text in minus],
            k=k,
            exclude=list(exclude),
            filter=among,
            order_by=order_by,
            cursor=cursor,
            distinct=distinct,
        )
    except OSError as error:
        raise ConfigurationError(f"--image {image} cannot be read: {error}") from error
    except ValidationError as error:
        said = error.errors(include_url=False)[0]
        where = ".".join(map(str, said["loc"]))
        raise ConfigurationError(f"this is no search: {where} {said['msg']}") from None


def ask(
    url: str, request: SearchRequest, timeout: float = 30.0, key_file: Path | None = None
) -> SearchResponse:
    """The answer of the index role at `url`, such as http://localhost:9464; `key_file` where it wants a key.

    Raises:
        ConfigurationError: the role refused the search, the message is its own; or there is no good key.
        StageError: nobody answers there, or not as an index role does.

    """
    where = f"{url.rstrip('/')}/search"
    body = request.model_dump_json(exclude_defaults=True).encode()
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        *read_search_key(key_file).items(),
    ]
    limits = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
    try:
        answer = httpcore2.request(
            "POST", where, headers=headers, content=body, extensions={"timeout": limits}
        )
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError,
            httpcore2.UnsupportedProtocol) as error:  # fmt: skip
        raise StageError(
            f"{where} does not answer ({type(error).__name__}: {error}): start `mekiki index`, or name --url"
        ) from error
    try:
        if answer.status == 200:
            return SearchResponse.model_validate_json(answer.content, extra="ignore")  # of a later release
        refused = SearchError.model_validate_json(answer.content)
    except ValidationError:
        raise StageError(f"{where} answered {answer.status}, and not as an index role does") from None
    raise ConfigurationError(f"{refused.reason}: {refused.detail}")
