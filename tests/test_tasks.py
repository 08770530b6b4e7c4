"""The task objects, and a fourth task that is one class and one run."""

import numpy as np
import pandas as pd
import pytest
import torch

from memnet.network.model import Config
from memnet.protocol import images, tasks
from memnet.protocol.datasets import Picture
from memnet.restoration import arrays, files
from memnet.study import evaluation, registry, train_run
from memnet.training.config import TrainingConfig
from memnet.training.sampler import Patches

TASKS = tuple(tasks.TASKS)


def made_images(count=4, size=80):
    """Smooth made images, uint8 (size, size + 6)."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:size, : size + 6] / size
    found = []
    for _ in range(count):
        waves = sum(np.sin(2 * np.pi * (a * rows + b * columns + c)) for a, b, c in rng.uniform(-5, 5, (4, 3)))
        found.append(np.round(127.5 + 25 * waves).astype(np.uint8))
    return found


class Inpainting(tasks.RandomTask):
    """Random pixels are lost and gray instead; a level is how many of a hundred."""

    name, short = "inpainting", "holes"
    levels = (10, 50)
    level_name, prefix, level_range = "percentage", "% lost ", (1, 99)
    degraded, restored = "Holes", "filled"
    test_sets = ("Set5",)
    channel = staticmethod(images.gray)

    def degrade(self, image, level, *, key="", seed=0):
        clean = images.to_float(image)
        lost = np.random.default_rng([seed, *key.encode()]).random(clean.shape) < level / 100
        return clean, np.where(lost, 0.5, clean)

    def degrade_patches(self, clean, level, noise):
        return torch.where(noise < torch.special.ndtri(level / 100), 0.5, clean)

    def input_error(self, level):
        return (level / 100) ** 0.5


@pytest.fixture
def inpainting(tmp_path, monkeypatch):
    """The fourth task: its class in TASKS, its run in EXPERIMENTS; weights go to a temporary folder."""
    run = registry.Experiment(
        "holes-tiny", "inpainting", Config(1, 1, channels=4), "made", "a test", balanced=True, main=True, any_level=True
    )
    monkeypatch.setitem(tasks.TASKS, "inpainting", Inpainting())
    monkeypatch.setitem(registry.EXPERIMENTS, run.name, run)
    monkeypatch.setattr("memnet.protocol.datasets.training_images", lambda _: made_images())
    monkeypatch.setattr("memnet.paths.WEIGHTS", tmp_path)
    return run.name


def test_a_fourth_task_trains_evaluates_and_restores(inpainting, tmp_path):
    config = TrainingConfig(steps=10, batch=4, patch=12)
    train_run.train_run(inpainting, config, device="cpu", progress=False)
    model, image = registry.load(registry.run_for("holes")), made_images(5)[4]
    rows = [
        evaluation.evaluate(
            model, [Picture("wave", image)], run=inpainting, task="holes", dataset="made", level=level, progress=False
        )
        for level in Inpainting.levels
    ]
    table = pd.concat(rows)
    assert set(table.task) == {"inpainting"}
    assert table.input_psnr.tolist() == sorted(table.input_psnr, reverse=True)
    assert evaluation.gains(table)["where"].tolist() == ["made, % lost 10", "made, % lost 50"]
    assert set(evaluation.restored(model, Picture("wave", image), task="holes", level=50)[1]) == {"Holes", "MemNet"}
    _, holes = tasks.degrade(image, task="inpainting", level=50)
    restored = arrays.restore(holes, task="inpainting", model=model)
    assert restored.shape == holes.shape
    assert not np.array_equal(restored, holes)
    (target,) = files.targets_for([tmp_path / "wave.jpg"], tmp_path, task="inpainting", scale=None)
    assert target.name == "wave-filled.png"
    with pytest.raises(ValueError, match="the percentage of inpainting is a number from 1 to 99, got 0"):
        tasks.task("holes").check_level(0)


def test_patches_of_a_fourth_task_are_drawn_anew_and_weighed_by_their_level(inpainting):
    patches = Patches(made_images(), task="inpainting", patch=48, balanced=True)
    x, clean, weights = patches.draw(40, torch.Generator().manual_seed(0))
    lost = (x != clean).float().mean(dim=(1, 2, 3))
    for level, weight in zip(Inpainting.levels, patches.importance, strict=True):
        assert lost[weights == weight].mean() == pytest.approx(level / 100, abs=0.03)
    assert patches.importance[0] / patches.importance[1] == pytest.approx(5**0.5)


def test_a_task_without_a_run_is_named(monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "inpainting", Inpainting())
    with pytest.raises(ValueError, match="one run of inpainting has to be marked `any_level`"):
        registry.run_for("holes")


def test_short_names_and_tasks_themselves_are_accepted():
    assert tasks.task("sr") is tasks.task("super-resolution") is tasks.task(tasks.TASKS["super-resolution"])
    assert registry.run_for("sr") == registry.main_run("sr") == "sr-M6R6"
    assert registry.run_for("sr", "sr-M4R6") == "sr-M4R6"
    assert [
        run.name for run in registry.EXPERIMENTS.values() if not run.name.startswith(tasks.task(run.task).short)
    ] == []


@pytest.mark.parametrize("task", TASKS)
def test_the_same_levels_weigh_alike_however_they_are_given(task):
    levels = tasks.task(task).levels
    for balanced in (False, True):
        by_default = Patches(made_images(), task=task, patch=24, balanced=balanced)
        given = Patches(made_images(), task=task, patch=24, levels=levels, balanced=balanced)
        torch.testing.assert_close(by_default.importance, given.importance)
        assert (by_default.importance.std() > 0.05) == balanced
    assert [run.name for run in registry.EXPERIMENTS.values() if run.balanced] == [
        "denoising-M6R6-any",
        "jpeg-M6R6-any",
    ]


DRAWN = {  # sums of 16 inputs and of their clean patches, and the weights of the task's levels if balanced
    "denoising": [4563.248, 2722.348, 4585.797, 2267.408, 10.30849, 1.478873, 0.8873239, 0.6338028],
    "super-resolution": [4499.3, 2364.105, 4498.348, 2246.604, 8.635192, 1.814924, 0.7961813, 0.3888941],
    "jpeg": [4695.801, 2558.835, 4691.357, 2264.77, 8.459769, 0.7550969, 1.244903],
}


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_draws_the_patches_that_the_committed_networks_learned_from(task):
    patches = Patches(made_images(), task=task, patch=24, balanced=True)
    x, clean, _ = patches.draw(16, torch.Generator().manual_seed(5))
    chosen, _, weights = patches.draw_by_importance(8, torch.Generator().manual_seed(6))
    found = [float(t.double().sum()) for t in (x, x.square(), clean, chosen, weights)] + patches.importance.tolist()
    assert found == pytest.approx(DRAWN[task], rel=1e-5)
