"""What the demo publishes is what it says: parsed, fetched and decoded by the worker's own stages."""

import io
import ssl
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpcore2
import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry

from schemas.bundle import ImageInput
from schemas.events import ImageDeleted, ImageUploaded
from tests.unit.demo.pictures import PHOTOS, drawn_pictures
from worker.demo.edits import EDITS
from worker.demo.store import HOST, ObjectStore
from worker.demo.uploads import Kind, Pictures, Planner, Upload, image_files, pictures_in
from worker.errors import ConfigurationError, Rejection
from worker.fetch.addresses import IPAddress
from worker.fetch.connections import tcp_connector
from worker.fetch.fetch import build_fetcher
from worker.metrics import Metrics
from worker.model.decode import ImageLimits
from worker.score.outcome import Removal
from worker.score.parse import Parser
from worker.score.prepare import Prepared, Preparer
from worker.settings import FetchSettings
from worker.stream.kafka import InputRecord

TOPIC = "uploads"
# The store speaks plain HTTP: loading the authorities takes longer than a test.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def only_loopback(address: IPAddress, port: int, timeout: float) -> httpcore2.NetworkStream:
    assert str(address) == HOST, f"a test must not connect to {address}"
    return tcp_connector(address, port, timeout)


class Plan:
    """A plan, and the worker's stages before the model set up as the demo sets them up."""

    def __init__(self, pictures: Pictures, store: ObjectStore, work: Path) -> None:
        self.uploads = Planner(TOPIC, store, work).plan(pictures)
        settings = FetchSettings(
            folder=pictures.photo_folder,
            schemes=["https", "http"],
            allowed_networks=[f"{HOST}/32"],
            retries=0,
        )
        self._parse = Parser(f"{store.url}/{{bucket}}/{{key}}")
        self._prepare = Preparer(
            build_fetcher(settings, connector=only_loopback, tls=NO_AUTHORITIES).fetch,
            [ImageInput(height=32, width=32)],
            ImageLimits(),
            Metrics(CollectorRegistry()),
        )

    def of(self, kind: Kind) -> list[Upload]:
        return [upload for upload in self.uploads if upload.kind == kind]

    def prepared(self, upload: Upload) -> Prepared | Removal:
        made = upload.make(datetime.now(UTC))
        assert made.topic == TOPIC
        record = InputRecord(made.topic, 0, 0, made.key, made.value, made.headers, 1)
        return self._prepare(lambda: self._parse(record))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    home = tmp_path_factory.mktemp("demo")
    (home / "work").mkdir()
    with ObjectStore() as store:
        yield Plan(drawn_pictures(home / "assets"), store, home / "work")


def test_every_picture_arrives_in_whatever_form_it_is_sent(plan: Plan) -> None:
    kinds = (Kind.PHOTO, Kind.COPY, Kind.NOTICE, Kind.CODE, Kind.REPEAT)
    for upload in (upload for upload in plan.uploads if upload.kind in kinds):
        prepared = plan.prepared(upload)
        assert isinstance(prepared, Prepared)
        assert isinstance(prepared.event, ImageUploaded)
        assert (prepared.event.image_id, prepared.event.event_id) == (upload.image_id, upload.event_id)
        assert upload.picture is not None
        assert prepared.pixels[0].shape == (32, 32, 3)


def test_what_arrives_is_the_picture_that_the_report_shows(plan: Plan) -> None:
    for upload in [*plan.of(Kind.PHOTO)[:3], *plan.of(Kind.COPY)[:3], *plan.of(Kind.NOTICE)[:2]]:
        prepared = plan.prepared(upload)
        assert isinstance(prepared, Prepared)
        assert upload.picture is not None
        with Image.open(upload.picture) as shown:
            small = shown.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=2.0)
        assert abs(prepared.pixels[0].astype(int) - np.asarray(small)).mean() < 5


