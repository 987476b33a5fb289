"""A private bucket behind TLS of a private authority, its notifications on a real Kafka.

MEKIKI_NOTIFICATIONS sends more of them.
"""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests import events, images
from tests.integration.conftest import workplaces
from tests.kafka.client import Broker, wait_until
from tests.network_guard import HOST
from tests.object_store import SigningStore
from tests.results import Results, places
from tests.workplace import Workplace

COUNT = int(os.environ.get("MEKIKI_NOTIFICATIONS", "200"))
DELETED_OF_100 = 3


@pytest.fixture
def workplace(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplaces(tmp_path_factory) as open_workplace:
        yield open_workplace(kafka, names={"store.test": [HOST]})


def write(file: Path, key: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret of {key}\n")
    new.replace(file)


def is_deleted(number: int) -> bool:
    return number % 100 < DELETED_OF_100


def test_each_notification_has_one_outcome_though_the_credentials_are_rotated(
    workplace: Workplace, tmp_path: Path
) -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("store.test").configure_cert(tls)
    write(tmp_path / "credentials", "old")
    with SigningStore({"old": "secret of old"}, tls) as store:
        photos = [images.encoded(images.photo(number, 64, 64)) for number in range(20)]
        store.objects |= {f"{number}.jpg": photos[number % 20] for number in range(COUNT)}
        place = {
            "kind": "s3",
            "buckets": ["ok"],
            "endpoint": store.endpoint("store.test"),
            "credentials_file": tmp_path / "credentials",
        }
        settings = workplace.changed(
            fetch={"object_stores": {"shop": place}, "ca_file": tmp_path / "ca.pem", "timeout": 10}
        )
        kinds = {True: "s3:ObjectRemoved:Delete", False: "s3:ObjectCreated:Put"}
        records = [
            events.notification("ok", f"{number}.jpg", kinds[is_deleted(number)], partition=number % 2)
            for number in range(COUNT)
        ]
        sent = workplace.broker.send(settings.topics.uploaded, records)
        with workplace.running("score", settings=settings):
            wait_until(lambda: len(store.asked) > COUNT // 4, "a quarter to be asked for")
            store.keys["new"] = "secret of new"
            write(tmp_path / "credentials", "new")
            wait_until(lambda: any("Credential=new" in target for target in store.asked), "the new key")
            del store.keys["old"]
            workplace.broker.wait_until_done(settings.kafka.group, settings.topics.uploaded, 300)
    results = Results.read(workplace.broker, settings.topics)
    assert results.dead == []
    judged = {record.key for record in records if not is_deleted(int((record.key or b"")[3:-4]))}
    outcomes = results.outcomes()
    assert len(results.moderated) == len(judged)
    assert {record.key for record in results.moderated} == judged
    assert set(outcomes.values()) == {1}
    gone = [record for record in results.embedded if record.key not in judged]
    assert len(gone) == COUNT - len(judged)
    assert all(record.value is None for record in gone)
    assert set(outcomes) <= places(sent)
