"""Every event on the wire, as pydantic models. JSON Schema and AsyncAPI are generated from these."""

from typing import Annotated, Final, Literal, Self
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from schemas.policy import STRICTNESS, Decision, Reason
from schemas.vector import Vector

UPLOADED: Final = "listing.image.uploaded.v1"
DELETED: Final = "listing.image.deleted.v1"
REVIEWED: Final = "listing.image.reviewed.v1"
MODERATED: Final = "listing.image.moderated.v1"
ENRICHED: Final = "listing.image.enriched.v1"
EMBEDDED: Final = "listing.image.embedded.v1"
REVIEWS: Final = "listing.image.reviews.v1"
SHADOWED: Final = "listing.image.shadowed.v1"
INDEX_UPDATED: Final = "listing.index.updated.v1"

# What a person says: `undo` takes an earlier word back, and the policy's decision holds again.
Word = Literal["accept", "block", "undo"]
DecidedBy = Literal["policy", "person"]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

# Room for a bucket and an object key of 1,024 bytes, which is what S3 and Google Cloud Storage allow.
Identifier = Annotated[str, Field(min_length=1, max_length=2048)]

_EVENT_NAMESPACE = UUID("5a6d7f2e-2f0b-5c1e-9a53-6d656b696b69")


def derived_event_id(event_type: str, cause: str) -> UUID:
    """The id of the event that `cause` (an input event's id) leads to: the same cause, the same id.

    UUID version 5 (RFC 9562), so that a reader can drop what it has seen before.
    """
    return uuid5(_EVENT_NAMESPACE, f"{event_type}|{cause}")


