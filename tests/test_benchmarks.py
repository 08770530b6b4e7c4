"""The benchmarks run: small sizes, every table; what they say about speed is for `make benchmark`."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from memnet import analysis, datasets, experiments
from memnet.model import Config
from memnet.paths import ROOT

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def from_here(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr(analysis, "matrix_rate", lambda *_: 1e11)


def test_inference_is_measured_against_the_limit_pixels_depth_and_memory():
    import inference

    limits = inference.against_the_limit(CPU, 12, repeats=1)
    assert [row["form"] for row in limits[:2]] == ["as written, NCHW", "as written, channels_last"]
    assert all(row["times the float32 matrix product"] > 0 for row in limits)
    assert [row["pixels"] for row in inference.against_pixels(CPU, (8, 12))] == [64, 144]
    depth = inference.against_depth(CPU, 8)
    assert depth[0]["G multiply-adds"] < depth[-1]["G multiply-adds"]
    (peak,) = inference.peaks(((24, 24),))
    assert peak["above an idle process"] > 0
    assert inference.section("Memory", [peak]).startswith("## Memory\n\n| picture | peak MiB |")


def test_a_training_step_is_measured(monkeypatch, tmp_path):
    import training

    monkeypatch.setattr(training, "TOGETHER", 1)
    file = tmp_path / "training.md"
    monkeypatch.setattr(sys, "argv", ["training.py", "--batch", "1", "--patch", "8", "--output", str(file)])
    training.main()
    text = file.read_text(encoding="utf-8")
    assert all(f"| {loop}" in text for loop in ("plain eager loop, float32 |", "memnet train, ", "memnet train, norms"))


@pytest.fixture
def small_pictures(monkeypatch):
    """Made pictures to learn from, and crops of 48x48 of one that is held back."""
    import common

    planes = [np.random.default_rng(i).integers(0, 256, (96, 96), dtype=np.uint8) for i in range(3)]
    monkeypatch.setattr(datasets, "training_planes", lambda name: planes)
    monkeypatch.setattr(common, "CROP", 48)


def test_starts_are_compared_under_one_budget(small_pictures, monkeypatch, tmp_path):
    import starts

    tiny = replace(experiments.experiment("sr-M6R6"), config=Config(1, 2, channels=2))
    monkeypatch.setitem(experiments.EXPERIMENTS, "sr-M6R6", tiny)
    file = tmp_path / "starts.md"
    monkeypatch.setattr(sys, "argv", ["starts.py", "--seconds", "0.2", "--seeds", "1", "--output", str(file)])
    starts.main()
    rows = [line.split("|") for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert [row[1].strip() for row in rows[2:]] == list(starts.STARTS)
    assert " + " in rows[-1][5]  # the steps with one recursion, and with all


def test_recipes_are_compared_from_the_same_weights(small_pictures, monkeypatch, tmp_path):
    import recipes

    monkeypatch.setattr(recipes, "SETTINGS", {"as it is": {}, "evenly": {"by_error": False}})
    file = tmp_path / "recipes.md"
    asked = ["recipes.py", "--run", "sr-skip", "--steps", "10", "--seeds", "2", "--output", str(file)]
    monkeypatch.setattr(sys, "argv", asked)
    recipes.main()
    text = file.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "sr-skip (`" in text
    assert [row.split("|")[1].strip() for row in rows[-2:]] == ["as it is", "evenly"]
    low, high = (float(cell) for cell in rows[-1].split("|")[4:6])
    assert low < high  # two seeds are two trainings
