"""What plus and minus find, by the search API over a real index, of images never trained on.

    python -m benchmarks.arithmetic faces --data ../shared/data/faces --weights FILE
    python -m benchmarks.arithmetic clothing --data ../shared/data/clothing --weights FILE

In the training environment. `faces`: five folds by person; `- neutral + smiling` of a person's neutral photo
should find that person smiling, first of all photos. `clothing`: `- colour + colour` should find the same
class
in the other colour; senders of the index were never trained on.
"""

import argparse
import base64
import csv
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from benchmarks.colour_names import colour_name
from export.attributes.part import Base, build_part, level_base
from export.bundle.assemble import assemble
from worker.index.backend import IndexIdentity
from worker.index.ngt.index import open_ngt_index
from worker.index.search_api import create_search_router
from worker.index.serving import Searched, Serving
from worker.metrics import Metrics
from worker.model.bundle import load_bundle
from worker.model.decode import ImageLimits, decode_inputs
from worker.model.embed import embed
from worker.settings import IndexSettings, ModelSettings

Search = Callable[..., list[str]]
FOLDS = 5


def _with_search(bundle: Path, images: dict[str, bytes], ask: Callable[[Search], None]) -> None:
    """Index the images under the bundle's vectors, and let `ask` search them by POST /search."""
    loaded = load_bundle(ModelSettings(bundle=bundle))
    head = loaded.manifest.embedding
    assert head is not None
    metrics = Metrics(CollectorRegistry())
    with tempfile.TemporaryDirectory() as folder:
        identity = IndexIdentity(space=head.space, dim=head.dim, topic="benchmark")
        index = open_ngt_index(IndexSettings(directory=Path(folder) / "index"), identity, metrics)
        try:

            def embedder(data: bytes) -> NDArray[np.float32]:
                return embed(loaded, ImageLimits(), decode_inputs, data)

            for name, data in images.items():
                index.upsert(name, embedder(data))
            attributes = {name: vector.to_array() for name, vector in head.attributes.items()}
            app = FastAPI()
            app.include_router(
                create_search_router(
                    Serving(Searched(index, embedder, lambda: True, attributes)), metrics, 1 << 24
                )
            )
            client = TestClient(app)

            def search(**request: object) -> list[str]:
                answer = client.post("/search", json=request)
                assert answer.status_code == 200, answer.text
                return [result["image_id"] for result in answer.json()["results"]]

            ask(search)
        finally:
            index.close()


def _bundle(
    folder: Path, base_of: Callable[[Path], Base], data: Iterable[bytes], labels: Iterable[str]
) -> Path:
    """A bundle of attributes fitted on images and their labels."""
    part = folder / "part"
    part.mkdir(parents=True)
    base = base_of(part)
    pixels = np.stack([decode_inputs(item, [base.image], ImageLimits()).pixels for item in data])
    found = build_part(base, part, pixels, np.array(list(labels)), "benchmark")
    assemble([found], "benchmark", "1", folder / "bundle", check=False)
    return folder / "bundle"


