"""Gates against networks whose answer is known: made weights, and another way to leave a memory out."""

import numpy as np
import pandas as pd
import pytest
import torch

from memnet.network import checkpoints
from memnet.network.growth import grow
from memnet.network.model import Config, PlainConfig, build, variant
from memnet.protocol import metrics, tasks
from memnet.protocol.datasets import Picture
from memnet.study import gates, registry

TINY = Config(blocks=4, recursions=3, channels=4)


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
    for m, v in enumerate(gates.gate_norms(model), start=1):
        weight = model.blocks[m - 1].gate_unit[-1].weight.detach().numpy()[:, :, 0, 0]
        np.testing.assert_allclose(v, np.sqrt((weight**2).sum(axis=0)), rtol=1e-6)
        assert v.shape == ((m + TINY.recursions) * TINY.channels,)


def test_norms_of_all_gates_are_normalised_together():
    v = gates.normalised(gates.gate_norms(with_gates(TINY, lambda m, memory: 5 - m)))
    assert [values.mean() for values in v] == pytest.approx([1, 2 / 3, 1 / 3, 0], abs=1e-6)
    assert gates.normalised([np.full(3, 0.2), np.full(2, 0.2)])[0].tolist() == [1, 1, 1]


def test_the_last_maps_are_the_last_recursion():
    model = with_gates(TINY, lambda m, memory: 2.0 if memory == "H3" else 1.0)
    for v in gates.normalised(gates.gate_norms(model)):
        assert v[-TINY.channels :].min() > 1 - 1e-6
        assert v[: -TINY.channels].max() < 1e-6


def test_gate_norms_need_gates():
    with pytest.raises(ValueError, match="PlainNet has no gate units"):
        gates.gate_norms(build(PlainConfig(2, 4)))
    picture = Picture("a", np.zeros((16, 16), np.uint8))
    with pytest.raises(ValueError, match="PlainNet has no gate units"):
        gates.measure_image(build(PlainConfig(2, 4)), picture, task="jpeg", level=10)


def test_memory_norms_are_sorted_by_kind():
    v = gates.gate_norms(with_gates(TINY, lambda m, memory: m + int(memory[1:]) / 10))
    table = gates.memory_norms(v, TINY).set_index(["block", "memory"])
    assert table.loc[(2, "H3"), "norm"] == pytest.approx(2.3)
    assert table.loc[(2, "H3"), "low"] == pytest.approx(2.3) == table.loc[(2, "H3"), "high"]
    assert table.loc[2].kind.tolist() == ["long-term", "long-term", "short-term", "short-term", "last"]


def test_the_interval_holds_the_mean_over_maps():
    table = gates.memory_norms(gates.gate_norms(build(Config(2, 2, channels=64))), Config(2, 2, channels=64))
    assert (table.low < table.norm).all()
    assert (table.norm < table.high).all()
    half = (table.high - table.low) / 2
    assert half.mean() == pytest.approx(1.96 * table.norm.mean() * 0.0884 / 8, rel=0.2)  # the spread of a chi, 64 maps


def test_an_untrained_network_has_the_norms_of_its_initialisation():
    config = Config(6, 6, channels=64)
    torch.manual_seed(0)
    table = gates.memory_norms(gates.gate_norms(build(config)), config)
    assert table.ratio.between(0.95, 1.05).all()
    assert table.initial.iloc[0] == pytest.approx(np.sqrt(128 / (7 * 64)))


# What a memory is worth


def degraded_noise():
    image = np.random.default_rng(0).integers(0, 256, (24, 20), np.uint8)
    return Picture("a", image), *tasks.degrade(image, task="jpeg", level=10, key="a")


def by_hooks(model, x, block, memory):
    """B_m and y as the plain model computes them with a memory of one gate replaced by its mean over pixels."""
    config, seen = model.config, {}
    place = config.gate_sources(block).index(memory) * config.channels
    here = slice(place, place + config.channels)

    def replace(gate, inputs):
        maps = inputs[0].clone()
        maps[:, here] = maps[:, here].mean(dim=(2, 3), keepdim=True)
        return maps

    gate = model.blocks[block - 1].gate_unit
    kept = [
        gate.register_forward_pre_hook(replace),
        gate.register_forward_hook(lambda g, i, o: seen.update(b=o)),
    ]
    with torch.inference_mode():
        y = model(torch.from_numpy(x).float()[None, None])
    for hook in kept:
        hook.remove()
    return seen["b"], y[0, 0].double().numpy()


@pytest.mark.parametrize("name", [None, "NL", "NS", "basic"])
def test_a_memory_is_worth_what_is_lost_without_it(name):
    torch.manual_seed(0)
    config = TINY if name is None else variant(TINY, name)
    model = build(config).eval()
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, std=0.3)
    picture, reference, x = degraded_noise()
    table = gates.measure_image(model, picture, task="jpeg", level=10)
    assert list(zip(table.block, table.memory, strict=True)) == [
        (m, memory) for m in range(1, 5) for memory in config.gate_sources(m)
    ]
    with torch.inference_mode():
        whole = metrics.psnr(reference, model(torch.from_numpy(x).float()[None, None])[0, 0].double().numpy())
    for row in table.itertuples():
        _, y = by_hooks(model, x, row.block, row.memory)
        assert row.psnr_lost == pytest.approx(whole - metrics.psnr(reference, y), abs=2e-3)


