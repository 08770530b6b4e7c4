"""What only a GPU shows: captured and compiled steps, exact float32, the same pictures as a CPU's."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_patches import pictures
from test_training import run

from memnet.network import checkpoints
from memnet.network.folded import inference_form
from memnet.network.growth import grow
from memnet.network.model import Config, build
from memnet.restoration import tiling
from memnet.training import selection, soap
from memnet.training.config import PRESETS
from memnet.training.sampler import Patches
from memnet.training.state import load_state
from memnet.training.trainer import NONFINITE_STEPS, Trainer
from memnet.training.validation import ValidationSet

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.filterwarnings("ignore"),  # the compiler's own
]
SMALL = Config(3, 2, channels=16)


def trainer_for(steps=20, precision="float32", nan=False, frozen=0.0, preset="soap", eager=False):
    torch.manual_seed(1)
    model = build(SMALL)
    torch.nn.init.zeros_(model.reconnet.conv.weight)
    patches = Patches(pictures(), task="super-resolution", patch=24, device="cuda")
    if nan:
        patches.pixels = patches.pixels.float() * torch.nan
    settings = {"steps": steps, "batch": 8, "patch": 24, "precision": precision, "patch_growth": 1}
    return Trainer(model, patches, replace(PRESETS[preset], frozen_bn_fraction=frozen, **settings), eager=eager)


@pytest.mark.parametrize("preset", ["soap", "adamw"])
@pytest.mark.parametrize("frozen", [0.0, 0.8])  # from the fourth of 20 steps another graph, and importance sampling
def test_captured_steps_are_the_eager_ones(frozen, preset):
    plain = trainer_for(eager=True, frozen=frozen, preset=preset)
    fast = trainer_for(frozen=frozen, preset=preset)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for number in range(8):
            (loss, norm), (loss_too, norm_too) = plain.step(), fast.step()
            assert float(loss_too) == pytest.approx(float(loss), rel=1e-3 if number < 5 else 1e-2), number
            assert float(norm_too) == pytest.approx(float(norm), rel=2e-2), number
    for name, value in plain.average.state_dict().items():
        torch.testing.assert_close(fast.average.state_dict()[name], value, rtol=2e-2, atol=2e-3, msg=name)
    assert fast.model.fenet[0].num_batches_tracked == min(8, fast.config.freeze_step)


def test_non_finite_captured_steps_change_nothing_and_then_stop_the_run():
    trainer = trainer_for(nan=True)
    before = deepcopy(trainer.model.state_dict())
    for _ in range(NONFINITE_STEPS - 1):
        trainer.step()
    with pytest.raises(ValueError, match="no finite gradient"):
        trainer.step()
    assert trainer.skipped == NONFINITE_STEPS
    after = trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_stops_and_goes_on(tmp_path):
    held = ValidationSet(pictures(1), task="super-resolution", device="cuda")
    first = trainer_for(precision="bfloat16")
    run(first, held, tmp_path, minutes=0.0)
    second = trainer_for(precision="bfloat16")
    load_state(second, *checkpoints.load_state(tmp_path / "state"))
    assert second.step_number == first.step_number > 0
    assert not run(second, held, tmp_path)
    _, model, gains = selection.best_weights(second, held)
    assert all(np.isfinite(gain) for gain in gains.values())
    assert next(model.parameters()).device.type == "cuda"


@pytest.mark.parametrize("size", [(1, 1), (70, 131)])
def test_images_are_restored_as_on_a_cpu(size):
    torch.manual_seed(0)
    model = build(Config(6, 6)).eval()
    picture = np.random.default_rng(0).random(size)
    expected = tiling.predict(model, picture)[0]
    got = tiling.predict(deepcopy(model).cuda(), picture)[0]
    assert np.abs(got - expected).max() * 255 < 4e-3 * max(1, np.abs(expected).max())
    assert next(inference_form(deepcopy(model).cuda()).parameters()).device.type == "cuda"


def test_the_eigenbasis_is_refreshed_as_by_a_qr_decomposition():
    basis = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).double())[0]
    covariance = (basis @ torch.logspace(0, -4, 64).double().diag() @ basis.T).float()[None]
    axes = torch.linalg.qr(basis.float() + 0.01 * torch.randn(64, 64))[0][None]
    found, expected = soap.iterated(axes.cuda(), covariance.cuda()).cpu(), soap.iterated(axes, covariance)
    torch.testing.assert_close((found * expected).sum(dim=1).abs(), torch.ones(1, 64), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.mT @ found, torch.eye(64)[None], atol=1e-5, rtol=0)


def test_a_network_grows_where_it_is():
    torch.manual_seed(1)
    model = build(SMALL).cuda()
    deeper, expected = grow(model, 4).state_dict(), grow(model.cpu(), 4).state_dict()
    assert all(tensor.is_cuda and torch.equal(tensor.cpu(), expected[name]) for name, tensor in deeper.items())
