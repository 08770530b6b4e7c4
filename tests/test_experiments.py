"""Runs by name: what they are, and training one from the command to its weights."""

from copy import deepcopy
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch

from memnet.network import checkpoints
from memnet.network.growth import added_norms, deepened
from memnet.network.model import PRESETS, Config
from memnet.protocol import datasets
from memnet.publishing import report
from memnet.study import provenance, registry, store, train_run
from memnet.training import budget, selection
from memnet.training.config import RECIPES, Plan
from memnet.training.sampler import Patches
from memnet.training.trainer import Trainer
from memnet.training.validation import HeldBack, split


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The run sr-M6R6 with a tiny network and made training pictures; the folder for its files."""
    tiny = registry.Experiment("sr-M6R6", "super-resolution", Config(1, 1, channels=2), "291", "a test")
    monkeypatch.setitem(registry.EXPERIMENTS, "sr-M6R6", tiny)
    planes = [np.random.default_rng(n).integers(0, 256, (80, 84), dtype=np.uint8) for n in range(3)]
    monkeypatch.setattr("memnet.protocol.datasets.training_planes", lambda name: planes)
    return tmp_path


def train(folder, **options):
    options = {"steps": 12, "batch": 2, "patch": 12, "progress": False} | options
    return train_run.train("sr-M6R6", output=folder, device="cpu", **options)


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
    cycle = history["cycles"][0]
    assert (cycle["steps"], cycle["planned_steps"], cycle["batch"], cycle["recipe"]) == (12, 12, 2, "soap")
    assert cycle["images_per_second"] > 0
    assert sorted(p.name for p in small.iterdir()) == ["sr-M6R6.csv", "sr-M6R6.safetensors", "sr-M6R6.state"]


def test_a_piece_then_resume_gives_the_weights_of_one_go(small):
    whole = train(small / "whole")
    piece = train(small / "pieces", minutes=0.0)
    assert checkpoints.load(piece)[1]["cycles"][0]["steps"] == 1
    done = train(small / "pieces", resume=True, steps=None)
    assert checkpoints.weights_hash(done) == checkpoints.weights_hash(whole)
    assert checkpoints.load(done)[1]["cycles"][0]["steps"] == 12


def test_the_last_patches_are_larger_where_the_batch_allows(small):
    cycles = [checkpoints.load(train(small / str(batch), batch=batch))[1]["cycles"][0] for batch in (2, 4)]
    assert [cycle["enlarge"] for cycle in cycles] == [1, 2]
    with pytest.raises(ValueError, match="multiple of 4, or --enlarge 1"):
        train(small / "asked", batch=2, enlarge=2)


def test_another_cycle_begins_from_the_weights_and_is_told(small):
    first = checkpoints.weights_hash(train(small))
    path = train(small, extend=True, steps=10)
    assert [cycle["steps"] for cycle in checkpoints.load(path)[1]["cycles"]] == [12, 10]
    assert [cycle["seed"] for cycle in checkpoints.load(path)[1]["cycles"]] == [0, 1]  # other patches
    train(small, extend=True, steps=10, seed=7)
    assert checkpoints.load(path)[1]["cycles"][-1]["seed"] == 7
    assert checkpoints.weights_hash(path) != first


def test_minutes_are_planned_from_all_that_a_training_does(small, monkeypatch):
    costs = budget.Costs(step=0.1, frozen_step=0.3, refresh=0.5, validation=0.2, selection=1.0)
    monkeypatch.setattr("memnet.training.budget.measure", lambda *given, **how: costs)
    cycle = checkpoints.load(train(small, steps=None, minutes=0.5))[1]["cycles"][0]
    assert cycle["steps"] == cycle["planned_steps"]
    plan = Plan("soap", cycle["planned_steps"], batch=2, patch=12, settle=0.25)
    assert costs.seconds(plan) <= 0.95 * 30 - 1.0
    assert costs.seconds(replace(plan, steps=plan.steps + 8)) > 0.95 * 29 - 1.0


def test_a_training_that_is_slower_than_planned_stops_at_its_budget(small, monkeypatch):
    costs = budget.Costs(step=1e-6, frozen_step=1e-6, refresh=0.0, validation=0.0, selection=0.0)
    monkeypatch.setattr("memnet.training.budget.measure", lambda *given, **how: costs)
    cycle = checkpoints.load(train(small, steps=None, minutes=0.01))[1]["cycles"][0]
    assert cycle["steps"] < cycle["planned_steps"]


def test_a_budget_that_is_too_small_is_refused(small):
    for steps in (5, 0):
        with pytest.raises(ValueError, match="too small for its warm-up"):
            train(small, steps=steps)
    for nothing in ("batch", "patch"):
        with pytest.raises(ValueError, match="batch and patch are at least 1"):
            train(small, **{nothing: 0})
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
    before, gain = path.read_bytes(), train_run.held_back_gain(path)
    model, history = checkpoints.load(path)
    history["cycles"][-1]["held_back_gain"] = gain + 99
    checkpoints.save(path, model, history=history)
    better = path.read_bytes()
    assert train(small, overwrite=True, minutes=0.0) == path
    assert path.read_bytes() == better
    assert "stopped at step 1 of 12" in capsys.readouterr().err
    train(small, resume=True)
    assert path.read_bytes() not in (before, better)
    assert checkpoints.load(path)[1]["cycles"][-1]["steps"] == 12
    path.write_bytes(b"rubbish")
    train(small, overwrite=True, minutes=0.0)
    assert checkpoints.load(path)[1]["cycles"][-1]["steps"] == 1


def test_a_child_begins_from_its_parents_weights_and_learns_its_own_levels(small, monkeypatch):
    monkeypatch.setattr("memnet.paths.WEIGHTS", small)
    what = {"config": Config(1, 1, channels=2), "training_set": "291", "shown_in": "a test"}
    child = registry.Experiment("child", "denoising", **what, levels=(5, 75), parent="sr-M6R6")
    monkeypatch.setitem(registry.EXPERIMENTS, "child", child)
    how = {"steps": 10, "batch": 2, "patch": 12, "output": small, "device": "cpu", "progress": False}
    with pytest.raises(ValueError, match=r"sr-M6R6\.safetensors"):
        train_run.train("child", **how)
    parent, _ = checkpoints.load(train(small))
    model, _ = train_run.start(child, child.config, None, recipe="short", seed=0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), parent.parameters(), strict=True))
    drawn = []
    monkeypatch.setattr(train_run, "Patches", lambda *a, **k: drawn.append(Patches(*a, **k)) or drawn[-1])
    for extend in (False, True):
        _, history = checkpoints.load(train_run.train("child", **how, extend=extend))
    assert [patches.levels for patches in drawn] == [(5, 75), (5, 75)]
    assert history["levels"] == [5, 75]
    assert [cycle.get("run") for cycle in history["cycles"]] == ["sr-M6R6", None, None]
    assert [cycle["steps"] for cycle in registry.own_cycles(history)] == [10, 10]
    assert child.watched == child.learnt == (5, 75)
    assert registry.experiment("denoising-M6R6-any").watched == (5, 40, 75)
    assert registry.experiment("sr-M6R6").watched == (2, 3, 4)
    assert [line["cycle"] for line in report.cycles_of("child")] == [2, 3]
    assert registry.overview(["child"]).steps.item() == 20
    train(small, overwrite=True, seed=3)
    assert [line["cycle"] for line in report.cycles_of("child")] == [1, 2, 3]
    train_run.train("child", **how, overwrite=True, minutes=0.0)
    (small / "sr-M6R6.safetensors").unlink()
    _, history = checkpoints.load(train_run.train("child", **how, resume=True))
    assert [(cycle.get("run"), cycle["steps"]) for cycle in history["cycles"]] == [("sr-M6R6", 12), (None, 10)]


def test_a_child_begins_from_the_parent_that_was_trained_beside_it(small, monkeypatch):
    monkeypatch.setattr("memnet.paths.WEIGHTS", small / "shipped")
    child = replace(registry.EXPERIMENTS["sr-M6R6"], name="child", parent="sr-M6R6")
    parents = {
        folder: checkpoints.load(train(small / folder, seed=n))[0] for n, folder in enumerate(("shipped", "mine"))
    }
    for folder, other in (("mine", "shipped"), ("elsewhere", "mine")):
        how = {"recipe": "short", "seed": 0, "folder": small / folder}
        model, _ = train_run.start(child, child.config, None, **how)
        weights = dict(model.named_parameters())
        expected = parents["mine" if folder == "mine" else "shipped"]
        assert all(torch.equal(weights[name], value) for name, value in expected.named_parameters())
        assert any(not torch.equal(weights[name], value) for name, value in parents[other].named_parameters())


def test_a_shallow_cycle_is_resumed_and_then_deepened(small, monkeypatch):
    deep = replace(registry.EXPERIMENTS["sr-M6R6"], config=Config(1, 4, channels=2))
    monkeypatch.setitem(registry.EXPERIMENTS, "sr-M6R6", deep)
    monkeypatch.setattr("memnet.paths.WEIGHTS", small)
    train(small, recursions=1, minutes=0.0)
    path = train(small, resume=True)
    shallow, history = checkpoints.load(path)
    assert shallow.config == Config(1, 1, channels=2)
    with pytest.raises(ValueError, match="not yet as deep as sr-M6R6: go on with `memnet train sr-M6R6 --extend`"):
        registry.load("sr-M6R6")
    assert registry.overview(["sr-M6R6"]).steps.item() == 12
    for recursions in (2, None):
        train(small, extend=True, recursions=recursions)
    assert registry.load("sr-M6R6").config == deep.config
    cycles = registry.load("sr-M6R6").history["cycles"]
    assert [(cycle["recursions"], cycle["steps"]) for cycle in cycles] == [(1, 12), (2, 12), (None, 12)]
    assert cycles[0] == history["cycles"][0]
    assert [line["R"] for line in report.cycles_of("sr-M6R6")] == [1, 2, 4]


@pytest.mark.parametrize(("steps", "rows"), [(12, [12]), (60, [20, 40, 60]), (600, [*range(50, 601, 50)])])
def test_short_trainings_look_less_often_at_held_back_pictures(small, steps, rows):
    train(small, steps=steps)
    assert pd.read_csv(small / "sr-M6R6.csv").step.tolist() == rows


@pytest.mark.parametrize("recursions", [0, 4, 12])
def test_recursions_that_cannot_be_deepened_are_refused(tmp_path, recursions):
    with pytest.raises(ValueError, match=f"sr-M6R6 has 6 recursions: {recursions} is no part of them"):
        train_run.with_recursions(registry.experiment("sr-M6R6"), recursions)
    with pytest.raises(ValueError, match="sr-plain is a network without recursions"):
        train_run.with_recursions(registry.experiment("sr-plain"), recursions)


def test_pictures_of_ones_own_are_restored_by_the_network_for_any_level():
    assert registry.run_for("denoising", None) == "denoising-M6R6-any"
    assert registry.run_for("jpeg", "jpeg-M6R6") == "jpeg-M6R6"
    assert registry.run_for("super-resolution", None) == "sr-M6R6"
    with pytest.raises(ValueError, match="is a network for super-resolution"):
        registry.run_for("jpeg", "sr-M6R6")


def test_weights_of_another_run_are_not_extended(small):
    model, history = checkpoints.load(train(small))
    checkpoints.save(small / "sr-M6R6.safetensors", model, history=history | {"run": "jpeg-M6R6"})
    with pytest.raises(ValueError, match="belongs to the run jpeg-M6R6"):
        train(small, extend=True)


def test_the_first_output_is_the_input(small):
    what = registry.EXPERIMENTS["sr-M6R6"]
    model, _ = train_run.start(what, what.config, None, recipe="short", seed=0)
    x = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(model.eval()(x), x)
    paper, _ = train_run.start(what, what.config, None, recipe="paper", seed=0)
    assert not torch.allclose(paper.eval()(x), x)


def test_missing_weights_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("memnet.paths.WEIGHTS", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="train it with `memnet train sr-M6R6`"):
        registry.load("sr-M6R6")
    assert store.stored_rows("sr-M6R6", "Set5", 3) is None
    assert store.collect(["sr-M6R6"], ["Set5"]).empty


def test_a_limit_takes_the_first_pictures_where_more_are_stored(small, monkeypatch):
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


def test_recipes_are_named(small):
    with pytest.raises(ValueError, match="unknown recipe 'long': choose one of soap, short, paper"):
        train(small, recipe="long")
    assert set(RECIPES) == {"soap", "short", "paper"}


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


@pytest.mark.parametrize(("recipe", "precision"), [("soap", "bfloat16"), ("paper", "float32")])
def test_rate_and_precision_stand_in_the_history(small, monkeypatch, recipe, precision):
    monkeypatch.setattr("memnet.training.budget.native_precision", lambda device: "bfloat16")
    how = {"output": small, "device": "cpu", "progress": False, "steps": 10, "batch": 2, "patch": 8, "recipe": recipe}
    cycle = checkpoints.load(train_run.train("sr-M6R6", rate=1e-3, **how))[1]["cycles"][0]
    assert (cycle["peak"], cycle["precision"]) == (1e-3, precision)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"steps": 60}, "has steps 12, not 60"),
        ({"rate": 1e-4}, "has rate 0.004, not 0.0001"),
        ({"recipe": "nonsense"}, "has recipe soap, not nonsense"),
        ({"recursions": 77}, "has recursions 1, not 77"),
        ({"batch": 9}, "has batch 2, not 9"),
    ],
)
def test_a_stopped_schedule_goes_on_as_it_was_or_not_at_all(small, told, words):
    train(small, minutes=0.0)
    before = (small / "sr-M6R6.safetensors").read_bytes()
    with pytest.raises(ValueError, match=f"{words}: leave that out with --resume"):
        train(small, resume=True, **{"steps": None} | told)
    assert (small / "sr-M6R6.safetensors").read_bytes() == before
    train(small, resume=True, recursions=1, recipe="soap", rate=4e-3)  # what the schedule has may be said again
    assert train_run.written("sr-M6R6", small)


@pytest.mark.parametrize("recipe", ["soap", "short", "paper"])
def test_a_training_that_is_broken_off_at_once_is_the_one_that_is_resumed(small, monkeypatch, recipe):
    old = checkpoints.weights_hash(train(small))
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "update", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(small, overwrite=True, steps=14, seed=5, recipe=recipe)
    assert not train_run.written("sr-M6R6", small)
    path = train(small, resume=True, steps=None)
    cycle = checkpoints.load(path)[1]["cycles"][-1]
    assert (cycle["steps"], cycle["seed"]) == (14, 5)
    assert checkpoints.weights_hash(path) != old


def test_the_gain_in_the_history_is_that_of_the_weights(small):
    model, history = checkpoints.load(train(small, steps=40))
    _, held = split(datasets.training_planes("291"))
    gain = HeldBack(held, task="super-resolution").gain(model)
    assert history["cycles"][-1]["held_back_gain"] == pytest.approx(gain, abs=1e-4)


def test_a_training_ends_with_the_output_weights_solved_on_what_it_learnt_from(small, monkeypatch):
    best, crops = selection.best_weights, []
    monkeypatch.setattr("memnet.training.selection.best_weights", lambda *given: crops.append(given[2]) or best(*given))
    train(small)
    learn, _ = split(datasets.training_planes("291"))
    assert len(crops[0].pairs) == 3 * len(learn)


def test_a_deepened_network_begins_with_statistics_of_its_own(small, monkeypatch):
    deep = replace(registry.EXPERIMENTS["sr-M6R6"], config=Config(1, 2, channels=2))
    monkeypatch.setitem(registry.EXPERIMENTS, "sr-M6R6", deep)
    shallow, _ = checkpoints.load(train(small, recursions=1))
    begun = []
    trainer = Trainer
    monkeypatch.setattr(
        train_run, "Trainer", lambda model, *a, **k: begun.append(deepcopy(model)) or trainer(model, *a, **k)
    )
    train(small, extend=True)
    new = added_norms(shallow, begun[0])
    assert new
    copied, norms = (dict(model.named_modules()) for model in (deepened(shallow, 2), begun[0]))
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
