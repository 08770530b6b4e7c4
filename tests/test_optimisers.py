"""Muon against its definition, on small kernels."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from memnet import optimisers
from memnet.model import Config, build
from memnet.optimisers import Muon


def groups_of(model, rate=1e-2, decay=0.0):
    return [{"params": list(model.parameters()), "weight_decay": decay, "lr": torch.tensor(rate)}]


def given_gradients(model, seed=0, factor=1.0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = factor * torch.randn(parameter.shape, generator=generator)


def small():
    torch.manual_seed(0)
    return build(Config(2, 2, channels=4)).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(4, 6, 3, 3), (6, 2, 1, 1), (5, 5, 1, 1)])
def test_singular_values_come_near_one_and_their_vectors_stay(shape):
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    turned = optimisers.orthogonal([kernel])[0]
    assert turned.shape == kernel.shape
    u, _, v = torch.linalg.svd(kernel.flatten(1).double(), full_matrices=False)
    values = u.T @ turned.flatten(1).double() @ v.T
    assert 0.6 < values.diagonal().min() <= values.diagonal().max() < 1.25
    torch.testing.assert_close(values, values.diagonal().diag(), atol=1e-4, rtol=0)


def test_kernels_of_all_widths_are_turned_as_if_each_were_alone():
    shapes = ((4, 6, 3, 3), (4, 2, 1, 1), (3, 5, 3, 3), (4, 9, 1, 1))
    kernels = [torch.randn(shape, generator=torch.Generator().manual_seed(n)) for n, shape in enumerate(shapes)]
    for kernel, turned in zip(kernels, optimisers.orthogonal(kernels), strict=True):
        torch.testing.assert_close(turned, optimisers.orthogonal([kernel])[0])


def test_a_kernels_step_has_one_length_whatever_the_gradients_size():
    steps = []
    for factor in (1.0, 1e-4):
        model = small()
        kernel = model.blocks[0].gate_unit[-1].weight
        before = kernel.detach().clone()
        given_gradients(model, factor=factor)
        Muon(groups_of(model), betas=(0.9, 0.999)).step()
        steps.append(kernel.detach() - before)
    torch.testing.assert_close(*steps, rtol=1e-3, atol=1e-6)
    rms = steps[0].square().mean().sqrt() * len(kernel) ** 0.5  # at O rows of about unit length
    assert float(rms) == pytest.approx(1e-2 * optimisers.LENGTH * len(kernel) ** 0.5, rel=0.3)


def test_momentum_is_nesterovs_and_decay_is_apart_from_the_step():
    kernel = nn.Parameter(torch.ones(2, 3, 1, 1))
    muon = Muon([{"params": [kernel], "weight_decay": 0.1, "lr": torch.tensor(0.5)}], betas=(0.9, 0.999))
    first, second = (torch.randn(2, 3, 1, 1, generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    expected, momentum = torch.ones(2, 3, 1, 1), torch.zeros(2, 3, 1, 1)
    for gradient in (first, second):
        kernel.grad = gradient.clone()
        muon.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        update = optimisers.orthogonal([0.05 * gradient + 0.95 * momentum])[0]
        expected = expected * (1 - 0.5 * 0.1) - 0.5 * 0.2 * 3**0.5 * update
        torch.testing.assert_close(kernel.detach(), expected)


def test_all_but_kernels_between_maps_move_as_with_adamw():
    model = small()
    other = deepcopy(model)
    muon = Muon(groups_of(model), betas=(0.9, 0.999))
    adamw = torch.optim.AdamW(groups_of(other), betas=(0.9, 0.999), fused=True)
    for seed in range(3):
        for one, optimiser in ((model, muon), (other, adamw)):
            given_gradients(one, seed)
            optimiser.step()
    pairs = dict(other.named_parameters())
    alike = {name for name, p in model.named_parameters() if torch.equal(p, pairs[name])}
    assert alike == {name for name, p in model.named_parameters() if not optimisers.is_kernel(p)}
    assert {"fenet.2.weight", "reconnet.conv.weight"} <= alike  # from one map, and to one


def test_no_parameter_and_no_momentum_moves_where_a_gradient_is_not_finite():
    model = small()
    muon = Muon(groups_of(model, decay=0.1), betas=(0.9, 0.999))
    given_gradients(model)
    muon.found_inf = torch.tensor(0.0)
    muon.step()
    before, state = deepcopy(model.state_dict()), deepcopy(muon.state_dict()["state"])
    given_gradients(model, factor=float("nan"))
    muon.found_inf = torch.tensor(1.0)
    muon.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    for number, slots in muon.state_dict()["state"].items():
        for name, value in slots.items():
            assert torch.equal(value, state[number][name]), (number, name)


def test_it_goes_on_from_its_state_bit_for_bit():
    model = small()
    muon = Muon(groups_of(model), betas=(0.9, 0.999))
    given_gradients(model)
    muon.step()
    other = deepcopy(model)
    again = Muon(groups_of(other), betas=(0.9, 0.999))
    again.load_state_dict(deepcopy(muon.state_dict()))
    for one, optimiser in ((model, muon), (other, again)):
        for group in optimiser.param_groups:
            group["lr"].fill_(3e-3)
        given_gradients(one, 5)
        optimiser.step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
