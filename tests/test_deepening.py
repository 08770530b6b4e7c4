"""More recursions that compute what fewer did: exactly where residuals are constant, nearly where they are small."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from memnet.deepening import deepened
from memnet.model import PRESETS, VARIANTS, Config, MemNet, build, variant

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
    deeper = deepened(model, recursions)
    assert deeper.config == replace(config, recursions=recursions)
    assert not deeper.training
    torch.testing.assert_close(deeper(x), model(x), rtol=0, atol=1e-5)
    for y, expected in zip(deeper.predictions(x)[1], model.predictions(x)[1], strict=True):
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_as_many_recursions_are_the_same_network():
    model, x = used(SHALLOW), torch.rand(1, 1, 9, 7)
    assert torch.equal(deepened(model, 2)(x), model(x))


@torch.no_grad()
def test_small_residuals_stay_nearly():
    x, errors = torch.rand(1, 1, 16, 16), []
    for residual in (0.1, 0.01):
        model, without = used(SHALLOW, residual), used(SHALLOW, 0.0)
        moved = (model(x) - without(x)).abs().max()
        errors.append(float((deepened(model, 6)(x) - model(x)).abs().max() / moved))
    assert errors[1] < errors[0] / 3  # of second order, as Euler's method is
    assert errors[1] < 0.05


def test_every_new_number_learns():
    deeper = deepened(used(SHALLOW), 4).train()
    for _ in range(2):  # the states in between have no weight before the first step
        deeper.zero_grad()
        deeper(torch.rand(2, 1, 9, 9)).square().mean().backward()
        with torch.no_grad():
            for parameter in deeper.parameters():
                parameter -= 0.01 * parameter.grad
    still = [name for name, p in deeper.named_parameters() if not p.grad.abs().sum() > 0]
    assert not [name for name in still if "conv.bias" not in name], still


@pytest.mark.parametrize("recursions", [0, 1, 3])
def test_only_multiples_are_reached(recursions):
    with pytest.raises(ValueError, match=f"2 recursions become a multiple of themselves, not {recursions}"):
        deepened(MemNet(SHALLOW), recursions)


def test_stacks_have_no_recursions():
    with pytest.raises(ValueError, match="without memory blocks"):
        deepened(build(replace(PRESETS["plain"], layers=2, channels=2)), 6)
