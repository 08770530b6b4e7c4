"""Table 1 from several seeds: the same data for each network of a seed, rows that go on, and the order's verdict."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from memnet.network.model import Config, variant
from memnet.protocol import datasets
from memnet.study import seeds, size, store

TINY = Config(2, 2, channels=2)
NETWORKS = {"MemNet": TINY, "MemNet_NL": variant(TINY, "NL"), "MemNet_NS": variant(TINY, "NS")}
SHORT = replace(seeds.TRAINING, steps=10, batch=2, patch=12)


@pytest.fixture
def embedded(monkeypatch):
    images = [picture.pixels for picture in datasets.pictures("embedded")]
    monkeypatch.setattr(datasets, "training_images", lambda name: images)
    monkeypatch.setattr(seeds, "TEST_SET", "embedded")


def test_a_stopped_training_goes_on_and_the_same_seed_gives_the_same_network(embedded, tmp_path):
    path = tmp_path / "rows.csv"
    seeds.retrain(path, [0], networks={"MemNet": TINY}, training=SHORT)
    _, first = store.read_rows(path)
    seeds.retrain(path, [0, 1], networks=NETWORKS, training=SHORT)
    key, rows = store.read_rows(path)
    pd.testing.assert_frame_equal(rows[:3], first)
    assert rows.groupby(["network", "seed"]).size().tolist() == [3] * 6
    assert rows.psnr.nunique() == len(rows)
    again = tmp_path / "again.csv"
    _, repeated = store.read_rows(seeds.retrain(again, [0], networks={"MemNet": TINY}, training=SHORT))
    np.testing.assert_allclose(repeated.psnr, first.psnr, atol=1e-4)
    with pytest.raises(ValueError, match="another training: remove it"):
        seeds.retrain(path, [0], training=replace(SHORT, steps=11))
    assert key["training"]["steps"] == 10


def test_networks_of_one_seed_see_the_same_patches(embedded, tmp_path, monkeypatch):
    drawn, draw = [], seeds.Patches.draw

    def noted(self, count, generator):
        drawn.append(draw(self, count, generator))
        return drawn[-1]

    monkeypatch.setattr(seeds.Patches, "draw", noted)
    seeds.retrain(tmp_path / "rows.csv", [3], networks=NETWORKS, training=SHORT)
    thirds = [drawn[number::10] for number in range(10)]
    for draws in thirds:
        assert len(draws) == 3
        assert all((clean == draws[0][1]).all() for _, clean, _ in draws)


def test_the_verdict_is_of_differences_between_networks_of_one_seed():
    hard = np.array([0.0, -0.5, 0.3, 0.8])  # what a seed does to all networks
    psnr = {"MemNet": 33 + hard, "MemNet_NL": 32.9 + hard + [0.01, -0.01, 0, 0], "MemNet_NS": 33.05 + hard}
    rows = pd.concat(pd.DataFrame({"network": n, "seed": range(4), "level": 3, "psnr": p}) for n, p in psnr.items())
    order = seeds.order(rows).set_index(["better", "worse"])
    assert order.verdict.tolist() == ["supported", "not supported", "supported"]
    assert order.decibels.tolist() == pytest.approx([0.1, -0.05, 0.15])
    assert (order.seeds == 4).all()
    few = seeds.order(rows[rows.seed == 0])
    assert set(few.verdict) == {"undecided"}


def test_the_wider_network_has_the_weights_of_the_whole_one():
    weights = {name: size.parameters(config)["convolution_weights"] for name, config in seeds.NETWORKS.items()}
    assert weights["MemNet_NL, 17 channels"] == pytest.approx(weights["MemNet"], rel=0.02)
    assert weights["MemNet_NS"] < weights["MemNet_NL"] < 0.9 * weights["MemNet"]


def test_a_number_of_seeds_below_zero_is_refused():
    with pytest.raises(ValueError, match="seeds are 1 or more to train, 0 for stored rows, got -1"):
        seeds.rows(-1)
