"""What several tests share: the benchmark pictures where they are on disk, tiny networks, made pictures."""

import numpy as np
import pytest
import torch
from hypothesis import settings

from memnet.network import checkpoints
from memnet.network.model import Config, build
from memnet.protocol import datasets, tasks
from memnet.study import registry

settings.register_profile("memnet", deadline=None)  # a machine that others use is slow now and then
settings.load_profile("memnet")


@pytest.fixture
def benchmark_set():
    """Pictures of a data set by name; skips, and says so, where they are not on disk."""

    def pictures(name):
        if not datasets.available(name):
            pytest.skip(f"{name} is not on disk: set MEMNET_DATA to the folder that holds it")
        return datasets.pictures(name)

    return pictures


@pytest.fixture
def tiny_runs(tmp_path, monkeypatch):
    """A folder with tiny untrained networks as the main runs' weights and those for any level; rows go elsewhere."""
    monkeypatch.setattr("memnet.paths.WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr("memnet.paths.RESULTS", tmp_path / "results")
    stage = {"optimiser": "AdamW", "steps": 1, "batch": 1, "patch": 8, "seconds": 1.0, "psnr_gain": 0.0}
    for run in sorted({function(task) for task in tasks.TASKS for function in (registry.main_run, registry.run_for)}):
        torch.manual_seed(0)
        history = {"run": run, "stages": [stage | {"hardware": "none"}]}
        checkpoints.save(registry.weights_path(run), build(Config(2, 2, channels=4)), history=history)
    return tmp_path / "weights"


@pytest.fixture
def colour_picture():
    """A made colour picture, uint8 (40, 30, 3)."""
    rows, columns = np.mgrid[:40, :30]
    channels = [128 + 100 * np.sin(rows / a + columns / b) for a, b in ((5, 9), (8, 4), (3, 12))]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)
