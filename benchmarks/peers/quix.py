"""Quix Streams, exactly-once, as its documentation begins: https://quix.io/docs/quix-streams/quickstart.html.

Its batches are windows of counted messages, which need a state store; its guide runs models by the message.
"""

import sys
import tempfile
from typing import Any

from quixstreams import Application

from benchmarks.peers.model import Model, Place


def main() -> None:
    place = Place.told()
    model = Model(place)
    with tempfile.TemporaryDirectory() as state:
        application = Application(
            place.bootstrap,
            consumer_group=place.group,
            auto_offset_reset="earliest",
            processing_guarantee=sys.argv[2],
            commit_interval=0.1,
            state_dir=state,
            loglevel="WARNING",
        )
        uploaded = application.topic(place.uploaded, value_deserializer="json")
        moderated = application.topic(place.moderated, value_serializer="json")

        def judge(event: dict[str, Any]) -> dict[str, Any]:
            return model.judged(model.pixels(event["image"]["path"])[None])[0]

        application.dataframe(uploaded).apply(judge).to_topic(moderated)
        application.run()


if __name__ == "__main__":
    main()
