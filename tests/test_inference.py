"""The inference form gives what the network gives."""

import numpy as np
import pytest
import torch

from memnet.network import runtime
from memnet.network.folded import InferenceNet, inference_form
from memnet.network.model import Config, PlainConfig, build
from memnet.protocol import datasets, tasks
from memnet.restoration import tiling
from memnet.study import registry

CONFIGS = [
    Config(2, 3, channels=5),
    Config(3, 2, channels=4, long_term=False),
    Config(2, 3, channels=4, short_term=False),
    Config(2, 2, channels=4, multi_supervised=False),
    Config(1, 1, channels=1),
]


def lived(config, seed=0):
    """A network whose batch norms have seen pictures, with scales and shifts of both signs."""
    torch.manual_seed(seed)
    model = build(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and "conv" not in name:
                parameter.add_(torch.randn_like(parameter))
        for _ in range(3):
            model(torch.rand(4, 1, 12, 12))
    return model.eval()


def largest_difference(model, x):
    y, y_m = model.predictions(x)
    fast, fast_m = inference_form(model).predictions(x)
    assert len(y_m) == len(fast_m)
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip([y, *y_m], [fast, *fast_m], strict=True))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 3, 17), (2, 1, 16, 16)], ids=str)
@torch.inference_mode()
def test_it_gives_what_the_network_gives(config, shape):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    assert largest_difference(lived(config), x) < 5e-5  # rounding, on whatever processor


@torch.inference_mode()
def test_channels_that_are_switched_off_stay_so():
    model = lived(Config(2, 2, channels=4))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight[0] = 0
    assert largest_difference(model, torch.rand(1, 1, 9, 9)) < 5e-5


TRAINED = [run for run in registry.EXPERIMENTS if registry.trained(run)]


@pytest.mark.parametrize("run", TRAINED)
@torch.inference_mode()
def test_trained_networks_agree_as_far_as_float32_goes(run):
    model, task = registry.load(run), registry.experiment(run).task
    image = datasets.pictures("embedded")[2].pixels[:72, :72]
    level = tasks.task(task).levels[1]
    degraded = tasks.degrade(image, task=task, level=level, key="camera")[1]
    x = torch.from_numpy(degraded.astype(np.float32))[None, None]
    y, fast = model(x).double(), inference_form(model)(x).double()
    exact = model.double()(x.double())
    error, own_error = (255 * float((image - exact).abs().max()) for image in (fast, y))
    assert error < 5e-4  # of a grey level
    assert error < max(1e-4, 5 * own_error)


def test_it_leaves_the_network_as_it_is():
    model = lived(Config(2, 2, channels=4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = inference_form(model.train())
    assert isinstance(fast, InferenceNet)
    assert inference_form(fast) is fast
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in fast.parameters())


def test_networks_without_memory_blocks_are_their_own_form():
    model = build(PlainConfig(2, channels=4))
    assert inference_form(model) is model
    with pytest.raises(ValueError, match="float32 alone"):
        inference_form(model, torch.bfloat16)


@torch.inference_mode()
def test_the_size_of_a_strip_changes_nothing(monkeypatch):
    model, x = lived(Config(2, 2, channels=4)), torch.rand(1, 1, 13, 7)
    whole = inference_form(model)(x)
    for size in (1, 3 * 9 * 4 * 4, 10**9):
        monkeypatch.setattr("memnet.network.folded.STRIP_BYTES", size)
        torch.testing.assert_close(inference_form(model)(x), whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("run", [run for run in map(registry.main_run, tasks.TASKS) if run in TRAINED])
def test_bfloat16_changes_gray_levels_as_little_as_is_said(run):
    task = registry.experiment(run).task
    image = datasets.pictures("embedded")[2].pixels[:48, :72]
    level = tasks.task(task).levels[0]
    degraded = tasks.degrade(image, task=task, level=level, key="camera")[1]
    exact, rounded = (tiling.predict(registry.ready(run, one), degraded)[0] for one in ("float32", "bfloat16"))
    error = 255 * np.abs(rounded - exact)
    assert 0 < error.mean() < 0.23
    assert error.max() < 2


def test_unknown_precisions_are_refused():
    with pytest.raises(ValueError, match="unknown precision 'half'"):
        registry.ready("sr-M6R6", "half")


@pytest.mark.parametrize("precision", runtime.PRECISIONS.values())
@torch.inference_mode()
def test_it_stays_on_the_device_of_the_network(precision):
    model = lived(Config(2, 2, channels=4)).to("meta")  # where a tensor of another device raises
    y, _ = inference_form(model, precision).predictions(torch.rand(1, 1, 5, 7, device="meta"))
    assert (y.device.type, y.shape, y.dtype) == ("meta", (1, 1, 5, 7), torch.float32)
