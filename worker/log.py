"""Log lines on standard error, as text or as JSON; the latter with the ids of the event at hand.

What strangers wrote begins no line, commands no terminal, and tells no secret of a URL (`shown.py`).
"""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from worker.settings import LogSettings
from worker.shown import CONTROL, masked_urls, shown

_AT_HAND: ContextVar[Mapping[str, object]] = ContextVar("at_hand", default={})  # noqa: B039 - never changed


class about:  # noqa: N801 - reads as the function that it could be, at a third of its cost
    """Within, JSON lines of this thread carry `ids`, such as those of an image and its event."""

    def __init__(self, ids: Mapping[str, object]) -> None:
        self._ids = ids

    def __enter__(self) -> None:
        self._before = _AT_HAND.set(self._ids)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _AT_HAND.reset(self._before)


class _TextFormatter(logging.Formatter):
    """Of an exception, each line is indented, as no line of the log is."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        return shown(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the base class's name
        return "\n".join(f"  {shown(line)}" for line in super().formatException(ei).split("\n"))


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_AT_HAND.get(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        told = {key: masked_urls(value) if isinstance(value, str) else value for key, value in line.items()}
        # JSON itself escapes C0 alone; the others can only stand inside its strings.
        return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(told, ensure_ascii=False))


def configure_logging(settings: LogSettings) -> None:
    """Send every logger's lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    text = _TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonFormatter() if settings.format == "json" else text)
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