class _Input(BaseModel):
    """Unknown fields of a producer are let through: its schema may grow before ours."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Output(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, value: str | bytes | None) -> Self:
        """The event in a record's value, without fields that a later release may have added.

        So roles may be upgraded in any order.

        Raises:
            ValidationError: it is no such event.

        """
        return cls.model_validate_json(value or b"", extra="ignore")


def _is_none(value: object) -> bool:
    return value is None


class ObjectReference(_Input):
    """An object in one of the stores that the worker may read from (fetch.object_stores)."""

    bucket: Annotated[str, Field(min_length=1, max_length=255, description="or container")]
    key: Annotated[str, Field(min_length=1, max_length=1024, description="as it is, not escaped")]
    store: Annotated[
        str | None,
        Field(
            max_length=255, description="its name in the worker's settings; else the first with the bucket"
        ),
    ] = None


class ImageReference(_Input):
    """Where the image is: one of `url` (https, s3), `path` (in the configured folder), `data`, `object`."""

    # A blob's name may have 1,024 characters of 4 bytes (Azure), each byte escaped as three.
    url: Annotated[str, Field(max_length=16384)] | None = None
    path: Annotated[str, Field(max_length=4096)] | None = None
    data: Annotated[str, Field(description="base64")] | None = None
    object: ObjectReference | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("url", "path", "data", "object") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of url, path, data and object must be given, not {given or 'none'}"
            )
        return self


class ImageUploaded(_Input):
    """A seller uploaded an image, or replaced the one of this id."""

    type: Literal["listing.image.uploaded.v1"] = UPLOADED
    event_id: Identifier
    image_id: Identifier
    listing_id: Identifier | None = None
    category: Identifier | None = None
    uploaded_at: AwareDatetime
    image: ImageReference


class ImageDeleted(_Input):
    """A seller deleted an image: it must leave the index."""

    type: Literal["listing.image.deleted.v1"]
    event_id: Identifier
    image_id: Identifier
    listing_id: Identifier | None = None
    deleted_at: AwareDatetime


class Overruled(_Input):
    """The verdict that a person looked at: its own event id, and where the input stands that it was of."""

    event_id: Identifier
    decision: Decision
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


class ImageReviewed(_Input):
    """A person decided about an image: on the uploaded topic, in the partition of the image's other events.

    The image is fetched and judged as at its upload; where it has the digest that the person saw, their word
    takes the place of the policy's decision.
    """

    type: Literal["listing.image.reviewed.v1"]
    event_id: Identifier
    image_id: Identifier
    listing_id: Identifier | None = None
    category: Identifier | None = None
    decision: Word
    reviewer: Annotated[str, Field(min_length=1, max_length=256, description="who decided")]
    reason: Annotated[str, Field(max_length=2000, description="why, in words")] | None = None
    image: ImageReference
    image_sha256: Annotated[Sha256, Field(description="of the image that the person saw")]
    uploaded_at: AwareDatetime
    reviewed_at: AwareDatetime
    overrules: Annotated[
        Overruled | None,
        Field(
            description="the verdict that was looked at; without it, an upload or deletion meanwhile cannot "
            "be told from one before"
        ),
    ] = None


class InputPosition(_Output):
    """The Kafka record that an outcome belongs to, and the entry of it where it holds several events."""

    event_id: Annotated[
        str,
        Field(
            description="of the input event: its own event_id; source#id of a CloudEvent; of a bucket "
            "notification bucket/key#sequencer#eventName, with the time where there is no sequencer. "
            "Ids of results derive from it: each entry of a record has its own"
        ),
    ]
    topic: str
    partition: int
    offset: int
    # Left out where there is one event, so that such outcomes are what they were before there were several.
    entry: Annotated[
        int | None,
        Field(
            ge=0,
            description="which of the record's several events, counted from 0 through all of its envelopes; "
            "left out where the record holds one",
            exclude_if=_is_none,
        ),
    ] = None


class _Result(_Output):
    event_id: UUID
    image_id: str
    listing_id: str | None
    bundle_id: str
    image_sha256: Sha256
    input: InputPosition
    uploaded_at: AwareDatetime
    decided_at: AwareDatetime


class Code(_Output):
    """A machine-readable code that was read in an image."""

    format: Annotated[str, Field(description="zxing-cpp's name, such as QRCode, MicroQRCode or RMQRCode")]
    payload: Annotated[
        str | None,
        Field(
            description="what the code says, cut at the worker's limit; control characters are replaced by "
            "their visible symbols (U+2400 to U+2421) or U+FFFD; null: not text"
        ),
    ]
    area_share: Annotated[
        float, Field(ge=0, le=1, description="share of the image's area that the code's quadrilateral covers")
    ]


def _is_empty(value: list[Code] | list[str] | dict[str, float]) -> bool:
    return not value


def _is_policy(value: DecidedBy) -> bool:
    return value == "policy"


class Review(_Output):
    """The word of a person that a verdict rests on."""

    event_id: Annotated[str, Field(description="of the reviewed event")]
    reviewer: str
    reason: str | None
    reviewed_at: AwareDatetime
    policy_decision: Annotated[Decision, Field(description="what the policy alone would have decided")]


class StandingReview(_Output):
    """A word that stands, on the compacted topic of reviews: the record's key is the image id.

    It holds for every upload of this id that has the digest. No value: none stands (any more).
    """

    type: Literal["listing.image.reviews.v1"] = REVIEWS
    event_id: Annotated[str, Field(description="of the reviewed event")]
    image_id: str
    image_sha256: Sha256
    decision: Literal["accept", "block"]
    reviewer: str
    reason: str | None
    reviewed_at: AwareDatetime


class ImageModerated(_Result):
    """The verdict on an image, with all that is needed to check it later."""

    type: Literal["listing.image.moderated.v1"] = MODERATED
    decision: Decision
    reasons: list[Reason]
    scores: dict[str, float]
    category: str | None
    policy_sha256: Annotated[str, Field(description="of the policy that was applied, as canonical JSON")]
    # Left out when empty: without the codes stage the event is what it was before there was one.
    codes: Annotated[
        list[Code],
        Field(
            description="codes read in the image, the largest first; left out when there are none",
            exclude_if=_is_empty,
        ),
    ] = []
    # Left out when it is the policy, as before people had a word.
    decided_by: Annotated[
        DecidedBy, Field(description="left out where it is the policy", exclude_if=_is_policy)
    ] = "policy"
    review: Annotated[
        Review | None,
        Field(description="left out where no person decided", exclude_if=lambda value: value is None),
    ] = None


class Tag(_Output):
    """A predicted tag with its probability."""

    name: str
    score: Annotated[float, Field(ge=0, le=1)]


class ImageEnriched(_Result):
    """What search shows and orders by."""

    type: Literal["listing.image.enriched.v1"] = ENRICHED
    tags: list[Tag]
    tags_version: Annotated[
        str | None,
        Field(
            description="of the tag set, which may change while the bundle stays; left out without tags",
            exclude_if=_is_none,
        ),
    ] = None
    preference: float | None
    # Left out where there is no other than `preference`, as before a bundle could have several.
    preferences: Annotated[
        dict[str, float],
        Field(
            description="every preference of the bundle by its name; left out where there is no other than "
            "`preference`",
            exclude_if=_is_empty,
        ),
    ] = {}


class ImageEmbedded(_Result):
    """The vector of an accepted image. The record's key is the image id; no value means: not searchable."""

    type: Literal["listing.image.embedded.v1"] = EMBEDDED
    space: str
    vector: Vector
    # Each is left out where there is none, as before search could filter and order by it.
    category: Annotated[
        str | None,
        Field(description="of the upload; left out where it named none", exclude_if=_is_none),
    ] = None
    tags: Annotated[
        list[str],
        Field(description="names of the predicted tags; left out when there are none", exclude_if=_is_empty),
    ] = []
    preferences: Annotated[
        dict[str, FiniteFloat],
        Field(
            description="every preference of the bundle by its name, which searches may order by; left out "
            "where it has none",
            exclude_if=_is_empty,
        ),
    ] = {}
    copy_vector: Annotated[
        Vector | None,
        Field(
            description="by which edited copies of one image are known; left out where the bundle has none",
            exclude_if=_is_none,
        ),
    ] = None
    copy_space: Annotated[
        str | None,
        Field(
            description="of `copy_vector`: those of several spaces are not compared; left out where there is "
            "none, and by earlier releases",
            exclude_if=_is_none,
        ),
    ] = None


