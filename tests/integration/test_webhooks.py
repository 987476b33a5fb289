"""Webhooks on a real Kafka to a receiver on loopback: signed, in order, at least once, whatever it does."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from schemas.events import ImageModerated
from tests import events
from tests.integration.test_judge_again import verdict_of
from tests.kafka.client import Record, wait_until
from tests.kafka.server import free_ports
from tests.loopback_server import AnsweringHandler, LoopbackServer
from tests.workplace import Workplace
from worker.run_webhooks import compose_webhooks
from worker.settings import Settings

SECRET = b"0123456789abcdef0123456789abcdef"


class Receiver(LoopbackServer):
    """Keeps what it is sent and accepts; answers `status`."""

    def __init__(self, status: int = 204, port: int = 0) -> None:
        self.status = status
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.asked = 0
        super().__init__("127.0.0.1", port=port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def names(self) -> list[str]:
        return [body["data"]["image_id"] for _, body in self.taken]

    def handler(self, request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
        receiver = self

        class Handler(AnsweringHandler):
            def do_POST(self) -> None:  # noqa: N802 - the base class's name
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.asked += 1
                if receiver.status < 300:
                    receiver.taken.append((is_signed(self.headers, body), json.loads(body)))
                self.answer(receiver.status, b"")

        return Handler(request, address, server)


def is_signed(headers: Any, body: bytes) -> str:
    """The id of a message, whose signature is right."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(SECRET, content, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    return str(headers["webhook-id"])


@contextmanager
def telling(place: Workplace, *urls: str) -> Iterator[None]:
    """`mekiki webhooks` in threads of the test's own process."""
    with compose_webhooks(settings_of(place, *urls)) as webhooks:
        threads = [threading.Thread(target=role.run) for role in webhooks.roles.values()]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for role in webhooks.roles.values():
                role.stop()
            for thread in threads:
                thread.join(30)
                assert not thread.is_alive()


def settings_of(place: Workplace, *urls: str) -> Settings:
    secrets = place.folder / "secrets"
    secrets.write_text(f"whsec_{base64.b64encode(SECRET).decode()}\n")
    webhooks = {"urls": urls, "secret_file": secrets, "pause": 0.05, "begin": "earliest"}
    return place.changed(webhooks=webhooks, http={"port": 0})


def verdict(name: str, decision: str = "review", number: int = 0) -> Record:
    said = verdict_of().model_dump(mode="json") | {"image_id": name, "decision": decision}
    said["event_id"] = f"00000000-0000-0000-0000-{number:012d}"
    return Record(ImageModerated.model_validate(said).model_dump_json().encode(), name.encode(), partition=0)


def send(place: Workplace, *records: Record) -> None:
    place.broker.send(place.settings.topics.moderated, list(records))


def test_the_band_is_told_with_where_its_images_are(workplace: Workplace) -> None:
    topics = workplace.settings.topics
    upload = events.uploaded("a", path="a.jpg")
    ((partition, offset),) = [
        (at.partition, at.offset) for at in workplace.broker.send(topics.uploaded, [upload])
    ]
    said = json.loads(verdict("a").value or b"")
    said["input"] = {"event_id": "e", "topic": topics.uploaded, "partition": partition, "offset": offset}
    with Receiver() as receiver, telling(workplace, receiver.url):
        told = Record(json.dumps(said).encode(), b"a")
        send(workplace, told, verdict("b", "accept"), verdict("c", number=2))
        wait_until(lambda: sorted(receiver.names()) == ["a", "c"], "both to be told")
        image = {body["data"]["image_id"]: body["data"]["image"] for _, body in receiver.taken}
    # The topic that the last one names is not there (any more).
    assert image == {"a": {"path": "a.jpg"}, "c": None}


def test_a_receiver_that_is_down_and_comes_back_gets_all_in_order_and_holds_up_nobody(
    workplace: Workplace,
) -> None:
    (port,) = free_ports(1)
    names = [f"i{number}" for number in range(40)]
    with Receiver() as well, telling(workplace, f"http://127.0.0.1:{port}/hook", well.url):
        send(workplace, *(verdict(name, number=number) for number, name in enumerate(names)))
        wait_until(lambda: well.names() == names, "the other receiver to have all")
        with Receiver(status=503, port=port) as ill:
            wait_until(lambda: ill.asked >= 3, "three attempts")
            assert ill.taken == []
            ill.status = 200
            wait_until(lambda: ill.names() == names, "all, in order")


def test_what_was_not_taken_is_sent_by_the_next_process_under_the_same_id(workplace: Workplace) -> None:
    with Receiver() as receiver:
        with telling(workplace, receiver.url):
            send(workplace, verdict("a", number=1))
            wait_until(lambda: receiver.names() == ["a"], "the first")
            receiver.status = 500
            send(workplace, verdict("b", number=2), verdict("c", number=3))
            wait_until(lambda: receiver.asked >= 3, "attempts in vain")
        receiver.status = 200
        with telling(workplace, receiver.url):
            wait_until(lambda: receiver.names()[-2:] == ["b", "c"], "the rest")
    assert receiver.names() == ["a", "b", "c"]
    assert [name[-1] for name, _ in receiver.taken] == ["1", "2", "3"]


@pytest.mark.parametrize(("status", "taken"), [(400, ["b"]), (410, ["a", "b"])])
def test_what_is_called_wrong_is_passed_over_and_a_lost_address_is_waited_for(
    workplace: Workplace, status: int, taken: list[str]
) -> None:
    with Receiver(status=status) as receiver, telling(workplace, receiver.url):
        send(workplace, verdict("a", number=1))
        wait_until(lambda: receiver.asked >= 5, "five attempts")
        receiver.status = 200
        send(workplace, verdict("b", number=2))
        wait_until(lambda: receiver.names() == taken, "what is taken")
