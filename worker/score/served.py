"""Served: a bundle and its policy as they stand on verdicts; others may take their place at any batch."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.bundle import ImageInput, Measure
from schemas.policy import Policy
from worker.errors import BundleError
from worker.model.bundle import Bundle
from worker.score.decide import policy_sha256
from worker.score.share import CANARY, in_share


@dataclass(frozen=True)
class Attribution:
    """What a verdict says of where it came from; a space is None where the bundle has no such vectors."""

    bundle_id: str
    space: str | None
    policy_sha256: str
    preferences: Sequence[str]
    copy_space: str | None = None


@dataclass(frozen=True)
class Served:
    """A bundle that decides; `places` says which of an image's pixels each of its inputs takes."""

    bundle: Bundle
    policy: Policy
    attribution: Attribution
    places: Sequence[int]


@dataclass(frozen=True)
class Canary:
    """What decides about a share of the images in place of the bundle that serves the rest."""

    served: Served
    share: float

    def decides(self, image_id: str) -> bool:
        """Whether this image is of the share."""
        return in_share(image_id, self.share, CANARY)


def file_key(canary: Canary | None, image_id: str, image_sha256: str) -> str:
    """By what the findings in a file are known again: each of the two bundles has its own."""
    return f"canary {image_sha256}" if canary and canary.decides(image_id) else image_sha256


def attribution(bundle: Bundle, policy: Policy) -> Attribution:
    """What verdicts of `bundle` with `policy` say of where they came from."""
    head, copies = bundle.manifest.embedding, bundle.manifest.copies
    return Attribution(
        bundle.id,
        head.space if head else None,
        policy_sha256(policy),
        [score.name for score in bundle.manifest.scores if score.kind == "preference"],
        copies.space if copies else None,
    )


def served(bundle: Bundle, policy: Policy, decoded: Sequence[ImageInput] | None = None) -> Served:
    """`bundle` with `policy`; `decoded` are the sizes that images are decoded to, by default its own.

    Raises:
        BundleError: it takes others.

    """
    inputs = bundle.manifest.image_inputs()
    sizes = list(inputs if decoded is None else decoded)
    if not set(inputs) <= set(sizes):
        raise BundleError(f"{bundle.id} takes sizes that images are not decoded to: restart the worker")
    return Served(bundle, policy, attribution(bundle, policy), [sizes.index(each) for each in inputs])


def refuse_unlike(now: Bundle, other: Bundle, measures: frozenset[Measure], own_tags: bool) -> None:
    """Refuse a bundle that cannot take the place of another between two batches.

    Args:
        now: the one that serves.
        other: the one that is to.
        measures: of the full-size luminance, those that images have.
        own_tags: whether `model.tags` takes the place of the bundle's tags.

    Raises:
        BundleError: it lies in another space, or needs what images are not decoded to.

    """
    before, after = now.manifest, other.manifest
    for name in ("embedding", "copies"):
        old, new = getattr(before, name), getattr(after, name)
        if (old and (old.space, old.dim)) != (new and (new.space, new.dim)):
            raise BundleError(
                f"{other.id} has another {name} than {now.id}: its vectors need an index of their own, so "
                "that it is rolled out by a restart (docs/operations.md)"
            )
    if not after.detail_measures() <= measures:
        raise BundleError(f"{other.id} asks for measures that images do not have: restart the worker")
    if own_tags and (before.tags and before.tags.output) != (after.tags and after.tags.output):
        raise BundleError(f"{other.id} gives other vectors to model.tags: restart the worker")
