"""Events, manifests and searches that are nearly right: a value or a typed error, and nothing else.

MEKIKI_FUZZ_INPUTS says how many inputs in all, MEKIKI_FUZZ_SEED which; `make test-fuzz` tries a million.
"""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from prometheus_client import CollectorRegistry
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from schemas.events import ImageDeleted, ImageReference, ImageReviewed, ImageUploaded
from schemas.vector import Vector
from tests.hostile.inputs_fuzzed import envelopes, mutated, record_of
from tests.unit.index.indexing import DIM, axis, open_index
from worker.errors import BundleError, Rejection
from worker.fetch.fetch import build_fetcher
from worker.health import Health
from worker.http import create_app
from worker.index.search_api import create_search_router
from worker.index.serving import Searched, Serving
from worker.metrics import Metrics
from worker.model.bundle import read_manifest
from worker.score.outcome import PassedOver, Rejected, Several
from worker.score.parse import Parser
from worker.score.parsed import PerhapsDeleted
from worker.score.publish import Publisher
from worker.score.served import Attribution
from worker.settings import STARTER_BUNDLE, FetchSettings, TopicSettings
from worker.stream.retry import read_note

INPUTS = int(os.environ.get("MEKIKI_FUZZ_INPUTS", "6000"))
SEED = int(os.environ.get("MEKIKI_FUZZ_SEED", "1"))
SHARES = {"envelopes": 0.8, "manifests": 0.1, "searches": 0.1}
PARSED = ImageUploaded | ImageDeleted | ImageReviewed | PerhapsDeleted | PassedOver | Several
# What one input may take, in seconds of CPU: the slowest are notifications of many events.
SECONDS = 2.0

# Not whether what fits the schema is taken: that exactly one of three fields is given stands in no schema.
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)

pytestmark = pytest.mark.timeout(7200)


def tried(kind: str) -> Iterator[tuple[int, random.Random]]:
    """Numbers of inputs of a kind, each with its own source of chance, so that one can be tried alone."""
    for number in range(int(INPUTS * SHARES[kind])):
        began = time.process_time()
        yield number, random.Random(f"{SEED} {kind} {number}")
        assert time.process_time() - began < SECONDS, f"{kind} {number} of seed {SEED}"


def tell(kind: str, outcomes: Counter[str]) -> None:
    print(f"\n{kind}: {outcomes.total()} inputs of seed {SEED}: {dict(outcomes.most_common())}")


def test_every_envelope_is_read_or_rejected_and_published() -> None:
    seeds, outcomes = envelopes(), Counter[str]()
    parse = Parser("https://store.test/{bucket}/{key}")
    publish = Publisher(TopicSettings(), Attribution("bundle", "space", "policy", []))
    fetcher = build_fetcher(FetchSettings())
    for number, chance in tried("envelopes"):
        value, headers = chance.choice(seeds)
        record = record_of(mutated(value, chance), headers, chance)
        try:
            read_note(record)
            parsed = parse(record)
            assert isinstance(parsed, PARSED)
            outcomes[type(parsed).__name__] += 1
            for part in parsed.values if isinstance(parsed, Several) else ():
                try_part(parse, replace(record, value=part, entry=0))
            if isinstance(parsed, ImageUploaded):
                look_at(fetcher, parsed.image)
        except Rejection as rejection:
            outcomes[rejection.reason] += 1
            (letter,) = publish(record, Rejected(rejection))
            assert letter.value == record.value
        except Exception as error:
            raise AssertionError(f"envelope {number} of seed {SEED}: {error!r}") from error
    tell("envelopes", outcomes)
    assert min(outcomes["ImageUploaded"], outcomes["envelope.invalid"]) > INPUTS / 100, outcomes


def try_part(parse: Parser, part: Any) -> None:
    with suppress(Rejection):
        assert not isinstance(parse(part), Several)


def look_at(fetcher: Any, image: ImageReference) -> None:
    with suppress(Rejection):
        if fetcher.host(image) is None:
            fetcher.fetch(image)


