"""Two processes on one batch make the steps of one process."""

import subprocess
import sys

import pytest
import torch

from memnet import paths
from memnet.network import checkpoints
from memnet.training import distributed

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
from pathlib import Path
import torch
from memnet.training import distributed
sys.path.insert(0, "tests")
from test_patches import pictures
from test_training import run, trainer_for
from memnet.training.validation import ValidationSet
from memnet.training.selection import best_weights

torch.set_num_threads(1)
folder, norms = Path(sys.argv[1]), sys.argv[2]
with distributed.process_group("cpu"):
    trainer = trainer_for(steps=10, preset="paper")  # AdamW makes steps of rounding where a gradient is 0
    if norms == "synchronised":
        distributed.convert_sync_batchnorm(trainer.model)
        distributed.convert_sync_batchnorm(trainer.average)
    held = ValidationSet(pictures(1), task="super-resolution")
    assert not run(trainer, held, folder)
    _, model, _ = best_weights(trainer, held)
    assert distributed.broadcast(distributed.rank()) == 0
    if distributed.is_main_process():
        torch.save([trainer.model.state_dict(), distributed.world_size(), model.state_dict()], folder / "end.pt")
"""

COMMAND = """
import sys
from pathlib import Path
import torch
from memnet import cli
from memnet.network.model import Config
from memnet.protocol import datasets
from memnet.study import registry
sys.path.insert(0, "tests")
from test_patches import pictures

torch.set_num_threads(1)
tiny = registry.Experiment("sr-M6R6", "super-resolution", Config(2, 1, channels=4), "291", "a test")
registry.EXPERIMENTS["sr-M6R6"] = tiny
datasets.training_images = lambda name: pictures(4, size=84)
words = ["train", "sr-M6R6", "--preset", "paper", "--steps", "10", "-p", "batch=4", "-p", "patch=12"]
cli.app([*words, "--output", sys.argv[1]])
"""


def launched(program, processes, *arguments):
    """What a program says that runs in so many processes."""
    words = ["--standalone", "--nproc-per-node", str(processes), "--no-python", sys.executable, "-c", program]
    start = [sys.executable, "-m", "torch.distributed.run", *words] if processes > 1 else words[4:]
    command = [*start, *map(str, arguments)]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commanded(folder, processes):
    """The weights of `memnet train` in so many processes, and what it said."""
    said = launched(COMMAND, processes, folder)
    model, history = checkpoints.load(folder / "sr-M6R6.safetensors")
    return model.state_dict(), history["stages"][-1], said


def test_the_command_in_two_processes_writes_what_one_writes_and_speaks_once(tmp_path):
    alone, _, _ = commanded(tmp_path / "1", 1)
    both, stage, said = commanded(tmp_path / "2", 2)
    assert stage["processes"] == 2
    assert largest_difference(both, alone) < 1e-4
    assert [line.split(":")[0] for line in said.splitlines()] == ["PSNR gain on the validation set", "weights"]


def trained(folder, processes, norms="synchronised"):
    """State of the network after ten steps, and how many processes made them."""
    folder.mkdir()
    launched(PROGRAM, processes, folder, norms)
    return torch.load(folder / "end.pt")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("alone") / "1", 1)


def largest_difference(one, other):
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def test_two_processes_equal_one(alone, tmp_path):
    model, processes, best = trained(tmp_path / "2", 2)
    assert (processes, alone[1]) == (2, 1)
    assert largest_difference(model, alone[0]) < 1e-4
    assert largest_difference(best, alone[2]) < 1e-4
    tensors, meta = checkpoints.load_state(tmp_path / "2" / "state")
    assert meta["step"] == 10
    assert torch.equal(tensors["model.fenet.2.weight"], model["fenet.2.weight"])
    assert len((tmp_path / "2" / "log.csv").read_text().splitlines()) == 1 + 3 + 1


def test_norms_of_each_process_alone_are_something_else(alone, tmp_path):
    model, _, _ = trained(tmp_path / "2", 2, "local")
    assert largest_difference(model, alone[0]) > 1e-3


def test_one_process_is_not_touched():
    values = [torch.arange(4.0), torch.ones(2, 2)]
    before = [value.clone() for value in values]
    distributed.all_reduce_mean(values)
    assert all(torch.equal(a, b) for a, b in zip(values, before, strict=True))
    assert distributed.shard(values[0]) is not None
    assert distributed.broadcast("x") == "x"
    assert distributed.is_main_process()


def test_a_synchronised_norm_alone_is_a_batch_norm():
    torch.manual_seed(0)
    norms = [torch.nn.BatchNorm2d(3), distributed.convert_sync_batchnorm(torch.nn.BatchNorm2d(3))]
    v = torch.rand(2, 3, 4, 4)
    assert torch.equal(norms[0](v), norms[1](v))
    assert norms[0].state_dict().keys() == norms[1].state_dict().keys()


def test_a_batch_that_cannot_be_split_is_refused(monkeypatch):
    monkeypatch.setattr("memnet.training.distributed.world_size", lambda: 3)
    with pytest.raises(ValueError, match="8 cannot be split among 3"):
        distributed.shard(torch.zeros(8))
