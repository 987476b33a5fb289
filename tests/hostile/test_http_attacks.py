"""Clients that want to keep others out: throughout, probes are answered, others search, memory is bounded.

Bounds: resident memory of the process and its decoder under 500 MB at any time; probes under 200 ms, searches
of others under 1 s. Each of them by the CPU time that the server uses while it is waited for, which tells all
that stands before it on any machine; and 9 of 10 by the clock, with what a bare server beside ours
takes at most. What room among connections costs is counted in tests/unit/test_crowd.py and test_http.py.
"""

import base64
import http.client
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field

import psutil
import pytest
from PIL import Image

from tests import images

BARE = """
import socketserver
class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(9))
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
MEMORY, PROBE, SEARCH = 500e6, 0.2, 1.0
HEAD = b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@dataclass
class Waits:
    """How long answers took, in seconds: by the clock, and of the server's CPU meanwhile."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def nine_of_ten(self) -> float:
        return statistics.quantiles(self.seconds, n=10, method="inclusive")[-1]

    def __str__(self) -> str:
        median, most, cpu = statistics.median(self.seconds), max(self.seconds), max(self.cpu)
        return f"{median * 1000:.0f} (most {most * 1000:.0f}, of CPU {cpu * 1000:.0f}) ms"


@dataclass
class Seen:
    """What clients of good will saw, and the most memory, in bytes."""

    probes: Waits = field(default_factory=Waits)
    searches: Waits = field(default_factory=Waits)
    failures: list[str] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    memory: int = 0


class Searched:
    """A running server, and clients of good will, who come from another address than attackers."""

    def __init__(self, port: int, process: psutil.Process, bare_port: int) -> None:
        self.port = port
        self.bare_port = bare_port
        self.process = process

    def ask(self, method: str, path: str, body: object = None, source: str = "127.0.0.2") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, 40, (source, 0))
        with closing(connection):
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def ask_bare(self) -> None:
        with socket.create_connection(("127.0.0.1", self.bare_port), 40) as connection:
            connection.sendall(b"?")
            assert connection.recv(9) == b"?"

    def attack(
        self, announced: int | None = None, sent: bytes = b"", source: str = "127.0.0.1"
    ) -> socket.socket:
        """A connection with a request that is not whole."""
        connection = socket.create_connection(("127.0.0.1", self.port), 5, (source, 0))
        if announced is not None:
            connection.sendall(HEAD + f"Content-Length: {announced}\r\n\r\n".encode())
        with suppress(OSError):  # it may have been shown the door meanwhile
            connection.sendall(sent)
        return connection

    def cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        return sum(one.memory_info().rss for one in (self.process, *self.process.children(recursive=True)))

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """Ask as a probe and a client would, again and again, until the end."""
        seen, end = Seen(memory=self.memory()), threading.Event()

        def again(waits: Waits, method: str, path: str, body: object = None) -> None:
            while not end.is_set():
                began, used = time.monotonic(), self.cpu()
                try:
                    if (status := self.ask(method, path, body)) != 200:
                        seen.failures.append(f"{path}: {status}")
                except OSError as error:
                    seen.failures.append(f"{path}: {error!r}")
                waits.seconds.append(time.monotonic() - began)
                waits.cpu.append(self.cpu() - used)
                seen.memory = max(seen.memory, self.memory())
                end.wait(0.05)

        def again_bare() -> None:
            while not end.is_set():
                began = time.monotonic()
                self.ask_bare()
                seen.bare.append(time.monotonic() - began)
                end.wait(0.01)

        with ThreadPoolExecutor(3) as clients:
            asked = [
                clients.submit(again_bare),
                clients.submit(again, seen.probes, "GET", "/healthz"),
                clients.submit(again, seen.searches, "POST", "/search", {"image_id": "i1", "k": 5}),
            ]
            try:
                yield seen
            finally:
                end.set()
            for one in asked:
                one.result()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    command = [sys.executable, "-m", "tests.searched_server", str(tmp_path_factory.mktemp("index"))]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([sys.executable, "-c", BARE], stdout=pipe, text=True) as bare,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process,
    ):
        assert bare.stdout
        assert process.stdin
        assert process.stdout
        try:
            yield Searched(
                int(process.stdout.readline()), psutil.Process(process.pid), int(bare.stdout.readline())
            )
        finally:
            bare.kill()
            process.stdin.close()
            process.wait(20)


