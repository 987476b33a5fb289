"""The application: the pages, what protects them, and the health endpoints of every role."""

import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from console.pages import HERE, Parts, create_pages, error_page
from console.protection import HEADERS
from console.request import Refused
from worker.errors import StageError
from worker.health import HealthReport
from worker.http import create_app
from worker.metrics import Metrics


def create_console(parts: Parts, health: HealthReport, metrics: Metrics) -> FastAPI:
    """The console's application."""
    app = create_app(health, metrics.registry, [create_pages(parts)])
    app.mount("/static", StaticFiles(directory=HERE / "static"))

    @app.middleware("http")
    async def protected(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        began = time.perf_counter()
        answer = await go_on(request)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        result = f"{answer.status_code // 100}xx"
        metrics.console_seconds.labels(result).observe(time.perf_counter() - began)
        return answer

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return error_page(parts, request, error)

    @app.exception_handler(StageError)
    async def failed(request: Request, error: StageError) -> Response:
        return error_page(parts, request, Refused(503, str(error)))

    @app.exception_handler(HTTPException)
    async def missing(request: Request, error: HTTPException) -> Response:
        return error_page(parts, request, Refused(error.status_code, "there is no such page"))

    return app
