"""A browser's requests without a browser: cookies, forms and headers as a test wants them."""

import http.client
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Client:
    """Asks `url`; `headers` go with every request. Follows nothing."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Answer:
        return self._asked("GET", path, None, headers)

    def post(self, path: str, form: dict[str, str] | bytes, **headers: str) -> Answer:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        return self._asked("POST", path, body, {**kind, **headers})

    def _asked(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        at = urlsplit(self.url)
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, {**self.headers, **named})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read().decode("utf-8", "replace"))
        finally:
            connection.close()

    def csrf(self) -> str:
        """The token of the pages of who is signed in."""
        return self.get("/now").text.partition('data-csrf="')[2].partition('"')[0]

    def place_of(self, image_id: str) -> str:
        """Where the verdict on an image stands, by the page about it."""
        return (
            self.get(f"/why?{urlencode({'id': image_id})}").text.partition("/picture/")[2].partition('"')[0]
        )
