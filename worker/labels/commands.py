"""What `mekiki labels export` does: fetches what people decided about, and writes it with their words."""

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from schemas.events import ImageReference
from worker.errors import ConfigurationError, Rejection
from worker.fetch.fetch import build_fetcher
from worker.labels.words import Label, StandingWords, seller_of, split_of
from worker.review.commands import image_log
from worker.settings import Settings
from worker.stream.kafka import create_consumer, to_the_end
from worker.stream.log_reader import LogReader

COLUMNS = (
    *("path", "label", "seller_id", "split", "image_id", "category", "policy_decision", "reviewer"),
    *("reason", "reviewed_at", "image_sha256", "bundle_id", "scores"),
)
# By their first bytes, since training looks at suffixes; what is none of these is a .jpg to it.
_SUFFIXES = ((b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"RIFF", ".webp"))


def export_labels(
    settings: Settings,
    out: Path,
    since: datetime | None,
    seller: re.Pattern[str] | None,
    progress: Callable[[int], object] = lambda _: None,
) -> Counter[str]:
    """Write `out`/labels.csv and `out`/images; returns how many by label, and how many are lost.

    Raises:
        ConfigurationError: `out` cannot be written.
        BrokerError: the topics cannot be read.

    """
    words = StandingWords()
    consumer = create_consumer(settings.kafka, to_the_end(f"{settings.kafka.group}-labels"))
    try:
        reader = LogReader(consumer, settings.kafka.request_timeout)
        since_ms = None if since is None else int(since.timestamp() * 1000)
        for messages in reader.read([settings.topics.moderated], since_ms):
            words.add(message.value() for message in messages)
        standing: dict[bytes, bytes | None] = {}
        for messages in reader.read([settings.topics.reviews]):
            standing |= {message.key() or b"": message.value() for message in messages}
        words.keep(value for value in standing.values() if value is not None)
    finally:
        consumer.close()
    counts: Counter[str] = Counter()
    try:
        (out / "images").mkdir(parents=True, exist_ok=True)
        with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            with image_log(settings) as log, build_fetcher(settings.fetch) as fetcher:
                for label in words.labels():
                    data = _bytes(label, log.reference(label.verdict.input), fetcher.fetch)
                    counts["lost" if data is None else label.verdict.decision] += 1
                    if data is not None:
                        table.writerow(_row(label, data, out, seller_of(label, seller)))
                    progress(1)
    except OSError as error:
        raise ConfigurationError(f"--out {out} cannot be written: {error}") from error
    return counts


def _bytes(
    label: Label, reference: ImageReference | None, fetch: Callable[[ImageReference], bytes]
) -> bytes | None:
    """The very image that the person saw; None where it cannot be had any more."""
    if reference is None:
        return None
    try:
        data = fetch(reference)
    except Rejection:
        return None
    return data if hashlib.sha256(data).hexdigest() == label.verdict.image_sha256 else None


def _row(label: Label, data: bytes, out: Path, seller: str) -> dict[str, str]:
    verdict, review = label.verdict, label.verdict.review
    assert review is not None
    suffix = next((suffix for begin, suffix in _SUFFIXES if data.startswith(begin)), ".jpg")
    path = f"images/{verdict.image_sha256}{suffix}"
    (out / path).write_bytes(data)
    return {
        "path": path,
        "label": verdict.decision,
        "seller_id": seller,
        "split": split_of(seller),
        "image_id": verdict.image_id,
        "category": verdict.category or "",
        "policy_decision": review.policy_decision,
        "reviewer": review.reviewer,
        "reason": review.reason or "",
        "reviewed_at": review.reviewed_at.isoformat(),
        "image_sha256": verdict.image_sha256,
        "bundle_id": verdict.bundle_id,
        "scores": json.dumps(verdict.scores),
    }
