"""The schemas on the wire: generated files, vectors, policies, manifests."""

import json
from datetime import UTC, datetime

import jsonschema
import numpy as np
import pytest
from pydantic import ValidationError

from schemas.bundle import BundleManifest, bundle_id
from schemas.events import UPLOADED, ImageReference, ImageUploaded, derived_event_id
from schemas.generate import json_schema, rendered
from schemas.policy import Exemption, Policy, Threshold
from schemas.vector import Vector


@pytest.mark.parametrize(("path", "text"), rendered().items(), ids=lambda value: getattr(value, "name", ""))
def test_generated_files_are_those_of_the_models(path, text):
    assert path.read_text(encoding="utf-8") == text, "run `python -m schemas.generate`"


def test_a_real_event_fits_its_json_schema():
    event = ImageUploaded(
        event_id="e", image_id="i", uploaded_at=datetime.now(UTC), image=ImageReference(path="a.jpg")
    )
    schema = json_schema(ImageUploaded)
    jsonschema.validate(json.loads(event.model_dump_json(exclude_none=True)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"event_id": "e"}, schema)


def test_a_vector_survives_the_wire_bit_for_bit():
    array = np.array([0.0, -0.0, 1e-38, np.pi, -1.5], np.float32)
    sent = Vector.from_array(array).model_dump_json()
    assert Vector.model_validate_json(sent).to_array().tobytes() == array.tobytes()


def test_a_vector_is_little_endian_float32():
    assert Vector.from_array(np.array([1.0], np.float32)).data == "AACAPw=="


@pytest.mark.parametrize("data", ["AACAPw", "AACAPwAA", "!!!!"])
def test_a_vector_of_other_bytes_than_its_dim_is_refused(data):
    with pytest.raises(ValidationError):
        Vector(dim=1, data=data)


@pytest.mark.parametrize("reference", [{}, {"url": "https://a/b", "path": "b"}])
def test_exactly_one_image_reference(reference):
    with pytest.raises(ValidationError, match="exactly one"):
        ImageReference(**reference)


def test_event_ids_repeat_for_the_same_cause_and_type_only():
    assert derived_event_id("a", "x") == derived_event_id("a", "x")
    assert len({derived_event_id(kind, cause) for kind in "ab" for cause in "xy"}) == 4


def test_a_category_overrides_one_score_and_leaves_the_others():
    policy = Policy(
        thresholds={"text": Threshold(block=0.9), "qr": Threshold(block=0.8)},
        categories={"books": {"text": Threshold(block=0.99)}},
    )
    assert policy.for_category("books") == {"text": Threshold(block=0.99), "qr": Threshold(block=0.8)}
    assert policy.for_category("shoes") == policy.for_category(None) == policy.thresholds


def test_a_review_level_above_block_is_refused():
    with pytest.raises(ValidationError, match="must not be above"):
        Threshold(block=0.5, review=0.6)


def test_an_exemption_without_a_level_is_refused():
    with pytest.raises(ValidationError, match="exempts from nothing"):
        Threshold(unless=Exemption(score="code_area", below=0.05))


def test_a_policy_knows_the_scores_of_its_exemptions():
    threshold = Threshold(block=0.8, unless=Exemption(score="code_area", below=0.05))
    assert Policy(thresholds={"qr": threshold}).score_names() == {"qr", "code_area"}
    assert Policy(categories={"books": {"qr": threshold}}).score_names() == {"qr", "code_area"}


def test_a_bundles_policy_may_name_the_score_of_the_codes_stage():
    thresholds = {"text": {"block": 0.9}, "code_area": {"block": 0.1}}
    manifest = BundleManifest.model_validate(_manifest(policy={"thresholds": thresholds}))
    assert "code_area" in manifest.policy.score_names()


