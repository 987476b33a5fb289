"""The pages: Now, Review, Why, Try, Search."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console.again import Again, Outcome
from console.columns import ScoreColumns
from console.language import COOKIE as LANGUAGE_COOKIE
from console.language import LANGUAGES, translator
from console.pictures import Pictures
from console.queue import Queue, Shown
from console.request import Gate, Refused, bounded, form_of, language_of
from console.rows import IN_REVIEW, NEAR
from console.searching import Searching, Wanted
from console.sign_in import COOKIE as SESSION_COOKIE
from console.sign_in import Person
from console.toml import policy_toml
from console.trials import Trial, Trials
from console.words import Words
from schemas.events import ImageShadowed, Word
from schemas.policy import Policy, Threshold, disagreements
from schemas.search import MAX_CURSOR, SearchResponse, SearchResult
from worker.errors import BrokerError, ConfigurationError, StageError
from worker.model.second_answer import policy_decision

HERE = Path(__file__).parent
_SHOWN = 48
_UPCOMING = 6
_FOUND = 24
_RATE_SECONDS = 300.0
_MOST_ID = 2048
_MOST_TERMS = 8192


@dataclass(frozen=True)
class Parts:
    """What the pages are made of. `lag` gives records that are not read yet."""

    gate: Gate
    queue: Queue
    columns: ScoreColumns
    trials: Trials
    pictures: Pictures
    words: Words
    again: Again
    searching: Searching
    policy: Policy
    lag: Callable[[], int]
    max_body: int
    secure_cookies: bool = False
    templates: Environment = field(
        default_factory=lambda: Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
    )


def create_pages(parts: Parts) -> APIRouter:
    """The routes of the pages."""
    router = APIRouter(include_in_schema=False)
    page = _Page(parts)
    _sign_in_routes(router, parts, page)
    _reading_routes(router, parts, page)
    _why_routes(router, parts, page)
    _review_routes(router, parts, page)
    _try_routes(router, parts, page)
    _search_routes(router, parts, page)
    return router


class _Page:
    """Renders templates."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        parts.templates.filters["utc"] = _utc
        parts.templates.filters["led"] = _led

    def __call__(
        self, request: Request, person: Person | None, name: str, status: int = 200, **values: Any
    ) -> HTMLResponse:
        language = language_of(request)
        words = translator(language)
        text = self._parts.templates.get_template(f"{name}.html.j2").render(
            t=words.__getitem__,
            language=language,
            person=person,
            asks=self._parts.gate.sign_in.asks,
            path=request.url.path,
            **values,
        )
        return HTMLResponse(text, status)


def error_page(parts: Parts, request: Request, refused: Refused) -> Response:
    """The answer to a request that was refused."""
    if refused.status == 401 and parts.gate.sign_in.asks and request.method == "GET":
        return RedirectResponse("/sign-in", 303)
    return _Page(parts)(request, None, "error", refused.status, why=str(refused))


def _sign_in_routes(router: APIRouter, parts: Parts, page: _Page) -> None:
    @router.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        return page(request, None, "sign_in", wrong=False)

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        parts.gate.may_sign_in(request)
        session = parts.gate.sign_in.session((await form_of(request)).get("token", ""))
        if session is None:
            parts.gate.note_wrong_token(request)
            return page(request, None, "sign_in", 401, wrong=True)
        answer = RedirectResponse("/now", 303)
        secure = parts.secure_cookies or request.url.scheme == "https"
        answer.set_cookie(SESSION_COOKIE, session, httponly=True, samesite="strict", secure=secure, path="/")
        return answer

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        person = parts.gate.viewer(request)
        parts.gate.refuse_cross_site(request, person, await form_of(request))
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(SESSION_COOKIE)
        return answer

    @router.get("/language/{name}")
    async def language(request: Request, name: str) -> Response:
        parts.gate.viewer(request)
        if name not in LANGUAGES:
            raise Refused(404, "there is no such page")
        # Back to a page of ours by its path alone, wherever the request says it came from.
        back = request.query_params.get("back", "/now")
        answer = RedirectResponse(back if back in _PATHS else "/now", 303)
        answer.set_cookie(LANGUAGE_COOKIE, name, samesite="lax", path="/", max_age=31_536_000)
        return answer


