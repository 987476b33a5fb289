"""Records of the topics as rows of the database."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from console.text import printable
from console.trials import trial_row
from schemas.policy import Policy
from worker.settings import TopicSettings
from worker.stream.dead_letter import OFFSET, PARTITION
from worker.stream.kafka import InputRecord
from worker.stream.story import step_of

Row = dict[str, Any]

# Nearer to a cut than this, a person may look as well.
NEAR_CUT = 0.05
NO_QUEUE, IN_REVIEW, NEAR = 0, 1, 2
_NO_CUT = 9.0
_MOST_TEXT = 2000


@dataclass(frozen=True)
class Told:
    """What an input record, or one of its several events, says: of which image, what kind, in words."""

    image_id: str
    kind: str
    text: str
    entry: int | None = None


# How input records are read, in every form that the score role takes.
ReadInput = Callable[[InputRecord], Sequence[Told]]


@dataclass
class Rows:
    """Rows of a batch of records."""

    verdicts: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    deletions: list[Row] = field(default_factory=list)
    trials: list[Row] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.verdicts) + len(self.steps) + len(self.deletions) + len(self.trials)


def image_digest(image_id: str) -> str:
    """What is kept of the id of an image that is to be forgotten."""
    return hashlib.sha256(image_id.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class RowReader:
    """`policy` says how near a verdict is to its cuts."""

    topics: TopicSettings
    policy: Policy
    read_input: ReadInput

    def __call__(self, records: Sequence[InputRecord]) -> Rows:
        """The rows of `records`. Never raises: what cannot be read is a line that says so, or none."""
        rows = Rows()
        for record in records:
            if record.topic == self.topics.uploaded:
                self._input(record, rows)
            elif record.topic == self.topics.shadowed:
                if (tried := trial_row(record.value, record.timestamp_ms)) is not None:
                    rows.trials.append(tried)
            else:
                self._output(record, rows)
        return rows

    def _input(self, record: InputRecord, rows: Rows) -> None:
        for told in self.read_input(record):
            row = _step(record, told.image_id, told.kind, told.text, told.entry)
            rows.steps.append({**row, "cause": (record.partition, record.offset)})
            if told.kind == "deleted":
                rows.deletions.append(
                    {
                        "image_id": told.image_id,
                        "image_digest": image_digest(told.image_id),
                        "partition": record.partition,
                        "offset": record.offset,
                        "at_ms": record.timestamp_ms,
                    }
                )

    def _output(self, record: InputRecord, rows: Rows) -> None:
        image_id = printable((record.key or b"").decode("utf-8", "replace"))
        told = step_of(record, self.topics)
        cause = _cause(record, self.topics)
        rows.steps.append({**_step(record, image_id, told.kind, told.text, None), "cause": cause})
        if record.topic == self.topics.moderated and (row := self._verdict(record)) is not None:
            rows.verdicts.append(row)

    def _verdict(self, record: InputRecord) -> Row | None:
        try:
            text = (record.value or b"").decode()
            body = json.loads(text)
            review, scores = body.get("review"), body["scores"]
            place = body["input"]
            return {
                "partition": record.partition,
                "offset": record.offset,
                "image_id": printable(body["image_id"]),
                "decided_ms": record.timestamp_ms,
                "decision": body["decision"],
                "policy_decision": body["decision"] if review is None else review["policy_decision"],
                "reviewer": None if review is None else printable(review["reviewer"]),
                "category": body.get("category") and printable(body["category"]),
                "input_partition": place["partition"],
                "input_offset": place["offset"],
                "scores": json.dumps(scores),
                "body": printable(text),
                "margin": self.margin(body.get("category"), scores),
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def margin(self, category: str | None, scores: Mapping[str, float]) -> float:
        """The distance of the nearest score to a cut of the policy."""
        distances = [
            abs(scores[name] - level)
            for name, threshold in self.policy.for_category(category).items()
            if name in scores
            for level in (threshold.block, threshold.review)
            if level is not None
        ]
        return min(distances, default=_NO_CUT)


def queue_of(row: Mapping[str, Any]) -> int:
    """Whether a person shall look at the image of a verdict."""
    if row["reviewer"] is not None:
        return NO_QUEUE
    if row["decision"] == "review":
        return IN_REVIEW
    return NEAR if row["margin"] < NEAR_CUT else NO_QUEUE


def _step(record: InputRecord, image_id: str, kind: str, text: str, entry: int | None) -> Row:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "entry": -1 if entry is None else entry,
        "image_id": printable(image_id),
        "at_ms": record.timestamp_ms,
        "kind": kind[:32],
        "text": printable(text)[:_MOST_TEXT],
    }


def _cause(record: InputRecord, topics: TopicSettings) -> tuple[int, int] | None:
    """Partition and offset of the input that an output record comes from, where it says."""
    headers = dict(record.headers)
    if record.topic == topics.dead_letter:
        given = [(headers.get(name) or b"").decode("ascii", "replace") for name in (PARTITION, OFFSET)]
        return (int(given[0]), int(given[1])) if all(map(str.isdecimal, given)) else None
    if record.topic not in (topics.moderated, topics.enriched):
        return None
    try:
        place = json.loads(record.value or b"{}")["input"]
        return int(place["partition"]), int(place["offset"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