def test_a_contribution_is_a_part_of_what_the_gate_puts_out():
    torch.manual_seed(0)
    model = build(TINY).eval()
    picture, _, x = degraded_noise()
    table = gates.measure_image(model, picture, task="jpeg", level=10).set_index(["block", "memory"])
    seen = []
    model.blocks[2].gate_unit.register_forward_hook(lambda g, i, o: seen.append(o))
    with torch.inference_mode():
        model(torch.from_numpy(x).float()[None, None])
    without, _ = by_hooks(model, x, 3, "B1")
    rms = [v.var(dim=(2, 3), correction=0).mean().sqrt() for v in (seen[0] - without, seen[0])]
    assert table.loc[(3, "B1"), "contribution"] == pytest.approx((rms[0] / rms[1]).item(), rel=1e-3)


def test_a_memory_with_no_weight_is_worth_nothing():
    torch.manual_seed(0)
    model = build(TINY).eval()
    model.blocks[3].gate_unit[-1].weight.data[:, 4:8] = 0  # B_1
    table = gates.measure_image(model, degraded_noise()[0], task="jpeg", level=10).set_index(["block", "memory"])
    assert table.loc[(4, "B1"), "contribution"] == 0
    assert table.loc[(4, "B1"), "psnr_lost"] == pytest.approx(0, abs=1e-5)
    assert table.loc[(4, "B2"), "contribution"] > 0.01


def test_worth_joins_norms_and_rows(tiny_runs):
    table = gates.worth("jpeg-M6R6", "embedded", 10, limit=1)
    assert table.images.unique().tolist() == [1]
    assert table.memory.tolist() == ["B0", "H1", "H2", "B0", "B1", "H1", "H2"]
    assert {"norm", "low", "high", "ratio", "contribution", "psnr_lost"} <= set(table.columns)


# Growth


def test_norms_at_the_growth_follow_from_the_parent(tiny_runs):
    shallow = Config(2, 1, channels=4)
    torch.manual_seed(1)
    parent = build(shallow)
    checkpoints.save(registry.weights_path("sr-M6R1"), parent, history={"run": "sr-M6R1"})
    before, now = gates.growth_norms("sr-M6R6")
    expected = gates.memory_norms(gates.gate_norms(grow(parent, 2)), Config(2, 2, channels=4))
    pd.testing.assert_frame_equal(before, expected)
    assert before.memory.tolist() == now.memory.tolist()
    with pytest.raises(ValueError, match="sr-M6R6-scratch had all recursions from the start"):
        gates.growth_norms("sr-M6R6-scratch")


# Observations


def as_the_paper_says(m, memory):
    """Norms for which observations 2 and 3 hold: falling with the block, H^R above long-term above the other H."""
    return (0.5 if memory == "H3" else 0.3 if memory.startswith("B") else 0.1) / m


def observed(*models):
    """Verdicts of the observations of networks, contributions and losses like their norms."""
    norms = {str(number): gates.gate_norms(model) for number, model in enumerate(models)}
    tables = {name: gates.memory_norms(v, TINY) for name, v in norms.items()}
    tables = {name: table.assign(contribution=table.norm, psnr_lost=table.norm) for name, table in tables.items()}
    return gates.observations(norms, tables)


def test_observations_are_supported_where_they_are_true():
    table = observed(with_gates(TINY, as_the_paper_says))
    assert set(table.verdict) == {"supported"}
    assert table.observation.tolist() == ["2"] * 5 + ["3a"] * 3 + ["3b"] * 3


def test_observations_are_not_supported_where_the_opposite_is_true():
    model = with_gates(TINY, lambda m, memory: m * (0.6 - m * as_the_paper_says(m, memory)))
    table = observed(model, model)
    assert table[table.observation == "1"].verdict.tolist() == ["undecided"]  # two networks with the same norms
    assert set(table[table.observation != "1"].verdict) == {"not supported"}
    assert table.observation.value_counts()["1"] == 1


def test_a_fall_that_initialisation_gives_is_not_learnt():
    torch.manual_seed(0)
    config = Config(6, 6, channels=64)
    v = gates.gate_norms(build(config))
    table = gates.memory_norms(v, config)
    found = gates.observations({"a": v}, {"a": table.assign(contribution=1.0, psnr_lost=1.0)})
    means = found[(found.observation == "2") & found.statistic.str.startswith("mean")].set_index("measure").verdict
    assert means[["norm", "norm / initialisation"]].tolist() == ["supported", "undecided"]


def test_tasks_whose_norms_differ_are_told_apart():
    rng = np.random.default_rng(0)
    one = [rng.random(200) for _ in range(4)]
    other = [rng.random(200) ** 6 for _ in range(4)]
    verdicts = [row[-1] for row in gates.differing_tasks({"one": one, "other": other})]
    assert verdicts == ["supported"]
    alike = [rng.random(200) for _ in range(4)]
    assert gates.differing_tasks({"one": one, "alike": alike})[0][-1] == "undecided"


@pytest.mark.parametrize(("name", "missing"), [("NL", "has no long-term ones"), ("NS", "has no short-term ones")])
def test_observations_need_each_kind_of_memory(name, missing):
    config = variant(TINY, name)
    v = gates.gate_norms(build(config))
    table = gates.memory_norms(v, config).assign(contribution=1.0, psnr_lost=1.0)
    with pytest.raises(ValueError, match=missing):
        gates.observations({"a": v}, {"a": table})


@pytest.mark.parametrize("run", ["sr-M6R6-NL-scratch", "sr-M6R6-NS-scratch", "sr-M6R1", "sr-plain"])
def test_a_network_without_each_kind_of_memory_is_refused_before_anything_is_measured(run):
    with pytest.raises(ValueError, match=f"{run} has not each kind of memory"):
        gates.measured_on(run, "embedded")
