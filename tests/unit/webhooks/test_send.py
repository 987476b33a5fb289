"""What a receiver's answer means."""

from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.loopback_server import AnsweringHandler, LoopbackServer
from worker.webhooks.message import Message
from worker.webhooks.send import Answer, Sender

MESSAGE = Message("m-1", b"{}")


class Receiver(LoopbackServer):
    """Answers with one status and headers."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.said = status, headers
        super().__init__("127.0.0.1")

    def handler(self, request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
        status, headers = self.said

        class Handler(AnsweringHandler):
            def do_POST(self) -> None:  # noqa: N802 - the base class finds it by this name
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(status, b"{}", headers)

        return Handler(request, address, server)


@pytest.mark.parametrize(
    ("status", "headers", "answer", "wait"),
    [
        (204, {}, Answer.DELIVERED, 0),
        (422, {"Retry-After": "7"}, Answer.REFUSED, 0),
        (429, {"Retry-After": "7"}, Answer.FAILED, 7),
        (503, {"retry-after": "7"}, Answer.FAILED, 7),
        (503, {"Retry-After": "99999"}, Answer.FAILED, 3600),
        (503, {"Retry-After": "soon"}, Answer.FAILED, 0),
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, Answer.FAILED, 0),
        (302, {"Location": "/elsewhere"}, Answer.FAILED, 0),
    ],
)
def test_an_answer_is_heeded(status: int, headers: dict[str, str], answer: Answer, wait: float) -> None:
    with Receiver(status, headers) as receiver:
        sender = Sender(f"http://127.0.0.1:{receiver.port}/", [b"secret"], 5.0)
        attempt = sender(MESSAGE)
        sender.close()
    assert (attempt.answer, attempt.wait) == (answer, wait)


def test_nobody_there_is_a_failure() -> None:
    sender = Sender("http://127.0.0.1:9/", [b"secret"], 0.5)
    assert sender(MESSAGE).answer is Answer.FAILED
