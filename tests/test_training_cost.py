"""What a training costs and brings: pixels seen, the fitted curve, and networks of the reader's own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from memnet import paths
from memnet.network import checkpoints, runtime
from memnet.study import registry, store, training_cost


def test_the_pixels_of_a_run_are_those_of_all_its_stages_and_its_parents():
    table = training_cost.trainings().set_index("run")
    stages = checkpoints.load(registry.weights_path("sr-M6R6"))[1]["stages"]
    assert len(stages) == 4
    assert table.pixels["sr-M6R6"] == sum(s["steps"] * s["batch"] * s["patch"] ** 2 for s in stages) / 1e6
    assert table.pixels["sr-M6R6-brief"] == 1500 * 8 * 24**2 / 1e6
    assert not table.fitted[["sr-plain", "sr-M6R6-91"]].any()  # no MemNet; other images
    assert table.fitted[["sr-M6R6", "sr-M6R1", "sr-M6R6-scratch"]].all()


def test_a_curve_without_noise_is_found_and_its_cost_with_it():
    pixels = np.array([5.0, 5.0, 30.0, 80.0, 400.0, 2000.0])
    curve = training_cost.fit(pixels, psnr := 34.5 - 4 * pixels**-0.4)
    assert np.allclose(curve[:3], (34.5, 4, 0.4), atol=1e-6)
    cost = training_cost.cost(curve, 34.0, seconds_per_pixel=1e-6)
    assert np.isclose(cost.pixels, 8**2.5)  # 0.5 = 4 p ** -0.4
    assert np.isclose(cost.hours, 8**2.5 / 3600)
    assert cost.reached == 1
    left_out = training_cost.without_each(pd.DataFrame({"run": list("abcdef"), "pixels": pixels, "psnr": psnr}))
    assert np.allclose(left_out.predicted, psnr)
    assert np.allclose(left_out[["top", "low", "high"]], 34.5)
    never = training_cost.cost(curve, 34.6, seconds_per_pixel=1e-6)
    assert (never.pixels, never.reached) == (np.inf, 0)
    assert "reaches 34.00 dB after 181 million pixels" in training_cost.verdict(cost, "a GPU", left_out)
    assert "does not reach 34.60 dB; 0 % of the refits do." in training_cost.verdict(never, "a GPU", left_out)


def test_a_training_that_the_curve_rests_on_is_named():
    pixels = np.array([7.0, 7.0, 7.0, 37.0, 37.0, 84.0, 1849.0])
    psnr = np.array([32.0, 31.9, 32.1, 33.0, 33.0, 33.1, 33.8])
    table = pd.DataFrame({"run": list("abcdefg"), "pixels": pixels, "psnr": psnr})
    left_out = training_cost.without_each(table).set_index("run", drop=False)
    assert left_out.top["g"] < 33.3 < 33.8 < left_out.top.drop("g").min()
    assert left_out.predicted["g"] < left_out.low.drop("g").min()
    cost = training_cost.cost(training_cost.fit(pixels, psnr), 35.0, seconds_per_pixel=1e-6)
    sentence = f"rests most on g, which has 33.80 dB. Without this one training it rises to {left_out.top['g']:.2f} dB"
    assert sentence in training_cost.verdict(cost, "a GPU", left_out)


def test_the_band_widens_where_there_are_no_points():
    pixels = np.array([5.0, 6.0, 30.0, 80.0, 400.0, 2000.0])
    noise = np.array([0.1, -0.1, 0.05, -0.05, 0.08, -0.08])
    curve = training_cost.fit(pixels, 34 - 4 * pixels**-0.4 + noise)
    near, far = training_cost.band(curve, np.array([30.0, 2e5])).itertuples()
    assert near.low < near.psnr < near.high
    assert far.high - far.low > 2 * (near.high - near.low)
    with pytest.raises(ValueError, match="takes 4 trainings or more, got 3"):
        training_cost.fit(pixels[:3], pixels[:3])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: runtime.device_for("tpu"), "unknown device 'tpu': choose cuda, cpu"),
        (lambda: training_cost.run_for("jpeg-M6R6", "cpu"), "jpeg-M6R6 is no network for super-resolution"),
        (lambda: training_cost.run_for("best", "cpu"), "unknown run 'best'"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_on_a_cpu_the_smallest_network_is_trained():
    assert training_cost.run_for("sr-M6R6-scratch", "cpu") == "sr-M6R1"
    assert training_cost.run_for("sr-M6R6-scratch", "cuda") == "sr-M6R6-scratch"


@pytest.fixture
def own_weights(tiny_runs, tmp_path):
    """A folder with another network of the run sr-M6R6 and the project's with that and others; both tiny."""
    model, history = checkpoints.load(tiny_runs / "sr-M6R6.safetensors")
    model.fenet[2].bias.data += 1
    checkpoints.save(tmp_path / "mine" / "sr-M6R6.safetensors", model, history=history)
    paths.use_weights(str(tmp_path / "mine"))
    yield tmp_path / "mine"
    paths.use_weights("")


def test_networks_of_ones_own_go_first_and_their_rows_beside_them(own_weights, tiny_runs):
    assert registry.weights_path("sr-M6R6") == own_weights / "sr-M6R6.safetensors"
    assert registry.weights_path("jpeg-M6R6") == tiny_runs / "jpeg-M6R6.safetensors"
    before = sorted(tiny_runs.parent.glob("results/*/*"))
    rows = store.rows("sr-M6R6", "embedded", 3, limit=1, progress=False)
    assert len(rows) == 1
    assert [path.parent.parent for path in own_weights.glob("results/*/*.csv")] == [own_weights / "results"]
    assert sorted(tiny_runs.parent.glob("results/*/*")) == before
    paths.use_weights("")
    assert registry.weights_path("sr-M6R6") == tiny_runs / "sr-M6R6.safetensors"


def test_a_folder_of_ones_own_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere"):
        paths.use_weights("nowhere")
    paths.use_weights("")


def test_ones_own_training_has_a_row_without_psnr_where_set5_is_not_there(tiny_runs, monkeypatch):
    monkeypatch.setattr("memnet.protocol.datasets.available", lambda name: False)
    assert training_cost.own("sr-M6R1", tiny_runs).empty
    run = replace(registry.experiment("sr-M6R6"), name="sr-M6R1")
    monkeypatch.setitem(registry.EXPERIMENTS, "sr-M6R1", run)
    model, history = checkpoints.load(tiny_runs / "sr-M6R6.safetensors")
    checkpoints.save(tiny_runs / "sr-M6R1.safetensors", model, history={**history, "training_set": "embedded"})
    (row,) = training_cost.own("sr-M6R1", tiny_runs).itertuples()
    assert (row.pixels, row.fitted) == (8**2 / 1e6, False)
    assert np.isnan(row.psnr)


def test_what_minutes_are_worth_stands_beside_the_trainings_of_that_network():
    columns = {"run": ["sr-M6R1", "sr-plain", "sr-M6R1"], "fitted": [True, True, False]}
    table = pd.DataFrame(columns | {"pixels": [36.0, 20.0, 9.0], "psnr": [30.0, 31.0, 29.0]})
    found = training_cost.budgets(table, "sr-M6R1", seconds_per_pixel=1e-6, minutes=2)
    assert list(found.run) == ["2 minutes here", "sr-M6R1"]
    assert list(found["hours here"]) == pytest.approx([2 / 60, 0.01])
