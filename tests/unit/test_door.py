"""The door in front of the HTTP side, over real sockets."""

import hashlib
import http.client
import json
import socket
import time
from contextlib import contextmanager

import pytest
from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry

from worker.door import LIGHT, Door, DoorLimits, Keys
from worker.errors import ConfigurationError
from worker.health import CombinedHealth, Health
from worker.http import HttpServer, create_app

LIMIT, MEMORY = 300_000, 500_000
HEAD = b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@contextmanager
def served(keys=None, **limits):
    router = APIRouter()

    @router.post("/search")
    async def echo(request: Request) -> int:
        return len(await request.body())

    given = DoorLimits(**{"body": LIMIT, "memory": MEMORY, "body_seconds": 2.0, **limits})
    app = create_app(
        CombinedHealth({"index": Health(60, ())}),
        CollectorRegistry(),
        [router],
        lambda app: Door(app, given, keys),
    )
    with HttpServer(app, "127.0.0.1", 0) as server:
        yield server.port


def ask(port, method="POST", path="/search", body=b"{}", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def open_body(port, announced, sent):
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sendall(HEAD + f"Content-Length: {announced}\r\n\r\n".encode() + b" " * sent)
    return connection


def raw(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request)
        return connection.recv(65536)


@pytest.mark.parametrize("size", [0, 2, LIGHT, LIGHT + 1, LIMIT])
def test_a_body_comes_in_whole(size):
    with served() as port:
        assert ask(port, body=b" " * size) == (200, str(size).encode())


def test_a_body_over_the_limit_is_refused_before_and_while_it_is_read():
    with served() as port:
        status, body = ask(port, body=b" " * (LIMIT + 1))
        assert (status, json.loads(body)["reason"]) == (413, "request.too_large")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        assert b" 413 " in raw(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 5)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ("127.0.0.1", "127.0.0.1:9464", "[::1]:80", "localhost", "mekiki-index")),
        *(
            (host, 200)
            for host in ("mekiki.shop.svc.cluster.local", "search.internal:80", "search.example.com")
        ),
        *(
            (host, 421)
            for host in ("evil.example.com", "127.0.0.1.nip.io", "search.example.com.evil.example")
        ),
        *((host, 400) for host in ("", "a b", "x:y", "[::1", "[x]", "a/b", "é", "x@y")),
    ],
)
def test_the_host_is_ours(host, status):
    with served(hosts=frozenset({"search.example.com"})) as port:
        request = (
            b"GET /healthz HTTP/1.1\r\nHost: " + host.encode("latin-1") + b"\r\nConnection: close\r\n\r\n"
        )
        assert f" {status} ".encode() in raw(port, request).split(b"\r\n")[0]


@pytest.mark.parametrize("twice", [b"Host: x", b"Content-Type: application/json", b"Authorization: Bearer a"])
def test_what_decides_may_not_come_twice(twice):
    with served() as port:
        head = HEAD + b"Authorization: Bearer a\r\n"
        assert b" 400 " in raw(port, head + twice + b"\r\nContent-Length: 0\r\n\r\n").split(b"\r\n")[0]


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_only_json_is_taken(kind):
    with served() as port:
        assert ask(port, headers={"Content-Type": kind})[0] == 415
        assert ask(port, headers={"Content-Type": "application/JSON; charset=utf-8"})[0] == 200
        assert ask(port, headers={"Content-Encoding": "gzip"})[0] == 415


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


def test_keys_let_in_who_has_one_and_are_read_again(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# who\nshop {digest('right')}\n")
    with served(Keys(file)) as port:

        def status(value, path="/search"):
            return ask(port, path=path, headers={"Authorization": value} if value else {})[0]

        assert [status(value) for value in ("Bearer right", "bearer right", "Bearer  right ")] == [200] * 3
        for wrong in (None, "right", "Bearer", "Bearer wrong", "Basic right", "Bearer rig\xfft"):
            assert status(wrong) == 401, wrong
        assert status(None, "/none") == 401
        for path in ("/healthz", "/readyz", "/metrics"):
            assert ask(port, "GET", path, None)[0] == 200
        assert ask(port, "GET", "/healthz/../index", None)[0] == 401
        file.write_text("damaged")
        assert status("Bearer right") == 200
        file.with_suffix(".new").write_text(f"shop {digest('next')}\n")
        file.with_suffix(".new").replace(file)
        assert [status("Bearer right"), status("Bearer next")] == [401, 200]


@pytest.mark.parametrize(
    "text", ["", "# nobody\n", "shop\n", f"{'a' * 64}\n", f"shop {'A' * 64}\n", "shop abc\n"]
)
def test_a_file_without_a_good_key_is_told_at_the_start(tmp_path, text):
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="keys_file"):
        Keys(file)
    with pytest.raises(ConfigurationError, match="keys_file"):
        Keys(tmp_path / "none")


def test_a_body_that_does_not_come_is_given_up():
    with served(body_seconds=0.3) as port:
        for announced, sent in ((10, 5), (LIMIT, 2 * LIGHT)):
            with open_body(port, announced, sent) as connection:
                assert b" 408 " in connection.recv(4096)


def test_bodies_that_do_not_move_give_way_to_one_that_does():
    with served(body_seconds=20) as port:
        idle = [open_body(port, LIMIT, LIMIT - 1) for _ in range(4)]
        try:
            time.sleep(0.7)
            began = time.monotonic()
            assert ask(port, body=b" " * LIMIT)[0] == 200
            assert time.monotonic() - began < 5
            assert ask(port, body=b" " * 100)[0] == 200
        finally:
            for connection in idle:
                connection.close()


def test_room_comes_back():
    with served() as port:
        for _ in range(5):
            assert ask(port, body=b" " * LIMIT)[0] == 200
            open_body(port, LIMIT, LIMIT - 1).close()
