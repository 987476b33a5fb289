from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.alocc.corruption import corrupt
from export.alocc.model import AloccModel, ModelSettings, TrunkMaps, new_trunk, score_images
from export.alocc.networks import Discriminator, MapShape, Reinforcer, WithinClass, dense_code, local_code
from export.alocc.settings import VERDICT_MODEL, Space
from export.alocc.smoke import SMOKE_MODELS
from export.alocc.step import AdversarialStep, StepSettings
from export.alocc.training import training_maps
from export.alocc.trunks import MobileNetV2, Normalise, Pixels, load_trunk_weights
from export.errors import WeightsError
from export.loop import Schedule, batches
from export.processes import Processes
from tests.export.alocc_run import new_step

CPU = Processes(torch.device("cpu"))


def new_model(space: Space) -> AloccModel:
    settings = SMOKE_MODELS[space]
    return AloccModel(settings, new_trunk(settings))


def random_images(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("side", [(8, 8), (7, 9), (14, 14)])
@pytest.mark.parametrize("code", [dense_code, local_code])
def test_r_gives_back_the_shape_it_got(side: tuple[int, int], code: object) -> None:
    shape, widths, strides = MapShape(3, *side), (8, 12), (2, 2)
    bottleneck = code(shape.after(widths, strides), 4)  # type: ignore[operator]
    reinforcer = Reinforcer(shape, widths, strides, bottleneck, nn.Identity())
    discriminator = Discriminator(shape, widths, strides)
    maps = torch.randn(5, 3, *side)
    assert reinforcer(maps).shape == maps.shape
    assert discriminator(maps).shape == (5,)


def test_vectors_are_maps_of_one_place() -> None:
    shape = MapShape(6, 1, 1)
    reinforcer = Reinforcer(shape, (8,), (1,), dense_code(MapShape(8, 1, 1), 2), nn.Identity())
    vectors = torch.randn(5, 6, 1, 1)
    assert reinforcer(vectors).shape == vectors.shape
    convolutions = [part for part in reinforcer.modules() if isinstance(part, nn.Conv2d)]
    assert {part.kernel_size for part in convolutions} == {(1, 1)}
    # A normalisation would make a vector and its double the same.
    assert not torch.allclose(reinforcer(vectors), reinforcer(2 * vectors))


def test_r_cannot_leave_what_the_class_does() -> None:
    maps = torch.randn(200, 3, 1, 1) * torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    bound = WithinClass(3)
    bound.fit(maps, 0.25)
    torch.testing.assert_close(bound.low.flatten(), torch.quantile(maps.flatten(1), 0.25, dim=0))
    far = bound(torch.full((2, 3, 1, 1), 50.0))
    torch.testing.assert_close(far, bound.high.expand(2, -1, -1, -1))


def test_a_bounded_r_does_not_restore_what_lies_far_along_the_class_s_own_direction() -> None:
    """Without the bound it does: the class varies along that direction, so R learns to carry on."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(8, generator=generator)
    inside = torch.randn(400, 1, generator=generator) * direction
    far = 15 * direction[None, :]
    errors = {}
    for restored in ("within_class", "anywhere"):
        torch.manual_seed(0)
        settings = VERDICT_MODEL.model_copy(update={"restored": restored, "code_size": 2})
        model = AloccModel(settings, _Given())
        vectors = inside.repeat_interleave(4, dim=1)  # 32 numbers
        model.standardise(_Kept(vectors[:, :, None, None]))
        step = AdversarialStep(
            model.reinforcer,
            model.discriminator,
            lambda rows, model=model, vectors=vectors: model.standardised(vectors[rows][:, :, None, None]),
            StepSettings(learning_rate=1e-2, noise=0.3),
            CPU,
        )
        for epoch in range(10):
            for batch in batches(400, Schedule(10, 50, 0), epoch, CPU):
                step(batch)
        with torch.no_grad():
            outside = far.repeat_interleave(4, dim=1)[:, :, None, None]
            own = model.restoration_error(vectors[:, :, None, None]).median()
            errors[restored] = float(model.restoration_error(outside) / own.clamp_min(1e-3))
    assert errors["within_class"] > 50
    assert errors["within_class"] > 3 * errors["anywhere"]


class _Given(nn.Module):
    """A trunk whose maps do not matter: vectors are given to the model directly."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 32, 1, 1)


class _Kept(TrunkMaps):
    def __init__(self, maps: torch.Tensor) -> None:
        self._maps = maps

    def __len__(self) -> int:
        return len(self._maps)

    def __call__(self, indices: torch.Tensor) -> torch.Tensor:
        return self._maps[indices]


def test_no_image_changes_another_ones_result() -> None:
    """Batch statistics are what breaks the published D; they would also break several processes."""
    model = new_model("pixel").train()
    images = torch.from_numpy(random_images(6, 32))
    with torch.no_grad():
        model(images)  # settles the power iteration of the spectral norm, which hangs on weights alone
        model.eval()
        for whole, alone in zip(model(images), model(images[2:3]), strict=True):
            torch.testing.assert_close(whole[2:3], alone, rtol=1e-4, atol=1e-5)


def test_d_learns_first_on_the_target_and_r_then_fools_it() -> None:
    step = new_step(
        CPU, StepSettings(learning_rate=0.0, discriminator_learning_rate=2e-3, corrupted_share=0.0)
    )
    history = [step(batch) for epoch in range(30) for batch in batches(26, Schedule(30, 13, 0), epoch, CPU)]
    assert history[-1]["discrimination"] < history[0]["discrimination"] - 0.1
    assert history[-1]["adversarial"] > history[0]["adversarial"]


def test_corrupted_maps_hold_the_same_numbers_in_other_places() -> None:
    maps = torch.randn(60, 2, 8, 8)
    broken = corrupt(maps, torch.linspace(0, 0.999, 60))
    torch.testing.assert_close(broken.flatten(1).sort().values, maps.flatten(1).sort().values)
    assert (broken != maps).flatten(1).any(1).all()
    assert torch.equal(broken[0], maps[0].rot90(1, (1, 2)))


def test_the_error_is_the_share_of_energy_not_restored() -> None:
    model = new_model("pixel").eval()
    images = random_images(4, 32)
    kept = TrunkMaps(model.trunk, images, CPU.device)
    model.standardise(kept)
    with torch.no_grad():
        maps = model.maps(torch.from_numpy(images))
        restored = model.reinforcer(maps)
        expected = (maps - restored).square().sum((1, 2, 3)) / (maps - model.centre).square().sum((1, 2, 3))
        torch.testing.assert_close(model(torch.from_numpy(images))[2], expected)
    np.testing.assert_allclose(
        score_images([model], images)[0]["restoration"], -expected.double().numpy(), rtol=1e-6
    )


def test_feature_maps_are_standardised_by_the_target_class() -> None:
    torch.manual_seed(0)
    model = new_model("feature")
    images = random_images(12, 64)
    kept = TrunkMaps(model.trunk, images, CPU.device)
    model.standardise(kept)
    maps = training_maps(model, kept)(torch.arange(12))
    torch.testing.assert_close(maps.mean((0, 2, 3)), torch.zeros(maps.shape[1]), atol=0.02, rtol=0)
    assert maps.std((0, 2, 3)).max() < 1.05
    torch.testing.assert_close(maps, model.maps(torch.from_numpy(images)), atol=0.02, rtol=0.01)


def test_a_frozen_trunk_stays_frozen() -> None:
    model = new_model("feature").train()
    assert not model.trunk.training
    assert not any(parameter.requires_grad for parameter in model.trunk.parameters())
    before = {name: value.clone() for name, value in model.trunk.state_dict().items()}
    images = random_images(8, 64)
    kept = TrunkMaps(model.trunk, images, CPU.device)
    model.standardise(kept)
    step = AdversarialStep(
        model.reinforcer, model.discriminator, training_maps(model, kept), StepSettings(), CPU
    )
    for batch in batches(8, Schedule(1, 4, 0), 0, CPU):
        step(batch)
    for name, value in model.trunk.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_pixels_in_the_range_that_networks_expect() -> None:
    images = torch.tensor([[[[0, 255, 128]]]], dtype=torch.uint8)
    torch.testing.assert_close(
        Normalise("tensorflow")(images).flatten(), torch.tensor([-1.0, 1.0, 128 / 127.5 - 1])
    )
    expected = torch.tensor([-0.485 / 0.229, (1 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225])
    torch.testing.assert_close(Normalise("torchvision")(images).flatten(), expected)
    torch.testing.assert_close(Pixels(channels=1)(images).flatten(), torch.tensor([(128 / 127.5 - 1) / 3]))


def test_trunk_weights_from_a_file(tmp_path: Path) -> None:
    from torchvision.models import mobilenet_v2

    torch.manual_seed(1)
    whole = mobilenet_v2(weights=None)
    path = tmp_path / "weights.pth"
    torch.save({name: value.half() for name, value in whole.state_dict().items()}, path)
    trunk = MobileNetV2(6, 1, "tensorflow")
    load_trunk_weights(trunk, str(path))
    torch.testing.assert_close(
        trunk.features[3].conv[0][0].weight, whole.features[3].conv[0][0].weight, atol=1e-3, rtol=0
    )


def test_weights_that_do_not_fit_say_so(tmp_path: Path) -> None:
    trunk = MobileNetV2(2, 1, "tensorflow")
    with pytest.raises(WeightsError, match="no such file"):
        load_trunk_weights(trunk, str(tmp_path / "none.pth"))
    path = tmp_path / "w.pth"
    path.write_bytes(b"junk")
    with pytest.raises(WeightsError, match="is no state dict"):
        load_trunk_weights(trunk, str(path))
    torch.save({"layer.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match=r"lacks .* of .* tensors of MobileNetV2 .*another network"):
        load_trunk_weights(trunk, str(path))
    state = trunk.state_dict()
    state["features.0.0.weight"] = torch.zeros(8, 3, 3, 3)
    torch.save(state, path)
    with pytest.raises(WeightsError, match="does not fit MobileNetV2"):
        load_trunk_weights(trunk, str(path))


def test_settings_survive_the_run_folder() -> None:
    settings = ModelSettings(trunk="mobilenet_v2", restored="anywhere", widths=(4,), strides=(1,))
    assert ModelSettings.model_validate(settings.model_dump(mode="json")) == settings
