"""Train one model a space and seed, on the target class alone."""

import torch
from torch import Tensor

from export.alocc.model import AloccModel, Images, in_batches
from export.alocc.settings import AloccSettings, Space, SpaceSettings
from export.alocc.step import AdversarialStep, Inputs
from export.alocc.trunks import load_trunk_weights
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
    for seed in settings.seeds:
        model = new_model(asked, settings.weights, seed).to(processes.device)
        model.standardise(images)
        step = AdversarialStep(
            model.reinforcer, model.discriminator, training_maps(model, images), asked.step, processes
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


def new_model(asked: SpaceSettings, weights: str, seed: int) -> AloccModel:
    """An untrained model: R and D drawn by the seed, the trunk as `weights` says."""
    torch.manual_seed(seed)
    model = AloccModel(asked.model)
    if not model.works_on_pixels:
        load_trunk_weights(model.trunk, weights)
    return model


def load_model(
    space: Space, settings: AloccSettings, seed: int, run: RunFolder, device: torch.device
) -> AloccModel:
    """The trained model of a run.

    Raises:
        RunFolderError: that training did not finish.

    """
    phase = phase_name(space, seed)
    state = run.load_checkpoint(f"{phase}-model", device)
    if state is None:
        raise RunFolderError(
            f"{run.path} has no finished training {phase}: go on with mekiki train ... --resume"
        )
    model = AloccModel(settings.spaces[space].model).to(device)
    model.load_state_dict(state)
    return model.eval()


def training_maps(model: AloccModel, images: Images) -> Inputs:
    """Maps of the images by index; a frozen trunk runs once over all, and its maps are kept as float16."""
    device = model.mean.device
    if model.works_on_pixels:
        pixels = torch.from_numpy(images)
        return lambda indices: model.maps(pixels[indices].to(device))
    with torch.no_grad():
        kept = torch.cat([model.maps(batch).half().cpu() for batch in in_batches(images, device)])

    def maps(indices: Tensor) -> Tensor:
        return kept[indices].to(device).float()

    return maps
