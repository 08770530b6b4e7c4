"""The network taken apart: equations, shapes, receptive fields, terms of a gate."""

import dataclasses

import numpy as np
import pytest
import torch

from memnet.network.model import PRESETS, MemNet
from memnet.protocol import datasets
from memnet.publishing import schematics
from memnet.publishing.equations import EquationTable
from memnet.study import pitfalls, training_cost, walkthrough
from memnet.training.loss import supervised_loss


def test_every_equation_from_1_to_12_stands_beside_lines_of_the_source():
    assert [equation.number for equation in walkthrough.EQUATIONS] == [str(n) for n in range(1, 13)]
    html = EquationTable(walkthrough.EQUATIONS)._repr_html_()
    assert all(equation.source for equation in walkthrough.EQUATIONS)
    assert "state = state + self.conv2(norm2(residual).relu())" in html
    assert html.count("word-break: normal") == 12  # JupyterLab breaks lines of code within words


def test_a_line_that_left_the_source_is_missed():
    gone = dataclasses.replace(walkthrough.EQUATIONS[0], lines=("memory = []",))
    with pytest.raises(ValueError, match=r"MemNet.memories has no line for each of \('memory = \[\]',\)"):
        _ = gone.source


def test_a_forward_pass_shows_every_layer_as_often_as_it_runs():
    table = walkthrough.shapes(walkthrough.untrained(2, 3, channels=4), torch.rand(1, 1, 8, 8))
    convolutions = table[table.kind.str.startswith("Conv")]
    assert len(convolutions) == 1 + 2 * (2 * 3 + 1) + 2  # FENet, two blocks, ReconNet for each of them
    assert set(table.output.map(lambda shape: shape[2:])) == {(8, 8)}
    assert table[table.layer == "blocks.1.gate_unit.2"].input.tolist() == [(1, 4 * (2 + 3), 8, 8)]


@pytest.mark.parametrize("block", [1, 2])
def test_each_recursion_sees_two_pixels_further(block):
    table, gradients = walkthrough.receptive_fields(walkthrough.untrained(2, 2, channels=8), block=block)
    assert table.radius.tolist() == table.convolutions.tolist() == [4 * (block - 1) + 3, 4 * (block - 1) + 5]
    assert all(image.min() >= 0 and image.max() == 1 for image in gradients.values())
    with pytest.raises(ValueError, match="memory blocks 1 to 2, got 3"):
        walkthrough.receptive_fields(walkthrough.untrained(2, 2, channels=8), block=3)


def test_a_gate_adds_up_what_it_takes_from_each_memory():
    network = walkthrough.untrained(2, 2, channels=4)
    image = np.random.default_rng(0).random((12, 10))
    gate_input = walkthrough.gate_memories(network, image, 2)
    x = torch.from_numpy(image.astype(np.float32))[None, None]
    with torch.no_grad():
        assert torch.equal(network.blocks[1].gate_unit(gate_input), network.memories(x)[2])
    terms = walkthrough.gate_terms(network, {"image": image, "black": 0 * image}, block=2)
    assert terms.memory.tolist() == ["B0", "B1", "H1", "H2"]
    whole = network.blocks[1].gate_unit[-1].weight.norm().item()
    assert np.sqrt((terms.norm**2).sum()) == pytest.approx(whole, rel=1e-5)
    assert not np.allclose(terms.image, terms.black)


def test_feature_maps_are_those_that_vary_most():
    state = torch.zeros(1, 3, 12, 12)
    state[0, 1, 6:], state[0, 2, 6:] = 1.0, 2.0
    maps = walkthrough.feature_maps([state], count=2)
    assert list(maps) == ["$B_0$, map 2", "$B_0$, map 1"]
    assert all((image.min(), image.max()) == (0, 1) for image in maps.values())


def test_an_untrained_network_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    assert isinstance(walkthrough.untrained(1, 1, channels=2), MemNet)
    assert torch.equal(before, torch.get_rng_state())


def test_what_a_network_has_not_is_refused_in_one_sentence():
    network, image = walkthrough.untrained(2, 2, channels=4), np.zeros((8, 8))
    with pytest.raises(ValueError, match="memory blocks 1 to 2, got 9"):
        walkthrough.gate_terms(network, {"black": image}, block=9)
    with pytest.raises(ValueError, match="no recursive unit: choose a run of a MemNet"):
        schematics.recursive_unit(PRESETS["plain"])
    with pytest.raises(ValueError, match="alpha is a share of the loss, from 0 to 1, got 2"):
        supervised_loss(network, torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), alpha=2)
    with pytest.raises(ValueError, match="unknown image 'lena': choose one of astronaut"):
        datasets.pictures("embedded").named("lena")
    with pytest.raises(ValueError, match="no image is left"):
        pitfalls.size_change(network, [], sigma=30)
    with pytest.raises(ValueError, match="a training takes some minutes, got 0"):
        training_cost.budgets(training_cost.trainings(), "sr-M6R6", seconds_per_pixel=1e-6, minutes=0)
