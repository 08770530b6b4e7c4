"""The network against the counts, the structure and the equations that the paper prints."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from memnet.network.model import PRESETS, VARIANTS, Config, PlainConfig, build, preset, variant

TINY = Config(blocks=2, recursions=3, channels=4)


def convolution_weights(model):
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Conv2d))


def randomised(model, seed=0):
    """The model in evaluation mode with every parameter and statistic moved off its initial value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(0.3 * torch.rand(tensor.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize(
    ("preset", "weights", "layers"),
    [
        ("M4R6", 435_328, 54),
        ("M6R6", 676_992, 80),
        ("M6R8", 726_144, 104),
        ("M10R10", 1_373_312, 212),
        ("plain", 664_704, 20),
        ("skip", 664_704, 20),
    ],
)
def test_presets_have_the_papers_weights_and_depth(preset, weights, layers):
    assert convolution_weights(build(PRESETS[preset])) == weights
    assert PRESETS[preset].longest_path == layers


def test_longest_path_is_what_a_forward_pass_walks():
    model, calls = build(TINY), []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, *_: calls.append(m))
    model(torch.zeros(1, 1, 4, 4))
    assert len(calls) == TINY.longest_path + TINY.blocks - 1  # every block is reconstructed, the path ends in one


def test_recursions_share_convolutions_but_not_norms():
    unit = build(TINY).blocks[0].recursive_unit
    assert sum(isinstance(m, nn.Conv2d) for m in unit.modules()) == 2
    norms = [m.weight.data_ptr() for m in unit.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(set(norms)) == 2 * TINY.recursions


def test_recursive_unit_is_equation_5():
    unit = randomised(build(TINY)).blocks[0].recursive_unit
    state = torch.rand(1, 4, 5, 5)
    for r, h in enumerate(unit(state)):
        residual = unit.conv2(unit.norms2[r](unit.conv1(unit.norms1[r](state).relu())).relu())
        torch.testing.assert_close(h, state + residual)
        state = h


def test_gate_takes_long_term_memory_first_and_last_recursion_last():
    block = randomised(build(TINY)).blocks[1]
    memory = [torch.rand(1, 4, 5, 5) for _ in range(2)]
    seen = []
    block.gate_unit.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    block(memory)
    expected = torch.cat([*memory, *block.recursive_unit(memory[-1])], dim=1)
    torch.testing.assert_close(seen[0], expected)
    assert TINY.gate_sources(2) == ["B0", "B1", "H1", "H2", "H3"]


@pytest.mark.parametrize(("name", "sources"), [("NL", ["H1", "H2", "H3"]), ("NS", ["B0", "B1", "H3"])])
def test_ablations_narrow_the_gates(name, sources):
    config = variant(TINY, name)
    assert config.gate_sources(2) == sources
    assert build(config).blocks[1].gate_unit[2].in_channels == 4 * len(sources)


def test_output_is_the_weighted_sum_of_the_predictions():
    model = randomised(build(TINY))
    y, y_m = model.predictions(torch.rand(2, 1, 6, 7))
    torch.testing.assert_close(y, sum(w * p for w, p in zip(model.output_weights, y_m, strict=True)))
    assert len(y_m) == TINY.blocks


def test_all_predictions_use_one_reconstruction():
    reconnet = build(TINY).reconnet
    assert sum(isinstance(m, nn.Conv2d) for m in reconnet.modules()) == 1
    assert len(reconnet.norms) == TINY.blocks


@pytest.mark.parametrize("config", [TINY, variant(TINY, "basic"), PlainConfig(5, 4), PlainConfig(5, 4, skip=True)])
def test_with_the_reconstruction_at_zero_the_output_is_the_input(config):
    model = randomised(build(config))
    for parameter in model.reconnet.conv.parameters():
        nn.init.zeros_(parameter)
    if getattr(config, "multi_supervised", False):
        nn.init.constant_(model.output_weights, 1 / config.blocks)
    x = torch.rand(1, 1, 9, 8)
    torch.testing.assert_close(model(x), x)


def test_basic_network_predicts_once():
    y, y_m = build(variant(TINY, "basic")).predictions(torch.rand(1, 1, 4, 4))
    assert len(y_m) == 1
    assert y_m[0] is y


def test_skips_change_a_stack_by_mirrored_sums_alone():
    plain, skip = build(PlainConfig(4, 4)), build(PlainConfig(4, 4, skip=True))
    randomised(plain), skip.load_state_dict(plain.state_dict())
    skip.eval()
    x = torch.rand(1, 1, 6, 6)
    s0 = skip.fenet(x)
    s1 = skip.layers[0](s0)
    s3 = skip.layers[2](skip.layers[1](s1)) + s1
    expected = skip.reconnet([skip.layers[3](s3) + s0], x)[0]
    torch.testing.assert_close(skip(x), expected)
    assert not torch.allclose(plain(x), expected)


def test_biases_everywhere_and_he_initialisation():
    model = build(PRESETS["M4R6"])
    for layer in (m for m in model.modules() if isinstance(m, nn.Conv2d)):
        assert layer.bias is not None
        assert not layer.bias.any()
    weight = model.blocks[0].recursive_unit.conv1.weight
    assert weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20))
def test_any_size_from_one_pixel(height, width):
    model = build(TINY).eval()
    assert model(torch.rand(1, 1, height, width)).shape == (1, 1, height, width)


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 4, 4), (1, 1, 0, 4)])
def test_other_shapes_are_refused_by_name(shape):
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\)"):
        build(TINY)(torch.zeros(shape))


@pytest.mark.parametrize("kind", [lambda: Config(0, 6), lambda: PlainConfig(layers=0)])
def test_empty_networks_are_refused(kind):
    with pytest.raises(ValueError, match="is a whole number from 1 to 1000, got 0"):
        kind()


def test_variants_are_the_papers():
    assert set(VARIANTS) == {"NL", "NS", "basic"}


def test_unknown_presets_and_ablations_are_refused():
    with pytest.raises(ValueError, match="unknown preset 'M5R5': choose one of M4R6"):
        preset("M5R5")
    with pytest.raises(ValueError, match="unknown ablation 'nl': choose one of NL"):
        variant(TINY, "nl")
