"""The public names: `memnet.NAME`, as other programs and the notebooks use them."""

import inspect
import pkgutil
import re

import numpy as np
import pytest
import torch
from torch import nn

import memnet
from memnet import paths
from memnet.network import checkpoints
from memnet.network.model import Config, PlainConfig, build
from memnet.protocol import datasets
from memnet.study import evaluation, registry

SIGNATURES = {
    "bicubic": "image scale",
    "degrade": "image task level key seed",
    "gate_norms": "model",
    "gaussian_noise": "image sigma rng",
    "imresize": "image scale antialias",
    "jpeg": "image quality",
    "load": "run",
    "psnr": "reference image data_range",
    "restore": "image task scale model run precision ensemble luma_only strength",
    "spectral_density": "image window circles",
    "ssim": "reference image data_range",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_public_functions_take_what_is_documented_and_say_what_they_raise(name):
    function = getattr(memnet, name)
    assert list(inspect.signature(function).parameters) == SIGNATURES[name].split()
    assert "ValueError" in function.__doc__


def test_the_public_names_are_listed():
    assert sorted(memnet.__all__) == sorted({*SIGNATURES, "PRESETS", "Config", "MemNet"})
    assert memnet.PRESETS["M6R6"] == memnet.Config(blocks=6, recursions=6)
    for kind in (memnet.Config, memnet.MemNet, memnet.MemNet.forward, memnet.MemNet.predictions):
        assert kind.__doc__


@pytest.mark.parametrize("config", [Config(2, 3, channels=4), PlainConfig(layers=2, channels=4)])
def test_loading_draws_no_random_number_and_gives_what_was_saved(config, tmp_path):
    model = build(config)
    checkpoints.save(tmp_path / "weights.safetensors", model, history={})
    before = torch.get_rng_state()
    loaded, _ = checkpoints.load(tmp_path / "weights.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    saved = model.state_dict()
    assert {name for name, tensor in loaded.state_dict().items() if torch.equal(tensor, saved[name])} == set(saved)
    assert all(parameter.requires_grad for parameter in loaded.parameters())


@pytest.fixture
def reads(tiny_runs, monkeypatch):
    """Names of the files of weights that are read, in their order; the weights are those of tiny networks."""
    found, read = [], checkpoints.load
    monkeypatch.setattr("memnet.network.checkpoints.load", lambda path: found.append(path.name) or read(path))
    return found


def test_restore_reads_weights_once_until_the_file_changes(reads):
    image = np.random.default_rng(0).random((12, 13))
    first = memnet.restore(image, task="jpeg")
    np.testing.assert_array_equal(memnet.restore(image, task="jpeg"), first)
    assert reads == ["jpeg-M6R6-any.safetensors"]
    memnet.restore(image, task="jpeg", run="jpeg-M6R6")
    assert reads[1:] == ["jpeg-M6R6.safetensors"]
    torch.manual_seed(1)
    history = {"run": "jpeg-M6R6-any", "stages": []}
    checkpoints.save(registry.weights_path("jpeg-M6R6-any"), build(Config(2, 2, channels=4)), history=history)
    assert not np.array_equal(memnet.restore(image, task="jpeg"), first)
    assert reads[2:] == ["jpeg-M6R6-any.safetensors"]


class Halved(nn.Module):
    """A network of somebody's own: half of its input."""

    def forward(self, x):
        return x / 2


class HalvedTwice(nn.Module):
    """One with an intermediate prediction and no `forward`."""

    def predictions(self, x):
        return x / 2, [x / 4]


@pytest.mark.parametrize(("model", "columns"), [(Halved(), []), (HalvedTwice(), ["psnr_1"])])
def test_a_model_of_ones_own_is_evaluated(model, columns):
    how = {"run": "mine", "task": "jpeg", "dataset": "embedded", "level": 10, "progress": False}
    rows = evaluation.evaluate(model, datasets.pictures("embedded")[:1], **how)
    assert list(rows.columns) == [*evaluation.COLUMNS, *columns, "seconds"]


def test_a_model_of_ones_own_restores(reads):
    image = np.random.default_rng(0).random((12, 13))
    np.testing.assert_allclose(memnet.restore(image, task="denoising", model=Halved()), image / 2, atol=1e-6)
    assert memnet.restore(image, task="sr", scale=3, model=Halved()).shape == (36, 39)
    assert reads == []
    for choice in ({"run": "jpeg-M6R6"}, {"precision": "bfloat16"}):
        with pytest.raises(ValueError, match="leave out run and precision"):
            memnet.restore(image, task="jpeg", model=Halved(), **choice)


def test_what_the_changelog_says_is_there_now_is_there():
    text = (paths.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    cells = [line.split("|")[2] for line in text.splitlines() if line.startswith("  | `")]
    current = [name for cell in cells for name in re.findall(r"`([\w.-]+)", cell)]
    runs = [name for name in current if re.match(r"(sr|jpeg|denoising)-", name)]
    assert len(runs) == 8
    assert set(runs) <= set(registry.EXPERIMENTS)
    for name in sorted(set(current) - set(runs)):
        if name.endswith(".ipynb"):
            assert (paths.NOTEBOOKS / name).is_file()
        elif "." in name:
            within = "memnet.tasks." if name.startswith("Task.") else "memnet."
            assert pkgutil.resolve_name(within + name.removeprefix("memnet."))


def test_weights_of_another_run_under_its_name_are_refused(tiny_runs):
    (tiny_runs / "jpeg-M6R6.safetensors").write_bytes((tiny_runs / "denoising-M6R6.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"jpeg-M6R6\.safetensors holds weights of denoising-M6R6"):
        memnet.load("jpeg-M6R6")


@pytest.mark.parametrize("history", [{}, {"stages": []}, {"stages": [{"steps": "many"}]}])
def test_weights_whose_history_is_not_that_of_a_training_hide_no_other_run(tiny_runs, history):
    path = tiny_runs / "jpeg-M6R6.safetensors"
    checkpoints.save(path, build(Config(1, 1, channels=2)), history={"run": "jpeg-M6R6", **history})
    assert memnet.load("jpeg-M6R6").config.blocks == 1
    with pytest.raises(ValueError, match=r"jpeg-M6R6\.safetensors has no history of its training"):
        registry.overview(["jpeg-M6R6"])
    lines = registry.listing().splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(registry.EXPERIMENTS)


@pytest.mark.parametrize("history", [[1], {"stages": [7]}, {"stages": 7}])
def test_weights_whose_history_has_another_form_are_refused(tiny_runs, history):
    checkpoints.save(tiny_runs / "jpeg-M6R6.safetensors", build(Config(1, 1, channels=2)), history=history)
    with pytest.raises(ValueError, match=r"jpeg-M6R6\.safetensors is of a network that is not known here"):
        memnet.load("jpeg-M6R6")
