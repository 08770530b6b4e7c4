"""The networks of section 4: their connections, sizes, gradients and training."""

import pytest
import torch
from torch import nn

from memnet.protocol import datasets
from memnet.study import section4
from memnet.training.sampler import Patches
from memnet.training.validation import ValidationSet, split


def convolutions(network):
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize("name", section4.NETWORKS)
def test_each_network_predicts_what_it_is_given_and_repeats_itself(name):
    network, again = section4.build(name).eval(), section4.build(name).eval()
    x = torch.rand(2, 1, 9, 11)
    y, y_m = network.predictions(x)
    assert {prediction.shape for prediction in (y, *y_m)} == {x.shape}
    assert torch.equal(network(x), again(x))
    assert name in section4.CONNECTIONS


def test_no_gradient_vanishes_before_the_training_as_the_notebook_says():
    learn, _ = split([image.pixels for image in datasets.pictures("embedded")])
    x, clean, _ = Patches(learn, task="denoising", patch=24).draw(8, torch.Generator().manual_seed(1))
    for name in section4.NETWORKS:
        assert section4.gradient_norms(section4.build(name), x, clean).argmax() == 0, name


def test_an_unknown_network_is_refused_with_all_the_names():
    with pytest.raises(ValueError, match="unknown network 'ResNet': choose one of plain, skip, Highway"):
        section4.build("ResNet")


def test_a_highway_gate_chooses_between_its_input_and_the_transform():
    unit, a = section4.HighwayUnit(4).eval(), torch.randn(1, 4, 6, 6)
    nn.init.constant_(unit.gate[-1].bias, -40.0)  # T = 0
    assert torch.allclose(unit(a), a, atol=1e-6)
    nn.init.constant_(unit.gate[-1].bias, 40.0)  # T = 1
    assert torch.allclose(unit(a), unit.transform(a), atol=1e-6)


def test_the_drcn_like_network_has_one_convolution_and_a_prediction_for_each_application():
    network = section4.build("DRCN-like")
    assert len(convolutions(network)) == 3  # FENet, the shared one, ReconNet
    assert len(network.predictions(torch.rand(1, 1, 8, 8))[1]) == section4.LAYERS


def test_every_layer_of_a_dense_block_sees_all_before_it():
    block = section4.DenseBlock(8, layers=3, growth=2)
    assert [layer[-1].in_channels for layer in (*block.layers, block.last)] == [8, 10, 12, 14]


def test_the_claims_about_gates_as_counts():
    costs = section4.gate_costs("M6R6")
    assert costs.weights.tolist() == [233_472, 221_184, 1_327_104]
    assert costs.ratio[0] == pytest.approx(233_472 / 676_992)


def test_gradients_are_those_of_every_application_and_leave_the_network_alone():
    network, x, clean = section4.build("MemNet"), torch.rand(2, 1, 12, 12), torch.rand(2, 1, 12, 12)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    norms = section4.gradient_norms(network, x, clean)
    assert len(norms) == 1 + section4.LAYERS + 3 + 3  # FENet, 3x3, gates, three predictions
    assert (norms > 0).all()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_is_kept_is_1_when_nothing_happens_and_less_when_maps_are_lost():
    class Through(nn.Module):
        def forward(self, state):
            return [state]

    class Half(nn.Module):
        def forward(self, state):
            return [torch.cat([state[:, :2], 0 * state[:, 2:]], dim=1)]

    x = torch.rand(1, 1, 16, 16)
    assert section4.kept(section4.SmallNet(Through(), 4), x) == pytest.approx(1)
    assert section4.kept(section4.SmallNet(Half(), 4), x) < 0.999


@pytest.mark.slow
def test_a_short_training_improves_on_the_input_and_starts_from_it():
    images = [picture.pixels for picture in datasets.pictures("embedded")[:2]]
    patches, validation = Patches(images[:1], task="denoising", patch=16), ValidationSet(images[1:], task="denoising")
    _, log = section4.train(section4.build("plain"), patches, validation, steps=30)
    assert log.step.tolist() == list(range(0, 31, 3))
    assert log.gain[0] == pytest.approx(0, abs=1e-4)
    assert log.gain.iloc[-1] > 0.1
