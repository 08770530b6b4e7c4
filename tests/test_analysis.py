"""Sizes against closed formulas, gates and spectra against cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import torch

from memnet.network.model import PRESETS, VARIANTS, Config, StackConfig, build, variant
from memnet.protocol.datasets import Picture
from memnet.study import analysis, gates, size, spectra

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


@pytest.mark.parametrize("config", [TINY, *(variant(TINY, name) for name in VARIANTS), StackConfig(5, 4)])
def test_layer_table_adds_up_to_the_parameters(config):
    table, counts = size.layer_table(config), size.parameters(config)
    sums = table[["weights", "biases", "norms"]].sum().tolist()
    assert sums == [counts["convolution_weights"], counts["biases"], counts["norms"]]


@pytest.mark.parametrize("config", [TINY, variant(TINY, "basic"), variant(TINY, "NL"), StackConfig(4, 3, skip=True)])
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


# Gates


def with_gates(config, norm_of):
    """A network whose gate weights have the norm `norm_of(block, memory)` for every map of a memory."""
    model = build(config)
    for m, block in enumerate(model.blocks, start=1):
        weight = block.gate_unit[-1].weight
        for i, memory in enumerate(config.gate_sources(m)):
            value = norm_of(m, memory) / np.sqrt(config.channels)
            weight.data[:, i * config.channels : (i + 1) * config.channels] = value
    return model


def test_gate_norms_are_the_norms_over_filters():
    model = build(TINY)
    for m, v in enumerate(gates.gate_norms(model, over=None), start=1):
        weight = model.blocks[m - 1].gate_unit[-1].weight.detach().numpy()[:, :, 0, 0]
        np.testing.assert_allclose(v, np.sqrt((weight**2).sum(axis=0)), rtol=1e-6)
        assert v.shape == ((m + TINY.recursions) * TINY.channels,)


def test_gate_norms_reach_from_0_to_1():
    for v in gates.gate_norms(build(TINY)):
        assert (v.min(), v.max()) == (0, 1)
    together = np.concatenate(gates.gate_norms(build(TINY), over="network"))
    assert (together.min(), together.max()) == (0, 1)


def test_the_last_maps_are_the_last_recursion():
    model = with_gates(TINY, lambda m, memory: 2.0 if memory == "H3" else 1.0)
    for v in gates.gate_norms(model):
        assert v[-TINY.channels :].min() == 1
        assert v[: -TINY.channels].max() < 1e-6


def test_equal_norms_are_ones():
    assert gates.to_unit(np.full(3, 0.2), np.full(3, 0.2)).tolist() == [1, 1, 1]


def test_gate_norms_need_gates():
    with pytest.raises(ValueError, match="Stack has no gate units"):
        gates.gate_norms(build(StackConfig(2, 4)))
    with pytest.raises(ValueError, match="got 'all'"):
        gates.gate_norms(build(TINY), over="all")


def test_memory_norms_are_sorted_by_kind():
    v = gates.gate_norms(with_gates(TINY, lambda m, memory: m + int(memory[1:]) / 10), over=None)
    table = gates.memory_norms(v, TINY).set_index(["block", "memory"])
    assert table.loc[(2, "H3"), "mean"] == pytest.approx(2.3)
    assert table.deviation.max() < 1e-6
    assert table.loc[2].kind.tolist() == ["long-term", "long-term", "short-term", "short-term", "last"]


def as_the_paper_says(m, memory):
    """Norms for which observations 2 and 3 hold: falling with the block, H^R above long-term above the other H."""
    return (0.5 if memory == "H3" else 0.3 if memory.startswith("B") else 0.1) / m


def observed(norms):
    table = gates.observations(norms, TINY)
    return {(row.observation, row.measure.split(" ")[0]): row.verdict for row in table.itertuples()}


def test_observations_hold_where_they_are_true():
    v = gates.gate_norms(with_gates(TINY, as_the_paper_says), over=None)
    verdicts = observed({"one": v})
    assert verdicts["2", "mean"] == verdicts["2", "variance"] == "holds"
    assert verdicts["3a", "share"] == verdicts["3b", "share"] == "holds"
    assert verdicts["1", "Kolmogorov-Smirnov"] == "needs two tasks"


def test_observations_do_not_hold_where_the_opposite_is_true():
    v = gates.gate_norms(with_gates(TINY, lambda m, memory: m * (0.6 - m * as_the_paper_says(m, memory))), over=None)
    verdicts = observed({"one": v, "the same": v})
    assert set(verdicts.values()) == {"does not hold"}


def test_tasks_whose_norms_differ_are_told_apart():
    rng = np.random.default_rng(0)
    one = [rng.random(200) for _ in range(4)]
    other = [rng.random(200) ** 6 for _ in range(4)]
    verdicts = [row[-1] for row in gates.differing_tasks({"one": one, "other": other})]
    assert verdicts == ["holds"]
    alike = [rng.random(200) for _ in range(4)]
    assert gates.differing_tasks({"one": one, "alike": alike})[0][-1] == "does not hold"


def test_observations_need_both_kinds_of_memory():
    with pytest.raises(ValueError, match="long-term with short-term"):
        gates.observations({}, variant(TINY, "NL"))


# Spectra


@pytest.mark.parametrize("shape", [(64, 64), (63, 80)])
def test_white_noise_is_flat_at_its_variance(shape):
    noise = 0.3 * np.random.default_rng(0).standard_normal((200, *shape))
    density = np.mean([spectra.spectral_density(plane) for plane in noise], axis=0)
    assert len(density) == min(shape) // 2 + 1
    np.testing.assert_allclose(density[4:], 0.09, rtol=0.1)


@pytest.mark.parametrize("direction", ["rows", "columns", "diagonal"])
def test_a_sine_lies_on_its_circle(direction):
    y, x = np.mgrid[:64, :64] / 64
    phase = {"rows": 12 * y, "columns": 12 * x, "diagonal": 3 * y + 4 * x}[direction]
    density = spectra.spectral_density(np.sin(2 * np.pi * phase))
    circle = 5 if direction == "diagonal" else 12
    assert density.argmax() == circle
    assert density[circle] > 1e20 * np.delete(density, circle).max()


def test_circles_hold_the_power_of_the_image():
    y, x = np.mgrid[:32, :32] / 32
    image = 2 + np.sin(2 * np.pi * 6 * x) + 0.5 * np.cos(2 * np.pi * 9 * y)
    density = spectra.spectral_density(image)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(32) * 32, np.fft.fftfreq(32) * 32)).round()
    counts = [(radius == k).sum() for k in range(17)]
    assert np.dot(density, counts) == pytest.approx((image**2).sum())  # Parseval


def test_fewer_circles_keep_the_range_of_frequencies():
    y, _ = np.mgrid[:64, :96] / 64
    density = spectra.spectral_density(np.sin(2 * np.pi * 16 * y), circles=8)
    assert len(density) == 9
    assert density.argmax() == 4
    assert spectra.frequencies(8)[4] == 0.25


def test_spectral_density_refuses_what_it_cannot_give():
    with pytest.raises(ValueError, match="resolves 4 circles, got 5"):
        spectra.spectral_density(np.zeros((8, 20)), circles=5)
    with pytest.raises(ValueError, match="one plane"):
        spectra.spectral_density(np.zeros((8, 20, 3)))


def test_prediction_spectra_are_those_of_the_predictions():
    models = {"Mem": build(TINY).eval(), "NL": build(variant(TINY, "NL")).eval()}
    planes = np.random.default_rng(0).integers(0, 256, (2, 24, 21), np.uint8)
    pictures = [Picture(str(i), plane) for i, plane in enumerate(planes)]
    found = spectra.prediction_spectra(models, pictures, task="jpeg", level=10, blocks=(2, 4), circles=10)
    assert list(found) == ["original", "input", "Mem2", "Mem4", "NL2", "NL4"]
    assert all(density.shape == (2, 11) for density in found.values())
    np.testing.assert_allclose(found["original"][1], spectra.spectral_density(planes[1] / 255, 10))
    with pytest.raises(ValueError, match="makes 4 predictions"):
        spectra.prediction_spectra(models, pictures, task="jpeg", level=10)


def densities(nl6, mem6, nl4=1.0, mem4=1.0, pictures=5):
    """Densities of 4 predictions, flat but for a little spread over pictures, times the given factors."""
    spread = np.random.default_rng(0).lognormal(sigma=0.01, size=(4, pictures, 31))
    return dict(
        zip(["Mem4", "Mem6", "NL4", "NL6"], spread * np.reshape([mem4, mem6, nl4, nl6], (4, 1, 1)), strict=True)
    )


def test_claims_are_supported_where_they_are_true():
    table = spectra.claims(densities(nl6=0.8, mem6=1.25))
    assert table.difference.tolist() == ["NL4 - NL6", "Mem6 - Mem4", "Mem4 - NL4", "Mem6 - NL6"]
    assert set(table.verdict) == {"supported"}
    assert table.decibels[[0, 1, 3]].tolist() == pytest.approx([0.97, 0.97, 1.94], abs=0.05)
    assert (table.low < table.decibels).all()
    assert (table.decibels < table.high).all()


def test_claims_are_not_supported_where_they_are_false():
    table = spectra.claims(densities(nl6=1.2, mem6=0.9, mem4=1.3))
    assert set(table.verdict) == {"not supported"}


def test_one_picture_has_no_verdict():
    table = spectra.claims(densities(nl6=0.8, mem6=1.25, pictures=1))
    assert set(table.verdict) == {"one picture: open"}
    assert table.low.isna().all()


def test_interval_is_students():
    mean, low, high = analysis.interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2
    assert high - mean == pytest.approx(mean - low) == pytest.approx(4.302653 / np.sqrt(3))


# Crops


def rows_of(run, psnr, dataset="Set5"):
    return pd.DataFrame({"run": run, "dataset": dataset, "level": 3, "image": list("abc")[: len(psnr)], "psnr": psnr})


def test_runs_are_compared_picture_by_picture():
    rows = pd.concat([rows_of("x", [30.0, 20.0, 25.0]), rows_of("y", [29.1, 19.0, 24.0])])
    found = analysis.paired(rows, "x", ("y", "z"))
    assert found[["one", "other", "dataset", "level", "pictures", "verdict"]].values.tolist() == [
        ["x", "y", "Set5", 3, 3, "better"]
    ]
    assert found.decibels.item() == pytest.approx((0.9 + 1.0 + 1.0) / 3)
    assert found.low.item() < found.decibels.item() < found.high.item()
    turned = analysis.paired(rows, "y", ("x",))
    assert (turned.verdict.item(), turned.decibels.item()) == ("worse", pytest.approx(-found.decibels.item()))
    assert analysis.paired(pd.concat([rows_of("x", [30.0]), rows_of("y", [29.0])]), "x", ("y",)).verdict.item() == (
        "undecided"
    )


def test_detail_box_finds_the_detail():
    plane = np.zeros((90, 120))
    plane[50:70, 80:100] = np.random.default_rng(0).random((20, 20))
    top, left, height, width = analysis.detail_box(plane, 30)
    assert (height, width) == (30, 30)
    assert top <= 50
    assert left <= 80
    assert top + 30 >= 70
    assert left + 30 >= 100


def test_detail_box_fits_into_a_small_plane():
    assert analysis.detail_box(np.eye(10), 64) == (0, 0, 10, 10)


def test_the_clearest_picture_has_most_of_the_high_frequencies():
    densities = {name: np.ones((3, 61)) for name in ("Mem4", "Mem6", "NL4", "NL6")}
    densities["Mem6"][1, 45:] = 10
    densities["Mem6"][2, :30] = 100
    assert spectra.clearest(densities) == 1


def test_densities_beside_the_original_are_ratios_of_power_in_decibels():
    found = spectra.relative({"original": np.array([1.0, 4.0]), "half": np.array([[0.5, 2.0], [1.0, 4.0]])})
    np.testing.assert_array_equal(found["original"], 0)
    np.testing.assert_allclose(found["half"], [[-3.0103, -3.0103], [0, 0]], atol=1e-4)
