"""More recursions that compute what fewer did: exactly but for what the added recursions do."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from memnet.network.growth import added_norms, grow
from memnet.network.model import PRESETS, VARIANTS, Config, MemNet, build, variant

SHALLOW = Config(blocks=3, recursions=2, channels=4)


def used(config, residual=1.0):
    """A network of `config` with statistics, scales and shifts as after some training, and residuals of that size."""
    torch.manual_seed(0)
    model = MemNet(config)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor, low, high in ((norm.weight, 0.5, 1.5), (norm.bias, -0.5, 0.5), (norm.running_mean, -0.2, 0.2)):
            nn.init.uniform_(tensor, low, high)
    for block in model.blocks:
        nn.init.uniform_(block.recursive_unit.conv2.bias, -0.1 * residual, 0.1 * residual)
        nn.init.normal_(block.recursive_unit.conv2.weight, std=0.3 * residual)
    return model.eval()


@pytest.mark.parametrize("name", [None, *VARIANTS])
@pytest.mark.parametrize("recursions", [2, 6])
@torch.no_grad()
def test_constant_residuals_stay_exactly(name, recursions):
    config = variant(SHALLOW, name) if name else SHALLOW
    model, x = used(config), torch.rand(2, 1, 9, 7)
    for block in model.blocks:
        nn.init.zeros_(block.recursive_unit.conv2.weight)
    deeper = grow(model, recursions)
    assert deeper.config == replace(config, recursions=recursions)
    assert not deeper.training
    torch.testing.assert_close(deeper(x), model(x), rtol=0, atol=1e-5)
    for y, expected in zip(deeper.predictions(x)[1], model.predictions(x)[1], strict=True):
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_as_many_recursions_are_the_same_network():
    model, x = used(SHALLOW), torch.rand(1, 1, 9, 7)
    assert torch.equal(grow(model, 2)(x), model(x))


@pytest.mark.parametrize("name", [None, *VARIANTS])
@torch.no_grad()
def test_what_is_added_changes_little_and_nothing_where_it_adds_nothing(name, monkeypatch):
    config, x, errors = variant(SHALLOW, name) if name else SHALLOW, torch.rand(1, 1, 16, 16), []
    model = used(config)
    moved = (model(x) - used(config, 0.0)(x)).abs().max()
    for small in (0.03, 0.003, 0.0):
        monkeypatch.setattr("memnet.network.growth.SMALL", small)
        errors.append(float((grow(model, 6)(x) - model(x)).abs().max() / moved))
    assert errors[1] < min(0.2, errors[0] / 5)
    assert errors[2] < 1e-5


@torch.no_grad()
def test_gates_see_all_states_that_come_of_a_recursion_alike():
    model, channels = used(SHALLOW), SHALLOW.channels
    for block, (deeper, donor) in enumerate(zip(grow(model, 6).blocks, model.blocks, strict=True), 1):
        weights = deeper.gate_unit[2].weight.split(channels, dim=1)
        named = dict(zip(replace(SHALLOW, recursions=6).gate_sources(block), weights, strict=True))
        before = donor.gate_unit[2].weight.split(channels, dim=1)
        before = dict(zip(SHALLOW.gate_sources(block), before, strict=True))
        for source, weight in named.items():
            old = f"H{-(-int(source[1:]) // 3)}" if source[0] == "H" else source
            torch.testing.assert_close(weight, before[old] / (3 if source[0] == "H" else 1))


@torch.no_grad()
def test_the_norms_of_what_is_added_are_named():
    model = used(SHALLOW)
    deeper = grow(model, 6)
    names = added_norms(model, deeper)
    norms = [name for name, module in deeper.named_modules() if isinstance(module, nn.BatchNorm2d)]
    old = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert set(names) < set(norms)
    assert len(norms) - len(names) == len(old)
    assert names[:4] == [f"blocks.0.recursive_unit.norms1.{number}" for number in (1, 2, 4, 5)]
    assert not added_norms(model, model)


def test_every_new_number_learns():
    deeper = grow(used(SHALLOW), 4).train()
    deeper(torch.rand(2, 1, 9, 9)).square().mean().backward()
    still = [name for name, p in deeper.named_parameters() if not p.grad.abs().sum() > 0]
    assert not [name for name in still if "conv.bias" not in name], still


@pytest.mark.parametrize("recursions", [0, 1, 3])
def test_only_multiples_are_reached(recursions):
    with pytest.raises(ValueError, match=f"2 recursions become a multiple of themselves, not {recursions}"):
        grow(MemNet(SHALLOW), recursions)


def test_stacks_have_no_recursions():
    with pytest.raises(ValueError, match="without memory blocks"):
        grow(build(replace(PRESETS["plain"], layers=2, channels=2)), 6)