_PATHS = ("/now", "/review", "/why", "/try", "/search")


def _reading_routes(router: APIRouter, parts: Parts, page: _Page) -> None:
    queue = parts.queue

    @router.get("/")
    def begin(request: Request) -> Response:
        parts.gate.viewer(request)
        return RedirectResponse("/now", 303)

    def now_values() -> dict[str, Any]:
        rates, waiting = queue.rates(_RATE_SECONDS), queue.waiting()
        return {
            "cards": queue.newest(_SHOWN),
            "rates": rates,
            "waiting": waiting.get(IN_REVIEW, 0),
            "lag": parts.lag(),
            "now_ms": int(time.time() * 1000),
        }

    @router.get("/now")
    def now(request: Request) -> Response:
        return page(request, parts.gate.viewer(request), "now", **now_values())

    @router.get("/now/cards")
    def now_cards(request: Request) -> Response:
        return page(request, parts.gate.viewer(request), "_now", **now_values())

    @router.get("/picture/{place}")
    def picture(request: Request, place: str) -> Response:
        parts.gate.viewer(request)
        shown = queue.at(place)
        data = None if shown is None else parts.pictures.of(shown.event)
        if data is None:
            raise Refused(404, "there is no picture")
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=300"})


def _why_routes(router: APIRouter, parts: Parts, page: _Page) -> None:
    queue = parts.queue

    def why_page(request: Request, person: Person, image_id: str, again: Outcome | None = None) -> Response:
        latest = queue.latest(image_id) if image_id else None
        return page(
            request,
            person,
            "why",
            image_id=image_id,
            latest=latest,
            verdicts=queue.verdicts_of(image_id) if image_id else [],
            steps=queue.history(image_id) if image_id else [],
            **again_values(latest, again),
        )

    def again_values(shown: Shown | None, again: Outcome | None) -> dict[str, Any]:
        return {"shown": shown, "again": again, "before": shown and policy_decision(shown.event)}

    @router.get("/why")
    def why(request: Request, id: str = "") -> Response:  # noqa: A002 - as it is called in the URL
        return why_page(request, parts.gate.viewer(request), id[:_MOST_ID])

    @router.post("/why/again")
    async def judge_again(request: Request) -> Response:
        form = await form_of(request)
        person = parts.gate.asker(request, form)
        return await run_in_threadpool(judged, request, person, form.get("place", ""))

    def judged(request: Request, person: Person, place: str) -> Response:
        shown = queue.at(place)
        if shown is None:
            raise Refused(404, "the image is not known any more")
        again = parts.again(shown.event)
        if request.headers.get("x-fragment"):
            return page(request, person, "_again", **again_values(shown, again))
        return why_page(request, person, shown.event.image_id, again)


def _review_routes(router: APIRouter, parts: Parts, page: _Page) -> None:
    queue = parts.queue

    def review_values(person: Person, image_id: str = "", after: str | None = None) -> dict[str, Any]:
        chosen = queue.latest(image_id) if image_id else None
        upcoming = queue.take(person.name, _UPCOMING, after=after) if person.may_review else []
        waiting = queue.waiting()
        return {
            "current": chosen or (upcoming[0] if upcoming else None),
            "upcoming": upcoming if chosen else upcoming[1:],
            "waiting": waiting.get(IN_REVIEW, 0),
            "near": waiting.get(NEAR, 0),
            "cuts": _cuts(parts.policy),
        }

    @router.get("/review")
    def review(request: Request, image: str = "") -> Response:
        person = parts.gate.viewer(request)
        name = "_review" if request.headers.get("x-fragment") else "review"
        return page(request, person, name, sent=None, **review_values(person, image[:_MOST_ID]))

    @router.post("/review")
    async def decide(request: Request) -> Response:
        form = await form_of(request)
        person = parts.gate.reviewer(request, form)
        return await run_in_threadpool(decided, request, person, form)

    def decided(request: Request, person: Person, form: Mapping[str, str]) -> Response:
        shown, word = decided_about(queue, form), form.get("word", "")
        if word == "later":
            queue.skip(shown.event.image_id, person.name)
        elif word in ("accept", "block", "undo"):
            say(parts, shown, cast(Word, word), person, form.get("reason", "").strip()[:2000] or None)
        else:
            raise Refused(400, "the word is accept, block, undo or later")
        if not request.headers.get("x-fragment"):
            return RedirectResponse("/review", 303)
        back = shown.event.image_id if word == "undo" else ""
        told = {"word": word, "place": shown.place, "image_id": shown.event.image_id}
        sent = None if word == "later" else told
        return page(request, person, "_review", sent=sent, **review_values(person, back))


