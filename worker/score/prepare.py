"""Prepare: what happens to one event before it meets the model: parse, fetch, decode, read codes.

Or it never meets the model: a deletion, one that the store is asked about, and what changes no image.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import ImageInput, Measure
from schemas.events import Code, ImageDeleted, ImageReference, ImageReviewed, ImageUploaded
from schemas.rejection import RejectionReason
from worker.errors import Rejection, StageError
from worker.fetch.download import TakeRoom
from worker.metrics import Metrics
from worker.model.decode import DecodedImage, ImageLimits, decode_inputs
from worker.model.infer import ImageBatch
from worker.score.codes import CodeReader
from worker.score.outcome import Event, PassedOver, PassOverReason, Removal, Several, Verdict
from worker.score.parsed import Parsed, PerhapsDeleted
from worker.score.repeats import Findings, Repeats
from worker.score.reviews import blocked_unseen
from worker.stream.spans import Spans


@dataclass(frozen=True)
class Prepared:
    """An upload with its pixels, uint8 [height, width, 3] for each input, and its codes, the largest first.

    `measured` is what graphs may ask of the original. Where the same bytes were judged before, `known` is
    what was found in them, and there are no pixels.
    """

    event: ImageUploaded | ImageReviewed
    image_sha256: str
    pixels: Sequence[NDArray[np.uint8]]
    codes: Sequence[Code] = ()
    measured: Mapping[Measure, float] = field(default_factory=dict)
    known: Findings | None = None


def stacked(batch: Sequence[Prepared], places: Sequence[int]) -> ImageBatch:
    """A batch for a bundle: `places` says which of an image's pixels each of its inputs takes."""
    return ImageBatch(
        [np.stack([image.pixels[place] for image in batch]) for place in places],
        {
            measure: np.array([image.measured[measure] for image in batch], np.float32)
            for measure in batch[0].measured
        },
    )


Seen = ImageUploaded | ImageReviewed
Given = TypeVar("Given")
Ready = Prepared | Removal | PassedOver | Several | Verdict


@dataclass(frozen=True)
class ToFetch:
    """The event waits for `fetch`, to be done when it is the turn of `host`; `then` takes what it gives."""

    event: Event
    host: str
    fetch: Callable[[TakeRoom], Any]
    then: Callable[[Any], "Step"]


@dataclass(frozen=True)
class ToDecode:
    """The event waits for a decoder, and where it is `costly` for room in memory; `then` is the rest of it.

    `held` are bytes in memory until then. `let_go` is the same without them: they are fetched once more.
    """

    event: Event
    costly: bool
    held: int
    then: Callable[[], "Step"]
    let_go: "Callable[[], ToDecode] | None" = None


Step = Ready | ToFetch | ToDecode


