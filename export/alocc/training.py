"""Train one model a space and seed, on the target class alone."""

import torch
from torch import nn

from export.alocc.model import AloccModel, Images, ModelSettings, TrunkMaps, new_trunk
from export.alocc.settings import AloccSettings, Space, SpaceSettings
from export.alocc.step import AdversarialStep, Inputs
from export.alocc.trunks import Pixels, load_trunk_weights
from export.errors import RunFolderError
from export.loop import Schedule, fit
from export.processes import Processes
from export.run import RunFolder


def train_space(
    space: Space,
    settings: AloccSettings,
    images: Images,
    run: RunFolder,
    processes: Processes,
) -> None:
    """Train a space's model with every seed: images uint8 [n, side, side, 3] of the target class.

    Leaves `checkpoints/SPACE-seedN.pt` to go on from and `SPACE-seedN-model.pt` to evaluate.

    Raises:
        LossNotFinite: see `export.loop.fit`.
        WeightsError: the trunk's weights do not fit.

    """
    asked = settings.spaces[space]
    trunk = filled_trunk(asked, settings.weights).to(processes.device)
    maps = TrunkMaps(trunk, images, processes.device)
    for seed in settings.seeds:
        model = new_model(asked.model, trunk, seed).to(processes.device)
        model.standardise(maps)
        step = AdversarialStep(
            model.reinforcer, model.discriminator, training_maps(model, maps), asked.step, processes
        )
        phase = phase_name(space, seed)
        fit(
            step,
            phase=phase,
            count=len(images),
            schedule=Schedule(asked.epochs, asked.batch_size, seed),
            run=run,
            processes=processes,
        )
        if processes.is_first:
            run.save_checkpoint(f"{phase}-model", model.state_dict())
        processes.wait_for_all()


def phase_name(space: Space, seed: int) -> str:
    """The name of a training in metrics and checkpoints."""
    return f"{space}-seed{seed}"


def filled_trunk(asked: SpaceSettings, weights: str) -> nn.Module:
    """The trunk of a space, the same for all seeds, with `weights` where it takes any.

    Raises:
        WeightsError: they do not fit.

    """
    torch.manual_seed(0)
    trunk = new_trunk(asked.model)
    if not isinstance(trunk, Pixels):
        load_trunk_weights(trunk, weights)
    return trunk.eval()


def new_model(settings: ModelSettings, trunk: nn.Module, seed: int) -> AloccModel:
    """An untrained model: R and D drawn by the seed."""
    torch.manual_seed(seed)
    return AloccModel(settings, trunk)


def load_models(
    space: Space, settings: AloccSettings, run: RunFolder, device: torch.device
) -> dict[int, AloccModel]:
    """The trained models of a run by seed; they share one trunk.

    Raises:
        RunFolderError: a training did not finish.

    """
    asked = settings.spaces[space].model
    trunk = new_trunk(asked)
    models = {}
    for seed in settings.seeds:
        phase = phase_name(space, seed)
        state = run.load_checkpoint(f"{phase}-model", device)
        if state is None:
            raise RunFolderError(
                f"{run.path} has no finished training {phase}: go on with mekiki train ... --resume"
            )
        model = AloccModel(asked, trunk).to(device)
        model.load_state_dict(state)
        models[seed] = model.eval()
    return models


def training_maps(model: AloccModel, maps: TrunkMaps) -> Inputs:
    """What R and D see of the images of these indices."""
    return lambda indices: model.standardised(maps(indices))
