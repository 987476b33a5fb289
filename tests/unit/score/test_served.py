"""Which bundle may take the place of another between two batches."""

from types import SimpleNamespace

import pytest

from worker.errors import BundleError
from worker.model.bundle import read_manifest
from worker.score.served import Canary, file_key, refuse_unlike, served
from worker.settings import STARTER_BUNDLE

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
        refuse_unlike(bundle(), bundle("next", heads), with_detail=False, own_tags=True)


def test_one_of_the_same_space_is_taken():
    refuse_unlike(bundle(), bundle("next"), with_detail=False, own_tags=True)


def test_a_canary_decides_about_its_share_and_knows_files_by_itself():
    canary = Canary(served(bundle("next"), MANIFEST.policy), 0.5)
    names = [f"image-{number}" for number in range(200)]
    its = {name for name in names if canary.decides(name)}
    assert 70 < len(its) < 130
    assert {name for name in names if file_key(canary, name, "d") != "d"} == its
    assert {file_key(None, name, "d") for name in names} == {"d"}
