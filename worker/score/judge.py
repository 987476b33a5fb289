"""Judge: what happens to a batch of prepared images: infer, tag, decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import score_bin
from schemas.events import Tag
from schemas.policy import Policy
from worker.metrics import Metrics
from worker.model.bundle import Bundle
from worker.model.infer import ImageBatch
from worker.model.watched_tags import WatchedTags
from worker.score.code_links import code_scores
from worker.score.decide import decide
from worker.score.outcome import Verdict
from worker.score.prepare import Prepared


@dataclass(frozen=True)
class Judge:
    """The model, the tag forest and the policy. Owned by one thread."""

    bundle: Bundle
    policy: Policy
    metrics: Metrics
    tags: WatchedTags | None = None

    def __call__(self, batch: Sequence[Prepared]) -> list[Verdict]:
        """One verdict an image, in the order of `batch`.

        Raises:
            StageError: a model failed.

        """
        stage = self.metrics.stage_seconds.labels
        self.metrics.infer_batch.observe(len(batch))
        with stage("infer").time():
            inference = self.bundle.model.infer(_stacked(batch))
        with stage("tag").time():
            tags: list[list[Tag]] = [[] for _ in batch]
            tagger = self.bundle.tagger if self.tags is None else self.tags.current()
            if tagger is not None and inference.tag_vectors is not None:
                categories = [image.event.category for image in batch]
                tags = tagger(inference.tag_vectors, categories, self.policy.tags)
        verdicts = []
        for row, image in enumerate(batch):
            scores = {name: float(values[row]) for name, values in inference.scores.items()}
            scores |= code_scores(self.policy, image.codes)
            vector = None if inference.embeddings is None else inference.embeddings[row]
            copy = None if inference.copies is None else inference.copies[row]
            version = tagger.version if tagger else None
            verdicts.append(self._verdict(image, scores, tags[row], version, vector, copy))
        return verdicts

    def _verdict(
        self,
        image: Prepared,
        scores: dict[str, float],
        tags: list[Tag],
        tags_version: str | None,
        embedding: NDArray[np.float32] | None,
        copy_vector: NDArray[np.float32] | None,
    ) -> Verdict:
        decision, reasons = decide(self.policy, image.event.category, scores)
        self.metrics.decide_decisions.labels(decision).inc()
        for name, value in scores.items():
            self.metrics.decide_scores.labels(name).observe(value)
            self.metrics.decide_bins.labels(name, score_bin(value)).inc()
        return Verdict(
            event=image.event,
            image_sha256=image.image_sha256,
            decision=decision,
            reasons=reasons,
            scores=scores,
            tags=tags,
            tags_version=tags_version,
            embedding=embedding,
            copy_vector=copy_vector,
            decided_at=datetime.now(UTC),
            codes=image.codes,
        )


def _stacked(batch: Sequence[Prepared]) -> ImageBatch:
    """Each input's pixels, and each measure, of all images of the batch."""
    return ImageBatch(
        [np.stack(pixels) for pixels in zip(*(image.pixels for image in batch), strict=True)],
        {
            measure: np.array([image.measured[measure] for image in batch], np.float32)
            for measure in batch[0].measured
        },
    )
