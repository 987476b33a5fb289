"""The events of a chaos run, and what must become of each: all drawn from one seed."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from schemas.events import EMBEDDED, ENRICHED, MODERATED, derived_event_id
from schemas.rejection import RejectionReason
from tests import events, images, inputs
from tests.kafka.client import Record

ROOT = Path(__file__).parents[2]
SHARED_PHOTOS = ROOT.parent / "shared" / "data" / "clothing" / "images"

# Shares of the stream; the rest are uploads of photos that are accepted.
BAD, ODD, BLOCKED, DELETED, REPEATED = 0.13, 0.05, 0.05, 0.03, 0.03


@dataclass(frozen=True)
class Sent:
    """One event. `event_id` is None for what is rejected, and `reason` for what is not."""

    record: Record
    image_id: str
    event_id: str | None = None
    reason: RejectionReason | None = None
    deletion: bool = False
    accepted: bool = False


@dataclass
class Expected:
    """What a stream of events must lead to, at exactly once."""

    dead: list[Sent] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)  # input event id -> how many
    embedded: Counter[str] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def add(self, sent: Sent) -> None:
        """Take in the next event; those of one image come in the order of the log."""
        if sent.reason is not None:
            self.dead.append(sent)
            self.gone.add(sent.image_id)
            return
        assert sent.event_id is not None
        self.embedded[sent.event_id] += 1
        if not sent.deletion:
            self.verdicts[sent.event_id] += 1
        (self.accepted.add if sent.accepted else self.accepted.discard)(sent.image_id)
        (self.gone.discard if sent.accepted else self.gone.add)(sent.image_id)

    def ids(self, kind: str) -> Counter[str]:
        """The ids of the events of `kind` that must come out."""
        causes = {MODERATED: self.verdicts, ENRICHED: self.verdicts, EMBEDDED: self.embedded}[kind]
        return Counter({str(derived_event_id(kind, cause)): count for cause, count in causes.items()})


def real_photos() -> list[Path]:
    """Photos of $MEKIKI_CHAOS_PHOTOS, else of the shared clothing set; none where neither is there."""
    folder = Path(os.environ.get("MEKIKI_CHAOS_PHOTOS") or SHARED_PHOTOS)
    return sorted(path for path in folder.glob("*.jpg") if path.stat().st_size < 400_000)


class Stream:
    """Makes events for `world`; uploads come inline, from the folder and over HTTP in turn."""

    def __init__(self, seed: int, world: inputs.World) -> None:
        self._random = random.Random(seed)
        self._world = world
        self._photos = real_photos()
        self._random.shuffle(self._photos)
        self.real_photos_used = 0

    def events(self, count: int) -> list[Sent]:
        """`count` events; every bad and every odd input of tests/inputs.py is among them."""
        bad = self._share(count, BAD, inputs.BAD)
        odd = self._share(count, ODD, inputs.GOOD)
        makers: list[Callable[[int], Sent]] = [*(self._bad(name) for name in bad), *map(self._odd, odd)]
        makers += [self._blocked] * int(count * BLOCKED)
        repeats, deletions = int(count * REPEATED), int(count * DELETED)
        makers += [self._accepted] * (count - len(makers) - repeats - deletions)
        self._random.shuffle(makers)
        made = [make(number) for number, make in enumerate(makers)]
        return self._with_later_ones(made, repeats, deletions)

    def _share(
        self, count: int, share: float, cases: dict[str, object] | dict[str, inputs.Make]
    ) -> Iterator[str]:
        names = list(cases)
        return iter([names[number % len(names)] for number in range(max(len(names), int(count * share)))])

    def _with_later_ones(self, made: list[Sent], repeats: int, deletions: int) -> list[Sent]:
        """Put repeats and deletions of accepted images somewhere behind their uploads."""
        accepted = [number for number, sent in enumerate(made) if sent.accepted]
        chosen = self._random.sample(accepted, repeats + deletions)
        later: dict[int, list[Sent]] = {}
        for position, number in enumerate(chosen):
            at = self._random.randint(number, len(made) - 1)
            sent = made[number] if position < repeats else self._deleted(made[number].image_id)
            later.setdefault(at, []).append(sent)
        return [sent for number, first in enumerate(made) for sent in (first, *later.get(number, []))]

    def _bad(self, name: str) -> Callable[[int], Sent]:
        reason, make = inputs.BAD[name]

        def made(number: int) -> Sent:
            image_id = f"bad-{number}"
            record = make(image_id, self._world)
            return Sent(replace(record, key=image_id.encode()), image_id, reason=reason)

        return made

    def _odd(self, name: str) -> Callable[[int], Sent]:
        def made(number: int) -> Sent:
            image_id = f"odd-{number}"
            prefix = "shop/uploads#" if "cloudevent" in name else ""
            record = inputs.GOOD[name](image_id, self._world)
            return Sent(record, image_id, f"{prefix}event-of-{image_id}", accepted=True)

        return made

    def _accepted(self, number: int) -> Sent:
        image_id = f"photo-{number}"
        return Sent(self._upload(image_id, number), image_id, f"event-of-{image_id}", accepted=True)

    def _blocked(self, number: int) -> Sent:
        image_id = f"blocked-{number}"
        body = {**events.upload_body(image_id, path="jpeg.jpg"), "category": "always-blocked"}
        return Sent(events.as_json(body, image_id), image_id, f"event-of-{image_id}")

    def _deleted(self, image_id: str) -> Sent:
        return Sent(events.deleted(image_id), image_id, f"deletion-of-{image_id}", deletion=True)

    def _upload(self, image_id: str, number: int) -> Record:
        data = self._photo(number)
        way = number % 3
        if way == 0:
            return events.uploaded_bytes(image_id, data)
        if way == 1:
            (self._world.folder / f"{image_id}.jpg").write_bytes(data)
            return events.uploaded(image_id, path=f"{image_id}.jpg")
        self._world.server.files[f"{image_id}.jpg"] = data
        return events.uploaded(image_id, url=self._world.server.url(f"/ok/{image_id}.jpg"))

    def _photo(self, number: int) -> bytes:
        if not self._photos:
            return images.jpeg(number)
        self.real_photos_used += 1
        return self._photos[number % len(self._photos)].read_bytes()
