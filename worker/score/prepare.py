"""Prepare: what happens to one event before it meets the model: parse, fetch, decode, read codes."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import ImageInput
from schemas.events import Code, ImageDeleted, ImageReference, ImageUploaded
from worker.metrics import Metrics
from worker.model.decode import DecodedImage, ImageLimits, decode
from worker.score.codes import CodeReader
from worker.score.outcome import Removal
from worker.score.parse import InputEvent


@dataclass(frozen=True)
class Prepared:
    """An upload with its pixels, uint8 of shape [height, width, 3], and its codes, the largest first."""

    event: ImageUploaded
    image_sha256: str
    pixels: NDArray[np.uint8]
    codes: Sequence[Code] = ()


@dataclass(frozen=True)
class Preparer:
    """The stages before the model. Called from many threads at once. Without `read_codes` none are read.

    `decode` is `worker.model.decode.decode`, or what takes its place in other processes.
    """

    fetch: Callable[[ImageReference], bytes]
    input: ImageInput
    limits: ImageLimits
    metrics: Metrics
    decode: Callable[..., DecodedImage] = decode
    read_codes: CodeReader | None = None

    def __call__(self, read: Callable[[], InputEvent]) -> Prepared | Removal:
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
        with stage("fetch").time():
            data = self.fetch(event.image)
        self.metrics.fetch_bytes.inc(len(data))
        side = self.read_codes.max_side if self.read_codes else None
        with stage("decode").time():
            decoded = self.decode(data, self.input.height, self.input.width, self.limits, luminance_side=side)
        codes: Sequence[Code] = ()
        if self.read_codes and decoded.luminance is not None:
            with stage("codes").time():
                codes = self.read_codes(decoded.luminance)
            for code in codes:
                self.metrics.codes_read.labels(code.format).inc()
        return Prepared(event, hashlib.sha256(data).hexdigest(), decoded.pixels, codes)
