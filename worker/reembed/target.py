"""Target: the topic of another space, and a record of the embedded topic as a record of it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from schemas.events import EMBEDDED, ImageEmbedded, derived_event_id
from schemas.vector import Vector
from worker.stream.dead_letter import REASON
from worker.stream.kafka import InputRecord, OutputRecord
from worker.stream.registry import Write, as_json

_EVENT_ID = "ce_id"


def read_embedded(record: InputRecord) -> ImageEmbedded | None:
    """The vector that `record` holds; None for a tombstone, and for what is no vector of its key."""
    if record.value is None:
        return None
    try:
        event = ImageEmbedded.read(record.value)
    except ValidationError:
        return None
    return event if event.image_id.encode() == record.key else None


@dataclass(frozen=True)
class Target:
    """`topic` takes vectors of `space` alone, which `bundle_id` gives; `write` gives its form of an event.

    `copy_space` is that of the bundle's copy vectors, where it has some.
    """

    topic: str
    space: str
    bundle_id: str
    write: Write = as_json
    copy_space: str | None = None

    def removed(self, record: InputRecord, why: str | None = None) -> OutputRecord:
        """A tombstone in place of `record`; `why` where it is none itself: no older vector may stay."""
        headers = record.headers if why is None else (*record.headers, (REASON, why.encode()))
        return OutputRecord(self.topic, record.key, None, headers)

    def copied(self, record: InputRecord, event: ImageEmbedded) -> OutputRecord:
        """What lies in the space already, as it is."""
        return OutputRecord(self.topic, record.key, self.write(self.topic, event), record.headers)

    def moved(
        self,
        record: InputRecord,
        event: ImageEmbedded,
        vector: NDArray[np.float32],
        copy_vector: NDArray[np.float32] | None,
    ) -> OutputRecord:
        """`event` of `record` with the vectors of the space, float32 [dim]; all else stays as it was judged.

        The same vector of the other space and the same bundle give the same event id.
        """
        identifier = derived_event_id(EMBEDDED, f"{self.bundle_id}|{event.event_id}")
        update = {
            "event_id": identifier,
            "bundle_id": self.bundle_id,
            "space": self.space,
            "vector": Vector.from_array(vector),
            "copy_vector": None if copy_vector is None else Vector.from_array(copy_vector),
            "copy_space": None if copy_vector is None else self.copy_space,
        }
        made = self.copied(record, event.model_copy(update=update))
        own = (_EVENT_ID, str(identifier).encode())
        return replace(made, headers=tuple(own if each[0] == _EVENT_ID else each for each in made.headers))
