"""Runs by name: what they are, and training one from the command to its weights."""

import re
import signal
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch

from memnet import paths
from memnet.network import checkpoints
from memnet.network.growth import added_norms, grow
from memnet.network.model import PRESETS, Config
from memnet.protocol import datasets
from memnet.publishing import report
from memnet.study import provenance, registry, store, train_run
from memnet.training import budget, selection
from memnet.training.config import PRESETS as TRAININGS
from memnet.training.config import preset
from memnet.training.sampler import Patches
from memnet.training.trainer import Trainer
from memnet.training.validation import ValidationSet, split


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The run sr-M6R6 with a tiny network and made training pictures; the folder for its files."""
    tiny = registry.Experiment("sr-M6R6", "super-resolution", Config(1, 1, channels=2), "291", "a test")
    monkeypatch.setitem(registry.EXPERIMENTS, "sr-M6R6", tiny)
    images = [np.random.default_rng(n).integers(0, 256, (80, 84), dtype=np.uint8) for n in range(3)]
    monkeypatch.setattr("memnet.protocol.datasets.training_images", lambda name: images)
    return tmp_path


def train(folder, *, preset="soap", start="fresh", minutes=None, overwrite=False, **settings):
    """The weights after `memnet train` with tiny settings."""
    settings = {"steps": 12, "batch": 2, "patch": 12, "precision": "float32", "patch_growth": 1} | settings
    planned = settings["steps"] is None
    settings |= {"steps": 10} if planned else {}
    config = None if start == "resume" else replace(TRAININGS[preset], **settings)
    how = {"start": start, "minutes": minutes, "plan_steps": planned, "overwrite": overwrite, "output": folder}
    return train_run.train_run("sr-M6R6", config, device="cpu", progress=False, **how).weights


def test_runs_have_the_papers_networks():
    config = {name: run.config for name, run in registry.EXPERIMENTS.items()}
    assert config["sr-M6R6"] == config["denoising-M6R6"] == config["jpeg-M6R6"] == PRESETS["M6R6"]
    assert not config["sr-M6R6-NL-scratch"].long_term
    assert not config["sr-M6R6-NS-scratch"].short_term
    assert not config["sr-M6R6-91-basic"].multi_supervised
    assert config["sr-M6R6-brief"] == PRESETS["M6R6"]
    assert registry.EXPERIMENTS["sr-M6R6-91"].training_set == "91"
    assert all(run.training_set in datasets.TRAINING_SETS for run in registry.EXPERIMENTS.values())


def test_every_run_stands_behind_its_parent():
    order = list(registry.EXPERIMENTS)
    for run in registry.EXPERIMENTS.values():
        assert run.parent is None or order.index(run.parent) < order.index(run.name)


def test_unknown_runs_are_named_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown run 'M7': choose one of sr-M6R6-brief"):
        registry.load("M7")


def test_training_leaves_weights_log_and_state(small):
    path = train(small)
    model, history = checkpoints.load(path)
    assert model.config == registry.EXPERIMENTS["sr-M6R6"].config
    cycle = history["stages"][0]
    assert (cycle["steps"], cycle["planned_steps"], cycle["batch"], cycle["optimiser"]) == (12, 12, 2, "SOAP")
    assert cycle["images_per_second"] > 0
    assert sorted(p.name for p in small.iterdir()) == ["sr-M6R6.csv", "sr-M6R6.safetensors", "sr-M6R6.state"]


def test_a_time_slice_then_resume_gives_the_weights_of_one_go(small):
    whole = train(small / "whole")
    first = train(small / "slices", minutes=0.0)
    assert checkpoints.history(first)["stages"][0]["steps"] == 1
    done = train(small / "slices", start="resume")
    assert checkpoints.weights_hash(done) == checkpoints.weights_hash(whole)
    assert checkpoints.history(done)["stages"][0]["steps"] == 12


def test_patches_grow_where_the_batch_allows(small):
    stages = [checkpoints.history(train(small / str(n), batch=4, patch_growth=n))["stages"][0] for n in (1, 2)]
    assert [stage["patch_growth"] for stage in stages] == [1, 2]
    with pytest.raises(ValueError, match="multiple of 4, or patch_growth=1"):
        train(small / "asked", batch=2, patch_growth=2)


def test_another_stage_begins_from_the_weights_and_draws_other_patches(small):
    first = checkpoints.weights_hash(train(small))
    path = train(small, start="continue", steps=10)
    stages = checkpoints.history(path)["stages"]
    assert [(stage["steps"], stage["seed"]) for stage in stages] == [(12, 0), (10, 1)]
    assert checkpoints.weights_hash(path) != first


def test_minutes_are_planned_from_all_that_a_training_does(small, monkeypatch):
    costs = budget.Costs(step=0.1, frozen_step=0.3, refresh=0.5, validation=0.2, selection=1.0)
    monkeypatch.setattr("memnet.training.budget.measure", lambda *given, **how: costs)
    cycle = checkpoints.history(train(small, steps=None, minutes=0.5))["stages"][0]
    assert cycle["steps"] == cycle["planned_steps"]
    planned = replace(TRAININGS["soap"], steps=cycle["planned_steps"])
    assert costs.seconds(planned) <= 0.95 * 30 - 1.0
    assert costs.seconds(replace(planned, steps=planned.steps + 8)) > 0.95 * 29 - 1.0


def test_a_training_that_is_slower_than_planned_stops_at_its_budget(small, monkeypatch):
    costs = budget.Costs(step=1e-6, frozen_step=1e-6, refresh=0.0, validation=0.0, selection=0.0)
    monkeypatch.setattr("memnet.training.budget.measure", lambda *given, **how: costs)
    cycle = checkpoints.history(train(small, steps=None, minutes=0.01))["stages"][0]
    assert cycle["steps"] < cycle["planned_steps"]


def test_a_budget_that_is_too_small_is_refused(small):
    for minutes in (1e-6, 0):
        with pytest.raises(ValueError, match=r"^0 s are left for training, and 10 steps take .* s here"):
            train(small, steps=None, minutes=minutes)


def test_what_is_there_is_not_overwritten(small):
    path = train(small)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="exists: give --resume"):
        train(small)
    assert path.read_bytes() == before
    train(small, overwrite=True, seed=1)
    assert path.read_bytes() != before


def test_a_stopped_schedule_replaces_no_better_weights_before_it_ends(small, capsys):
    path = train(small, steps=60)
    before, gain = path.read_bytes(), train_run.psnr_gain_of(path)
    model, history = checkpoints.load(path)
    history["stages"][-1]["psnr_gain"] = gain + 99
    checkpoints.save(path, model, history=history)
    better = path.read_bytes()
    assert train(small, overwrite=True, minutes=0.0) == path
    assert path.read_bytes() == better
    assert "keeps its weights" in capsys.readouterr().err
    train(small, start="resume")
    assert path.read_bytes() not in (before, better)
    assert checkpoints.history(path)["stages"][-1]["steps"] == 12
    path.write_bytes(b"rubbish")
    train(small, overwrite=True, minutes=0.0)
    assert checkpoints.history(path)["stages"][-1]["steps"] == 1


def test_a_child_begins_from_its_parents_weights_and_learns_its_own_levels(small, monkeypatch):
    monkeypatch.setattr("memnet.paths.WEIGHTS", small)
    what = {"config": Config(1, 1, channels=2), "training_set": "291", "shown_in": "a test"}
    child = registry.Experiment("child", "denoising", **what, levels=(5, 75), parent="sr-M6R6")
    monkeypatch.setitem(registry.EXPERIMENTS, "child", child)
    config = replace(TRAININGS["soap"], steps=10, batch=2, patch=12, patch_growth=1, precision="float32")
    how = {"output": small, "device": "cpu", "progress": False}
    with pytest.raises(ValueError, match=r"sr-M6R6\.safetensors"):
        train_run.train_run("child", config, **how)
    parent, _ = checkpoints.load(train(small))
    model, _ = train_run.fresh_network(child, config, small)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), parent.parameters(), strict=True))
    drawn = []
    monkeypatch.setattr(train_run, "Patches", lambda *a, **k: drawn.append(Patches(*a, **k)) or drawn[-1])
    for start in ("fresh", "continue"):
        history = checkpoints.history(train_run.train_run("child", config, **how, start=start).weights)
    assert [patches.levels for patches in drawn] == [(5, 75), (5, 75)]
    assert history["levels"] == [5, 75]
    assert [cycle.get("run") for cycle in history["stages"]] == ["sr-M6R6", None, None]
    assert [cycle["steps"] for cycle in registry.own_stages(history)] == [10, 10]
    assert child.validation_levels == child.training_levels == (5, 75)
    assert registry.experiment("denoising-M6R6-any").validation_levels == (5, 40, 75)
    assert registry.experiment("sr-M6R6").validation_levels == (2, 3, 4)
    assert [line["stage"] for line in report.stages_of("child")] == [2, 3]
    assert registry.overview(["child"]).steps.item() == 20
    train(small, overwrite=True, seed=3)
    assert [line["stage"] for line in report.stages_of("child")] == [1, 2, 3]
    train_run.train_run("child", config, **how, overwrite=True, minutes=0.0)
    (small / "sr-M6R6.safetensors").unlink()
    history = checkpoints.history(train_run.train_run("child", **how, start="resume").weights)
    assert [(cycle.get("run"), cycle["steps"]) for cycle in history["stages"]] == [("sr-M6R6", 12), (None, 10)]


def test_a_child_begins_from_the_parent_that_was_trained_beside_it(small, monkeypatch):
    monkeypatch.setattr("memnet.paths.WEIGHTS", small / "shipped")
    child = replace(registry.EXPERIMENTS["sr-M6R6"], name="child", parent="sr-M6R6")
    parents = {
        folder: checkpoints.load(train(small / folder, seed=n))[0] for n, folder in enumerate(("shipped", "mine"))
    }
    for folder, other in (("mine", "shipped"), ("elsewhere", "mine")):
        model, _ = train_run.fresh_network(child, TRAININGS["adamw"], small / folder)
        weights = dict(model.named_parameters())
        expected = parents["mine" if folder == "mine" else "shipped"]
        assert all(torch.equal(weights[name], value) for name, value in expected.named_parameters())
        assert any(not torch.equal(weights[name], value) for name, value in parents[other].named_parameters())


def test_a_stage_with_few_recursions_is_resumed_and_then_grows(small, monkeypatch):
    deep = replace(registry.EXPERIMENTS["sr-M6R6"], config=Config(1, 4, channels=2))
    monkeypatch.setitem(registry.EXPERIMENTS, "sr-M6R6", deep)
    monkeypatch.setattr("memnet.paths.WEIGHTS", small)
    train(small, recursions=1, minutes=0.0)
    path = train(small, start="resume")
    shallow, history = checkpoints.load(path)
    assert shallow.config == Config(1, 1, channels=2)
    with pytest.raises(ValueError, match="fewer recursions than sr-M6R6: go on with `memnet train sr-M6R6 --grow`"):
        registry.load("sr-M6R6")
    assert registry.overview(["sr-M6R6"]).steps.item() == 12
    for start, recursions in (("grow", 2), ("continue", None), ("grow", None)):
        train(small, start=start, recursions=recursions)
    assert registry.load("sr-M6R6").config == deep.config
    stages = registry.load("sr-M6R6").history["stages"]
    assert [(stage["recursions"], stage["steps"]) for stage in stages] == [(1, 12), (2, 12), (2, 12), (None, 12)]
    assert stages[0] == history["stages"][0]
    assert [line["R"] for line in report.stages_of("sr-M6R6")] == [1, 2, 2, 4]


@pytest.mark.parametrize(("steps", "rows"), [(12, [12]), (60, [20, 40, 60]), (600, [*range(50, 601, 50)])])
def test_short_trainings_are_validated_less_often(small, steps, rows):
    train(small, steps=steps)
    assert pd.read_csv(small / "sr-M6R6.csv").step.tolist() == rows


@pytest.mark.parametrize("recursions", [0, 4, 12])
def test_recursions_that_cannot_grow_are_refused(recursions):
    with pytest.raises(ValueError, match=f"sr-M6R6 has 6 recursions, of which {recursions} is no divisor"):
        train_run.network_config(registry.experiment("sr-M6R6"), recursions)
    with pytest.raises(ValueError, match="sr-plain is a network without recursions"):
        train_run.network_config(registry.experiment("sr-plain"), recursions)


def test_images_of_ones_own_are_restored_by_the_network_for_any_level():
    assert registry.run_for("denoising", None) == "denoising-M6R6-any"
    assert registry.run_for("jpeg", "jpeg-M6R6") == "jpeg-M6R6"
    assert registry.run_for("super-resolution", None) == "sr-M6R6"
    with pytest.raises(ValueError, match="is a network for super-resolution"):
        registry.run_for("jpeg", "sr-M6R6")


def test_weights_of_another_run_are_not_continued(small):
    model, history = checkpoints.load(train(small))
    checkpoints.save(small / "sr-M6R6.safetensors", model, history=history | {"run": "jpeg-M6R6"})
    with pytest.raises(ValueError, match="belongs to the run jpeg-M6R6"):
        train(small, start="continue")


def test_the_first_output_is_the_input(small):
    experiment = registry.EXPERIMENTS["sr-M6R6"]
    model, _ = train_run.fresh_network(experiment, TRAININGS["adamw"], small)
    x = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(model.eval()(x), x)
    paper, _ = train_run.fresh_network(experiment, TRAININGS["paper"], small)
    assert not torch.allclose(paper.eval()(x), x)


def test_missing_weights_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("memnet.paths.WEIGHTS", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="train it with `memnet train sr-M6R6`"):
        registry.load("sr-M6R6")
    assert store.stored_rows("sr-M6R6", "Set5", 3) is None
    assert store.collect(["sr-M6R6"], ["Set5"]).empty


def test_a_limit_takes_the_first_images_where_more_are_stored(small, monkeypatch):
    train(small)
    monkeypatch.setattr("memnet.paths.WEIGHTS", small)
    monkeypatch.setattr("memnet.paths.RESULTS", small)
    names = datasets.pictures("embedded").names
    stored = store.collect(["sr-M6R6"], ["embedded"], levels=(3,), limit=3)
    assert list(stored.image) == names[:3]
    for measure in (True, False):
        fewer = store.collect(["sr-M6R6"], ["embedded"], levels=(3,), limit=2, measure=measure)
        assert list(fewer.image) == names[:2]
        assert len(store.read_rows(store.file_of("sr-M6R6", "embedded", 3))[1]) == 3


def test_presets_are_named():
    with pytest.raises(ValueError, match="unknown preset 'long': choose one of soap, adamw, paper"):
        preset("long")


def test_a_commit_is_marked_where_code_or_notebooks_were_changed(monkeypatch):
    said = {"rev-parse": "0123456789ab", "status": None}
    monkeypatch.delenv("MEMNET_COMMIT", raising=False)
    monkeypatch.setattr("memnet.study.provenance.git", lambda *words: said[words[0]])
    assert provenance.commit() == "0123456789ab"
    said["status"] = " M memnet/model.py"
    assert provenance.commit() == "0123456789ab-dirty"
    said["rev-parse"] = None  # no checkout
    assert provenance.commit() is None
    monkeypatch.setenv("MEMNET_COMMIT", "abc")
    assert provenance.commit() == "abc"


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.delenv("MEMNET_COMMIT", raising=False)
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() is None


@pytest.mark.parametrize(("preset", "precision"), [("soap", "bfloat16"), ("paper", "float32")])
def test_learning_rate_and_precision_stand_in_the_history(small, monkeypatch, preset, precision):
    monkeypatch.setattr("memnet.training.budget.native_precision", lambda device: "bfloat16")
    path = train(small, preset=preset, learning_rate=1e-3, precision=TRAININGS[preset].precision)
    stage = checkpoints.history(path)["stages"][0]
    assert (stage["learning_rate"], stage["precision"]) == (1e-3, precision)


def resumed(folder, **overrides):
    """The outcomes of `memnet train sr-M6R6 --resume -p NAME=VALUE`."""
    config = replace(TRAININGS["soap"], steps=12, batch=2, patch=12, patch_growth=1)
    how = {"output": folder, "device": "cpu", "progress": False}
    return list(train_run.train_runs(["sr-M6R6"], config, overrides=overrides, start="resume", **how))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"steps": 60}, "has steps 12, not 60"),
        ({"learning_rate": 1e-4}, "has learning_rate 0.004, not 0.0001"),
        ({"optimiser": "AdamW"}, "has optimiser SOAP, not AdamW"),
        ({"recursions": 77}, "has recursions None, not 77"),
        ({"batch": 9}, "has batch 2, not 9"),
    ],
)
def test_an_unfinished_training_goes_on_as_it_was_or_not_at_all(small, overrides, message):
    train(small, minutes=0.0)
    before = (small / "sr-M6R6.safetensors").read_bytes()
    with pytest.raises(ValueError, match=f"{message}: leave that out with --resume"):
        resumed(small, **overrides)
    assert (small / "sr-M6R6.safetensors").read_bytes() == before
    [(_, outcome)] = resumed(small, optimiser="SOAP", learning_rate=4e-3)  # what it has may be said again
    assert outcome.finished
    assert train_run.unfinished("sr-M6R6", small) is None


def test_runs_share_one_budget_go_on_and_are_skipped_when_finished(small, monkeypatch):
    runs = [f"run-{number}" for number in range(3)]
    for run in runs:
        monkeypatch.setitem(registry.EXPERIMENTS, run, replace(registry.EXPERIMENTS["sr-M6R6"], name=run))
    config = replace(TRAININGS["soap"], steps=12, batch=2, patch=12, patch_growth=1)
    how = {"start": "resume", "output": small, "device": "cpu", "progress": False}
    outcomes = dict(train_run.train_runs(runs, config, minutes=0.0, **how))
    assert outcomes["run-0"].step == 1
    assert not outcomes["run-0"].finished
    assert [outcomes[run] for run in runs[1:]] == [None, None]
    assert all(outcome.finished for _, outcome in train_run.train_runs(runs, config, **how))
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", Mock(side_effect=AssertionError))
        assert all(outcome.finished for _, outcome in train_run.train_runs(runs, config, **how))


@pytest.mark.parametrize("content", ["null", "{}", "[]", "", "12", '"a"', '{"meta": {}}'])
def test_a_broken_state_is_not_an_absent_one(small, content):
    train(small, minutes=0.0)
    state = small / "sr-M6R6.state" / "state.json"
    state.write_text(content)
    before = {path: path.read_bytes() for path in small.rglob("*") if path.is_file()}
    for call in (lambda: train(small, start="resume"), lambda: resumed(small)):
        with pytest.raises(ValueError, match=r"sr-M6R6\.state.state\.json is broken"):
            call()
    assert {path: path.read_bytes() for path in small.rglob("*") if path.is_file()} == before


def test_two_trainings_do_not_write_into_one_folder(small):
    files = train_run.Files.of("sr-M6R6", small)
    with train_run.only_training(files.lock), pytest.raises(ValueError, match="another training writes sr-M6R6 in"):
        train(small)
    train(small)
    assert not files.lock.exists()


def test_another_number_of_threads_is_said(small, capsys, monkeypatch):
    train(small, minutes=0.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    train(small, start="resume")
    assert "threads, not 77: the weights will differ in their last digits" in capsys.readouterr().err


def test_a_batch_that_no_memory_holds_is_refused_before_it_is_made(small):
    with pytest.raises(ValueError, match=r"1000000 patches of 80x80 need .* GiB or more, and .* GiB are free"):
        train(small, batch=1_000_000, patch=80)


def test_the_state_of_another_network_is_one_sentence(small, monkeypatch):
    train(small, minutes=0.0)
    other = replace(registry.EXPERIMENTS["sr-M6R6"], config=Config(2, 1, channels=2))
    monkeypatch.setitem(registry.EXPERIMENTS, "sr-M6R6", other)
    with pytest.raises(ValueError, match=r"sr-M6R6\.state cannot be resumed: .* does not fit the network") as caught:
        train(small, start="resume")
    assert "\n" not in str(caught.value)


def test_broken_weights_without_a_state_are_not_told_as_finished(small):
    (small / "sr-M6R6.safetensors").write_bytes(b"half a download")
    with pytest.raises(ValueError, match=r"sr-M6R6\.safetensors cannot be read"):
        resumed(small)


def test_too_little_memory_is_one_sentence(small, monkeypatch):
    full = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99999999999 bytes")
    monkeypatch.setattr(Trainer, "update", Mock(side_effect=full))
    with pytest.raises(ValueError, match="needs more memory than there is: choose a smaller batch or patch"):
        train(small)


@pytest.mark.parametrize("preset", ["soap", "adamw", "paper"])
def test_a_training_that_is_broken_off_at_once_is_the_one_that_is_resumed(small, monkeypatch, preset):
    old = checkpoints.weights_hash(train(small))
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "update", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(small, overwrite=True, steps=14, seed=5, preset=preset)
    assert train_run.unfinished("sr-M6R6", small)
    path = train(small, start="resume")
    cycle = checkpoints.history(path)["stages"][-1]
    assert (cycle["steps"], cycle["seed"]) == (14, 5)
    assert checkpoints.weights_hash(path) != old


def test_the_gain_in_the_history_is_that_of_the_weights(small):
    model, history = checkpoints.load(train(small, steps=40))
    _, held = split(datasets.training_images("291"))
    gain = ValidationSet(held, task="super-resolution").psnr_gain(model)
    assert history["stages"][-1]["psnr_gain"] == pytest.approx(gain, abs=1e-4)


def test_a_training_ends_with_the_output_weights_solved_on_what_it_learnt_from(small, monkeypatch):
    best, crops = selection.best_weights, []
    monkeypatch.setattr("memnet.training.selection.best_weights", lambda *given: crops.append(given[2]) or best(*given))
    train(small)
    learn, _ = split(datasets.training_images("291"))
    assert len(crops[0].pairs) == 3 * len(learn)


def test_a_grown_network_begins_with_statistics_of_its_own(small, monkeypatch):
    deep = replace(registry.EXPERIMENTS["sr-M6R6"], config=Config(1, 2, channels=2))
    monkeypatch.setitem(registry.EXPERIMENTS, "sr-M6R6", deep)
    shallow, _ = checkpoints.load(train(small, recursions=1))
    begun = []
    trainer = Trainer
    monkeypatch.setattr(
        train_run, "Trainer", lambda model, *a, **k: begun.append(deepcopy(model)) or trainer(model, *a, **k)
    )
    train(small, start="grow")
    new = added_norms(shallow, begun[0])
    assert new
    copied, norms = (dict(model.named_modules()) for model in (grow(shallow, 2), begun[0]))
    assert all(not torch.equal(norms[name].running_mean, copied[name].running_mean) for name in new)


def test_rows_say_which_source_measured_them(tiny_runs):
    store.rows("jpeg-M6R6", "embedded", 10, limit=1, progress=False)
    key, _ = store.read_rows(store.file_of("jpeg-M6R6", "embedded", 10))
    assert key["commit"] == provenance.commit()


def test_fresh_rows_are_measured_where_stored_ones_alone_would_do(tiny_runs, capsys):
    how = {"levels": (10,), "limit": 1, "measure": False}
    assert store.collect(["jpeg-M6R6"], ["embedded"], **how).empty
    assert len(store.collect(["jpeg-M6R6"], ["embedded"], **how, fresh=True)) == 1
    assert "1 to measure" in capsys.readouterr().err


KILLED = """
import sys
from pathlib import Path
from memnet import cli
from memnet.network.model import Config
from memnet.protocol import datasets
from memnet.study import registry
sys.path.insert(0, "tests")
from test_patches import pictures

tiny = registry.Experiment("sr-M6R6", "super-resolution", Config(1, 1, channels=2), "291", "a test")
registry.EXPERIMENTS["sr-M6R6"] = tiny
datasets.training_images = lambda name: pictures(4, size=84)
cli.app(["train", "sr-M6R6", "--steps", "1000000", "-p", "batch=4", "-p", "patch=12", "--output", sys.argv[1]])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_that_is_stopped_says_how_to_go_on(tmp_path, number):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    process = subprocess.Popen(command, cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    state = tmp_path / "sr-M6R6.state"
    for line in process.stderr:  # the progress bar comes after the first state
        if "/1000000" in line:
            break
    assert checkpoints.has_state(state)
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.fullmatch(r"sr-M6R6 stopped at step \d+ of 1000000: --resume goes on\n", output)
    assert "Traceback" not in errors
    assert f"step {checkpoints.load_meta(state)['step']} of" in output
    assert not (tmp_path / "sr-M6R6.safetensors").exists()
