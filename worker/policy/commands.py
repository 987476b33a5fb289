"""What `mekiki policy diff` does, composed of its parts."""

import json
import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from schemas.events import InputPosition
from schemas.policy import Policy
from worker.errors import ConfigurationError
from worker.policy.diff import PolicyDiff
from worker.policy.report import DiffReport
from worker.review.pictures import pictures
from worker.settings import Settings
from worker.stream.kafka import create_consumer, to_the_end
from worker.stream.log_reader import LogReader

_AGO = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_policy(file: Path) -> Policy:
    """A policy of a JSON or TOML file; of a whole settings file, its `model.policy`.

    Raises:
        ConfigurationError: there is none.

    """
    try:
        text = file.read_text(encoding="utf-8")
        data = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
        if "model" in data:
            data = data["model"]["policy"]
        return Policy.model_validate(data)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise ConfigurationError(f"{file} holds no policy: {error}") from error


def instant(text: str) -> datetime:
    """A time as a person writes it: ISO 8601 (UTC where no zone is given), or how long ago, such as 7d.

    Raises:
        ConfigurationError: it is none.

    """
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} is no time: write 2026-11-01, 2026-11-01T12:00, 7d or 24h"
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def policy_diff(
    settings: Settings,
    policy: Policy,
    since: datetime | None,
    *,
    reviewed: bool,
    progress: Callable[[int], object] = lambda _: None,
) -> DiffReport:
    """What `policy` would have decided since then.

    Raises:
        BrokerError: the moderated topic cannot be read.

    """
    diff = PolicyDiff(policy, reviewed=reviewed)
    consumer = create_consumer(settings.kafka, to_the_end(f"{settings.kafka.group}-policy"))
    try:
        reader = LogReader(consumer, settings.kafka.request_timeout)
        since_ms = None if since is None else int(since.timestamp() * 1000)
        for messages in reader.read([settings.topics.moderated], since_ms):
            diff.add(message.value() for message in messages)
            progress(len(messages))
    finally:
        consumer.close()
    return diff.report(None if since is None else since.isoformat(timespec="seconds"))


def near_pictures(settings: Settings, report: DiffReport) -> dict[str, str]:
    """Small JPEGs of the images near the cuts, as data URIs by image id; of what can still be seen."""
    near = {image.image_id: image for cut in report.cuts for image in (*cut.under, *cut.over)}
    return pictures(
        settings,
        {
            image_id: InputPosition(
                event_id="",
                topic=image.topic,
                partition=image.partition,
                offset=image.offset,
                entry=image.entry,
            )
            for image_id, image in near.items()
        },
    )
