"""The HTTP side of a role: /metrics, /healthz, /readyz, and routers that a role adds."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from worker.crowd import Crowd
from worker.errors import ConfigurationError
from worker.health import HealthReport

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_CONNECTIONS_AT_A_TIME = 16
_WAITING_CONNECTIONS = 1024


def create_app(
    health: HealthReport,
    registry: CollectorRegistry,
    routers: Iterable[APIRouter] = (),
    door: Callable[[ASGIApp], ASGIApp] | None = None,
    with_exemplars: bool = False,
) -> FastAPI:
    """The application of one role; `door` stands in front of it.

    Exemplars are told to whom understands OpenMetrics: Prometheus's own text format has none.
    """
    app = FastAPI(title="mekiki", docs_url=None, redoc_url=None)
    if door is not None:
        app.add_middleware(door)

    # HEAD as well as GET (RFC 9110, 9.1): load balancers and `wget --spider` ask with it.
    def read_only(
        path: str, response_class: type[Response], responses: dict[int | str, dict[str, Any]]
    ) -> Callable[[Endpoint], Endpoint]:
        def serve(endpoint: Endpoint) -> Endpoint:
            app.head(path, include_in_schema=False)(endpoint)
            return app.get(path, response_class=response_class, responses=responses)(endpoint)

        return serve

    @read_only("/metrics", PlainTextResponse, {200: {"description": "In the text format of Prometheus."}})
    def metrics(request: Request) -> Response:
        if not with_exemplars:
            return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
        written, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(written(registry), media_type=media_type)

    # Not in the thread pool, where a probe would wait behind searches and end a pod that works.
    @read_only("/healthz", JSONResponse, {503: {"description": "The loop stands still."}})
    async def healthz() -> JSONResponse:
        alive, why = health.alive()
        return JSONResponse({"alive": alive, "detail": why}, 200 if alive else 503)

    @read_only("/readyz", JSONResponse, {503: {"description": "What is missing."}})
    async def readyz() -> JSONResponse:
        ready, missing = health.ready()
        return JSONResponse({"ready": ready, "missing": missing}, 200 if ready else 503)

    for router in routers:
        app.include_router(router)
    return app


def _giving_way(most: int) -> type[asyncio.Protocol]:
    """Uvicorn's protocol with at most `most` connections: whose turn it is makes room for a new one.

    Who opens connections and says nothing cannot keep a probe out, nor take all file descriptors.
    """
    crowd = Crowd(most)

    class GivingWay(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if (leaving := crowd.add(self)) is not None:
                leaving.transport.abort()  # which is carried out in a later turn of the loop

        def connection_lost(self, exc: Exception | None) -> None:
            crowd.discard(self)
            super().connection_lost(exc)

    return GivingWay


class _Server(uvicorn.Server):
    """Takes in a few connections at a time, and those that are open have their turn between.

    Asyncio takes in as many at a time as the kernel may keep waiting; it is told a small number, the kernel
    a large one.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(_WAITING_CONNECTIONS)


class HttpServer:
    """Serves an application from a thread of its own; use as a context manager.

    It has at most `most_connections`, and `port` is the bound port, also when 0 was asked for.

    Raises:
        ConfigurationError: the address cannot be bound.

    """

    def __init__(self, app: FastAPI, host: str, port: int, most_connections: int = 256) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise ConfigurationError(f"http cannot listen on {host}:{port}: {error}") from error
        # asyncio sees to this only on sockets of its own: without it, each answer waits 40 ms for an ACK.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=_giving_way(most_connections),
            log_config=None,
            access_log=False,
            backlog=_CONNECTIONS_AT_A_TIME,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="http", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()
