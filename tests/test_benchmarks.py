"""The benchmarks run: small sizes, every table; what they say about speed is for `make benchmark`."""

import sys

import pytest
import torch

from memnet import paths

CPU = torch.device("cpu")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def from_here(monkeypatch):
    monkeypatch.syspath_prepend(str(paths.ROOT / "benchmarks"))
    monkeypatch.setattr("memnet.study.size.matrix_rate", lambda *_: 1e11)


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
    assert all(
        f"| {loop}" in text for loop in ("plain eager loop, float32 |", "memnet train, ", "memnet train, frozen")
    )