def _manifest(**changes):
    manifest = {
        "name": "tiny",
        "version": "1",
        "created_at": "2026-01-01T00:00:00Z",
        "input": {"height": 32, "width": 32},
        "graphs": [{"file": "g.onnx", "outputs": ["embedding", "text"]}],
        "embedding": {"output": "embedding", "dim": 4, "space": "tiny-1", "near_duplicate_distance": 0.05},
        "scores": [{"name": "text", "output": "text", "kind": "novelty", "description": ""}],
        "policy": {"thresholds": {"text": {"block": 0.9}}},
        "files": [{"name": "g.onnx", "bytes": 1, "sha256": "0" * 64}],
    }
    return {**manifest, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": []}, "lacks an entry"),
        ({"scores": [{"name": "qr", "output": "qr", "kind": "novelty", "description": ""}]}, "no graph has"),
        ({"policy": {"thresholds": {"nudity": {"block": 0.5}}}}, "does not give"),
        (
            {
                "graphs": [{"file": "g.onnx", "outputs": ["embedding", "code_area"]}],
                "scores": [
                    {"name": "code_area", "output": "code_area", "kind": "novelty", "description": ""}
                ],
                "policy": {},
            },
            "cannot be called code_area",
        ),
        ({"files": [{"name": "../g.onnx", "bytes": 1, "sha256": "0" * 64}]}, "pattern"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(changes, message):
    BundleManifest.model_validate(_manifest())
    with pytest.raises(ValidationError, match=message):
        BundleManifest.model_validate(_manifest(**changes))


def test_the_bundle_id_changes_with_any_byte_of_the_manifest():
    manifest = BundleManifest.model_validate(_manifest())
    assert bundle_id(manifest, b"a") != bundle_id(manifest, b"b")
    assert bundle_id(manifest, b"a").startswith("tiny-1-")


def test_the_uploaded_type_is_the_default():
    event = ImageUploaded.model_validate(
        {
            "event_id": "e",
            "image_id": "i",
            "uploaded_at": "2026-01-01T00:00:00Z",
            "image": {"path": "x"},
            "extra": 1,
        }
    )
    assert event.type == UPLOADED


def _graph(file, inputs, *outputs):
    return {"file": file, "inputs": inputs, "outputs": {name: name for name in outputs}}


def _second(**changes):
    """A manifest of version 2: a trunk and a head over it."""
    pixels = {"images": {"kind": "pixels", "height": 32, "width": 32, "resize": "crop"}}
    manifest = {
        "schema_version": 2,
        "name": "tiny",
        "version": "1",
        "created_at": "2026-01-01T00:00:00Z",
        "graphs": [
            _graph("t.onnx", pixels, "maps"),
            _graph("h.onnx", {"maps": {"kind": "output", "output": "maps"}}, "text"),
        ],
        "heads": [{"kind": "novelty", "name": "text", "output": "text", "description": ""}],
        "policy": {"thresholds": {"text": {"block": 0.9}}},
        "files": [{"name": name, "bytes": 1, "sha256": "0" * 64} for name in ("t.onnx", "h.onnx")],
    }
    return {**manifest, **changes}


def test_a_manifest_of_version_1_is_one_of_version_2_with_every_field_in_its_place():
    manifest = BundleManifest.model_validate(_manifest())
    assert manifest.schema_version == 2
    assert manifest.graphs[0].outputs == {"embedding": "embedding", "text": "text"}
    (size,) = manifest.image_inputs()
    assert (size.height, size.width, size.resize) == (32, 32, "stretch")
    assert [head.kind for head in manifest.heads] == ["embedding", "novelty"]
    assert BundleManifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert BundleManifest.model_validate(_manifest(schema_version=1)) == manifest


def test_any_head_may_be_missing():
    manifest = BundleManifest.model_validate(_second())
    assert manifest.embedding is None
    assert manifest.tags is None
    assert [size.resize for size in manifest.image_inputs()] == ["crop"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"graphs": _second()["graphs"][::-1]}, "takes 'maps', which no graph before it gives"),
        ({"graphs": _second()["graphs"][:1]}, r"no graph has the output \['text'\]"),
        ({"graphs": [*_second()["graphs"], _second()["graphs"][1]]}, "stands twice in graphs"),
        ({"heads": _second()["heads"] * 2}, r"a head stands twice in heads: \['text'\]"),
        ({"heads": []}, "at least 1 item"),
        ({"files": _second()["files"][:1]}, r"files lacks an entry for \['h.onnx'\]"),
        ({"policy": {"thresholds": {"qr": {"block": 1}}}}, "policy names scores"),
        ({"heads": [{**_second()["heads"][0], "kind": "mood"}]}, "kind"),
        ({"schema_version": 3}, "schema_version"),
    ],
)
def test_what_contradicts_itself_is_refused_with_what_does(changes, message):
    with pytest.raises(ValidationError, match=message):
        BundleManifest.model_validate(_second(**changes))
