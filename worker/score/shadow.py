"""Shadow: what a second bundle would have decided, on a share of the stream, never in the way of it.

The judge offers what it has judged and goes on. A thread of the shadow's own has a child infer, decides and
publishes. What there is no room for, what a child dies of, and what the brokers do not take is dropped and
counted; the child that died is replaced after a pause.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

from schemas.events import (
    MODERATED,
    SHADOWED,
    ImageReviewed,
    ImageShadowed,
    ImageUploaded,
    TriedDecision,
    derived_event_id,
)
from schemas.policy import Policy, disagreements
from worker.errors import MekikiError, StageError
from worker.metrics import SHADOW_RESULTS, Metrics
from worker.model.shadow_process import ShadowEnded
from worker.score.code_links import code_scores
from worker.score.decide import decide
from worker.score.outcome import Verdict
from worker.score.prepare import Prepared
from worker.score.repeats import Findings, Repeats
from worker.score.share import SHADOW, in_share

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
_WAIT_SECONDS = 0.5
_JOIN_SECONDS = 2.0
# So many batches without an end, and the next end is a first one.
_STEADY_BATCHES = 50


class Candidate(Protocol):
    """A bundle that is tried, running."""

    bundle_id: str
    policy: Policy
    policy_sha256: str

    def scores(self, batch: Sequence[Prepared]) -> list[dict[str, float]]:
        """The scores of each image, in order.

        Raises:
            StageError: the graphs failed.
            ShadowEnded: its process ended.

        """

    def end(self) -> object:
        """End it, whatever it does. Safe from any thread."""


@dataclass(frozen=True)
class ShadowLimits:
    """The share of images that are tried, how many may wait, how many go together."""

    share: float
    waiting: int
    batch_size: int
    first_pause: float = _FIRST_PAUSE


@dataclass(frozen=True)
class _Offered:
    image: Prepared
    verdict: Verdict
    known: Findings | None


class Send(Protocol):
    """Publishes events without waiting."""

    def __call__(self, event: ImageShadowed, told: Callable[[bool], None]) -> None:
        """Queue an event; `told` learns once whether it is published, from here or from `turn`."""

    def turn(self) -> None:
        """Tell what has become of those before."""


class Shadow:
    """Runs what `start` gives; use as a context manager."""

    def __init__(
        self,
        start: Callable[[], Candidate],
        send: Send,
        limits: ShadowLimits,
        metrics: Metrics,
        repeats: Repeats,
    ) -> None:
        """Nothing is started yet.

        Args:
            start: loads the bundle that is tried; raises MekikiError where it cannot be. Takes seconds.
            send: publishes an event.
            limits: what is tried, and how much of it may wait.
            metrics: where all is counted.
            repeats: what was found in files before; of the shadow alone.

        """
        self._start, self._send = start, send
        self._limits, self._metrics, self._repeats = limits, metrics, repeats
        self._waiting: deque[_Offered] = deque()
        self._changed = threading.Condition()
        self._candidate: Candidate | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it at once; what waits is dropped."""
        self._ended.set()
        with self._changed:
            self._changed.notify()
        if (candidate := self._candidate) is not None:
            candidate.end()
        self._thread.join(_JOIN_SECONDS)

    def offer(self, batch: Sequence[Prepared], verdicts: Sequence[Verdict]) -> None:
        """Take what was judged, as far as it is of the share and there is room. Never blocks or raises."""
        try:
            with self._changed:  # what was judged together is tried together
                for image, verdict in zip(batch, verdicts, strict=True):
                    if not self._is_tried(image.event):
                        continue
                    if (result := self._offered(image, verdict)) is not None:
                        self._count(result)
        except Exception:
            logger.exception("what was judged is not offered to the shadow")

    def _is_tried(self, event: ImageUploaded | ImageReviewed) -> bool:
        return isinstance(event, ImageUploaded) and in_share(event.image_id, self._limits.share, SHADOW)

    def _offered(self, image: Prepared, verdict: Verdict) -> str | None:
        """Why the image is dropped; None where it waits now."""
        if self._candidate is None:
            return "down"
        known = None if image.known is None else self._repeats.find(image.image_sha256)
        if image.known is not None and known is None:
            return "repeated"  # it came without pixels, and what the shadow found is not known (yet)
        if len(self._waiting) >= self._limits.waiting:
            return "behind"
        self._waiting.append(_Offered(image, verdict, known))
        self._changed.notify()
        return None

    def _run(self) -> None:
        pause = self._limits.first_pause
        while not self._ended.is_set():
            batches = 0
            try:
                candidate = self._start()
            except MekikiError as error:
                cause = error.cause if isinstance(error, ShadowEnded) else "refused"
                self._metrics.shadow_ends.labels(cause).inc()
                logger.error("the shadow does not run, it is tried again in %g s: %s", pause, error)
            except Exception:
                self._metrics.shadow_ends.labels("failed").inc()
                logger.exception("the shadow does not start, it is tried again in %g s", pause)
            else:
                batches = self._serve(candidate, pause)
            if batches >= _STEADY_BATCHES:
                pause = self._limits.first_pause
            self._ended.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _serve(self, candidate: Candidate, pause: float) -> int:
        """Try images until the candidate ends; how many batches it answered."""
        metrics, batches = self._metrics, 0
        metrics.shadow_info.clear()
        metrics.shadow_info.labels(candidate.bundle_id).set(1)
        self._candidate = candidate
        metrics.shadow_up.set(1)
        logger.info("the shadow %s tries %g of the images", candidate.bundle_id, self._limits.share)
        try:
            while not self._ended.is_set():
                self._send.turn()
                if batch := self._next_batch():
                    self._try(candidate, batch)
                    batches += 1
        except ShadowEnded as end:
            if not self._ended.is_set():
                metrics.shadow_ends.labels(end.cause).inc()
                logger.warning("%s; another starts in %g s", end, pause)
        except Exception:
            metrics.shadow_ends.labels("failed").inc()
            logger.exception("the shadow failed; another starts in %g s", pause)
        finally:
            self._candidate = None
            metrics.shadow_up.set(0)
            candidate.end()
            self._drop_waiting()
        return batches

    def _next_batch(self) -> list[_Offered]:
        with self._changed:
            if not self._waiting:
                self._changed.wait(_WAIT_SECONDS)
            count = min(len(self._waiting), self._limits.batch_size)
            return [self._waiting.popleft() for _ in range(count)]

    def _try(self, candidate: Candidate, batch: Sequence[_Offered]) -> None:
        fresh = [offered for offered in batch if offered.known is None]
        try:
            found = iter(candidate.scores([offered.image for offered in fresh]) if fresh else ())
        except StageError as error:
            logger.warning("the shadow failed over %d images: %s", len(fresh), error)
            self._count_all("failed", batch)
            return
        except ShadowEnded as end:
            self._count_all(end.cause, batch)
            raise
        for offered in batch:
            if offered.known is None:
                scores = next(found)
                kept = Findings((), scores, None, None, None)
                self._repeats.keep(offered.image.image_sha256, kept)
            else:
                scores = dict(offered.known.scores)
            self._tell(candidate, offered, scores)

    def _tell(self, candidate: Candidate, offered: _Offered, scores: dict[str, float]) -> None:
        event = shadowed_event(candidate, offered.image, offered.verdict, scores)
        self._metrics.shadow_decisions.labels(event.served.decision, event.shadow.decision).inc()
        for score, direction in disagreements(event.served.reasons, event.shadow.reasons):
            self._metrics.shadow_disagreements.labels(score, direction).inc()
        self._send(event, lambda taken: self._count("published" if taken else "unpublished"))

    def _drop_waiting(self) -> None:
        with self._changed:
            dropped = list(self._waiting)
            self._waiting.clear()
        self._count_all("down", dropped)

    def _count_all(self, result: str, batch: Iterable[_Offered]) -> None:
        for _ in batch:
            self._count(result)

    def _count(self, result: str) -> None:
        assert result in SHADOW_RESULTS
        self._metrics.shadow_images.labels(result).inc()


