"""Commands that are no roles, composed from the same parts."""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from worker.compose import create_metrics
from worker.cores import cores
from worker.duplicates.find import find_pairs
from worker.duplicates.local_features import LocalFeatures
from worker.duplicates.picture_store import PictureStore
from worker.duplicates.read import CANDIDATES, Reader, read_images
from worker.duplicates.write import lines
from worker.errors import ConfigurationError
from worker.fetch.fetch import build_fetcher
from worker.fetch.folder import NamedFolderReader
from worker.model.bundle import load_bundle, load_policy
from worker.model.decoders import create_decoders, image_limits
from worker.replay.history import History
from worker.replay.image_events import read_embedded, uploads_reader
from worker.replay.replay import Replay
from worker.role_names import INDEX, SCORE
from worker.scan import ScannedFile, files_under, scan
from worker.score.compose_pipeline import build_pipeline, build_tags
from worker.score.parse import Parser
from worker.score.pipeline import Pipeline
from worker.settings import Settings
from worker.stream.delivery import create_delivery
from worker.stream.kafka import create_consumer


def scan_folder(
    settings: Settings, folder: Path, out: Path, vectors: bool, progress: Callable[[], object]
) -> dict[str, int]:
    """Judge every file under `folder` into JSON lines at `out`; returns counts by outcome."""
    bundle = load_bundle(settings.model)
    policy = load_policy(settings, bundle.manifest)
    metrics = create_metrics("scan", bundle)
    reader = NamedFolderReader(folder, int(settings.fetch.max_bytes), pauses=())
    fetcher = build_fetcher(settings.fetch, folder=reader)
    decoders = create_decoders(settings.decode, note_death=metrics.note_decoder_death)
    tags = build_tags(settings.model, bundle, metrics)
    pipeline: Pipeline[ScannedFile] = build_pipeline(
        settings, bundle, policy, metrics, fetcher, decoders, tags=tags
    )
    with ExitStack() as stack:
        try:
            stream = sys.stdout if str(out) == "-" else stack.enter_context(out.open("w", encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"--out {out} cannot be written: {error}") from error
        stack.enter_context(fetcher)
        stack.enter_context(decoders)
        stack.enter_context(pipeline)
        return scan(
            folder,
            stream,
            pipeline,
            vectors=vectors,
            max_in_flight=settings.score.max_in_flight,
            progress=progress,
        )


def find_duplicates(
    settings: Settings, folder: Path, out: Path, candidates: int | None, progress: Callable[[str], object]
) -> Counter[str]:
    """Copies among the files under `folder` into JSON lines at `out`; returns the number of lines by type.

    `progress` is told `read` or `compare` after each step.
    """
    features = LocalFeatures()
    bundle = load_bundle(settings.model)
    source = NamedFolderReader(folder, int(settings.fetch.max_bytes), pauses=())
    paths = list(files_under(folder))
    count, counts = candidates or CANDIDATES, Counter[str]()
    with ExitStack() as stack:
        try:
            stream = sys.stdout if str(out) == "-" else stack.enter_context(out.open("w", encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"--out {out} cannot be written: {error}") from error
        decoders = stack.enter_context(create_decoders(settings.decode))
        store = PictureStore(Path(stack.enter_context(tempfile.TemporaryDirectory())), len(paths))
        reader = Reader(bundle, image_limits(settings.decode), decoders.decode, features, cores())
        images = read_images(paths, source.read, reader, store, lambda: progress("read"))
        pairs = find_pairs(
            images.vectors, store.get, features, count, threads=cores(), progress=lambda: progress("compare")
        )
        distance = settings.index.near_duplicate_distance
        if distance is None and bundle.manifest.embedding is not None:
            distance = bundle.manifest.embedding.near_duplicate_distance
        for line in lines(str(folder.resolve()), bundle.id, count, images, pairs, distance or 0.0):
            counts[line["type"]] += 1
            stream.write(json.dumps(line) + "\n")
    return counts


def replay(
    settings: Settings,
    source: str,
    reason: str | None,
    progress: Callable[[int], object],
) -> tuple[int, Counter[str]]:
    """Send dead letters of the role `source` back.

    Returns:
        How many events were sent, and how many dead letters were passed over for which reason.

    """
    topics = settings.topics
    uploads = uploads_reader(Parser(settings.fetch.asked_at))
    dead_letters, target, read_events = {
        SCORE: (topics.dead_letter, topics.uploaded, uploads),
        INDEX: (topics.index_dead_letter, topics.embedded, read_embedded),
    }[source]
    group = f"{settings.kafka.group}-replay" + (f"-{reason}" if reason else "")
    consumer = create_consumer(
        settings.kafka, {"group.id": group, "enable.partition.eof": True}, as_they_are=True
    )
    reader = create_consumer(settings.kafka, {"group.id": f"{group}-history", "enable.partition.eof": True})
    timeout = settings.kafka.request_timeout
    delivery = create_delivery(
        settings.kafka, settings.score.delivery, f"{settings.kafka.transactional_id}-replay"
    )
    try:
        return Replay(
            consumer=consumer,
            delivery=delivery,
            history=History(reader, target, read_events, timeout),
            topic=dead_letters,
            target=target,
            reason=reason,
            timeout=timeout,
        ).run(progress)
    finally:
        consumer.close()
        reader.close()
        delivery.close()
