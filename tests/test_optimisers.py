"""SOAP against its definition, on small convolutions."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from memnet.network.model import Config, build
from memnet.training.soap import Soap, is_matrix, orthonormal, regularised


def groups_of(model, rate=1e-2, decay=0.0):
    return [{"params": list(model.parameters()), "weight_decay": decay, "lr": torch.tensor(rate)}]


def given_gradients(model, seed=0, factor=1.0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = factor * torch.randn(parameter.shape, generator=generator)


def small():
    torch.manual_seed(0)
    return build(Config(2, 2, channels=4)).to(memory_format=torch.channels_last)


def matrix(rows, columns, seed=1):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def test_soap_is_adamw_along_its_basis():
    model, refreshed = small(), small()
    plain = deepcopy(model)
    soap, adamw = Soap(groups_of(model), betas=(0.9, 0.999)), torch.optim.AdamW(groups_of(plain), fused=True)
    turning = Soap(groups_of(refreshed), betas=(0.9, 0.999))
    for seed in range(3):
        for one, optimiser in ((model, soap), (plain, adamw), (refreshed, turning)):
            given_gradients(one, seed)
            optimiser.step()
        turning.refresh(10 * (seed + 1))
    kernel, same, other = (one.blocks[0].gate_unit[-1].weight for one in (model, plain, refreshed))
    torch.testing.assert_close(kernel, same, rtol=1e-4, atol=1e-6)  # its basis is that of the weights until refreshed
    assert not torch.allclose(kernel, other, atol=1e-3)


def test_soaps_basis_become_those_in_which_gradients_vary():
    kernel = nn.Parameter(torch.zeros(4, 6, 1, 1))
    soap = Soap([{"params": [kernel], "weight_decay": 0.0, "lr": torch.tensor(1e-3)}], betas=(0.9, 0.999))
    left, right = (torch.linalg.qr(matrix(size, size, seed=size))[0] for size in (4, 6))
    sizes = torch.outer(torch.tensor([8.0, 4.0, 2.0, 1.0]), torch.tensor([32.0, 16.0, 8.0, 4.0, 2.0, 1.0]))
    for step in range(1, 201):
        kernel.grad = (left @ (sizes * matrix(4, 6, seed=step)) @ right.T).view(4, 6, 1, 1)
        soap.step()
        soap.refresh(step)
    for edge, axes in (("rows", left), ("columns", right)):
        found = soap.state[kernel][f"{edge}_basis"]
        torch.testing.assert_close(found.T @ found, torch.eye(len(found)), atol=1e-5, rtol=0)
        assert (found.T @ axes).abs()[:2, :2].diagonal().min() > 0.9  # the strong ones, in their order
    assert soap.state[kernel]["steps"] == 199  # the first step is for the basis alone


@pytest.mark.parametrize("largest", [1e2, 1e6])
def test_roots_of_gram_matrices_give_the_columns_of_a_qr_decomposition(largest):
    axes, variances = torch.linalg.qr(matrix(60, 60).double())[0], torch.logspace(0, -1, 60).double() ** 8 * largest
    given = axes @ variances.diag() @ axes.T @ torch.linalg.qr(axes + 0.01 * matrix(60, 60, seed=2))[0]
    found, expected = orthonormal(given[None])[0], torch.linalg.qr(given)[0]
    torch.testing.assert_close(found.T @ found, torch.eye(60).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close((found * expected).sum(dim=0).abs(), torch.ones(60).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("rank", [0, 1, 5])
def test_no_direction_is_lost_where_gradients_vary_along_few_or_none(rank):
    some = matrix(8, 8)[:, :rank].double()
    axes = torch.linalg.qr(matrix(8, 8, seed=2).double())[0]
    found = orthonormal(regularised((some @ some.T)[None]) @ axes)[0]
    torch.testing.assert_close(found.T @ found, torch.eye(8).double(), atol=1e-4, rtol=0)


def test_edges_that_are_too_wide_keep_the_basis_of_the_weights(monkeypatch):
    monkeypatch.setattr("memnet.training.soap.WIDEST", 8)
    model = small()
    soap = Soap(groups_of(model), betas=(0.9, 0.999))
    for step in range(1, 3):
        given_gradients(model, step)
        soap.step()
        soap.refresh(step)
    known = soap.state[soap.weights()[0]]
    assert known["square"].shape[1] > 8
    assert {name for name in known if name.endswith("_basis")} == {"rows_basis"}
    assert known["square"].min() > 0


def test_basis_are_renewed_after_the_first_step_and_every_tenth():
    model = small()
    soap = Soap(groups_of(model), betas=(0.9, 0.999))
    axes, changed = soap.state[soap.weights()[0]]["columns_basis"], []
    for step in range(1, 31):
        given_gradients(model, step)
        soap.step()
        before = axes.clone()
        soap.refresh(step)
        changed += [step] * (not torch.equal(axes, before))
    assert changed == [1, 10, 20, 30]


def test_all_but_convolutions_between_maps_move_as_with_adamw():
    model = small()
    other = deepcopy(model)
    optimiser = Soap(groups_of(model), betas=(0.9, 0.999))
    adamw = torch.optim.AdamW(groups_of(other), betas=(0.9, 0.999), fused=True)
    for seed in range(3):
        for one, either in ((model, optimiser), (other, adamw)):
            given_gradients(one, seed)
            either.step()
    pairs = dict(other.named_parameters())
    alike = {name for name, p in model.named_parameters() if torch.equal(p, pairs[name])}
    assert alike == {name for name, p in model.named_parameters() if not is_matrix(p)}
    assert {"fenet.2.weight", "reconnet.conv.weight"} <= alike  # from one map, and to one


def test_no_parameter_and_nothing_remembered_moves_where_a_gradient_is_not_finite():
    model = small()
    first = Soap(groups_of(model, decay=0.1), betas=(0.9, 0.999))
    given_gradients(model)
    first.found_inf = torch.tensor(0.0)
    first.step()
    before, state = deepcopy(model.state_dict()), deepcopy(first.state_dict()["state"])
    given_gradients(model, factor=float("nan"))
    first.found_inf = torch.tensor(1.0)
    first.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    for number, slots in first.state_dict()["state"].items():
        for name, value in slots.items():
            assert torch.equal(value, state[number][name]), (number, name)


def test_it_goes_on_from_its_state_bit_for_bit():
    model = small()
    first = Soap(groups_of(model), betas=(0.9, 0.999))
    given_gradients(model)
    first.step()
    other = deepcopy(model)
    again = Soap(groups_of(other), betas=(0.9, 0.999))
    again.load_state_dict(deepcopy(first.state_dict()))
    for one, each in ((model, first), (other, again)):
        for group in each.param_groups:
            group["lr"].fill_(3e-3)
        given_gradients(one, 5)
        each.step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


def test_soaps_squares_stay_with_their_basis_when_these_change_places():
    kernel = nn.Parameter(torch.zeros(4, 6, 1, 1))
    soap = Soap([{"params": [kernel], "weight_decay": 0.0, "lr": torch.tensor(1e-3)}], betas=(0.9, 0.999))
    sizes = torch.tensor([8.0, 4.0, 2.0, 1.0])
    for step in range(1, 61):  # from the 30th step on gradients are the largest where they were the smallest
        rows = sizes if step < 30 else 100 * sizes.flip(0)
        kernel.grad = (rows[:, None] * matrix(4, 6, seed=step)).view(4, 6, 1, 1)
        soap.step()
        soap.refresh(step)
    known = soap.state[kernel]
    variances = (known["rows_basis"] * (known["rows_covariance"] @ known["rows_basis"])).sum(dim=0)
    assert variances.diff().max() < 0  # the large variances come first
    assert known["square"].mean(dim=1).diff().max() < 0  # and so do their squares
