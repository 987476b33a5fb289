"""Topics, groups, folders and a network that belong to one test."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.running import Running
from tests.kafka.client import Broker
from tests.network_guard import ALLOWED_NETWORK, NetworkGuard
from worker.settings import Settings

# No threshold but one that holds for a category of its own: what the models think decides nothing here.
POLICY: dict[str, Any] = {"thresholds": {}, "categories": {"always-blocked": {"text": {"block": -1.0}}}}


@dataclass(frozen=True)
class Workplace:
    """Topics, groups and folders that belong to one test, and the network that its workers see."""

    broker: Broker
    settings: Settings
    guard: NetworkGuard
    folder: Path

    def changed(self, **sections: dict[str, Any]) -> Settings:
        """The settings with some values of some sections replaced."""
        update = {}
        for name, values in sections.items():
            section = getattr(self.settings, name)
            update[name] = type(section).model_validate({**section.model_dump(), **values})
        return self.settings.model_copy(update=update)

    @contextmanager
    def running(self, *roles: str, settings: Settings | None = None) -> Iterator[Running]:
        """The roles in threads of this process; on leaving, they are stopped and their failures raised."""
        running = Running(settings or self.settings, roles, self.guard)
        try:
            yield running
        finally:
            running.close()


def make_settings(bootstrap: str, home: Path, partitions: int) -> Settings:
    """Settings under names of their own; `home` is an empty folder."""
    prefix = f"test-{uuid.uuid4().hex[:10]}"
    folder = home / "images"
    folder.mkdir()
    values: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": bootstrap,
            "group": f"{prefix}-score",
            "transactional_id": prefix,
            "request_timeout": 30,
            "properties": {"log_level": "3"},
            "consumer": {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"},
        },
        "topics": {
            "uploaded": f"{prefix}.uploaded",
            "moderated": f"{prefix}.moderated",
            "enriched": f"{prefix}.enriched",
            "embedded": f"{prefix}.embedded",
            "shadowed": f"{prefix}.shadowed",
            "reviews": f"{prefix}.reviews",
            "dead_letter": f"{prefix}.uploaded.dlq",
            "index_updated": f"{prefix}.index",
            "index_dead_letter": f"{prefix}.embedded.dlq",
            "partitions": partitions,
        },
        "fetch": {
            "folder": folder,
            "schemes": ["https", "http"],
            "allowed_networks": [ALLOWED_NETWORK],
            "timeout": 2,
            "connect_timeout": 1,
            "max_bytes": 2_000_000,
            "retries": 0,
            "retry_for": 0,
            "threads": 4,
        },
        # One drawn image stands for many in most tests: each is judged.
        "model": {"policy": POLICY, "threads": 1, "repeats": 0},
        "score": {"rejection_limit": {"ratio": 1}},
        "index": {"directory": home / "index", "name": prefix},
        "http": {"port": 0},
    }
    if bundle := os.environ.get("MEKIKI_MODEL__BUNDLE"):
        values["model"]["bundle"] = bundle
    return Settings.model_validate(values)