def decided_about(queue: Queue, form: Mapping[str, str]) -> Shown:
    """The verdict that a form is about: at a place, or the latest on an image of these bytes.

    Raises:
        Refused: it is not known, or another image has come since.

    """
    place = form.get("place")
    shown = queue.latest(form.get("image_id", "")) if place is None else queue.at(place)
    if shown is None:
        raise Refused(404, "the image is not known any more")
    if place is None and shown.event.image_sha256 != form.get("image_sha256"):
        raise Refused(409, "another image was uploaded meanwhile: look again")
    return shown


def say(parts: Parts, shown: Shown, word: Word, person: Person, reason: str | None) -> None:
    """Let a person decide about what they were shown, unless something else holds by now.

    Raises:
        Refused: so it is, or the word cannot be sent.

    """
    latest = parts.queue.latest(shown.event.image_id)
    if latest is None:
        raise Refused(409, "the image was deleted meanwhile")
    if latest.event.image_sha256 != shown.event.image_sha256:
        raise Refused(409, "another image was uploaded meanwhile: look again")
    review = latest.event.review
    if word == latest.event.decision and review is not None and review.reviewer == person.name:
        return  # their own word came through, though the answer to it did not
    if word == "undo":
        shown = latest  # the person's own verdict, once it has come
    elif latest.place != shown.place:
        raise Refused(409, "another decision has come meanwhile: look again")
    try:
        parts.words.say(shown, word, person.name, reason)
    except ConfigurationError as error:
        raise Refused(409, str(error)) from error
    except (BrokerError, StageError) as error:
        raise Refused(503, str(error)) from error


def _try_routes(router: APIRouter, parts: Parts, page: _Page) -> None:
    def try_values(request: Request) -> dict[str, Any]:
        policy, names = (
            tried(parts.policy, request.query_params, parts.columns.names()),
            parts.columns.names(),
        )
        focus = request.query_params.get("focus", "")
        if focus not in names:
            focus = next((name for name in names if name in policy.thresholds), names[0] if names else "")
        began = time.perf_counter()
        recount = parts.columns.recount(policy, focus)
        took_ms = (time.perf_counter() - began) * 1000
        sides = []
        for marginal in (recount.under, recount.over):
            shown = parts.queue.of_places([(one.partition, one.offset) for one in marginal])
            sides.append(
                [
                    (shown[one.partition, one.offset], one.value)
                    for one in marginal
                    if (one.partition, one.offset) in shown
                ]
            )
        return {
            "names": names,
            "policy": policy,
            "focus": focus,
            "recount": recount,
            "sides": sides,
            "toml": policy_toml(policy),
            "took_ms": took_ms,
        }

    @router.get("/try")
    def try_page(request: Request) -> Response:
        person, values = parts.gate.viewer(request), try_values(request)
        histograms = {name: _bars(parts.columns.histogram(name)) for name in values["names"]}
        return page(request, person, "try", histograms=histograms, trials=trials(), **values)

    def trials() -> list[tuple[Trial, list[tuple[ImageShadowed, Shown | None]]]]:
        """Each with its images, and their verdicts where they hold for the same bytes."""
        found = parts.trials.latest()
        ids = {event.image_id for trial in found for event in trial.furthest}
        known = parts.queue.of_images(sorted(ids))

        def seen(event: ImageShadowed) -> Shown | None:
            shown = known.get(event.image_id)
            return shown if shown and shown.event.image_sha256 == event.image_sha256 else None

        return [(trial, [(event, seen(event)) for event in trial.furthest]) for trial in found]

    @router.get("/try/count")
    def count(request: Request) -> Response:
        return page(request, parts.gate.viewer(request), "_try", **try_values(request))


