"""Arroyo, at least once: decode in threads, batch, one call of the model, unbatch, produce, commit.

As https://getsentry.github.io/arroyo/strategies/ puts strategies together.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, KafkaProducer
from arroyo.backends.kafka.configuration import (
    build_kafka_configuration,
    build_kafka_consumer_configuration,
)
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import (
    BatchStep,
    CommitOffsets,
    ProcessingStrategy,
    ProcessingStrategyFactory,
    Produce,
    RunTask,
    RunTaskInThreads,
    UnbatchStep,
)
from arroyo.types import Commit, Message, Partition, Topic

from benchmarks.peers.model import Model, Place


class Judging(ProcessingStrategyFactory[KafkaPayload]):
    """Builds the chain of steps at each assignment."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._model = Model(place)
        self._producer = KafkaProducer(
            build_kafka_configuration({"enable.idempotence": True}, bootstrap_servers=[place.bootstrap])
        )

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        del partitions
        produce = Produce(self._producer, Topic(self._place.moderated), CommitOffsets(commit))
        batches = BatchStep(32, 0.02, RunTask(self._judge, UnbatchStep(produce)))
        return RunTaskInThreads(self._decode, os.cpu_count() or 1, 256, batches)

    def _decode(self, message: Message[KafkaPayload]) -> tuple[bytes | None, Any]:
        event = json.loads(message.payload.value)
        return message.payload.key, self._model.pixels(event["image"]["path"])

    def _judge(self, message: Message[Any]) -> Any:
        batch = message.payload
        verdicts = self._model.judged(np.stack([value.payload[1] for value in batch]))
        return [
            value.replace(KafkaPayload(value.payload[0], json.dumps(verdict).encode(), []))
            for value, verdict in zip(batch, verdicts, strict=True)
        ]


def main() -> None:
    place = Place.told()
    configuration = build_kafka_consumer_configuration(
        {}, place.group, "earliest", bootstrap_servers=[place.bootstrap]
    )
    StreamProcessor(KafkaConsumer(configuration), Topic(place.uploaded), Judging(place)).run()


if __name__ == "__main__":
    main()