def _rows(data: Path) -> list[dict[str, str]]:
    with (data / "labels.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _term(name: str, weight: float = 1.0) -> list[dict[str, object]]:
    return [{"attribute": name, "weight": weight}]


def faces(data: Path, weights: str) -> None:
    """Print how many people are found smiling."""
    rows = _rows(data)
    encoded = {row["path"]: (data / row["path"]).read_bytes() for row in rows}
    neutral, smiling = "neutral_front", "smiling_front"
    path = {(row["identity"], row["label"]): row["path"] for row in rows}
    people = sorted({row["identity"] for row in rows})
    fold = {person: i % FOLDS for i, person in enumerate(np.random.default_rng(0).permutation(people))}
    found = dict.fromkeys(("own neutral photo in the index", "left out", "no arithmetic, left out",
                           "no arithmetic, in the index"), 0)  # fmt: skip

    def ask_of(number: int) -> Callable[[Search], None]:
        def ask(search: Search) -> None:
            terms = {"plus": _term(smiling), "minus": _term(neutral)}
            for person in (person for person in people if fold[person] == number):
                own, wanted = path[person, neutral], path[person, smiling]
                image = base64.b64encode(encoded[own]).decode()
                answers = {
                    "own neutral photo in the index": search(image=image, k=1, **terms),
                    "left out": search(image_id=own, k=1, **terms),
                    "no arithmetic, left out": search(image_id=own, k=1),
                    "no arithmetic, in the index": search(image=image, k=1),
                }
                for name, results in answers.items():
                    found[name] += results == [wanted]

        return ask

    with tempfile.TemporaryDirectory() as working:
        for number in range(FOLDS):
            trained = [row for row in rows if fold[row["identity"]] != number]
            bundle = _bundle(
                Path(working) / str(number),
                lambda folder: level_base(weights, "tensorflow", folder),
                [encoded[row["path"]] for row in trained],
                [row["label"] for row in trained],
            )
            _with_search(bundle, encoded, ask_of(number))
            print(f"fold {number}: {found}", flush=True)
    for name, right in found.items():
        print(f"{name}: {right} of {len(people)} ({right / len(people):.1%})")
    print(f"by chance: 1 of {len(rows) - 1}")


def clothing(data: Path, weights: str, count: int) -> None:
    """Print the share of the first ten of the right class and colour, with and without arithmetic."""
    untold = {"Not sure", "Other", "Skip"}
    rows = [row for row in _rows(data) if row["label"] not in untold]
    senders = sorted({row["sender_id"] for row in rows})
    held = set(np.random.default_rng(0).permutation(senders)[: len(senders) // 2].tolist())
    encoded = {row["path"]: (data / row["path"]).read_bytes() for row in rows}
    colour = {name: colour_name(item) for name, item in encoded.items()}
    named = [row for row in rows if colour[row["path"]]]
    trained = [row for row in named if row["sender_id"] not in held][:count]
    index = {row["path"]: row for row in named if row["sender_id"] in held}
    kept = {name: encoded[name] for name in list(index)[:count]}
    right: dict[str, list[float]] = {"with": [], "without": [], "class": [], "class without": []}

    def ask(search: Search) -> None:
        for name in kept:
            label, own = index[name]["label"], colour[name]
            for other in sorted(set(colour.values()) - {"", own}):
                if sum(index[n]["label"] == label and colour[n] == other for n in kept) < 5:
                    continue
                terms = {"plus": _term(other), "minus": _term(own)}
                for key, asked in (("with", terms), ("without", {})):
                    results = search(image_id=name, k=10, **asked)
                    classes = [index[n]["label"] == label for n in results]
                    both = [same and colour[n] == other for n, same in zip(results, classes, strict=True)]
                    right[key].append(float(np.mean(both)))
                    right["class" if key == "with" else "class without"].append(float(np.mean(classes)))

    with tempfile.TemporaryDirectory() as working:
        bundle = _bundle(
            Path(working),
            lambda folder: level_base(weights, "tensorflow", folder),
            [encoded[row["path"]] for row in trained],
            [colour[row["path"]] for row in trained],
        )
        _with_search(bundle, kept, ask)
    print(f"{len(trained)} photos trained on, {len(kept)} of other senders in the index, "
          f"{len(right['with'])} questions")  # fmt: skip
    told = {
        "with": "right class and colour",
        "without": "the same without arithmetic",
        "class": "right class",
        "class without": "right class without arithmetic",
    }
    for key, name in told.items():
        print(f"{name}, share of the first ten: {np.mean(right[key]):.3f}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["faces", "clothing"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument(
        "--count", type=int, default=1000, help="clothing: photos trained on, and in the index"
    )
    options = parser.parse_args()
    if options.what == "faces":
        faces(options.data, options.weights)
    else:
        clothing(options.data, options.weights, options.count)


if __name__ == "__main__":
    main()
