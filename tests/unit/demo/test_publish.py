"""Uploads are sent in order, evenly over the time, on librdkafka's own broker."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from tests.unit.demo.outcomes import upload
from worker.demo.publish import Publisher


@pytest.fixture(scope="module")
def producer() -> Iterator[Producer]:
    made = Producer({"bootstrap.servers": "in-process", "test.mock.num.brokers": 1, "log_level": 0})
    made.list_topics("uploads", timeout=10)  # asking makes a topic
    yield made
    made.flush(5)


def until_finished(publisher: Publisher) -> None:
    deadline = time.monotonic() + 10
    while not publisher.finished:
        assert time.monotonic() < deadline
        publisher.turn()
        time.sleep(0.005)


def test_every_upload_is_in_the_log_once_with_its_place_and_time(producer: Producer) -> None:
    uploads = [upload(number) for number in range(20)]
    publisher = Publisher(producer, uploads, 0.01)
    until_finished(publisher)
    publisher.turn()
    assert publisher.total == 20
    assert {each.upload.image_id for each in publisher.published} == {each.image_id for each in uploads}
    assert len({each.position for each in publisher.published}) == 20
    assert all(abs(each.sent_ms / 1000 - time.time()) < 60 for each in publisher.published)


def test_no_upload_is_sent_before_its_time(producer: Producer) -> None:
    publisher = Publisher(producer, [upload(number) for number in range(5)], 3600.0)
    publisher.turn()
    producer.flush(5)
    publisher.turn()
    assert len(publisher.published) == 1
    assert not publisher.finished


def test_of_no_uploads_nothing_is_left_to_be_done(producer: Producer) -> None:
    assert Publisher(producer, [], 1.0).finished
