"""Which topics there are, and what is asked of them."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.errors import BrokerError
from worker.settings import KafkaSettings, Settings, TopicSettings
from worker.stream.topics import _replication, create_topics, topics_of


def test_every_topic_of_the_settings_is_there_once():
    settings = Settings()
    named = {value for name, value in settings.topics if isinstance(value, str)}
    topics = [topic.name for topic in topics_of(settings)]
    assert len(topics) == len(set(topics))
    assert set(topics) == named


def test_vectors_are_compacted_and_dead_letters_have_room_for_their_headers():
    settings = Settings(
        topics=TopicSettings(embedded="vectors", dead_letter="dead", index_dead_letter="dead2")
    )
    config = {topic.name: topic.config for topic in topics_of(settings)}
    assert config["vectors"] == {"cleanup.policy": "compact"}
    for name in ("dead", "dead2"):
        assert int(config[name]["max.message.bytes"]) > 1_048_588  # Kafka's own default


class Brokers:
    """A cluster of `count`, and what its first tells of its configuration."""

    def __init__(self, count, **defaults):
        self.brokers = dict.fromkeys(range(count))
        self.defaults = {name.replace("_", "."): SimpleNamespace(value=v) for name, v in defaults.items()}

    def list_topics(self, timeout):
        return self

    def describe_configs(self, resources, request_timeout):
        answer = Future()
        if self.defaults:
            answer.set_result(self.defaults)
        else:
            answer.set_exception(KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)))
        return dict.fromkeys(resources, answer)


@pytest.mark.parametrize(
    ("brokers", "asked", "replication", "least"),
    [
        (Brokers(1, default_replication_factor="1"), None, 1, None),
        (Brokers(2, default_replication_factor="1"), None, 2, None),
        (Brokers(3, default_replication_factor="1", min_insync_replicas="1"), None, 3, "2"),
        (Brokers(9, default_replication_factor="5", min_insync_replicas="3"), None, 5, "3"),
        (Brokers(9, default_replication_factor="1"), None, 3, "2"),
        (Brokers(9), None, 3, "2"),
        (Brokers(9, default_replication_factor="3"), 1, 1, None),
    ],
)
def test_a_record_is_held_more_than_once_where_it_can_be(brokers, asked, replication, least):
    settings = Settings(topics=TopicSettings(replication_factor=asked))
    expected = {} if least is None else {"min.insync.replicas": least}
    assert _replication(brokers, settings) == (replication, expected)


def test_a_broker_that_is_not_there_is_named():
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:9", request_timeout=0.05)
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:9"):
        create_topics(Settings(kafka=kafka))
