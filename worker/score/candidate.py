"""Candidate: the bundle of `model.shadow` in its process, as the shadow asks it."""

import os
from collections.abc import Sequence

from schemas.bundle import ImageInput, Measure
from schemas.policy import Policy
from worker.errors import BundleError
from worker.model.bundle import read_manifest, trial_policy
from worker.model.shadow_child import Start
from worker.model.shadow_process import LOAD, ShadowProcess
from worker.score.decide import policy_sha256
from worker.score.prepare import Prepared, stacked
from worker.settings import Settings, ShadowSettings


class RunningCandidate:
    """See `worker.score.shadow.Candidate`; `places` says which of an image's pixels each input takes."""

    def __init__(self, process: ShadowProcess, policy: Policy, places: Sequence[int]) -> None:
        self.bundle_id, self.policy = process.bundle_id, policy
        self.policy_sha256 = policy_sha256(policy)
        self._process, self._places = process, places

    def scores(self, batch: Sequence[Prepared]) -> list[dict[str, float]]:
        """See Candidate."""
        told = self._process.infer(stacked(batch, self._places))
        return [{name: values[row] for name, values in told.items()} for row in range(len(batch))]

    def end(self) -> int:
        """See Candidate."""
        return self._process.end()


def start_candidate(
    settings: Settings,
    shadow: ShadowSettings,
    inputs: Sequence[ImageInput],
    measures: frozenset[Measure],
    function: str = LOAD,
) -> RunningCandidate:
    """Load the bundle of `shadow`; `inputs` and `measures` are what images are decoded to.

    Raises:
        BundleError: it is missing, damaged, not signed as asked for, does not run, or needs what images are
            not decoded to.
        ConfigurationError: its policy does not fit it, or the key of its signature cannot be read.
        ShadowEnded: its process ended while it loaded.

    """
    manifest, identifier = read_manifest(shadow.bundle, settings.model.signature_key)
    policy = trial_policy(settings, shadow.policy_file, manifest)
    wanted = manifest.image_inputs()
    if not set(wanted) <= set(inputs) or not manifest.detail_measures() <= measures:
        raise BundleError(
            f"{identifier} came to model.shadow.bundle while the worker ran, and needs sizes or measures "
            "that images are not decoded to: restart the worker"
        )
    start = Start(
        bundle=shadow.bundle.absolute(),
        signature_key=settings.model.signature_key,
        provider=settings.model.provider,
        threads=shadow.threads,
        nice=shadow.nice,
        memory=int(shadow.memory),
        parent=os.getpid(),
    )
    process = ShadowProcess(start, shadow.timeout, function)
    if process.bundle_id != identifier:
        process.end()
        raise BundleError(f"{shadow.bundle} became another bundle while it was loaded: {process.bundle_id}")
    return RunningCandidate(process, policy, [list(inputs).index(each) for each in wanted])
