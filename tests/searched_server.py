"""The HTTP side of an index role as a process, without Kafka: `python -m tests.searched_server DIR`.

Its parts are those of `worker.compose`; 500 vectors are in the index. Prints its port.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

from worker.compose import create_door, create_metrics
from worker.health import CombinedHealth, Health
from worker.http import HttpServer, create_app
from worker.index.backend import IndexIdentity
from worker.index.ngt.index import open_ngt_index
from worker.index.search_api import create_search_router
from worker.index.serving import Searched, Serving
from worker.model.bundle import load_bundle
from worker.model.decoders import create_decoders, image_limits
from worker.model.embed import embed
from worker.settings import DecodeSettings, HttpSettings, IndexSettings, ModelSettings


def main(directory: Path) -> None:
    """Serve until standard input ends."""
    http, decode = HttpSettings(port=0), DecodeSettings()
    bundle = load_bundle(ModelSettings(threads=1))
    head = bundle.manifest.embedding
    assert head is not None
    metrics = create_metrics("index", bundle)
    index = open_ngt_index(
        IndexSettings(directory=directory),
        IndexIdentity(space=head.space, dim=head.dim, topic="embedded"),
        metrics,
    )
    for number, row in enumerate(np.random.default_rng(1).normal(size=(500, head.dim))):
        index.upsert(f"i{number}", (row / np.linalg.norm(row)).astype(np.float32))
    with create_decoders(decode, 1) as decoders:
        embedder = partial(embed, bundle, image_limits(decode), decoders.decode)
        serving = Serving(Searched(index, embedder, lambda: True, {}))
        router = create_search_router(serving, metrics, int(http.max_body_bytes), http.image_searches)
        health = CombinedHealth({"index": Health(3600, ())})
        app = create_app(health, metrics.registry, [router], create_door(http))
        with HttpServer(app, "127.0.0.1", 0, http.max_connections) as server:
            print(server.port, flush=True)
            sys.stdin.read()
    index.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
