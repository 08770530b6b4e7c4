"""Sizes against closed formulas, and comparisons of networks against cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import torch

from memnet.network.model import PRESETS, VARIANTS, Config, PlainConfig, build, variant
from memnet.study import analysis, size

TINY = Config(blocks=4, recursions=3, channels=4)


# Sizes


@pytest.mark.parametrize(
    ("preset", "weights"),
    [("M4R6", 435_328), ("M6R6", 676_992), ("M6R8", 726_144), ("M10R10", 1_373_312), ("plain", 664_704)],
)
def test_parameters_are_the_papers(preset, weights):
    assert size.parameters(PRESETS[preset])["convolution_weights"] == weights


def test_parameters_against_a_closed_formula():
    m, r, c = 6, 6, 64
    maps = [(block + r) * c for block in range(1, m + 1)]
    counts = size.parameters(PRESETS["M6R6"])
    assert counts["convolution_weights"] == 2 * 9 * c + m * 2 * 9 * c**2 + sum(maps) * c == 676_992
    assert counts["biases"] == c + m * 3 * c + 1
    assert counts["norms"] == 2 * (1 + m * 2 * r * c + sum(maps) + m * c)
    assert counts["output_weights"] == m
    assert counts["total"] == sum(p.numel() for p in build(PRESETS["M6R6"]).parameters())


@pytest.mark.parametrize(("scale", "shift"), [(0.7, 0.2), (0.3, 1.0), (-0.5, 0.4)])
def test_visible_luma_is_what_fenet_lets_through(scale, shift):
    network = build(TINY).eval()
    norm, relu, _ = network.fenet
    learnt = {"weight": scale, "bias": shift, "running_mean": 0.45, "running_var": 0.04}
    for name, value in learnt.items():
        torch.nn.init.constant_(getattr(norm, name), value)
    low, high = size.visible_luma(network)
    levels = torch.arange(-500.0, 500)
    passed = relu(norm(levels.view(-1, 1, 1, 1) / 255)).flatten() > 0
    assert torch.equal(passed, (levels > low) & (levels < high))
    assert 0 < passed.sum() < len(levels)


def test_parameters_of_a_network_are_those_of_its_configuration():
    assert size.parameters(build(TINY)) == size.parameters(TINY)


@pytest.mark.parametrize("config", [TINY, *(variant(TINY, name) for name in VARIANTS), PlainConfig(5, 4)])
def test_layer_table_adds_up_to_the_parameters(config):
    table, counts = size.layer_table(config), size.parameters(config)
    sums = table[["weights", "biases", "norms"]].sum().tolist()
    assert sums == [counts["convolution_weights"], counts["biases"], counts["norms"]]


@pytest.mark.parametrize("config", [TINY, variant(TINY, "basic"), variant(TINY, "NL"), PlainConfig(4, 3, skip=True)])
def test_operations_are_what_a_pass_computes(config):
    found = []

    def count(layer, inputs, output):
        found.append(layer.weight.numel() * output.shape[2] * output.shape[3])

    model = build(config).eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    model(torch.zeros(1, 1, 5, 7))
    assert size.operations(config, 5, 7) == sum(found)


def test_growth_gives_the_abscissae_of_fig_6():
    table = size.growth(PRESETS["M6R6"]).set_index("block")
    assert table.parameters_k.loc[3:].round(1).tolist() == [320.6, 435.3, 554.1, 677.0]


def test_seconds_are_positive():
    assert 0 < size.seconds(Config(1, 1, channels=2), height=8, width=8, repeats=1) < 60


# Crops


def rows_of(run, psnr, dataset="Set5"):
    return pd.DataFrame({"run": run, "dataset": dataset, "level": 3, "image": list("abc")[: len(psnr)], "psnr": psnr})


@pytest.mark.parametrize(
    ("interval", "bound", "verdict"),
    [
        ((0.1, 0.3), 0, "supported"),
        ((-0.3, -0.1), 0, "not supported"),
        ((-0.026, 0.011), 0, "undecided"),
        ((0.1, 0.3), 0.5, "not supported"),
        ((0.5, 0.5), 0.5, "undecided"),
        ((float("nan"), float("nan")), 0, "undecided"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(interval, bound, verdict):
    assert analysis.verdict(*interval, bound) == verdict


def test_runs_are_compared_image_by_image():
    rows = pd.concat([rows_of("x", [30.0, 20.0, 25.0]), rows_of("y", [29.1, 19.0, 24.0])])
    found = analysis.paired(rows, "x", ("y", "z"))
    assert found[["one", "other", "dataset", "level", "pictures", "verdict"]].values.tolist() == [
        ["x", "y", "Set5", 3, 3, "supported"]
    ]
    assert found.decibels.item() == pytest.approx((0.9 + 1.0 + 1.0) / 3)
    assert found.low.item() < found.decibels.item() < found.high.item()
    turned = analysis.paired(rows, "y", ("x",))
    assert (turned.verdict.item(), turned.decibels.item()) == ("not supported", pytest.approx(-found.decibels.item()))
    assert analysis.paired(pd.concat([rows_of("x", [30.0]), rows_of("y", [29.0])]), "x", ("y",)).verdict.item() == (
        "undecided"
    )


def test_detail_box_finds_the_detail():
    image = np.zeros((90, 120))
    image[50:70, 80:100] = np.random.default_rng(0).random((20, 20))
    top, left, height, width = analysis.detail_box(image, 30)
    assert (height, width) == (30, 30)
    assert top <= 50
    assert left <= 80
    assert top + 30 >= 70
    assert left + 30 >= 100


def test_detail_box_fits_into_a_small_plane():
    assert analysis.detail_box(np.eye(10), 64) == (0, 0, 10, 10)
