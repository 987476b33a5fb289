"""The same bytes again: neither decoded nor put through the model, and with the same answer to the bit."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from schemas.events import Code, ImageReference, ImageUploaded
from schemas.policy import Policy, Threshold
from tests import images
from worker.errors import Rejection
from worker.metrics import Metrics
from worker.model.bundle import load_bundle
from worker.model.decode import ImageLimits, decode_inputs
from worker.score.judge import Judge
from worker.score.prepare import Prepared, Preparer
from worker.score.repeats import Findings, Repeats
from worker.score.served import served
from worker.settings import ModelSettings

FOUND = Findings((), {"text": 0.25}, None, None, None)


def test_what_was_asked_for_longest_ago_is_forgotten_first():
    repeats = Repeats(2)
    repeats.keep("a", FOUND)
    repeats.keep("b", FOUND)
    assert repeats.find("a") is FOUND
    repeats.keep("c", FOUND)
    assert [repeats.find(name) for name in "abc"] == [FOUND, None, FOUND]
    assert len(repeats) == 2


def test_with_room_for_none_none_is_kept():
    repeats = Repeats(0)
    repeats.keep("a", FOUND)
    assert repeats.find("a") is None


class Stages:
    """The stages before and in the model, with the starter bundle; `data` is what the store gives."""

    def __init__(self, capacity=10, policy=None):
        bundle = load_bundle(ModelSettings(threads=1))
        self.metrics, self.repeats, self.decoded, self.inferred = (
            Metrics(CollectorRegistry()), Repeats(capacity), 0, 0,
        )  # fmt: skip
        self.data = images.jpeg(7)
        serving = served(bundle, policy or bundle.manifest.policy)
        self._judge = Judge(lambda: serving, self.metrics, repeats=self.repeats)
        self._prepare = Preparer(
            lambda _: self.data, bundle.manifest.image_inputs(), ImageLimits(), self.metrics, self._decode,
            measures=bundle.manifest.detail_measures(), repeats=self.repeats,
        )  # fmt: skip

    def _decode(self, *arguments, **named):
        self.decoded += 1
        return decode_inputs(*arguments, **named)

    def prepared(self, image_id, category=None):
        event = ImageUploaded(
            event_id=image_id, image_id=image_id, uploaded_at="2026-01-02T03:04:05Z", category=category,
            image=ImageReference(path="x"),
        )  # fmt: skip
        prepared = self._prepare(lambda: event)
        assert isinstance(prepared, Prepared)
        return prepared

    def judged(self, *prepared):
        return self._judge(prepared)

    def batches(self):
        return self.metrics.registry.get_sample_value("mekiki_infer_batch_images_count")


@pytest.fixture(scope="module")
def starter():
    return Stages()


def same(one, other):
    assert one.scores == other.scores
    assert one.tags == other.tags
    np.testing.assert_array_equal(one.embedding, other.embedding)
    np.testing.assert_array_equal(one.copy_vector, other.copy_vector)
    assert (one.image_sha256, one.decision, one.tags_version) == (
        other.image_sha256, other.decision, other.tags_version,
    )  # fmt: skip


def test_the_same_bytes_under_another_id_have_the_same_answer_without_a_decoder(starter):
    (first,) = starter.judged(starter.prepared("first"))
    decoded, batches = starter.decoded, starter.batches()
    (again,) = starter.judged(starter.prepared("again"))
    assert (starter.decoded, starter.batches()) == (decoded, batches)
    assert starter.metrics.registry.get_sample_value("mekiki_infer_repeated_images_total") == 1
    assert again.event.image_id == "again"
    same(first, again)
    off = Stages(capacity=0)
    for name in ("fresh", "fresh again"):
        (fresh,) = off.judged(off.prepared(name))
        same(fresh, again)
    assert off.decoded == 2


def test_known_and_fresh_images_keep_their_places_in_a_batch(starter):
    starter.judged(starter.prepared("known"))
    known = starter.prepared("known too")
    starter.data = images.jpeg(8)
    fresh = starter.prepared("fresh")
    verdicts = starter.judged(known, fresh, known)
    assert [verdict.event.image_id for verdict in verdicts] == ["known too", "fresh", "known too"]
    same(verdicts[0], verdicts[2])
    assert verdicts[1].image_sha256 == fresh.image_sha256 != known.image_sha256
    assert not np.array_equal(verdicts[0].embedding, verdicts[1].embedding)


def test_another_category_is_judged_by_its_own_threshold():
    policy = Policy(thresholds={}, categories={"books": {"text": Threshold(block=-1.0)}})
    stages = Stages(policy=policy)
    (first,) = stages.judged(stages.prepared("first"))
    (again,) = stages.judged(stages.prepared("again", "books"))
    assert (first.decision, again.decision, stages.decoded) == ("accept", "block", 1)


def test_what_is_kept_of_an_image_does_not_hold_its_batch(starter):
    starter.data = images.jpeg(9)
    image = starter.prepared("kept")
    starter.judged(image, image, image)
    kept = starter.repeats.find(image.image_sha256)
    assert kept.embedding.base is None
    assert kept.tag_vector.base is None


def test_the_codes_of_the_first_are_those_of_the_next(starter):
    starter.data = images.jpeg(10)
    image = starter.prepared("coded")
    code = Code(format="QRCode", payload="x", area_share=0.5)
    starter.judged(replace(image, codes=(code,)))
    assert list(starter.prepared("coded again").codes) == [code]


def test_bytes_that_are_no_image_are_never_known(starter):
    starter.data = b"no image"
    for _ in range(2):
        with pytest.raises(Rejection):
            starter.prepared("broken")
    assert starter.repeats.find(sha256(b"no image").hexdigest()) is None
