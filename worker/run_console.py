"""`mekiki console`: the console's parts, which know nothing of the score role, joined with its parser."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from prometheus_client import CollectorRegistry

from console.again import Again
from console.app import create_console
from console.columns import ScoreColumns
from console.database import Database
from console.figures import Figures
from console.pages import Parts
from console.pictures import Pictures
from console.protection import RateLimit
from console.queue import Queue
from console.reader import CAUGHT_UP, Reader
from console.request import Gate, Limits
from console.rows import RowReader, Told
from console.searching import Searching
from console.sign_in import SignIn
from console.store import Store
from console.trials import Trials
from console.words import FindReference, Words
from schemas.events import ImageDeleted, ImageReference, ImageReviewed, ImageUploaded, InputPosition
from worker.compose import BuildFetcher
from worker.errors import Rejection
from worker.fetch.fetch import build_fetcher
from worker.health import Health
from worker.http import HttpServer
from worker.metrics import Metrics
from worker.model.bundle import load_policy, read_manifest
from worker.model.decoders import create_decoders, image_limits
from worker.review.again_process import JudgeAgain
from worker.review.image_log import reference_in
from worker.score.outcome import Several
from worker.score.parse import Parser
from worker.score.parsed import Parsed, PerhapsDeleted
from worker.settings import Settings
from worker.stream.kafka import InputRecord, create_consumer, create_producer, to_the_end
from worker.stream.log_reader import LogReader

logger = logging.getLogger(__name__)

CONSOLE = "console"
_LOG_READERS = 2


def input_reader(parse: Parser) -> Callable[[InputRecord], Sequence[Told]]:
    """Reads what input records say, in every form that the score role takes."""

    def read(record: InputRecord) -> list[Told]:
        try:
            parsed = parse(record)
        except Rejection:
            return []  # its dead letter tells
        if isinstance(parsed, Several):
            parts = [replace(record, value=value, entry=n) for n, value in enumerate(parsed.values)]
            return [replace(told, entry=part.entry) for part in parts for told in read(part)]
        told = _told(parsed)
        return [] if told is None else [told]

    return read


def _where(image: ImageReference) -> str:
    if image.object is not None:
        return f"{image.object.bucket}/{image.object.key}"
    return image.url or image.path or "inline"


def _told(parsed: Parsed) -> Told | None:
    match parsed:
        case ImageUploaded():
            return Told(parsed.image_id, "uploaded", _where(parsed.image))
        case ImageReviewed():
            why = f": {parsed.reason}" if parsed.reason else ""
            return Told(parsed.image_id, "reviewed", f"{parsed.decision} by {parsed.reviewer}{why}")
        case ImageDeleted():
            return Told(parsed.image_id, "deleted", "")
        case PerhapsDeleted():
            return Told(parsed.deleted.image_id, "version gone", "")
    return None


class _References:
    """Looks images' references up in the log; two at a time."""

    def __init__(self, settings: Settings, parse: Parser, stack: ExitStack) -> None:
        self._parse = parse
        self._free = threading.Semaphore(_LOG_READERS)
        self._readers = []
        for _ in range(_LOG_READERS):
            consumer = create_consumer(settings.kafka, to_the_end(f"{settings.kafka.group}-console"))
            stack.callback(consumer.close)
            self._readers.append(LogReader(consumer, settings.kafka.request_timeout))

    def __call__(self, place: InputPosition) -> ImageReference | None:
        with self._free:
            reader = self._readers.pop()
            try:
                record = reader.record_at(place.topic, place.partition, place.offset)
            finally:
                self._readers.append(reader)
        return None if record is None else reference_in(record, place.entry, self._parse)


@contextmanager
def compose_console(
    settings: Settings, build_fetch: BuildFetcher = build_fetcher
) -> Iterator[tuple[Reader, int]]:
    """The console's reader, and the port of its pages.

    Raises:
        MekikiError: the settings, the database or the broker are not fit for it.

    """
    mine = settings.console
    manifest, _ = read_manifest(settings.model.bundle, settings.model.signature_key)
    policy = load_policy(settings, manifest)
    sign_in = SignIn(mine)
    health = Health(settings.http.liveness_timeout, (CAUGHT_UP,))
    metrics = Metrics(CollectorRegistry())
    metrics.health_ready.labels(CONSOLE).set_function(lambda: float(health.ready()[0]))
    parse = Parser(settings.fetch.asked_at)
    with ExitStack() as stack:
        database = Database(mine.database)
        stack.callback(database.close)
        store, columns = Store(database), ScoreColumns()
        columns.load(database, int((time.time() - mine.retention) * 1000))
        find_reference: FindReference = _References(settings, parse, stack)
        fetcher = stack.enter_context(build_fetch(settings.fetch))
        decoders = stack.enter_context(create_decoders(settings.decode, processes=1))
        pictures = Pictures(
            find_reference,
            fetcher.fetch,
            decoders.decode,
            image_limits(settings.decode),
            int(mine.picture_bytes),
        )
        queue = Queue(database, mine.lease)
        reader = Reader(
            consumer=create_consumer(settings.kafka, to_the_end(f"{settings.kafka.group}-console")),
            topics=settings.topics,
            read_rows=RowReader(settings.topics, policy, input_reader(parse)),
            store=store,
            columns=columns,
            retention=mine.retention,
            health=health,
            metrics=metrics,
            forget=pictures.forget,
            tell=Figures(queue, metrics),
        )
        producer = create_producer(settings.kafka, {})
        parts = Parts(
            gate=Gate(
                sign_in,
                Limits(
                    reads=RateLimit(50, 300),
                    changes=RateLimit(10, 60),
                    works=RateLimit(0.2, 5),
                    sign_ins=RateLimit(0.5, 10),
                ),
                local_only=mine.sign_in == "none",
            ),
            queue=queue,
            columns=columns,
            trials=Trials(database),
            pictures=pictures,
            words=Words(producer, find_reference, queue),
            again=Again(find_reference, JudgeAgain(settings)),
            searching=Searching(mine.search_url, mine.search_key_file),
            policy=policy,
            lag=lambda: reader.lag,
            max_body=int(settings.http.max_body_bytes),
            secure_cookies=(mine.url or "").startswith("https:"),
        )
        app = create_console(parts, health, metrics)
        server = stack.enter_context(HttpServer(app, mine.host, mine.port))
        yield reader, server.port


def run_console(settings: Settings) -> None:
    """Show the pages until SIGTERM or SIGINT.

    Raises:
        MekikiError: the console cannot start, or Kafka or its database failed.

    """
    with compose_console(settings) as (reader, port):
        signal.signal(signal.SIGTERM, lambda *_: reader.stop())
        signal.signal(signal.SIGINT, lambda *_: reader.stop())
        logger.info("the console is at http://%s:%d", settings.console.host, port)
        reader.run()
    logger.info("stopped")
