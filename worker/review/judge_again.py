"""Judge again: one image of the log once more by the score role's own stages, with nothing published.

    python -m worker.review.judge_again

reads a question from standard input and writes an answer: a process of its own, so that whoever asks holds no
model.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from schemas.events import ImageModerated, ImageReference, uploaded_again
from schemas.policy import Policy
from worker.errors import MekikiError, StageError
from worker.fetch.fetch import Fetcher, build_fetcher
from worker.metrics import Metrics
from worker.model.bundle import load_bundle, load_policy, read_manifest, trial_policy
from worker.model.decoders import create_decoders
from worker.model.second_answer import SecondAnswer
from worker.score.compose_pipeline import build_pipeline
from worker.score.outcome import Parked, Rejected, Verdict
from worker.score.pipeline import Pipeline
from worker.settings import (
    CodeSettings,
    DecodeSettings,
    FetchSettings,
    ModelSettings,
    ScoreSettings,
    Settings,
)

_WAIT_SECONDS = 0.2


class Question(BaseModel):
    """Which verdict is doubted, where its image is, and the settings that judging needs."""

    verdict: ImageModerated
    image: ImageReference
    fetch: FetchSettings
    decode: DecodeSettings
    codes: CodeSettings
    model: ModelSettings
    score: ScoreSettings


class Told(BaseModel):
    """The answer, or why there is none."""

    answer: SecondAnswer | None = None
    why: str = ""


def question(settings: Settings, verdict: ImageModerated, image: ImageReference) -> Question:
    """What to ask about `verdict`."""
    parts = {name: getattr(settings, name) for name in ("fetch", "decode", "codes", "model", "score")}
    return Question(verdict=verdict, image=image, **parts)


def judge_again(
    asked: Question, build_fetch: Callable[[FetchSettings], Fetcher] = build_fetcher
) -> SecondAnswer:
    """What the bundle of the verdict says now, or where it does not serve any more, the one that does.

    Raises:
        StageError: there is no answer; with why.
        MekikiError: the bundle or the policy cannot be used.

    """
    settings, policy = _by_whom(asked)
    bundle = load_bundle(settings.model)
    with ExitStack() as stack:
        fetcher = stack.enter_context(build_fetch(asked.fetch))
        decoders = stack.enter_context(create_decoders(asked.decode, processes=1))
        metrics = Metrics(CollectorRegistry())
        pipeline: Pipeline[str] = stack.enter_context(
            build_pipeline(settings, bundle, policy, metrics, fetcher, decoders)
        )
        pipeline.submit(asked.verdict.image_id, lambda: uploaded_again(asked.verdict, asked.image))
        while not (completed := list(pipeline.completed(timeout=_WAIT_SECONDS))):
            pass
    return _answer(completed[0].outcome)


def _by_whom(asked: Question) -> tuple[Settings, Policy]:
    """Settings and policy of the bundle that gave the verdict: the canary's, or else that which serves."""
    canary = asked.model.canary
    if canary is not None:
        manifest, identifier = read_manifest(canary.bundle)
        if identifier == asked.verdict.bundle_id:
            settings = _settings(asked, canary.bundle)
            return settings, trial_policy(settings, canary.policy_file, manifest)
    settings = _settings(asked, asked.model.bundle)
    return settings, load_policy(settings, read_manifest(asked.model.bundle)[0])


def _settings(asked: Question, bundle: Path) -> Settings:
    """Of `bundle` alone, with nothing beside it that is tried or watched."""
    alone = {"bundle": bundle, "repeats": 0, "shadow": None, "canary": None, "bundle_interval": 0.0}
    model = asked.model.model_copy(update=alone)
    return Settings(fetch=asked.fetch, decode=asked.decode, codes=asked.codes, model=model, score=asked.score)


def _answer(outcome: object) -> SecondAnswer:
    if isinstance(outcome, Verdict) and outcome.attribution is not None:
        return SecondAnswer(
            image_sha256=outcome.image_sha256,
            bundle_id=outcome.attribution.bundle_id,
            policy_sha256=outcome.attribution.policy_sha256,
            decision=outcome.decision,
            scores=outcome.scores,
            reasons=outcome.reasons,
        )
    if isinstance(outcome, Rejected):
        raise StageError(f"{outcome.rejection.reason}: {outcome.rejection.detail}")
    if isinstance(outcome, Parked):
        raise StageError(f"its store fails: {outcome.failure.reason}")
    raise StageError("it was not judged")


def main() -> None:
    """Answer the question of standard input."""
    try:
        told = Told(answer=judge_again(Question.model_validate_json(sys.stdin.buffer.read())))
    except MekikiError as error:
        told = Told(why=str(error))
    sys.stdout.write(told.model_dump_json())


if __name__ == "__main__":
    main()