def tried(policy: Policy, query: Mapping[str, str], names: list[str]) -> Policy:
    """`policy` with the levels of a query (`text.block=0.6`); an empty one takes a level away.

    Raises:
        Refused: a level is no number, or review is above block.

    """
    thresholds = dict(policy.thresholds)
    for name in names:
        levels: dict[str, Any] = {}
        for effect in ("block", "review"):
            given = query.get(f"{name}.{effect}")
            if given is not None:
                levels[effect] = _level(given)
        if not levels:
            continue
        before = thresholds.get(name, Threshold())
        after = {"block": before.block, "review": before.review, **levels}
        if after["block"] is None and after["review"] is None:
            thresholds.pop(name, None)
            continue
        if after["block"] is not None and after["review"] is not None:
            after["review"] = min(after["review"], after["block"])
        thresholds[name] = Threshold(**after, unless=before.unless)
    return policy.model_copy(update={"thresholds": thresholds})


def _level(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        level = float(text)
    except ValueError as error:
        raise Refused(400, "a level is a number") from error
    if not math.isfinite(level):
        raise Refused(400, "a level is a number")
    return round(level, 6)


def _bars(counts: list[int]) -> list[float]:
    """Heights of 0 to 1, by the logarithm: the rare scores are those that matter."""
    highest = math.log1p(max(counts, default=0)) or 1.0
    return [round(math.log1p(count) / highest, 3) for count in counts]


def _search_routes(router: APIRouter, parts: Parts, page: _Page) -> None:
    def values(search: Callable[[], SearchResponse] | None) -> dict[str, Any]:
        found: list[SearchResult] = []
        why, cursor = "", None
        if search is not None:
            try:
                answer = search()
                found, cursor = answer.results, answer.cursor
            except (ConfigurationError, StageError) as error:
                why = str(error)
        known = parts.queue.of_images([one.image_id for one in found])
        return {
            "results": [(one, known.get(one.image_id)) for one in found],
            "cursor": cursor,
            "why": why,
            "searched": search is not None,
            "is_there": parts.searching.is_there,
        }

    @router.get("/search")
    def search_page(request: Request, id: str = "") -> Response:  # noqa: A002 - as it is called in the URL
        person, image_id, wanted = parts.gate.viewer(request), id[:_MOST_ID], _wanted(request)
        search = (lambda: parts.searching.by_id(image_id, wanted, _FOUND)) if image_id else None
        found = values(search)
        following = None
        if found["cursor"] is not None:
            following = f"/search?{request.url.include_query_params(cursor=found['cursor']).query}"
        return page(
            request, person, "search",
            image_id=image_id, wanted=wanted, known=parts.searching.known(), following=following, **found,
        )  # fmt: skip

    @router.post("/search")
    async def search_image(request: Request) -> Response:
        person, wanted = parts.gate.viewer(request), _wanted(request)
        parts.gate.refuse_cross_site(request, person, {})
        data = await bounded(request, parts.max_body)
        found = await run_in_threadpool(values, lambda: parts.searching.by_image(data, wanted, _FOUND))
        return page(request, person, "_search", following=None, **found)


def _wanted(request: Request) -> Wanted:
    names = [field.name for field in fields(Wanted)]
    most = dict.fromkeys(names, _MOST_TERMS) | {"cursor": MAX_CURSOR}
    return Wanted(**{name: request.query_params.get(name, "")[: most[name]] for name in names})


def _cuts(policy: Policy) -> dict[str, float]:
    return {
        name: level
        for name, threshold in policy.thresholds.items()
        if (level := threshold.block if threshold.block is not None else threshold.review) is not None
    }


def _led(event: ImageShadowed) -> list[tuple[str, str, str]]:
    """The scores that lead elsewhere, as both bundles give them."""
    names = [name for name, _ in disagreements(event.served.reasons, event.shadow.reasons)]
    return [(name, _score(event.served.scores, name), _score(event.shadow.scores, name)) for name in names]


def _score(scores: Mapping[str, float], name: str) -> str:
    return f"{scores[name]:.2f}" if name in scores else "-"


def _utc(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