@dataclass(frozen=True)
class Preparer:
    """The stages before the model. Called from many threads at once. Without `read_codes` none are read.

    `measures` are those of the full-size luminance that graphs ask for.
    `look` gives the header of the answer at a URL; without it no bucket notification can be taken in.
    `host` says whom an image is asked of, None where the event holds it.
    `decode` is `worker.model.decode.decode_inputs`, or what takes its place in other processes: it may give
    the bytes of room that it needs instead, and gets them as `room` when it is asked again. It is not asked
    for what `repeats` knows by the `file_key` of an image's id and digest.
    """

    fetch: Callable[..., bytes]
    inputs: Sequence[ImageInput]
    limits: ImageLimits
    metrics: Metrics
    decode: Callable[..., DecodedImage | int] = decode_inputs
    read_codes: CodeReader | None = None
    look: Callable[[str], Mapping[str, str]] | None = None
    host: Callable[[ImageReference], str | None] = lambda _: None
    measures: frozenset[Measure] = frozenset()
    repeats: Repeats = field(default_factory=lambda: Repeats(0))
    file_key: Callable[[str, str], str] = lambda _, image_sha256: image_sha256
    spans: Spans = field(default_factory=Spans)

    def __call__(self, read: Callable[[], Parsed]) -> Ready:
        """All steps of one event in this thread.

        Raises:
            Rejection: the event is at fault.
            StageError: we are.

        """
        step = self.begin(read)
        while isinstance(step, ToFetch | ToDecode):
            step = step.then(step.fetch(lambda _: None)) if isinstance(step, ToFetch) else step.then()
        return step

    def begin(self, read: Callable[[], Parsed]) -> Step:
        """The first step; `read` gives the parsed event. A deletion needs no image.

        Raises:
            Rejection: the event is at fault.
            StageError: we are.

        """
        with self._stage("parse"):
            event = read()
        if isinstance(event, ImageDeleted):
            return Removal(event)
        if isinstance(event, PerhapsDeleted):
            asked = ImageReference.model_construct(url=event.url, path=None, data=None)
            return ToFetch(event.deleted, self.host(asked) or "", lambda _: self._asked(event), _as_it_is)
        if not isinstance(event, ImageUploaded | ImageReviewed):
            return event
        return _unless_blocked(event, lambda: self._to_see(event))

    def _to_see(self, event: Seen) -> Step:
        host = self.host(event.image)
        if host is None:  # its bytes are made when a decoder is free: they are in memory already
            return ToDecode(event, False, 0, lambda: self._decoded(event, lambda: self._bytes(event)))
        return ToFetch(event, host, partial(self._fetched, event), partial(self._to_decode, event))

    def _stage(self, name: str) -> AbstractContextManager[object]:
        return self.spans.stage(name, self.metrics.stage_seconds.labels(name).time())

    def _fetched(self, event: Seen, take_room: TakeRoom) -> bytes | Verdict:
        return _unless_blocked(event, lambda: self._bytes(event, take_room))

    def _bytes(self, event: Seen, take_room: TakeRoom | None = None) -> bytes:
        with self._stage("fetch"):
            data = self.fetch(event.image) if take_room is None else self.fetch(event.image, take_room)
        self.metrics.fetch_bytes.inc(len(data))
        return data

    def _to_decode(self, event: Seen, fetched: bytes | Verdict) -> Step:
        if isinstance(fetched, Verdict):
            return fetched
        return ToDecode(event, False, len(fetched), lambda: self._decoded(event, lambda: fetched))

    def _decoded(self, event: Seen, get: Callable[[], bytes], room: int = 0) -> Step:
        return _unless_blocked(event, lambda: self._decode(event, get(), room))

    def _decode(self, event: Seen, data: bytes, room: int) -> Step:
        image_sha256 = hashlib.sha256(data).hexdigest()
        if (known := self.repeats.find(self.file_key(event.image_id, image_sha256))) is not None:
            self.metrics.infer_repeats.inc()
            return Prepared(event, image_sha256, (), known.codes, known=known)
        side = self.read_codes.max_side if self.read_codes else None
        more = {"room": room} if room else {}
        with self._stage("decode"):
            decoded = self.decode(
                data, self.inputs, self.limits, luminance_side=side, measures=self.measures, **more
            )
        if isinstance(decoded, int):
            if decoded <= room:
                raise StageError(f"a decoder got room for {room} bytes and asks for {decoded}")
            return self._costly(event, data, decoded)
        codes: Sequence[Code] = ()
        if self.read_codes and decoded.luminance is not None:
            with self._stage("codes"):
                codes = self.read_codes(decoded.luminance)
            for code in codes:
                self.metrics.codes_read.labels(code.format).inc()
        return Prepared(event, image_sha256, decoded.sizes, codes, decoded.measured)

    def _costly(self, event: Seen, data: bytes, room: int) -> ToDecode:
        """It waits for others like it: with its bytes, or without those that are easily got again."""
        without = partial(
            ToDecode, event, True, 0, lambda: self._decoded(event, lambda: self._bytes(event), room)
        )
        if event.image.data is not None:
            return without()
        return ToDecode(event, True, len(data), lambda: self._decoded(event, lambda: data, room), without)

    def _asked(self, event: PerhapsDeleted) -> Removal | PassedOver:
        assert self.look is not None
        with self._stage("fetch"):
            try:
                gone = event.is_gone(self.look(event.url))
            except Rejection as rejection:
                if rejection.reason is not RejectionReason.FETCH_NOT_FOUND:
                    raise
                gone = True
        return Removal(event.deleted) if gone else PassedOver(PassOverReason.OBJECT_STILL_THERE)


def _unless_blocked(event: Seen, run: Callable[[], Given]) -> Given | Verdict:
    """What `run` gives; where a person blocks an image that cannot be seen any more, that verdict."""
    try:
        return run()
    except Rejection:
        if isinstance(event, ImageReviewed) and event.decision == "block":
            return blocked_unseen(event)
        raise


def _as_it_is(outcome: Removal | PassedOver) -> Step:
    return outcome