def big_picture() -> dict[str, object]:
    """Costly to decode, and a body of little size."""
    picture = images.encoded(Image.new("RGB", (2500, 2500), (200, 30, 30)), "PNG")
    return {"image": base64.b64encode(picture).decode(), "k": 1}


def idle_bodies(server: Searched, stack: ExitStack) -> None:
    """100 bodies of 30 MB, of which all but the end comes."""
    most = b" " * 8_000_000
    with ThreadPoolExecutor(10) as attackers:
        for connection in attackers.map(lambda _: server.attack(30_000_000, most), range(100)):
            stack.callback(connection.close)


def idle_connections(server: Searched, stack: ExitStack) -> None:
    for _ in range(1010):
        stack.callback(server.attack().close)


def connections_of_many_addresses(server: Searched, stack: ExitStack) -> None:
    """None of them has more than four; every other one begins a request that never ends."""
    for number in range(1010):
        body = {"announced": 100, "sent": b"{"} if number % 2 else {}
        stack.callback(server.attack(**body, source=f"127.0.1.{number % 250 + 1}").close)


def slow_heads(server: Searched, stack: ExitStack) -> None:
    for number in range(300):
        stack.callback(server.attack(sent=HEAD[: 10 + number % 40]).close)


def small_bodies_that_do_not_end(server: Searched, stack: ExitStack) -> None:
    for _ in range(300):
        stack.callback(server.attack(70_000, b" " * 65_000).close)


def searches_by_image(server: Searched, stack: ExitStack) -> None:
    body = big_picture()
    with ThreadPoolExecutor(48) as attackers:
        found = [attackers.submit(server.ask, "POST", "/search", body, "127.0.0.3") for _ in range(48)]
        assert {one.result() for one in found} <= {200, 400, 503}


ATTACKS: list[Callable[[Searched, ExitStack], None]] = [
    idle_bodies,
    idle_connections,
    connections_of_many_addresses,
    slow_heads,
    small_bodies_that_do_not_end,
    searches_by_image,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_others_are_served_throughout(searched: Searched, attack: Callable[..., None]) -> None:
    with ExitStack() as stack, searched.watched() as seen:
        attack(searched, stack)
        time.sleep(1.5)
    shown = (
        f"{attack.__name__}: {seen.memory / 1e6:.0f} MB, probes {seen.probes}, searches {seen.searches}, "
        f"a bare server's at most {max(seen.bare) * 1000:.0f} ms"
    )
    print(shown)
    assert not seen.failures, shown
    assert len(seen.probes.cpu) > 5, shown
    assert seen.memory < MEMORY, shown
    assert max(seen.probes.cpu) < PROBE, shown
    assert max(seen.searches.cpu) < SEARCH, shown
    assert seen.probes.nine_of_ten() < PROBE + max(seen.bare), shown
    assert seen.searches.nine_of_ten() < SEARCH + max(seen.bare), shown


def test_a_search_by_image_of_somebody_else_has_its_turn(searched: Searched) -> None:
    body, small = big_picture(), {"image": base64.b64encode(images.jpeg(1)).decode(), "k": 1}
    with ThreadPoolExecutor(48) as attackers:
        found = [attackers.submit(searched.ask, "POST", "/search", body, "127.0.0.3") for _ in range(48)]
        time.sleep(0.2)
        assert searched.ask("POST", "/search", small) == 200
        assert {one.result() for one in found} <= {200, 400, 503}


def test_it_serves_as_before_when_all_is_over(searched: Searched) -> None:
    assert searched.ask("HEAD", "/index") == 200
    assert searched.ask("POST", "/search", {"image_id": "i2"}) == 200
    assert searched.memory() < MEMORY
