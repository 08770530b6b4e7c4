"""Runs one after another, in pieces, with tiny networks and made pictures."""

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from typer.testing import CliRunner

from memnet import campaign, checkpoints, cli, datasets, experiments
from memnet.model import Config, StackConfig

RUNS = ("sr-M6R6", "sr-M6R6-NL")
TINY = {"steps": 12, "batch": 2, "patch": 12, "progress": False, "device": "cpu"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for weights; the two RUNS are tiny and learn from made pictures."""
    for run in RUNS:
        config = Config(2, 1, channels=2, long_term=run == "sr-M6R6")
        tiny = experiments.Experiment(run, "super-resolution", config, "291", "a test")
        monkeypatch.setitem(experiments.EXPERIMENTS, run, tiny)
    planes = [np.random.default_rng(n).integers(0, 256, (80, 84), dtype=np.uint8) for n in range(3)]
    monkeypatch.setattr(datasets, "training_planes", lambda name: planes)
    monkeypatch.setattr(experiments, "WEIGHTS", tmp_path)
    return tmp_path


def test_runs_are_trained_in_order_and_finished_ones_stay(folder):
    said = list(campaign.campaign(RUNS, output=folder, **TINY))
    assert said == ["sr-M6R6: step 12 of 12", "sr-M6R6-NL: step 12 of 12"]
    before = [checkpoints.weights_hash(folder / f"{run}.safetensors") for run in RUNS]
    assert list(campaign.campaign(RUNS, output=folder, **TINY))[1] == "sr-M6R6-NL: finished before, 12 steps"
    assert [checkpoints.weights_hash(folder / f"{run}.safetensors") for run in RUNS] == before


def test_runs_wait_when_the_time_is_over_and_unknown_ones_are_named(folder):
    assert list(campaign.campaign(RUNS, output=folder, minutes=0.0, **TINY)) == [
        "sr-M6R6: waits at step 0 of 12",
        "sr-M6R6-NL: waits at step 0 of 12",
    ]
    with pytest.raises(ValueError, match="unknown run 'sr-M7'"):
        list(campaign.campaign(["sr-M7"], output=folder, **TINY))


def test_a_piece_begins_only_where_there_is_time_for_it(folder, monkeypatch):
    just_too_little = campaign.RESERVE + campaign.LEAST - 0.01
    how = {"output": folder, "minutes": just_too_little, **TINY}
    assert next(campaign.campaign(RUNS, **how)) == "sr-M6R6: waits at step 0 of 12"
    monkeypatch.setattr(campaign, "LEAST", 1.0)
    assert next(campaign.campaign(RUNS, **how)) == "sr-M6R6: step 12 of 12"


def test_an_unfinished_run_is_resumed(folder):
    experiments.train("sr-M6R6", output=folder, minutes=0.0, **TINY)
    assert campaign.progress("sr-M6R6", folder) == (1, 12)
    assert list(campaign.campaign(["sr-M6R6"], output=folder, **TINY)) == ["sr-M6R6: step 12 of 12"]
    assert campaign.progress("sr-M6R6-NL", folder) == (0, 0)


def test_shallow_cycles_come_first_in_pieces_too(folder, monkeypatch):
    deep = replace(experiments.EXPERIMENTS["sr-M6R6"], config=Config(1, 3, channels=2))
    stack = replace(deep, name="stack", config=StackConfig(2, channels=2))
    child = replace(deep, name="child", parent="sr-M6R6")
    for what in (deep, stack, child):
        monkeypatch.setitem(experiments.EXPERIMENTS, what.name, what)
    how = {"output": folder, "shallow": 14, **TINY}
    experiments.train("sr-M6R6", output=folder, minutes=0.0, recursions=1, **TINY | {"steps": 14})
    said = list(campaign.campaign(["sr-M6R6", "stack", "child"], **how))
    assert said[:2] == ["sr-M6R6: step 14 of 14", "sr-M6R6: step 12 of 12"]
    assert said[2:] == ["stack: step 26 of 26", "child: step 12 of 12"]
    assert experiments.load("sr-M6R6").config == deep.config
    cycles = experiments.load("sr-M6R6").history["cycles"]
    assert [(cycle["recursions"], cycle["steps"]) for cycle in cycles] == [(1, 14), (None, 12)]
    assert list(campaign.campaign(["sr-M6R6"], **how)) == ["sr-M6R6: finished before, 12 steps"]
    assert list(campaign.campaign(["sr-M6R6"], **how | {"steps": 99})) == ["sr-M6R6: finished before, 12 steps"]
    waiting = campaign.campaign(["sr-M6R6-NL"], output=folder, minutes=0.0, shallow=14, **TINY)
    assert list(waiting) == ["sr-M6R6-NL: waits at step 0 of 14"]
    single = [list(campaign.campaign(["sr-M6R6-NL"], **how)) for _ in range(2)]
    assert single == [["sr-M6R6-NL: step 14 of 14"], ["sr-M6R6-NL: finished before, 14 steps"]]


def test_weights_that_are_there_are_not_overwritten_unasked(folder):
    (folder / "sr-M6R6.safetensors").write_bytes(b"somebody's")
    with pytest.raises(ValueError, match="exists: give --resume"):
        list(campaign.campaign(["sr-M6R6"], output=folder, **TINY))
    assert list(campaign.campaign(["sr-M6R6"], output=folder, overwrite=True, **TINY)) == ["sr-M6R6: step 12 of 12"]


def test_trained_runs_are_measured_on_the_sets_on_disk(folder, monkeypatch):
    monkeypatch.setattr(datasets, "available", lambda name: name == "Set5")
    monkeypatch.setattr(experiments, "rows", lambda run, name, level: [0] * level)
    (folder / "sr-M6R6.safetensors").touch()
    assert list(campaign.measure()) == ["sr-M6R6: 9 rows of Set5"]


def test_a_run_that_cannot_be_measured_keeps_no_other_from_it(folder, monkeypatch):
    def rows(run, name, level):
        if run == "sr-M6R6":
            raise ValueError("it is not yet as deep")
        return [0]

    monkeypatch.setattr(datasets, "available", lambda name: name == "Set5")
    monkeypatch.setattr(experiments, "rows", rows)
    for run in RUNS:
        (folder / f"{run}.safetensors").touch()
    expected = ["sr-M6R6: not measured: it is not yet as deep", "sr-M6R6-NL: 3 rows of Set5"]
    assert list(campaign.measure(RUNS)) == expected


def test_the_command_says_how_far_each_run_is(folder):
    words = ["campaign", *RUNS, "--steps", "12", "--batch", "2", "--patch", "12", "--output", str(folder)]
    done = CliRunner().invoke(cli.app, words)
    assert (done.exit_code, done.stdout.splitlines()) == (0, ["sr-M6R6: step 12 of 12", "sr-M6R6-NL: step 12 of 12"])
    refused = CliRunner().invoke(cli.app, [*words, "--measure"])
    assert refused.exit_code == 2
    assert "leave --output out" in refused.stderr


def test_a_run_whose_last_weights_were_not_written_is_not_finished(folder, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(experiments, "finish", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            list(campaign.campaign(["sr-M6R6"], output=folder, **TINY))
    assert campaign.progress("sr-M6R6", folder) == (12, 12)
    assert not (folder / "sr-M6R6.safetensors").exists()
    assert list(campaign.campaign(["sr-M6R6"], output=folder, **TINY)) == ["sr-M6R6: step 12 of 12"]
    assert checkpoints.load(folder / "sr-M6R6.safetensors")[1]["cycles"][-1]["steps"] == 12