def test_every_broken_upload_is_rejected_with_the_reason_it_was_made_for(plan: Plan) -> None:
    broken = plan.of(Kind.BROKEN)
    for upload in broken:
        with pytest.raises(Rejection) as caught:
            plan.prepared(upload)
        assert caught.value.reason == upload.expected, f"{upload.note}: {caught.value}"
    assert len({upload.note for upload in broken}) == len(broken) >= 20


def test_deletions_are_removals_of_photos_sent_before_and_of_one_never_sent(plan: Plan) -> None:
    deletions = plan.of(Kind.DELETION)
    for upload in deletions:
        removal = plan.prepared(upload)
        assert isinstance(removal, Removal)
        assert isinstance(removal.event, ImageDeleted)
        assert (removal.event.image_id, removal.event.event_id) == (upload.image_id, upload.event_id)
    order = [(upload.kind, upload.image_id) for upload in plan.uploads]
    sent = [upload for upload in deletions if (Kind.PHOTO, upload.image_id) in order]
    assert (len(deletions), len(sent)) == (4, 3)
    for upload in sent:
        assert order.index((Kind.PHOTO, upload.image_id)) < order.index((Kind.DELETION, upload.image_id))
    assert len({upload.form for upload in sent}) == 3


def test_there_is_every_edit_of_some_photos_after_the_photo_itself(plan: Plan) -> None:
    copies = plan.of(Kind.COPY)
    assert Counter(copy.note for copy in copies) == dict.fromkeys(EDITS, 15)
    order = [upload.image_id for upload in plan.uploads]
    assert all(order.index(copy.original or "") < order.index(copy.image_id) for copy in copies)
    files = {copy.picture.read_bytes() for copy in copies if copy.picture}
    assert len(files) == len(copies)


def test_event_ids_are_unique_but_for_what_is_sent_twice(plan: Plan) -> None:
    ids = Counter(upload.event_id for upload in plan.uploads if upload.kind != Kind.REPEAT)
    assert set(ids.values()) == {1}
    assert {upload.event_id for upload in plan.of(Kind.REPEAT)} <= ids.keys()
    assert len(plan.of(Kind.REPEAT)) == 2
    assert len(plan.of(Kind.PHOTO)) == PHOTOS


def test_the_same_pictures_give_the_same_order(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with ObjectStore() as store:
        again = Planner(TOPIC, store, tmp_path / "work").plan(drawn_pictures(tmp_path / "assets"))
    assert [upload.image_id for upload in again] == [upload.image_id for upload in plan.uploads]


def test_damaged_images_of_the_user_are_sent_but_not_copied(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for number in range(4):
        (own / f"{number}.jpg").write_bytes(b"no image at all")
    packed = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(packed, "PNG")
    (own / "sound.PNG").write_bytes(packed.getvalue())
    drawn = drawn_pictures(tmp_path / "assets", 1)
    pictures = pictures_in(tmp_path / "assets", own)
    assert pictures.notices == drawn.notices
    (tmp_path / "work").mkdir()
    with ObjectStore() as store:
        uploads = Planner(TOPIC, store, tmp_path / "work").plan(pictures)
    kinds = Counter(upload.kind for upload in uploads)
    assert (kinds[Kind.PHOTO], kinds[Kind.COPY]) == (5, len(EDITS))


def test_many_images_are_sampled_evenly(tmp_path: Path) -> None:
    drawn_pictures(tmp_path / "assets", 1)
    own = tmp_path / "own" / "deeper"
    own.mkdir(parents=True)
    for number in range(600):
        (own / f"{number:03}.jpg").touch()
    (own / "readme.txt").touch()
    chosen = pictures_in(tmp_path / "assets", own.parent).photos
    assert [path.as_posix() for path in chosen] == [f"deeper/{number:03}.jpg" for number in range(0, 600, 2)]


def test_a_folder_without_images_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no images"):
        pictures_in(tmp_path, tmp_path)


def test_a_file_name_that_is_no_unicode_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "good.jpg").touch()
    (tmp_path / b"bad-\xff.jpg".decode("utf-8", "surrogateescape")).touch()
    assert image_files(tmp_path) == [Path("good.jpg")]
