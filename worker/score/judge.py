"""Judge: what happens to a batch of prepared images: infer, tag, decide."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import score_bin
from schemas.events import Tag
from worker.metrics import Metrics
from worker.model.tag import Tagger
from worker.model.watched_tags import WatchedTags
from worker.score.code_links import code_scores
from worker.score.decide import decide
from worker.score.outcome import Verdict
from worker.score.prepare import Prepared, stacked
from worker.score.repeats import Findings, Repeats
from worker.score.served import Canary, Served, file_key
from worker.stream.spans import Spans


def offered_to_nobody(batch: Sequence[Prepared], verdicts: Sequence[Verdict]) -> None:
    """Nobody wants to know what was judged."""


@dataclass(frozen=True)
class Judge:
    """What serves now: the model, the tag forest and the policy. Owned by one thread."""

    current: Callable[[], Served]
    metrics: Metrics
    tags: WatchedTags | None = None
    repeats: Repeats = field(default_factory=lambda: Repeats(0))
    spans: Spans = field(default_factory=Spans)
    canary: Canary | None = None
    # Told what was judged, and never in the way.
    offer: Callable[[Sequence[Prepared], Sequence[Verdict]], None] = offered_to_nobody

    def __call__(self, batch: Sequence[Prepared]) -> list[Verdict]:
        """One verdict an image, in the order of `batch`. The model sees those of which nothing is known.

        Raises:
            StageError: a model failed.

        """
        served = self.current()
        chosen = [self._chosen(served, image) for image in batch]
        found = self._found(chosen, batch)
        # Files that were judged before came without pixels, and keep the bundle that judged them.
        by = [findings.by or each for findings, each in zip(found, chosen, strict=True)]
        tags = self._tags(by, batch, found)
        verdicts = [
            self._verdict(its, image, findings, its_tags, version)
            for its, image, findings, (its_tags, version) in zip(by, batch, found, tags, strict=True)
        ]
        self.offer(batch, verdicts)
        return verdicts

    def _chosen(self, served: Served, image: Prepared) -> Served:
        is_canary = self.canary is not None and self.canary.decides(image.event.image_id)
        return self.canary.served if self.canary is not None and is_canary else served

    def _found(self, chosen: Sequence[Served], batch: Sequence[Prepared]) -> list[Findings]:
        found = [image.known for image in batch]
        for served, rows in _groups(chosen, [row for row, each in enumerate(found) if each is None]):
            for row, findings in zip(rows, self._infer(served, [batch[row] for row in rows]), strict=True):
                found[row] = findings
        return [findings for findings in found if findings is not None]

    def _infer(self, served: Served, batch: Sequence[Prepared]) -> list[Findings]:
        self.metrics.infer_batch.observe(len(batch))
        with self._stage("infer"):
            inference = served.bundle.model.infer(stacked(batch, served.places))
        found = []
        for row, image in enumerate(batch):
            findings = Findings(
                image.codes,
                {name: float(values[row]) for name, values in inference.scores.items()},
                _row(inference.embeddings, row),
                _row(inference.copies, row),
                _row(inference.tag_vectors, row),
                served,
            )
            self.repeats.keep(file_key(self.canary, image.event.image_id, image.image_sha256), findings)
            found.append(findings)
        return found

    def _tags(
        self, by: Sequence[Served], batch: Sequence[Prepared], found: Sequence[Findings]
    ) -> list[tuple[list[Tag], str | None]]:
        """The tags of each image, by the set of tags in use, and its version."""
        tags: list[tuple[list[Tag], str | None]] = [([], None)] * len(batch)
        with self._stage("tag"):
            watched = None if self.tags is None else self.tags.current()
            for served, rows in _groups(by, range(len(batch))):
                tagger = watched or served.bundle.tagger
                its = _tagged(tagger, served, [batch[row] for row in rows], [found[row] for row in rows])
                for row, told in zip(rows, its, strict=True):
                    tags[row] = told
        return tags

    def _stage(self, name: str) -> AbstractContextManager[object]:
        return self.spans.stage(name, self.metrics.stage_seconds.labels(name).time())

    def _verdict(
        self,
        served: Served,
        image: Prepared,
        findings: Findings,
        tags: list[Tag],
        tags_version: str | None,
    ) -> Verdict:
        scores = {**findings.scores, **code_scores(served.policy, image.codes)}
        decision, reasons = decide(served.policy, image.event.category, scores)
        self.metrics.decide_decisions.labels(decision).inc()
        if self.canary is not None and served is self.canary.served:
            self.metrics.canary_decisions.labels(decision).inc()
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
            embedding=findings.embedding,
            copy_vector=findings.copy_vector,
            decided_at=datetime.now(UTC),
            codes=image.codes,
            attribution=served.attribution,
        )


def _groups(by: Sequence[Served], rows: Iterable[int]) -> list[tuple[Served, list[int]]]:
    """Of `rows` those of each bundle."""
    groups: dict[int, tuple[Served, list[int]]] = {}
    for row in rows:
        groups.setdefault(id(by[row]), (by[row], []))[1].append(row)
    return list(groups.values())


def _row(vectors: NDArray[np.float32] | None, row: int) -> NDArray[np.float32] | None:
    """A copy, so that what is kept of an image does not hold its whole batch."""
    return None if vectors is None else vectors[row].copy()


def _tagged(
    tagger: Tagger | None, served: Served, batch: Sequence[Prepared], found: Sequence[Findings]
) -> list[tuple[list[Tag], str | None]]:
    if tagger is None:
        return [([], None)] * len(batch)
    vectors = [each.tag_vector for each in found if each.tag_vector is not None]
    if len(vectors) < len(batch):
        return [([], tagger.version)] * len(batch)
    categories = [image.event.category for image in batch]
    tags = tagger(np.stack(vectors), categories, served.policy.tags)
    return [(its, tagger.version) for its in tags]
