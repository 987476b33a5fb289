"""What the owner of a partition leaves beside its committed offset, so that its successor knows how it ended.

Kafka keeps a text with each offset that a group commits. A process that dies can write nothing: it has to
stand there before. So each commit says what may be in flight behind it, and only an orderly end takes that
back. A text that still stands there when the partition has a new owner tells of a process that died.
"""

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

_VERSION = 1


class How(StrEnum):
    """How the events behind the offset are taken.

    Freely: many at once. Apart: some are prepared together with nothing in the model, then each is alone in
    the process while it is in the model. Alone: each is alone in the process from the beginning.
    """

    FREELY = "freely"
    APART = "apart"
    ALONE = "alone"


@dataclass(frozen=True)
class Place:
    """One event of a partition; its record's time tells it from another of a topic that was made again."""

    offset: int
    entry: int | None
    timestamp_ms: int


@dataclass(frozen=True)
class Trace:
    """What is in flight behind a committed offset.

    No event at `until` or behind it is. `together`: some are being prepared, and none is in the model.
    `alone`: this one, and no other of any partition. `suspect` was alone when a process ended, and so it was
    `deaths` times. `clean`: nothing is in flight, and what stands here is to be heeded all the same. `log` is
    the id of the topic in which the offset counts: made again, it has the same name and another id.
    """

    until: int
    how: How = How.FREELY
    together: bool = False
    alone: Place | None = None
    suspect: Place | None = None
    deaths: int = 0
    clean: bool = False
    log: str | None = None

    def text(self) -> str:
        """What is committed as metadata."""
        values: dict[str, Any] = {"mekiki": _VERSION, "until": self.until, "how": self.how}
        if self.together or self.clean:
            values |= {"together": self.together, "clean": self.clean}
        for name, place in (("alone", self.alone), ("suspect", self.suspect)):
            if place is not None:
                values[name] = [place.offset, place.entry, place.timestamp_ms]
        if self.suspect is not None:
            values["deaths"] = self.deaths
        if self.log is not None:
            values["log"] = self.log
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def of(cls, text: str | None) -> Self | None:
        """Read `text`; None where it is not ours: a person or another program committed that offset."""
        try:
            values = json.loads(text or "")
            if values["mekiki"] != _VERSION:
                return None
            return cls(
                int(values["until"]),
                How(values["how"]),
                bool(values.get("together")),
                _place(values.get("alone")),
                _place(values.get("suspect")),
                int(values.get("deaths", 0)),
                bool(values.get("clean")),
                None if values.get("log") is None else str(values["log"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def inherited(self) -> Self:
        """What the next owner begins with, nothing of it in flight yet.

        The process died, unless it is `clean`. What ends processes from outside finds one event alone by
        chance, and the same one twice as good as never.
        """
        begun = replace(self, together=False, alone=None, clean=False)
        if self.clean:
            return begun
        if self.alone is not None:
            deaths = self.deaths + 1 if self.suspect == self.alone else 1
            return replace(begun, suspect=self.alone, deaths=deaths)
        if self.together or self.how is How.ALONE:
            return replace(begun, how=How.ALONE)
        return replace(begun, how=How.APART)


def _place(values: Any) -> Place | None:
    if values is None:
        return None
    offset, entry, timestamp_ms = values
    return Place(int(offset), None if entry is None else int(entry), int(timestamp_ms))
