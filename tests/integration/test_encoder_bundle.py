"""A bundle around an encoder of 224 px beside the starter's heads of 128 px: by scan, on a real Kafka."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.bundle.assemble import assemble
from export.bundle.take import take
from schemas.vector import Vector
from tests import encoder, events, images
from tests.kafka.client import wait_until
from tests.results import Results, body, of_key
from tests.workplace import Workplace
from worker.model.decode import ImageLimits, decode_inputs
from worker.settings import STARTER_BUNDLE

PHOTOS = {
    f"{kind.lower()}-{width}x{height}.{kind.lower()}": images.encoded(images.photo(seed, width, height), kind)
    for seed, (kind, width, height) in enumerate(
        [("JPEG", 1200, 900), ("JPEG", 700, 1400), ("PNG", 400, 300), ("WEBP", 640, 512)]
    )
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    parts = [*encoder.write_parts(folder), *take(f"{STARTER_BUNDLE}:text,tags")]
    manifest = assemble(parts, "encoder", "1", folder / "bundle")
    assert len(manifest.image_inputs()) == 2
    assert [graph.file for graph in manifest.graphs].count("trunk.onnx") == 1
    return folder / "bundle"


def expected(data: bytes) -> np.ndarray:
    return encoder.reference_vector(encoder.reference_pixels(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("name", PHOTOS)
def test_its_pixels_are_those_of_its_library_within_a_grey_level(name: str) -> None:
    (ours,) = decode_inputs(PHOTOS[name], [encoder.PIXELS], ImageLimits()).sizes
    reference = encoder.reference_pixels(Image.open(io.BytesIO(PHOTOS[name])))
    assert np.abs(ours.astype(int) - reference.astype(int)).mean() < 1


def scan(folder: Path, bundle: Path) -> dict[str, dict]:
    out = folder / "out.jsonl"
    (folder / "images").mkdir(exist_ok=True)
    for name, data in PHOTOS.items():
        (folder / "images" / name).write_bytes(data)
    command = [
        sys.executable,
        "-m",
        "worker.cli",
        "scan",
        str(folder / "images"),
        "--out",
        str(out),
        "--vectors",
    ]
    done = subprocess.run(
        [*command, "--set", f"model.bundle={bundle}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return {line["path"]: line for line in map(json.loads, out.read_text().splitlines())}


def test_scan_serves_it_beside_heads_of_another_size(bundle: Path, tmp_path: Path) -> None:
    both = scan(tmp_path, bundle)
    alone = scan(tmp_path, STARTER_BUNDLE)
    for name, data in PHOTOS.items():
        line = both[name]
        vector = Vector(**line["vector"]).to_array()
        assert float(vector @ expected(data)) > 0.9999
        assert set(line["scores"]) == {"bright", "text"}
        # The starter's heads see the pixels that they see alone.
        assert line["scores"]["text"] == alone[name]["scores"]["text"]
        assert line["tags"] == alone[name]["tags"]


def test_it_is_served_on_a_real_kafka_and_searched(bundle: Path, workplace: Workplace) -> None:
    settings = workplace.changed(model={"bundle": bundle, "policy": {"thresholds": {"bright": {"block": 2}}}})
    records = [
        events.as_json(events.upload_body(name, data=base64.b64encode(data).decode()), name)
        for name, data in PHOTOS.items()
    ]
    workplace.broker.send(settings.topics.uploaded, records)
    with workplace.running("score", "index", settings=settings) as running:
        workplace.broker.wait_until_done(settings.kafka.group, settings.topics.uploaded)
        wait_until(lambda: running.get("/index")[1]["vectors"] == len(PHOTOS), "every image to be indexed")
        results = Results.read(workplace.broker, settings.topics)
        image = base64.b64encode(PHOTOS["png-400x300.png"]).decode()
        status, answer = running.post("/search", {"image": image, "k": 1})
    assert results.dead == []
    for name, data in PHOTOS.items():
        (embedded,) = of_key(results.embedded, name)
        event = body(embedded)
        assert event["space"] == "tiny-1"
        assert float(Vector(**event["vector"]).to_array() @ expected(data)) > 0.9999
    assert status == 200
    (found,) = answer["results"]
    assert found["image_id"] == "png-400x300.png"
    assert found["distance"] < 1e-6
