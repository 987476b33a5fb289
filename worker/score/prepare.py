"""Prepare: what happens to one event before it meets the model: parse, fetch, decode, read codes.

Or it never meets the model: a deletion, one that the store is asked about, and what changes no image.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import ImageInput, Measure
from schemas.events import Code, ImageDeleted, ImageReference, ImageReviewed, ImageUploaded
from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.metrics import Metrics
from worker.model.decode import DecodedImage, ImageLimits, decode_inputs
from worker.score.codes import CodeReader
from worker.score.outcome import PassedOver, PassOverReason, Removal, Several, Verdict
from worker.score.parsed import Parsed, PerhapsDeleted
from worker.score.reviews import blocked_unseen


@dataclass(frozen=True)
class Prepared:
    """An upload with its pixels, uint8 [height, width, 3] for each input, and its codes, the largest first.

    `measured` is what graphs may ask of the original.
    """

    event: ImageUploaded | ImageReviewed
    image_sha256: str
    pixels: Sequence[NDArray[np.uint8]]
    codes: Sequence[Code] = ()
    measured: Mapping[Measure, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Preparer:
    """The stages before the model. Called from many threads at once. Without `read_codes` none are read.

    `with_detail` measures the full-size luminance for graphs that ask for it.
    `look` gives the header of the answer at a URL; without it no bucket notification can be taken in.
    `decode` is `worker.model.decode.decode_inputs`, or what takes its place in other processes.
    """

    fetch: Callable[[ImageReference], bytes]
    inputs: Sequence[ImageInput]
    limits: ImageLimits
    metrics: Metrics
    decode: Callable[..., DecodedImage] = decode_inputs
    read_codes: CodeReader | None = None
    look: Callable[[str], Mapping[str, str]] | None = None
    with_detail: bool = False

    def __call__(self, read: Callable[[], Parsed]) -> Prepared | Removal | PassedOver | Several | Verdict:
        """`read` gives the parsed event; a deletion needs no image.

        Raises:
            Rejection: the event is at fault.
            StageError: we are.

        """
        stage = self.metrics.stage_seconds.labels
        with stage("parse").time():
            event = read()
        if isinstance(event, ImageDeleted):
            return Removal(event)
        if isinstance(event, PerhapsDeleted):
            with stage("fetch").time():
                return self._asked(event)
        if not isinstance(event, ImageUploaded | ImageReviewed):
            return event
        try:
            return self._seen(event)
        except Rejection:
            if isinstance(event, ImageReviewed) and event.decision == "block":
                return blocked_unseen(event)
            raise

    def _seen(self, event: ImageUploaded | ImageReviewed) -> Prepared:
        stage = self.metrics.stage_seconds.labels
        with stage("fetch").time():
            data = self.fetch(event.image)
        self.metrics.fetch_bytes.inc(len(data))
        side = self.read_codes.max_side if self.read_codes else None
        with stage("decode").time():
            decoded = self.decode(
                data, self.inputs, self.limits, luminance_side=side, with_detail=self.with_detail
            )
        codes: Sequence[Code] = ()
        if self.read_codes and decoded.luminance is not None:
            with stage("codes").time():
                codes = self.read_codes(decoded.luminance)
            for code in codes:
                self.metrics.codes_read.labels(code.format).inc()
        return Prepared(event, hashlib.sha256(data).hexdigest(), decoded.sizes, codes, decoded.measured)

    def _asked(self, event: PerhapsDeleted) -> Removal | PassedOver:
        assert self.look is not None
        try:
            gone = event.is_gone(self.look(event.url))
        except Rejection as rejection:
            if rejection.reason is not RejectionReason.FETCH_NOT_FOUND:
                raise
            gone = True
        return Removal(event.deleted) if gone else PassedOver(PassOverReason.OBJECT_STILL_THERE)
