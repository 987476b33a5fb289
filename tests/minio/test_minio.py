"""A private bucket of a real MinIO, its own notifications on a real Kafka, read with credentials that change.

`make test-minio` runs it. MEKIKI_NOTIFICATIONS: how many, 2,000 where nothing else is said.
"""

import io
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from export.bundle.pull import pull
from tests import images
from tests.integration.conftest import kafka as kafka  # noqa: PLC0414 - a fixture
from tests.integration.conftest import workplaces
from tests.kafka.client import Broker, wait_until
from tests.minio.server import MinioServer
from tests.network_guard import HOST
from tests.results import Results, place_of_dead_letter, place_of_result, places
from tests.workplace import Workplace
from worker.errors import BundleError
from worker.model.bundle import read_manifest
from worker.settings import STARTER_BUNDLE
from worker.stream import cause, dead_letter

NAME, BUCKET = "minio.test", "listings"
COUNT = int(os.environ.get("MEKIKI_NOTIFICATIONS", "2000"))
DELETIONS = COUNT * 3 // 100
UPLOADS = COUNT - DELETIONS

# What people call their objects; every tenth has such a name.
ODD = ["a b+c/{}.jpg", "写真/靴 {}.jpg", "100%25/{}.jpg", "a&b=c/{}?.jpg", "'({})'!*.jpg", "é/{}~.jpg"]


@pytest.fixture
def workplace(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplaces(tmp_path_factory) as open_workplace:
        yield open_workplace(kafka, names={NAME: [HOST]})


@pytest.fixture
def minio(workplace: Workplace, tmp_path: Path) -> Iterator[MinioServer]:
    program = Path(os.environ["MEKIKI_MINIO"])
    bootstrap, topic = workplace.settings.kafka.bootstrap_servers, workplace.settings.topics.uploaded
    with MinioServer(program, tmp_path, NAME, bootstrap, topic) as server:
        server.make_bucket(BUCKET)
        yield server


def key(number: int) -> str:
    return (ODD[number // 10 % len(ODD)] if number % 10 == 0 else "{}.jpg").format(number)


def write(file: Path, user: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(f"[default]\naws_access_key_id = {user}\naws_secret_access_key = secret-of-{user}\n")
    new.replace(file)


def test_each_notification_has_one_outcome_though_the_credentials_are_rotated(
    workplace: Workplace, minio: MinioServer, tmp_path: Path
) -> None:
    broker, topics = workplace.broker, workplace.settings.topics
    minio.add_reader("reader-1", "secret-of-reader-1", BUCKET)
    write(tmp_path / "credentials", "reader-1")
    store = {
        "kind": "s3",
        "buckets": [BUCKET],
        "endpoint": minio.endpoint,
        "credentials_file": tmp_path / "credentials",
    }
    settings = workplace.changed(
        fetch={"object_stores": {"shop": store}, "ca_file": minio.ca_file, "timeout": 10}
    )
    photos = [images.encoded(images.photo(number, 64, 64)) for number in range(20)]

    def upload(number: int) -> None:
        photo = photos[number % 20]
        minio.client.put_object(
            bucket_name=BUCKET, object_name=key(number), data=io.BytesIO(photo), length=len(photo)
        )

    gone = random.Random(7).sample(range(UPLOADS // 2), DELETIONS)  # of the first half, deleted half-way
    began = time.monotonic()
    with workplace.running("score", settings=settings) as running, ThreadPoolExecutor(4) as shop:
        list(shop.map(upload, range(UPLOADS // 2)))
        wait_until(lambda: len(broker.read(topics.moderated)) > COUNT // 20, "the first verdicts", 120)
        minio.add_reader("reader-2", "secret-of-reader-2", BUCKET)
        write(tmp_path / "credentials", "reader-2")
        minio.admin.user_remove("reader-1")
        for number in gone:
            minio.client.remove_object(bucket_name=BUCKET, object_name=key(number))
        list(shop.map(upload, range(UPLOADS // 2, UPLOADS)))
        wait_until(lambda: len(broker.read(topics.uploaded)) >= COUNT, "every notification", 120)
        broker.wait_until_done(settings.kafka.group, topics.uploaded, 300)
        assert running.get("/readyz")[0] == 200
    seconds = time.monotonic() - began
    sent, results = broker.read(topics.uploaded), Results.read(broker, topics)
    removed = [record for record in results.embedded if record.value is None]
    outcomes = Counter(
        [
            *map(place_of_result, results.moderated),
            *map(place_of_dead_letter, results.dead),
            *(tuple(map(int, (r.header(cause.POSITION) or b"").split(b"/")[1:3])) for r in removed),
        ]
    )
    reasons = Counter(record.header(dead_letter.REASON) for record in results.dead)
    print(
        f"{len(sent)} notifications in {seconds:.0f} s: {len(results.moderated)} verdicts, "
        f"{len(removed)} tombstones of deletions, {dict(reasons)} (deleted before they were fetched)"
    )
    assert len(sent) == COUNT
    assert set(outcomes) == places(sent)
    assert set(outcomes.values()) == {1}
    assert len(removed) == DELETIONS
    # An upload is refused for one reason alone: its object was deleted before it was its turn.
    assert set(reasons) <= {b"fetch.not_found"}
    assert {record.key for record in results.dead} <= {f"{BUCKET}/{key(number)}".encode() for number in gone}
    last = {record.key: record.value for record in [*results.embedded, *results.removed]}
    alive = {f"{BUCKET}/{key(number)}".encode() for number in set(range(UPLOADS)) - set(gone)}
    assert {name for name, value in last.items() if value is not None} == alive


def test_a_bundle_is_pulled_from_a_bucket_by_credentials_of_the_environment(
    minio: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in STARTER_BUNDLE.iterdir():
        minio.client.fput_object(
            bucket_name=BUCKET, object_name=f"bundles/starter/{file.name}", file_path=str(file)
        )
    minio.add_reader("puller", "secret-of-puller", BUCKET)
    environment = {
        "AWS_ENDPOINT_URL": f"https://{HOST}:{minio.port}",
        "AWS_ACCESS_KEY_ID": "puller",
        "AWS_SECRET_ACCESS_KEY": "secret-of-puller",
        "AWS_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    url, folder = f"s3://{BUCKET}/bundles/starter", tmp_path / "pulled"
    manifest, identifier = read_manifest(STARTER_BUNDLE)
    assert pull(url, folder, ca_file=minio.ca_file) == identifier
    assert {path.name for path in folder.iterdir()} == {*(f.name for f in manifest.files), "manifest.json"}
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(BundleError, match="cannot be had"):
        pull(url, tmp_path / "other", ca_file=minio.ca_file)