class TriedDecision(_Output):
    """What one bundle, with one policy, says of an image."""

    bundle_id: str
    policy_sha256: Annotated[str, Field(description="of the policy that was applied, as canonical JSON")]
    decision: Decision
    reasons: list[Reason]
    scores: dict[str, float]


class ImageShadowed(_Output):
    """What another bundle would have decided, beside what was: nothing follows from it.

    Not every image has one, and one may come twice, with the same event id.
    """

    type: Literal["listing.image.shadowed.v1"] = SHADOWED
    event_id: UUID
    image_id: str
    listing_id: str | None
    category: str | None
    image_sha256: Sha256
    input_event_id: Annotated[str, Field(description="of the upload")]
    moderated_event_id: Annotated[UUID, Field(description="of the verdict")]
    uploaded_at: AwareDatetime
    decided_at: AwareDatetime
    shadowed_at: AwareDatetime
    served: Annotated[TriedDecision, Field(description="what was decided by bundle and policy")]
    shadow: Annotated[TriedDecision, Field(description="what would have been")]

    @property
    def apart(self) -> float:
        """How far apart both decisions lie, 0 for the same; then the scores that led to them."""
        steps = abs(STRICTNESS[self.shadow.decision] - STRICTNESS[self.served.decision])
        led = {reason.score for reason in (*self.served.reasons, *self.shadow.reasons)}
        differences = (
            abs(self.shadow.scores.get(name, 0.0) - self.served.scores.get(name, 0.0)) for name in led
        )
        return steps + min(max(differences, default=0.0), 0.999) if steps else 0.0


class NearDuplicate(_Output):
    """An image already listed that is nearly the same."""

    image_id: str
    distance: Annotated[float, Field(description="cosine distance, 0 to 2")]
    decided_by: Annotated[
        Literal["copy", "similar"],
        Field(
            description="copy: the vectors by which edited copies are known are near, however far the "
            "embeddings are; similar: the embeddings are, and one has no such vector. Left out where similar",
            exclude_if=lambda value: value == "similar",
        ),
    ] = "similar"
    copy_distance: Annotated[
        float | None,
        Field(description="cosine distance of copy vectors; left out where similar", exclude_if=_is_none),
    ] = None


class IndexUpdated(_Output):
    """The index role's acknowledgement of one record of the embedded topic."""

    type: Literal["listing.index.updated.v1"] = INDEX_UPDATED
    event_id: UUID
    image_id: str
    state: Literal["searchable", "deleted"]
    near_duplicates: list[NearDuplicate] = Field(default_factory=list)
    group: Annotated[
        str | None,
        Field(
            description="of copies of one picture; this image belongs to it as long as it has this picture; "
            "left out where it is deleted",
            exclude_if=_is_none,
        ),
    ] = None
    space: str
    input: InputPosition
    indexed_at: AwareDatetime


def uploaded_again(result: ImageModerated | ImageEmbedded, image: ImageReference) -> ImageUploaded:
    """The upload that `result` came of, as far as that tells, with its image at `image`."""
    return ImageUploaded(
        type=UPLOADED,
        event_id=result.input.event_id,
        image_id=result.image_id,
        listing_id=result.listing_id,
        category=result.category,
        uploaded_at=result.uploaded_at,
        image=image,
    )
