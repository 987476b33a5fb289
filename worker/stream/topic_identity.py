"""Whether a topic is the one that it was: deleted and made again, it has the same name and another id."""

import time
from concurrent.futures import Future
from enum import Enum, auto

from confluent_kafka import KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient, TopicDescription  # type: ignore[attr-defined]

# Why offsets do not go on where they were; a value of the label `reason`.
RECREATED = "topic_recreated"

_TIMEOUT_SECONDS = 10.0
_NO_ID = str(Uuid(0, 0))


class Answer(Enum):
    """What a look gave."""

    NONE = auto()
    ASKED = auto()
    SAME = auto()  # as of when it was asked
    CHANGED = auto()


class TopicIdentity:
    """Asks for the id of `topic` (KIP-516) every `interval` seconds. Used by one thread; `look` never blocks.

    Offsets mean nothing in a topic that was made again, and a log that has grown past them gives no error.
    Where the broker tells no id (before Kafka 2.8, or without the right to Describe), nothing is noticed.
    """

    def __init__(self, admin: AdminClient, topic: str, interval: float = 1.0) -> None:
        self._admin = admin
        self._topic = topic
        self._interval = interval
        self._asked: Future[TopicDescription] | None = None
        self._next = 0.0
        self._id: str | None = None

    @property
    def id(self) -> str | None:
        """The topic's id as of the last answer; None where there was none."""
        return self._id

    def look(self) -> Answer:
        """Ask when it is time, or give the answer once it is there."""
        if self._asked is None:
            if time.monotonic() < self._next:
                return Answer.NONE
            self._asked = self._ask()
            return Answer.ASKED
        return self._answer(self._asked, 0.0) if self._asked.done() else Answer.NONE

    def look_now(self, seconds: float) -> Answer:
        """Ask, and wait up to `seconds` for the answer."""
        return self._answer(self._ask(), seconds)

    def _ask(self) -> "Future[TopicDescription]":
        self._next = time.monotonic() + self._interval
        topics = TopicCollection([self._topic])
        return self._admin.describe_topics(topics, request_timeout=_TIMEOUT_SECONDS)[self._topic]

    def _answer(self, asked: "Future[TopicDescription]", seconds: float) -> Answer:
        self._asked = None
        try:
            found = _text(asked.result(seconds).topic_id)
        except (KafkaException, TimeoutError):  # missing at the moment, or the broker is away: others tell
            return Answer.NONE
        before, self._id = self._id, found or self._id
        return Answer.CHANGED if before not in (None, self._id) else Answer.SAME


def _text(topic_id: Uuid | None) -> str | None:
    """None for the id of zeros, which is no id."""
    text = str(topic_id or _NO_ID)
    return None if text == _NO_ID else text
