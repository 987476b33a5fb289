"""Judge: what happens to a batch of prepared images: infer, tag, decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from schemas.events import Tag
from schemas.policy import CODE_AREA, Policy
from worker.metrics import Metrics
from worker.model.bundle import Bundle
from worker.score.decide import decide
from worker.score.outcome import Verdict
from worker.score.prepare import Prepared


@dataclass(frozen=True)
class Judge:
    """The model, the tag forest and the policy. Owned by one thread."""

    bundle: Bundle
    policy: Policy
    metrics: Metrics

    def __call__(self, batch: Sequence[Prepared]) -> list[Verdict]:
        """One verdict an image, in the order of `batch`.

        Raises:
            StageError: a model failed.

        """
        stage = self.metrics.stage_seconds.labels
        self.metrics.infer_batch.observe(len(batch))
        with stage("infer").time():
            inference = self.bundle.model.infer(np.stack([image.pixels for image in batch]))
        with stage("tag").time():
            tags = self.bundle.tagger(inference.embeddings) if self.bundle.tagger else [[] for _ in batch]
        verdicts = []
        for row, image in enumerate(batch):
            scores = {name: float(values[row]) for name, values in inference.scores.items()}
            if image.codes:
                scores[CODE_AREA] = image.codes[0].area_share
            verdicts.append(self._verdict(image, scores, tags[row], inference.embeddings[row]))
        return verdicts

    def _verdict(
        self, image: Prepared, scores: dict[str, float], tags: list[Tag], embedding: np.ndarray
    ) -> Verdict:
        decision, reasons = decide(self.policy, image.event.category, scores)
        self.metrics.decide_decisions.labels(decision).inc()
        for name, value in scores.items():
            self.metrics.decide_scores.labels(name).observe(value)
        return Verdict(
            event=image.event,
            image_sha256=image.image_sha256,
            decision=decision,
            reasons=reasons,
            scores=scores,
            tags=tags,
            embedding=embedding,
            decided_at=datetime.now(UTC),
            codes=image.codes,
        )