def shadowed_event(
    candidate: Candidate,
    image: Prepared,
    verdict: Verdict,
    scores: dict[str, float],
) -> ImageShadowed:
    """Both decisions on one image: the same input, bundle and policy give the same event id."""
    by = verdict.attribution
    assert by is not None, "the judge says what judged"
    event, policy, digest = image.event, candidate.policy, candidate.policy_sha256
    all_scores = {**scores, **code_scores(policy, image.codes)}
    decision, reasons = decide(policy, event.category, all_scores)
    return ImageShadowed(
        event_id=derived_event_id(SHADOWED, f"{candidate.bundle_id}|{digest}|{event.event_id}"),
        image_id=event.image_id,
        listing_id=event.listing_id,
        category=event.category,
        image_sha256=image.image_sha256,
        input_event_id=event.event_id,
        moderated_event_id=derived_event_id(MODERATED, event.event_id),
        uploaded_at=event.uploaded_at,
        decided_at=verdict.decided_at,
        shadowed_at=datetime.now(UTC),
        served=TriedDecision(
            bundle_id=by.bundle_id,
            policy_sha256=by.policy_sha256,
            decision=verdict.decision,
            reasons=verdict.reasons,
            scores=verdict.scores,
        ),
        shadow=TriedDecision(
            bundle_id=candidate.bundle_id,
            policy_sha256=digest,
            decision=decision,
            reasons=reasons,
            scores=all_scores,
        ),
    )
