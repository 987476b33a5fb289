"""Which topics there are, and what is asked of them."""

import pytest

from worker.errors import BrokerError
from worker.settings import KafkaSettings, Settings, TopicSettings
from worker.stream.topics import create_topics, topics_of


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


def test_a_broker_that_is_not_there_is_named():
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:9", request_timeout=0.05)
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:9"):
        create_topics(Settings(kafka=kafka))
