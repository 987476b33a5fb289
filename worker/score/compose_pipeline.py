"""Builds the stages from parse to decide, and what is tried beside them, from the settings."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from schemas.bundle import BundleManifest, ImageInput, Measure
from schemas.policy import Policy
from worker.errors import ConfigurationError, MekikiError
from worker.fetch.fetch import Fetcher
from worker.fetch.lanes import LaneLimits, Lanes
from worker.metrics import Metrics
from worker.model import shadow_process
from worker.model.bundle import Bundle, load_bundle, load_policy, load_tags, read_manifest, trial_policy
from worker.model.decoders import DecoderPool, image_limits
from worker.model.watched_tags import WatchedTags
from worker.score.candidate import start_candidate
from worker.score.codes import CodeReader
from worker.score.judge import Judge, offered_to_nobody
from worker.score.outcome import PassOverReason
from worker.score.pipeline import Pipeline, PipelineLimits
from worker.score.prepare import Preparer
from worker.score.publish import ShadowPublisher
from worker.score.repeats import Repeats
from worker.score.served import Canary, Served, file_key, refuse_unlike, served
from worker.score.shadow import Shadow, ShadowLimits
from worker.score.watched_bundle import WatchedBundle
from worker.settings import ModelSettings, Settings, ShadowSettings
from worker.stream.best_effort import create_best_effort
from worker.stream.kafka import InputRecord
from worker.stream.spans import Spans

Ticket = TypeVar("Ticket")


@dataclass(frozen=True)
class Wanted:
    """What images are decoded to: sizes, those of the serving bundle first, and measures."""

    inputs: Sequence[ImageInput]
    measures: frozenset[Measure]


def wanted(bundle: Bundle, others: Sequence[BundleManifest] = ()) -> Wanted:
    """What the serving bundle takes, and behind it what only others do."""
    inputs, measures = list(bundle.manifest.image_inputs()), bundle.manifest.detail_measures()
    for manifest in others:
        inputs += [each for each in manifest.image_inputs() if each not in inputs]
        measures |= manifest.detail_measures()
    return Wanted(inputs, measures)


def tried_manifests(settings: ModelSettings) -> Iterator[BundleManifest]:
    """Of the canary, and of the shadow as far as it can be read: it says itself why not once it starts.

    Raises:
        BundleError: the canary's cannot be read.

    """
    if settings.canary is not None:
        yield read_manifest(settings.canary.bundle, settings.signature_key)[0]
    if settings.shadow is not None:
        with suppress(MekikiError):
            yield read_manifest(settings.shadow.bundle, settings.signature_key)[0]


@dataclass(frozen=True)
class Watched:
    """A bundle that is replaced while the worker runs, and what is known of files by it."""

    bundle: WatchedBundle
    repeats: Repeats


def build_pipeline(
    settings: Settings,
    bundle: Bundle,
    policy: Policy,
    metrics: Metrics,
    fetcher: Fetcher,
    decoders: DecoderPool,
    parks: bool = False,
    is_wanted: Callable[[Ticket], bool] = lambda _: True,
    tags: WatchedTags | None = None,
    spans: Spans | None = None,
    record: Callable[[Ticket], InputRecord] | None = None,
    decoded: Wanted | None = None,
    shadow: Shadow | None = None,
    watched: Watched | None = None,
    canary: Canary | None = None,
) -> Pipeline[Ticket]:
    """The stages from parse to decide; see Pipeline for `is_wanted`. `spans` are those of tickets' records.

    With `parks`, what its store does not give comes back later.

    Raises:
        ConfigurationError: codes shall be read, and the library for it is not installed.

    """
    spans = spans or Spans()
    read_codes = None
    if settings.codes.enabled:
        read_codes = CodeReader(settings.codes)
        for name in settings.codes.formats:
            metrics.codes_read.labels(name)  # shown from the start, as 0
    metrics.set_reference(bundle.manifest.reference)
    for reason in PassOverReason:
        metrics.decide_passed_over.labels(reason)  # shown from the start, as 0
    decoded = decoded or wanted(bundle)
    serving = served(bundle, policy, decoded.inputs)
    current = (lambda: serving) if watched is None else watched.bundle.current
    repeats = Repeats(settings.model.repeats) if watched is None else watched.repeats
    preparer = Preparer(
        fetcher.fetch,
        decoded.inputs,
        image_limits(settings.decode),
        metrics,
        decoders.try_decode,
        read_codes,
        fetcher.look,
        fetcher.host,
        measures=decoded.measures,
        repeats=repeats,
        file_key=partial(file_key, canary),
        spans=spans,
    )

    def within(ticket: Ticket) -> AbstractContextManager[object]:
        return nullcontext() if record is None else spans.within(record(ticket))

    def together(tickets: Sequence[Ticket]) -> AbstractContextManager[object]:
        return nullcontext() if record is None else spans.batch("judge", map(record, tickets))

    offer = offered_to_nobody if shadow is None else shadow.offer
    return Pipeline(
        preparer.begin,
        Judge(current, metrics, tags, repeats, spans, canary, offer),
        Lanes(
            LaneLimits(
                threads=settings.fetch.threads,
                per_host=settings.fetch.per_host,
                memory=int(settings.fetch.max_memory),
                parks=parks,
            )
        ),
        PipelineLimits(
            batch_size=settings.model.batch_size,
            batch_wait=settings.model.batch_wait,
            judge_timeout=settings.model.timeout,
            # An image may wait for a decoder behind two that take all their time, and is tried twice.
            step_timeout=settings.model.timeout + 4 * settings.decode.timeout,
            decoding=2 * decoders.processes,
            costly=decoders.costly,
            costly_bytes=int(settings.fetch.max_memory) // 4,
            parks=parks,
        ),
        is_wanted,
        within,
        together,
    )


def build_shadow(
    settings: Settings,
    shadow: ShadowSettings,
    decoded: Wanted,
    metrics: Metrics,
    stack: ExitStack,
) -> Shadow:
    """The shadow of `model.shadow`, which `stack` ends.

    Raises:
        ConfigurationError: librdkafka refuses a property.

    """
    best_effort = create_best_effort(settings.kafka)
    stack.callback(best_effort.close)
    return stack.enter_context(
        Shadow(
            lambda: start_candidate(settings, shadow, decoded.inputs, decoded.measures, shadow_process.LOAD),
            ShadowPublisher(settings.topics.shadowed, best_effort),
            ShadowLimits(shadow.share, shadow.waiting, settings.model.batch_size),
            metrics,
            Repeats(settings.model.repeats),
        )
    )


def build_canary(settings: Settings, bundle: Bundle, decoded: Wanted, metrics: Metrics) -> Canary | None:
    """The bundle of `model.canary`, loaded and warm, or None.

    Raises:
        BundleError: it does not run, or lies in another space than the bundle that serves the rest.
        ConfigurationError: its policy does not fit it.

    """
    canary = settings.model.canary
    if canary is None:
        return None
    other = load_bundle(settings.model.model_copy(update={"bundle": canary.bundle}))
    refuse_unlike(bundle, other, decoded.measures, settings.model.tags is not None)
    policy = trial_policy(settings, canary.policy_file, other.manifest)
    metrics.canary_info.labels(other.id).set(1)
    return Canary(served(other, policy, decoded.inputs), canary.share)


def build_watched(
    settings: Settings, bundle: Bundle, policy: Policy, decoded: Wanted, metrics: Metrics, stack: ExitStack
) -> Watched | None:
    """What looks for another bundle in `model.bundle`, which `stack` ends; None where nothing is to."""
    if not settings.model.bundle_interval:
        return None
    repeats = Repeats(settings.model.repeats)

    def load(directory: Path) -> Served:
        other = load_bundle(settings.model.model_copy(update={"bundle": directory}))
        refuse_unlike(bundle, other, decoded.measures, settings.model.tags is not None)
        return served(other, load_policy(settings, other.manifest), decoded.inputs)

    def taken(other: Bundle) -> None:
        repeats.clear()
        metrics.set_bundle(other.id, other.manifest.reference)

    watched = WatchedBundle(
        served(bundle, policy, decoded.inputs),
        settings.model.bundle,
        load,
        settings.model.bundle_interval,
        metrics,
        taken,
    )
    return Watched(stack.enter_context(watched), repeats)


def build_tags(settings: ModelSettings, bundle: Bundle, metrics: Metrics) -> WatchedTags | None:
    """The tag set of `model.tags`, or None where the bundle's own is used.

    Raises:
        ConfigurationError: the bundle has no tags that it could take the place of.

    """
    if settings.tags is None:
        return None
    if bundle.tagger is None:
        raise ConfigurationError(
            f"model.tags is set, and {bundle.id} has no tags whose place it takes: assemble one that has some"
        )
    load = partial(load_tags, bundle, threads=settings.threads)
    return WatchedTags(bundle.tagger, settings.tags, load, settings.tags_interval, metrics)
