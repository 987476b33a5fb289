"""One event before the model: codes are read where the stage is on, and only there."""

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from schemas.bundle import ImageInput
from schemas.events import DELETED, ImageDeleted, ImageReference, ImageUploaded
from schemas.rejection import RejectionReason
from tests import codes, images
from worker.errors import Rejection, StageError
from worker.metrics import Metrics
from worker.model.decode import ImageLimits
from worker.score.codes import CodeReader
from worker.score.outcome import PassedOver, PassOverReason, Removal, Several
from worker.score.parsed import PerhapsDeleted
from worker.score.prepare import Preparer
from worker.settings import CodeSettings

POSTER = images.encoded(codes.poster("https://example.com"), quality=85)
EVENT = ImageUploaded(
    event_id="e", image_id="i", uploaded_at="2026-01-02T03:04:05Z", image=ImageReference(path="x")
)


class Prepared:
    """What a preparer makes of `data`, and the metrics that it leaves."""

    def __init__(self, data, read_codes=None):
        self.metrics = Metrics(CollectorRegistry())
        size = ImageInput(height=96, width=128)
        prepare = Preparer(lambda _: data, [size], ImageLimits(), self.metrics, read_codes=read_codes)
        self.image = prepare(lambda: EVENT)

    def sample(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels)


def test_codes_are_read_and_counted_by_format_alone():
    prepared = Prepared(POSTER, CodeReader(CodeSettings()))
    assert [code.payload for code in prepared.image.codes] == ["https://example.com"]
    assert prepared.sample("mekiki_codes_read_total", format="QRCode") == 1
    assert prepared.sample("mekiki_stage_duration_seconds_count", stage="codes") == 1
    (family,) = (found for found in prepared.metrics.registry.collect() if found.name == "mekiki_codes_read")
    assert all(set(sample.labels) == {"format"} for sample in family.samples)


def test_without_the_stage_nothing_is_read_and_the_pixels_are_the_same():
    off, on = Prepared(POSTER), Prepared(POSTER, CodeReader(CodeSettings()))
    assert list(off.image.codes) == []
    assert off.sample("mekiki_codes_read_total", format="QRCode") is None
    assert off.sample("mekiki_stage_duration_seconds_count", stage="codes") is None
    np.testing.assert_array_equal(off.image.pixels[0], on.image.pixels[0])


def test_an_image_without_codes_has_an_empty_list():
    assert list(Prepared(images.jpeg(7), CodeReader(CodeSettings())).image.codes) == []


def test_a_damaged_image_is_rejected_as_without_the_stage():
    reader = CodeReader(CodeSettings())
    for name in ("truncated_jpeg", "truncated_png", "html"):
        data = getattr(images, name)(7)
        with pytest.raises(Rejection) as without:
            Prepared(data)
        with pytest.raises(Rejection) as beside:
            Prepared(data, reader)
        assert (without.value.reason, without.value.detail) == (beside.value.reason, beside.value.detail)


def test_a_failure_of_the_reader_is_no_rejection(monkeypatch):
    reader = CodeReader(CodeSettings())

    def fail(*_, **__):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(reader._library, "read_barcodes", fail)
    with pytest.raises(StageError, match="out of luck"):
        Prepared(POSTER, reader)


GONE = ImageDeleted(type=DELETED, event_id="d", image_id="i", deleted_at="2026-01-02T03:04:05Z")


def asked(answer, gone_if_unnamed=False, version="v1"):
    """What becomes of a version that is gone, where the store gives `answer`: a header, or a rejection."""

    def look(url):
        assert url == "https://store.example/a.jpg"
        if isinstance(answer, RejectionReason):
            raise Rejection(answer, "no")
        return answer

    size, metrics = ImageInput(height=96, width=128), Metrics(CollectorRegistry())
    prepare = Preparer(lambda _: pytest.fail("fetched"), size, ImageLimits(), metrics, look=look)
    perhaps = PerhapsDeleted(GONE, "https://store.example/a.jpg", "x-version", version, gone_if_unnamed)
    return prepare(lambda: perhaps)


@pytest.mark.parametrize("gone_if_unnamed", [True, False])
def test_what_the_store_has_not_any_more_is_removed(gone_if_unnamed):
    assert asked(RejectionReason.FETCH_NOT_FOUND, gone_if_unnamed) == Removal(GONE)


STILL_THERE = PassedOver(PassOverReason.OBJECT_STILL_THERE)


@pytest.mark.parametrize(
    ("answer", "gone_if_unnamed", "outcome"),
    [
        ({"x-version": "v2"}, False, STILL_THERE),
        ({"x-version": "v2"}, True, STILL_THERE),
        ({"x-version": "v1"}, False, Removal(GONE)),
        ({"x-version": "v1"}, True, Removal(GONE)),
        ({"content-type": "image/jpeg"}, False, STILL_THERE),
        ({"content-type": "image/jpeg"}, True, Removal(GONE)),
    ],
)
def test_what_the_store_still_serves_stays_if_it_is_another_version(answer, gone_if_unnamed, outcome):
    assert asked(answer, gone_if_unnamed) == outcome


@pytest.mark.parametrize(
    "reason",
    [
        RejectionReason.FETCH_UNREACHABLE,
        RejectionReason.FETCH_TIMEOUT,
        RejectionReason.FETCH_HTTP_STATUS,
        RejectionReason.FETCH_FORBIDDEN_ADDRESS,
    ],
)
def test_a_store_that_gives_no_answer_decides_nothing(reason):
    with pytest.raises(Rejection) as raised:
        asked(reason)
    assert raised.value.reason is reason


@pytest.mark.parametrize("read", [PassedOver(PassOverReason.TEST), Several((b"1", b"2"))])
def test_what_is_no_event_of_one_image_goes_through_as_it_is(read):
    size, metrics = ImageInput(height=96, width=128), Metrics(CollectorRegistry())
    assert Preparer(lambda _: pytest.fail("fetched"), size, ImageLimits(), metrics)(lambda: read) is read
