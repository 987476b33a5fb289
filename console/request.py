"""A request as the pages see it: who sent it, in which language, with which form."""

from dataclasses import dataclass
from hmac import compare_digest
from urllib.parse import parse_qs

from fastapi import Request

from console.language import COOKIE as LANGUAGE_COOKIE
from console.language import preferred
from console.protection import RateLimit, is_cross_site, names_this_machine
from console.sign_in import Person, SignIn
from worker.errors import MekikiError

_MOST_FORM = 64_000


class Refused(MekikiError):
    """A request is answered with an error: its status, and why for a person."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """How often one person may look, change something, and ask for work."""

    reads: RateLimit
    changes: RateLimit
    works: RateLimit
    sign_ins: RateLimit


class Gate:
    """Lets requests in."""

    def __init__(self, sign_in: SignIn, limits: Limits, *, local_only: bool) -> None:
        """With `local_only`, a request that names another host than this machine is refused."""
        self.sign_in = sign_in
        self._limits = limits
        self._local_only = local_only

    def viewer(self, request: Request) -> Person:
        """Who may look.

        Raises:
            Refused: nobody that is known (401), or too often (429).

        """
        person = self._known(request)
        if not self._limits.reads.allows(person.name):
            raise Refused(429, "too many requests: wait a moment")
        return person

    def reviewer(self, request: Request, form: dict[str, str]) -> Person:
        """Who may change something.

        Raises:
            Refused: nobody that may (401, 403), a request of another site (403), or too often (429).

        """
        person = self._known(request)
        self.refuse_cross_site(request, person, form)
        if not person.may_review:
            raise Refused(403, "only reviewers decide")
        if not self._limits.changes.allows(person.name):
            raise Refused(429, "too many decisions: wait a moment")
        return person

    def asker(self, request: Request, form: dict[str, str]) -> Person:
        """Who may ask for work that takes seconds, and changes nothing.

        Raises:
            Refused: nobody that is known (401), a request of another site (403), or too often (429).

        """
        person = self._known(request)
        self.refuse_cross_site(request, person, form)
        if not self._limits.works.allows(person.name):
            raise Refused(429, "too many requests: wait a moment")
        return person

    def refuse_cross_site(self, request: Request, person: Person, form: dict[str, str]) -> None:
        """Refuse what a page of another site sent in a person's name.

        Raises:
            Refused: so it is.

        """
        if person.by_token:  # no browser sends that by itself
            return
        given = form.get("csrf") or request.headers.get("x-csrf-token", "")
        if is_cross_site(request.headers) or not compare_digest(given.encode(), person.csrf.encode()):
            raise Refused(403, "the request did not come from a page of the console: load the page again")

    def may_sign_in(self, request: Request) -> None:
        """Slow down who guesses tokens.

        Raises:
            Refused: too often, or a request of another site.

        """
        if is_cross_site(request.headers):
            raise Refused(403, "the request did not come from a page of the console")
        if not self._limits.sign_ins.allows(self._origin(request), 0):
            raise Refused(429, "too many attempts: wait a moment")

    def note_wrong_token(self, request: Request) -> None:
        """Somebody guessed."""
        self._limits.sign_ins.allows(self._origin(request))

    def _origin(self, request: Request) -> str:
        """Whom attempts are counted by: behind an Ingress not all are one."""
        return self.sign_in.origin(peer(request), request.headers.getlist("x-forwarded-for"))

    def _known(self, request: Request) -> Person:
        if self._local_only and not names_this_machine(request.headers.get("host", "")):
            raise Refused(403, "without sign-in the console answers to the names of this machine alone")
        person = self.sign_in.person(peer(request), request.headers, request.cookies)
        if person is None:
            if "authorization" in request.headers:
                self.may_sign_in(request)
                self.note_wrong_token(request)
            raise Refused(401, "sign in first")
        return person


def peer(request: Request) -> str:
    """The address that the request came from."""
    return request.client.host if request.client else ""


def language_of(request: Request) -> str:
    """The language to answer in."""
    return preferred(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""))


async def bounded(request: Request, limit: int) -> bytes:
    """The body of at most `limit` bytes; no more than that is ever held.

    Raises:
        Refused: it has more.

    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Refused(413, f"the request has more than {limit} bytes")
    return bytes(body)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form (application/x-www-form-urlencoded).

    Raises:
        Refused: it is none.

    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused(415, "send a form")
    body = await bounded(request, _MOST_FORM)
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise Refused(400, "the form cannot be read") from error
    return {name: values[-1] for name, values in fields.items()}
