"""Which bundle may take the place of another between two batches."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from schemas.events import ImageReference, ImageUploaded
from schemas.policy import Policy, Threshold
from worker.errors import BundleError
from worker.metrics import Metrics
from worker.model.bundle import load_bundle, read_manifest
from worker.score.judge import Judge
from worker.score.prepare import Prepared
from worker.score.repeats import Repeats
from worker.score.served import Canary, file_key, refuse_unlike, served
from worker.score.share import CANARY, in_share
from worker.settings import STARTER_BUNDLE, ModelSettings

NOW = datetime(2026, 1, 2, tzinfo=UTC)

MANIFEST, IDENTIFIER = read_manifest(STARTER_BUNDLE)


def bundle(name="starter", heads=MANIFEST.heads):
    return SimpleNamespace(id=name, manifest=MANIFEST.model_copy(update={"heads": heads}))


def without(kind):
    return [head for head in MANIFEST.heads if head.kind != kind]


ELSEWHERE = MANIFEST.embedding.model_copy(update={"space": "elsewhere"})


def test_a_verdict_says_what_it_came_from():
    attribution = served(bundle(), MANIFEST.policy).attribution
    assert attribution.bundle_id == "starter"
    assert attribution.space == MANIFEST.embedding.space
    assert attribution.preferences == ["preference"]


def test_it_takes_its_pixels_from_those_that_there_are():
    (size,) = MANIFEST.image_inputs()
    other = size.model_copy(update={"height": size.height + 32})
    assert served(bundle(), MANIFEST.policy, [other, size]).places == [1]
    with pytest.raises(BundleError, match="sizes that images are not decoded to"):
        served(bundle(), MANIFEST.policy, [other])


@pytest.mark.parametrize(
    ("heads", "told"),
    [
        (without("embedding"), "another embedding"),
        ([*without("embedding"), ELSEWHERE], "another embedding"),
        (without("tags"), "other vectors to model.tags"),
    ],
)
def test_what_others_rest_on_stays(heads, told):
    with pytest.raises(BundleError, match=told):
        refuse_unlike(bundle(), bundle("next", heads), measures=frozenset(), own_tags=True)


def test_one_of_the_same_space_is_taken():
    assert refuse_unlike(bundle(), bundle("next"), measures=frozenset(), own_tags=True) is None


def test_a_canary_decides_about_its_share_and_knows_files_by_itself():
    canary = Canary(served(bundle("next"), MANIFEST.policy), 0.5)
    names = [f"image-{number}" for number in range(200)]
    its = {name for name in names if canary.decides(name)}
    assert 70 < len(its) < 130
    assert {name for name in names if file_key(canary, name, "d") != "d"} == its
    assert {file_key(None, name, "d") for name in names} == {"d"}


class Judged:
    """The starter bundle under two ids, and a judge that is told which of them serves."""

    def __init__(self, canary_share=None):
        whole = load_bundle(ModelSettings(threads=1))
        self.first = served(whole, Policy())
        strict = Policy(thresholds={"text": Threshold(review=0.0)})
        self.second = served(replace(whole, id="second"), strict)
        self.serving, self.repeats = self.first, Repeats(100)
        canary = None if canary_share is None else Canary(self.second, canary_share)
        self.key = partial(file_key, canary)
        metrics = Metrics(CollectorRegistry())
        self.judge = Judge(lambda: self.serving, metrics, repeats=self.repeats, canary=canary)
        self.value = metrics.registry.get_sample_value

    def prepared(self, name, digest):
        """An image as it comes to the judge: with pixels, or with what is known of its file."""
        event = ImageUploaded(
            event_id=name, image_id=name, uploaded_at=NOW, image=ImageReference(path="x"), category=None
        )
        known = self.repeats.find(self.key(name, digest))
        (size,) = MANIFEST.image_inputs()
        pixels = () if known else (np.full((size.height, size.width, 3), len(digest), np.uint8),)
        measured = {"width": 64.0, "height": 64.0, "bytes": 1000.0}
        return Prepared(event, digest, pixels, measured=measured, known=known)


def told(verdicts):
    return [(each.attribution.bundle_id, each.decision) for each in verdicts]


def test_after_a_swap_each_verdict_says_what_judged_it_known_files_too():
    its = Judged()
    assert told(its.judge([its.prepared("a", "d")])) == [(IDENTIFIER, "accept")]
    known = its.prepared("b", "d")  # looked up before the swap, and judged after it
    its.serving = its.second
    verdicts = its.judge([its.prepared("c", "dd"), known, its.prepared("d", "ddd")])
    assert told(verdicts) == [("second", "review"), (IDENTIFIER, "accept"), ("second", "review")]
    assert verdicts[1].attribution is its.first.attribution


def test_a_canary_and_the_rest_share_a_batch_and_no_findings():
    its = Judged(canary_share=0.5)
    names = [f"image-{number}" for number in range(20)]
    canary = [name for name in names if in_share(name, 0.5, CANARY)]
    expected = [("second", "review") if name in canary else (IDENTIFIER, "accept") for name in names]
    for _ in range(2):  # the second time all are known, each by its own bundle
        images = [its.prepared(name, "d") for name in names]
        assert told(its.judge(images)) == expected
    assert {image.known is not None for image in images} == {True}
    assert its.value("mekiki_canary_decisions_total", {"decision": "review"}) == 2 * len(canary)
