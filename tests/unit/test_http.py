"""Liveness, readiness and metrics, asked over HTTP."""

import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from worker.errors import ConfigurationError
from worker.health import CombinedHealth, Health
from worker.http import HttpServer, create_app
from worker.metrics import Metrics

SERVER_THREADS = 40  # anyio's own number


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def head(port, path, client="test", method="HEAD"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"User-Agent": client})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_the_three_addresses():
    registry = CollectorRegistry()
    Metrics(registry).poll_events.labels("score").inc(3)
    first, second = Health(60, ()), Health(60, ("caught up",))
    app = create_app(CombinedHealth({"score": first, "index": second}), registry)
    with HttpServer(app, "127.0.0.1", 0) as server:
        assert get(server.port, "/healthz")[0] == 200
        status, body = get(server.port, "/readyz")
        assert (status, json.loads(body)["missing"]) == (503, {"index: caught up": "not yet"})
        second.satisfy("caught up")
        assert get(server.port, "/readyz")[0] == 200
        assert 'mekiki_poll_events_total{role="score"} 3.0' in get(server.port, "/metrics")[1]
        with pytest.raises(ConfigurationError, match="cannot listen"):
            HttpServer(app, "127.0.0.1", server.port)


OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


@pytest.mark.parametrize("with_exemplars", [True, False])
def test_exemplars_are_for_whom_understands_them(with_exemplars):
    registry = CollectorRegistry()
    Metrics(registry).commit_latency.observe(0.2, {"trace_id": "4bf9", "span_id": "00f0"})
    app = create_app(Health(60, ()), registry, with_exemplars=with_exemplars)
    with HttpServer(app, "127.0.0.1", 0) as server:
        for accept in (OPEN_METRICS, "text/plain", ""):
            told = with_exemplars and accept == OPEN_METRICS
            headers = {"Accept": accept}
            request = urllib.request.Request(f"http://127.0.0.1:{server.port}/metrics", headers=headers)
            with urllib.request.urlopen(request, timeout=5) as answer:
                body, kind = answer.read().decode(), answer.headers["content-type"]
            assert kind.startswith("application/openmetrics" if told else "text/plain")
            assert ('# {span_id="00f0",trace_id="4bf9"} 0.2' in body) == told
            assert 'mekiki_commit_upload_latency_seconds_bucket{le="0.25"} 1.0' in body


def test_probes_are_answered_while_every_thread_of_the_server_is_busy():
    router, release, busy = APIRouter(), threading.Event(), threading.Semaphore(0)

    @router.get("/slow")
    def slow() -> None:
        busy.release()
        release.wait(10)

    app = create_app(CombinedHealth({"index": Health(60, ())}), CollectorRegistry(), [router])
    with HttpServer(app, "127.0.0.1", 0) as server, ThreadPoolExecutor(50) as clients:
        asked = [clients.submit(get, server.port, "/slow") for _ in range(50)]
        try:
            for _ in range(SERVER_THREADS):
                assert busy.acquire(timeout=10)
            assert get(server.port, "/healthz")[0] == 200
            assert get(server.port, "/readyz")[0] == 200
        finally:
            release.set()
        assert all(answer.result()[0] == 200 for answer in asked)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.parametrize("client", ["Wget/1.21", "kube-probe/1.31", "ELB-HealthChecker/2.0", "curl/8.5"])
def test_head_answers_as_get_does_without_a_body(path, client):
    app = create_app(CombinedHealth({"score": Health(60, ())}), CollectorRegistry())
    with HttpServer(app, "127.0.0.1", 0) as server:
        assert get(server.port, path)[0] == 200
        assert head(server.port, path, client) == (200, b"")


@pytest.mark.parametrize(("path", "status"), [("/readyz", 503), ("/healthz", 503), ("/other", 404)])
def test_head_tells_what_is_wrong_too(path, status):
    app = create_app(CombinedHealth({"score": Health(0, ("assigned",))}), CollectorRegistry())
    with HttpServer(app, "127.0.0.1", 0) as server:
        assert head(server.port, path) == (status, b"")


def test_probes_are_answered_while_every_connection_is_taken():
    app = create_app(Health(60, ()), CollectorRegistry())
    with HttpServer(app, "127.0.0.1", 0, most_connections=8) as server, ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        for number in range(40):
            held = stack.enter_context(socket.create_connection(address))
            if number % 2:  # a request that never ends
                held.sendall(b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n{")
        assert get(server.port, "/healthz")[0] == 200
        assert get(server.port, "/readyz")[0] == 200


def test_who_is_in_has_a_turn_while_many_come_in():
    router, blocked, release, seen = APIRouter(), threading.Event(), threading.Event(), []

    @router.get("/block")
    async def block() -> None:
        blocked.set()
        release.wait(10)  # the loop stands still

    @router.get("/seen")
    async def see() -> None:
        seen.append(len(server._server.server_state.connections))

    app = create_app(Health(60, ()), CollectorRegistry(), [router])
    with (
        HttpServer(app, "127.0.0.1", 0, most_connections=1000) as server,
        ThreadPoolExecutor(1) as other,
        ExitStack() as stack,
    ):
        mine = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        stack.callback(mine.close)
        mine.connect()
        other.submit(get, server.port, "/block")
        assert blocked.wait(10)
        for _ in range(300):  # the kernel keeps them waiting
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
        mine.request("GET", "/seen")
        release.set()
        assert mine.getresponse().status == 200
    assert seen[0] < 100, "not all that wait are taken in before others have their turn"


def test_requests_of_one_address_that_never_end_keep_no_other_out():
    app = create_app(Health(60, ()), CollectorRegistry())
    with HttpServer(app, "127.0.0.1", 0, most_connections=8) as server, ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        for number in range(40):
            held = stack.enter_context(socket.create_connection(address, source_address=("127.0.0.3", 0)))
            held.sendall(b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n{")
            if number % 8 == 0:
                client = http.client.HTTPConnection(*address, timeout=5, source_address=("127.0.0.2", 0))
                client.request("GET", "/healthz")
                assert client.getresponse().status == 200
                client.close()