def test_every_manifest_fits_or_is_refused(tmp_path: Path) -> None:
    original, outcomes = (STARTER_BUNDLE / "manifest.json").read_bytes(), Counter[str]()
    for file in STARTER_BUNDLE.iterdir():
        if file.name != "manifest.json":
            (tmp_path / file.name).symlink_to(file.resolve())
    for number, chance in tried("manifests"):
        (tmp_path / "manifest.json").write_bytes(mutated(original, chance))
        try:
            read_manifest(tmp_path)
            outcomes["fits"] += 1
        except BundleError:
            outcomes["refused"] += 1
        except Exception as error:
            raise AssertionError(f"manifest {number} of seed {SEED}: {error!r}") from error
    tell("manifests", outcomes)
    assert min(outcomes.values()) > 0


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    """The index role's HTTP server over a small index; the model takes any bytes for an image."""
    with closing(open_index(tmp_path / "index")) as index:
        for number in range(DIM):
            index.upsert(f"image-{number}", axis(number))
        metrics = Metrics(CollectorRegistry())

        def embed(image: bytes) -> Any:
            return np.resize(np.frombuffer(image, np.uint8), DIM).astype(np.float32)

        router = create_search_router(Serving(Searched(index, embed, lambda: True, {})), metrics, 100_000)
        yield create_app(Health(60, ()), metrics.registry, [router])


def test_every_search_is_answered_or_refused(app: FastAPI) -> None:
    vector, outcomes = Vector.from_array(axis(0)).model_dump(), Counter[str]()
    bodies = [
        {"vector": vector, "k": 3},
        {"image_id": "image-1", "radius": 0.5},
        {"image": "aGVsbG8=", "k": 1},
        {"image_id": "image-1", "exclude": ["image-2", "image-3"]},
    ]
    seeds = [("/search", json.dumps(body).encode()) for body in bodies]
    seeds.append(("/search/batch", json.dumps({"searches": [bodies[0], bodies[1], bodies[3]]}).encode()))
    with TestClient(app, raise_server_exceptions=True) as client:
        cursor = client.post("/search", json=bodies[0]).json()["cursor"]
        seeds.append(("/search", json.dumps({**bodies[0], "cursor": cursor}).encode()))
        for number, chance in tried("searches"):
            path, seed = chance.choice(seeds)
            try:
                answer = client.post(path, content=mutated(seed, chance))
            except Exception as error:
                raise AssertionError(f"search {number} of seed {SEED}: {error!r}") from error
            assert answer.status_code in {200, 400, 404, 413}, (number, answer.text)
            assert answer.json()
            outcomes[f"{path} {answer.status_code}"] += 1
    tell("searches", outcomes)
    assert min(outcomes[f"{path} {status}"] for path, _ in seeds for status in (200, 400)) > 0


def test_the_api_keeps_to_its_own_document(app: FastAPI) -> None:
    """Schemathesis draws requests from the OpenAPI document, right ones and wrong ones.

    What is drawn depends on what else is loaded, so that some are given: of each answer there is one.
    """
    schema, outcomes = schemathesis.openapi.from_asgi("/openapi.json", app), Counter[str]()
    quick = hypothesis_settings(
        max_examples=max(20, INPUTS // 200),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    def called(case: Any) -> None:
        answer = case.call()
        outcomes[f"{case.method} {case.path} {answer.status_code}"] += 1
        case.validate_response(answer, checks=list(CHECKS))

    image = {"image_id": "image-1", "k": 3}
    given_bodies = {
        "/search": [image, {"image_id": "none"}, {"image_id": "image-1", "k": 0}],
        "/search/batch": [{"searches": [image, {"image_id": "none"}]}, {"searches": []}],
    }
    with TestClient(app) as client:
        cursor = client.post("/search", json=image).json()["cursor"]
    given_bodies["/search"] += [{**image, "cursor": cursor}, {**image, "cursor": cursor[1:]}]
    for path, bodies in given_bodies.items():
        for body in bodies:
            called(schema[path]["POST"].Case(body=body, media_type="application/json"))
    for found in schema.get_all_operations():
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            with suppress(Unsatisfiable):  # what takes no input has no wrong one
                quick(given(found.ok().as_strategy(generation_mode=mode))(called))()
    tell("requests of the OpenAPI document", outcomes)
    search, batch = ([f"POST {path} {status}" for status in (200, 404, 400)] for path in given_bodies)
    assert min(outcomes[each] for each in (*search, batch[0], batch[2])) > 0, outcomes
    assert outcomes.total() > len(given_bodies) * quick.max_examples, outcomes
