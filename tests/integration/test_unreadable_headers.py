"""A header's name that is not UTF-8, as a producer in C may send it: one rejection, not a dead worker."""

import ctypes
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.score.parse import Parser
from worker.stream.kafka import UNREADABLE_HEADERS, input_record

TOPIC = "uploads"
COUNT = 30  # as in a worker that has run for a while: the interpreter specialises what runs often
# rd_kafka_vtype_t of librdkafka's rdkafka.h.
_END, _TOPIC, _VALUE, _COPY, _HEADER = (ctypes.c_int(kind) for kind in (0, 1, 4, 7, 9))


def produce_raw_header(bootstrap: str, name: bytes, value: bytes) -> None:
    """Produce {} with a header that the Python client would not send."""
    (library,) = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka-*.so*")
    rdkafka = ctypes.CDLL(str(library))
    rdkafka.rd_kafka_conf_new.restype = rdkafka.rd_kafka_new.restype = ctypes.c_void_p
    configuration, why = ctypes.c_void_p(rdkafka.rd_kafka_conf_new()), ctypes.create_string_buffer(500)
    rdkafka.rd_kafka_conf_set(configuration, b"bootstrap.servers", bootstrap.encode(), why, 500)
    client = ctypes.c_void_p(rdkafka.rd_kafka_new(0, configuration, why, 500))
    body = (_VALUE, ctypes.c_char_p(b"{}"), ctypes.c_size_t(2), _COPY, ctypes.c_int(2))
    header = (_HEADER, ctypes.c_char_p(name), ctypes.c_char_p(value), ctypes.c_ssize_t(len(value)))
    assert (
        rdkafka.rd_kafka_producev(client, _TOPIC, ctypes.c_char_p(TOPIC.encode()), *body, *header, _END) == 0
    )
    assert rdkafka.rd_kafka_flush(client, 10_000) == 0
    rdkafka.rd_kafka_destroy(client)


def test_a_header_name_that_is_not_utf8_is_a_rejection():
    cluster = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    partitions = cluster.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
    (broker,) = cluster.list_topics(timeout=10).brokers.values()
    bootstrap = f"{broker.host}:{broker.port}"
    for _ in range(COUNT):
        produce_raw_header(bootstrap, b"\xff\xfe", b"v")
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in partitions])
    messages = []
    while len(messages) < COUNT:
        messages += consumer.consume(COUNT, timeout=5)
    consumer.close()
    for read in map(input_record, messages):
        assert read.value == b"{}"
        assert [name for name, _ in read.headers] == [UNREADABLE_HEADERS]
    with pytest.raises(Rejection, match="header is not UTF-8") as raised:
        Parser(None)(read)
    assert raised.value.reason == RejectionReason.ENVELOPE_INVALID
