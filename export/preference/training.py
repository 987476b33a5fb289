"""RankNet's training: weighted pairs to a network of utilities, in the frame that every model shares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from export.loop import Batch, CheckpointedStep, Schedule, cosine, fit
from export.preference.networks import PIXELS, Served, Utility
from export.preference.ranking import CURVE_AT, Values, ndcg, pairs_right
from export.preference.ranknet import Pairs, ranknet_cost
from export.processes import Processes
from export.run import RunFolder

Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class RankSettings:
    """Length and rates of the training; fixed before any test."""

    epochs: int = 20
    batch_size: int = 512
    steps: int = 40  # of an epoch
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    averaging: float = 0.99

    @staticmethod
    def of(utility: Utility, epochs: int | None) -> "RankSettings":
        """What suits a network: convolutions see fewer pairs a step."""
        convolves = utility.image is not None and not utility.takes_vectors
        usual = RankSettings(epochs=24, batch_size=64, learning_rate=1e-3) if convolves else RankSettings()
        return usual if epochs is None else RankSettings(**{**vars(usual), "epochs": epochs})


@dataclass(frozen=True)
class Held:
    """Images that are measured after every epoch: their inputs, and their grades [n]."""

    inputs: Inputs
    grades: Values


class RankNetStep(CheckpointedStep):
    """One step over a batch of pairs; `averaged` is the network that serves."""

    def __init__(
        self, utility: Utility, inputs: Mapping[str, Tensor], pairs: Pairs, settings: RankSettings
    ) -> None:
        self._network = utility.train()
        self._inputs = inputs
        self._pairs, self._settings = pairs, settings
        self._mean_weight = float(pairs.weight.mean())
        self._optimizer = torch.optim.AdamW(
            utility.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        average = get_ema_multi_avg_fn(settings.averaging)  # type: ignore[no-untyped-call]
        self.averaged = AveragedModel(utility, multi_avg_fn=average, use_buffers=True)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Update the network and its average."""
        torch.manual_seed(int(torch.randint(2**31, (), generator=batch.generator)))
        rows = batch.indices.numpy()
        shown, places = np.unique(
            np.concatenate([self._pairs.first[rows], self._pairs.second[rows]]), return_inverse=True
        )
        inputs = {name: values[torch.from_numpy(shown)] for name, values in self._inputs.items()}
        if PIXELS in inputs and torch.rand(()) < 0.5:
            inputs[PIXELS] = inputs[PIXELS].flip(2)
        utilities = self._network(inputs)[torch.from_numpy(places)]
        first, second = utilities.split(len(rows))
        cost = ranknet_cost(first, second, torch.from_numpy(self._pairs.target[rows]))
        weight = torch.from_numpy(self._pairs.weight[rows]) / self._mean_weight
        loss = batch.mean(cost * weight)
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * cosine(batch.progress)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), 5.0)
        self._optimizer.step()
        self.averaged.update_parameters(self._network)
        return {"ranknet": loss}

    def serving(self) -> Utility:
        """The averaged network, for measuring."""
        found = self.averaged.module.eval()
        assert isinstance(found, Utility)
        return found

    def parts(self) -> dict[str, Any]:
        """Network, optimiser and average."""
        return {"network": self._network, "optimizer": self._optimizer, "averaged": self.averaged}


def train_ranknet(
    utility: Utility,
    inputs: Inputs,
    pairs: Pairs,
    seed: int,
    settings: RankSettings,
    run: RunFolder,
    held: Held | None = None,
    phase: str = "ranknet",
) -> Served:
    """Train, and give the network that serves; `held` is measured after every epoch and changes nothing.

    Args:
        utility: an untrained network, or one that is trained on.
        inputs: by name, a row an image: see `Utility`.
        pairs: of rows.
        seed: of the order of pairs and of dropout.
        settings: see the class.
        run: where losses, measures and the checkpoint go.
        held: images for the curve of NDCG@k over the training.
        phase: what they are called there.

    Raises:
        LossNotFinite: see `export.loop.fit`.

    """
    rows = prepared(utility, inputs)
    with torch.no_grad():
        utility.fit_scales(rows)
    chosen = _as_many(pairs, settings.batch_size * settings.steps, seed)
    step = RankNetStep(utility, rows, chosen, settings)
    schedule = Schedule(settings.epochs, settings.batch_size, seed)
    measured: Callable[[dict[str, float]], bool] | None = None
    if held is not None:
        measured = _Curve(step, held, run, f"{phase} held")
    fit(
        step, phase=phase, count=len(chosen), schedule=schedule, run=run,
        processes=Processes(torch.device("cpu")), stop=measured,
    )  # fmt: skip
    best = step.serving()
    served = Served(best)
    served.fit(torch.from_numpy(_utilities(best, rows)))
    return served.eval()


class _Curve:
    """Measures held images after each epoch; never stops the training."""

    def __init__(self, step: RankNetStep, held: Held, run: RunFolder, phase: str) -> None:
        self._step, self._held, self._run, self._phase = step, held, run, phase
        self._rows = prepared(step.serving(), held.inputs)
        self._epoch = 0

    def __call__(self, means: dict[str, float]) -> bool:  # noqa: ARG002 - the loop's
        network = self._step.serving()
        scores = _utilities(network, self._rows)
        self._run.log(phase=self._phase, epoch=self._epoch, **_measured(scores, self._held.grades))
        self._epoch += 1
        return False


def measure(network: Utility, inputs: Inputs, grades: Values) -> dict[str, float]:
    """NDCG at each of CURVE_AT, and the share of pairs ranked right."""
    return _measured(_utilities(network, prepared(network, inputs)), grades)


@torch.no_grad()
def prepared(network: Utility, inputs: Inputs) -> Mapping[str, Tensor]:
    """The inputs as tensors, with all done that no weight changes."""
    return network.prepared({name: torch.from_numpy(rows) for name, rows in inputs.items()})


def _measured(utilities: NDArray[np.float32], grades: Values) -> dict[str, float]:
    scores = utilities.astype(np.float64)
    found = {f"ndcg@{k}": round(ndcg(grades, scores, k), 4) for k in CURVE_AT}
    return {**found, "pairs right": round(pairs_right(grades, scores), 4)}


@torch.no_grad()
def _utilities(network: Utility, rows: Mapping[str, Tensor], batch_size: int = 256) -> NDArray[np.float32]:
    was_training = network.training
    network.eval()
    count = len(next(iter(rows.values())))
    found = [
        network({name: values[at : at + batch_size] for name, values in rows.items()}).numpy()
        for at in range(0, count, batch_size)
    ]
    network.train(was_training)
    return np.concatenate(found)


def _as_many(pairs: Pairs, count: int, seed: int) -> Pairs:
    """`count` of the pairs, drawn by weight where there are more, each then of weight 1."""
    if len(pairs) <= count:
        return pairs
    rng = np.random.default_rng(seed)
    share = pairs.weight.astype(np.float64)
    rows = rng.choice(len(pairs), count, p=share / share.sum())
    return Pairs(pairs.first[rows], pairs.second[rows], pairs.target[rows], np.ones(count, np.float32))
