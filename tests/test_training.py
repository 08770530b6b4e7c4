"""Schedules and the loop, on tiny networks and made pictures."""

import csv
import itertools
import math
import os
import signal
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_patches import pictures

from memnet.network import checkpoints
from memnet.network.model import Config, MemNet, build
from memnet.training import budget, cuda_graph, loop, selection
from memnet.training.average import statistics
from memnet.training.config import PAPER_EPOCH, PRESETS, parse
from memnet.training.loss import supervised_loss
from memnet.training.optimiser import initialise, optimiser_for
from memnet.training.sampler import Patches
from memnet.training.soap import Soap
from memnet.training.state import load_state, state_of
from memnet.training.trainer import NONFINITE_STEPS, Trainer
from memnet.training.validation import ValidationSet

TINY = Config(2, 2, channels=4)


def tiny_config(preset="soap", **settings):
    return replace(PRESETS[preset], **{"batch": 4, "patch": 12, "precision": "float32", "patch_growth": 1} | settings)


def trainer_for(task="super-resolution", images=None, preset="soap", steps=12, **settings):
    torch.manual_seed(1)
    config = tiny_config(preset, steps=steps, **settings)
    return Trainer(build(TINY), Patches(pictures() if images is None else images, task=task, patch=12), config)


def test_importance_sampling_is_for_the_steps_with_frozen_statistics(monkeypatch):
    for importance_sampling, expected in ((True, [False] * 3 + [True] * 5), (False, [False] * 8)):
        trainer, calls, kinds = (
            trainer_for(steps=12, frozen_bn_fraction=0.75, importance_sampling=importance_sampling),
            [],
            [],
        )
        draw = trainer.patches.draw_by_importance
        monkeypatch.setattr(
            trainer.patches, "draw_by_importance", lambda *how, d=draw, c=calls: c.append(how) or d(*how)
        )
        for _ in range(8):
            calls.clear()
            trainer.step()
            kinds.append(bool(calls))
        assert kinds == expected
    assert PRESETS["adamw"].importance_sampling
    assert not PRESETS["paper"].importance_sampling  # as printed


@pytest.mark.parametrize("importance_sampling", [True, False])
def test_patches_are_fewer_and_larger_once_statistics_are_frozen(importance_sampling, monkeypatch):
    trainer, shapes = trainer_for(frozen_bn_fraction=0.5, importance_sampling=importance_sampling, patch_growth=2), []
    update = trainer.advance
    monkeypatch.setattr(trainer, "update", lambda x, *rest: shapes.append(tuple(x.shape)) or update(x, *rest))
    trainer.advance = trainer.update
    for _ in range(12):
        trainer.step()
    assert shapes == [(4, 1, 12, 12)] * 6 + [(1, 1, 24, 24)] * 6
    assert PRESETS["soap"].patch_growth == 2
    assert PRESETS["paper"].patch_growth == 1  # as printed


def test_patches_that_no_image_could_hold_enlarged_are_refused_at_once():
    with pytest.raises(ValueError, match="no training image holds a patch of 24x24 pixels"):
        trainer_for(images=pictures(size=20), patch_growth=2)
    trainer_for(images=pictures(size=20), patch_growth=2, frozen_bn_fraction=0.0)  # these steps never come


def test_the_input_norm_hides_nothing_at_first_and_the_first_output_is_the_input():
    x = torch.rand(2, 1, 16, 16)
    for preset, hidden, same in (("adamw", False, True), ("paper", True, False)):
        model = initialise(build(TINY), PRESETS[preset])
        norm, relu, _ = model.fenet
        assert bool((relu(norm(x)) == 0).any()) is hidden
        assert torch.equal(model(x), x) is same


@pytest.mark.parametrize(("float32", "bfloat16", "best"), [(2, 1, "bfloat16"), (1.1, 1, "float32"), (1, 2, "float32")])
def test_precision_is_what_this_processor_is_clearly_faster_in(float32, bfloat16, best, monkeypatch):
    seconds = {torch.float32: float32, torch.bfloat16: bfloat16}
    monkeypatch.setattr("memnet.training.budget.convolution_seconds", seconds.get)
    assert budget.native_precision.__wrapped__("cpu") == best


def test_timing_a_convolution_draws_no_random_number():
    before = torch.get_rng_state()
    assert budget.convolution_seconds(torch.bfloat16, repeats=1) > 0
    assert torch.equal(before, torch.get_rng_state())


def test_schedule_warms_up_and_ends_at_zero():
    config = tiny_config("adamw", steps=600, batch=1, patch=1)
    assert config.warmup == 60
    assert config.rate(config.warmup) == pytest.approx(2e-3)
    assert config.rate(0) == pytest.approx(2e-3 / 60)
    assert config.rate(599) < 2e-3 * 1e-4
    assert tiny_config("adamw", steps=10**5, batch=1, patch=1).warmup == 1000


def test_the_last_steps_have_frozen_statistics_and_the_peak_can_be_given():
    config = tiny_config(steps=600, frozen_bn_fraction=0.25, learning_rate=1e-4)
    assert (config.freeze_step, config.rate(config.warmup)) == (450, pytest.approx(1e-4))
    assert [tiny_config(steps=600, frozen_bn_fraction=share).freeze_step for share in (0.0, 1.0)] == [600, 0]
    assert PRESETS["paper"].frozen_bn_fraction == 0  # as printed


def test_papers_schedule_divides_by_ten_every_twenty_epochs():
    config = tiny_config("paper", steps=10**7, batch=64, patch=31)
    assert config.rate(20 * PAPER_EPOCH - 1) == 0.1
    assert config.rate(20 * PAPER_EPOCH) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["optimiser=Adam"], "unknown optimiser 'Adam': choose one of SOAP, AdamW, SGD"),
        (["steps=3"], "steps is a whole number from 10 to 1e"),
        (["frozen_bn_fraction=1.5"], "frozen_bn_fraction is a number from 0 to 1, got 1.5"),
        (["batch=6"], "choose a batch that is a multiple of 4, or patch_growth=1"),
        (["patch_growth=0"], "patch_growth is a whole number from 1 to 100, got 0"),
        (["learning_rate=1e300"], "learning_rate is a number from 1e-12 to 100, got 1e"),
        (["learning_rate=nan"], "learning_rate is a number from 1e-12 to 100, got nan"),
        (["batch=1000000000"], "batch is a whole number from 1 to 1e"),
        (["batch=two"], "batch is a whole number, got 'two'"),
        (["importance_sampling=perhaps"], "importance_sampling is true or false, got 'perhaps'"),
        (["rate=1"], "unknown setting 'rate': choose one of optimiser, learning_rate"),
        (["steps"], "a setting is NAME=VALUE, got 'steps'"),
        (["seed=" + "9" * 1000], "seed is "),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        replace(PRESETS["soap"], **parse(settings))
    assert len(str(caught.value)) < 500


def test_settings_of_the_command_line_have_the_types_of_their_fields():
    settings = parse(["steps=20", "learning_rate=1", "sync_bn=False", "recursions=2", "optimiser=SGD"])
    assert settings == {"steps": 20, "learning_rate": 1.0, "sync_bn": False, "recursions": 2, "optimiser": "SGD"}
    assert type(settings["learning_rate"]) is float


def test_the_paper_preset_clips_to_the_rate_and_slows_biases():
    trainer = trainer_for(preset="paper")
    scales = {id(p): group["scale"] for group in trainer.optimiser.param_groups for p in group["params"]}
    conv = trainer.model.fenet[2]
    assert (scales[id(conv.weight)], scales[id(conv.bias)]) == (1.0, 0.1)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    _, norm = trainer.step()
    moved = math.sqrt(
        sum(float((p.detach() - b).square().sum()) for p, b in zip(trainer.model.parameters(), before, strict=True))
    )
    assert norm > 0.1
    assert moved <= 0.1 * 0.1 * 1.02  # rate x clip / rate, and a trace of weight decay


@pytest.mark.parametrize("preset", ["soap", "adamw"])
def test_convolution_weights_alone_decay(preset):
    groups = trainer_for(preset=preset).optimiser.param_groups
    assert {group["weight_decay"] for group in groups} == {1e-4, 0.0}
    for group in groups:
        assert all((p.ndim == 4) is (group["weight_decay"] > 0) for p in group["params"])


def test_loss_weighs_final_and_intermediate_predictions_alike():
    model, x, clean = build(TINY).eval(), torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    y, y_m = model.predictions(x)
    expected = sum(torch.nn.functional.mse_loss(output, clean) for output in [y, *y_m]) / 3
    torch.testing.assert_close(supervised_loss(model, x, clean), expected)
    first = supervised_loss(model, x[:1], clean[:1])
    torch.testing.assert_close(supervised_loss(model, x, clean, torch.tensor([2.0, 0.0])), first)


def run(trainer, held, folder, **options):
    options = {"progress": False, "n_validations": 3} | options
    return loop.train(trainer, held, state=folder / "state", log=folder / "log.csv", **options)


def test_killed_and_resumed_training_equals_the_uninterrupted_bit_for_bit(tmp_path):
    held = ValidationSet(pictures(1), task="super-resolution")
    whole = trainer_for()
    run(whole, held, tmp_path / "whole")
    first = trainer_for()
    with pytest.raises(KeyboardInterrupt):
        killed_after(first, 7), run(first, held, tmp_path / "resumed")
    tensors, meta = checkpoints.load_state(tmp_path / "resumed" / "state")
    assert meta["step"] == 7
    (tmp_path / "resumed" / "log.csv").write_text("damaged")  # the state has its rows
    second = trainer_for()
    load_state(second, tensors, meta)
    run(second, held, tmp_path / "resumed")
    for name, tensor in state_of(whole)[0].items():
        assert torch.equal(tensor, state_of(second)[0][name]), name
    logs = [read_log(tmp_path / kind / "log.csv") for kind in ("whole", "resumed")]
    assert [row["gain"] for row in logs[0]] == [row["gain"] for row in logs[1]]
    assert [row["step"] for row in logs[0]] == ["4", "8", "12"]


@settings(max_examples=6)
@given(st.integers(0, 12), st.integers(0, 12))
def test_resumed_at_any_two_steps_a_training_is_the_uninterrupted(one, other):
    whole = trainer_for()
    for _ in range(12):
        whole.step()
    trainer = trainer_for()
    for stop in sorted((one, other)):
        while trainer.step_number < stop:
            trainer.step()
        resumed = trainer_for()
        load_state(resumed, *deepcopy(state_of(trainer)))
        trainer = resumed
    while trainer.step_number < 12:
        trainer.step()
    expected, found = state_of(whole)[0], state_of(trainer)[0]
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_a_step_that_is_broken_off_leaves_the_last_whole_state(tmp_path, monkeypatch):
    held = ValidationSet(pictures(1), task="super-resolution")
    whole, first, second = (trainer_for() for _ in range(3))
    run(whole, held, tmp_path / "whole")
    monkeypatch.setattr("memnet.training.loop.CHECKPOINT_SECONDS", 0)
    advance = first.advance

    def broken_off(*batch):
        if first.step_number == 7:
            raise KeyboardInterrupt  # the patches are drawn
        return advance(*batch)

    first.advance = broken_off
    with pytest.raises(KeyboardInterrupt):
        run(first, held, tmp_path / "resumed")
    tensors, meta = checkpoints.load_state(tmp_path / "resumed" / "state")
    assert meta["step"] == 7
    load_state(second, tensors, meta)
    run(second, held, tmp_path / "resumed")
    assert all(torch.equal(tensor, state_of(second)[0][name]) for name, tensor in state_of(whole)[0].items())


def killed_after(trainer, steps):
    """Let the trainer raise KeyboardInterrupt instead of its step number `steps` + 1."""
    step = trainer.step

    def stop_or_step():
        if trainer.step_number == steps:
            raise KeyboardInterrupt
        return step()

    trainer.step = stop_or_step


def read_log(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_end_and_the_training_goes_on_bit_for_bit(number, tmp_path):
    held = ValidationSet(pictures(1), task="super-resolution")
    whole, first, second = (trainer_for() for _ in range(3))
    assert not run(whole, held, tmp_path / "whole")
    update = first.advance

    def interrupted(*batch):
        if first.step_number == 6:
            os.kill(os.getpid(), number)
        return update(*batch)

    first.advance = interrupted
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert run(first, held, tmp_path / "parts")
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert first.step_number == 7
    load_state(second, *checkpoints.load_state(tmp_path / "parts" / "state"))
    assert not run(second, held, tmp_path / "parts")
    assert all(torch.equal(tensor, state_of(second)[0][name]) for name, tensor in state_of(whole)[0].items())


def test_a_second_ctrl_c_breaks_the_step_off():
    with loop.stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_minutes_end_a_time_slice_and_not_the_training(tmp_path):
    trainer = trainer_for(steps=1000)
    run(trainer, ValidationSet(pictures(1), task="super-resolution"), tmp_path, minutes=0.0)
    assert trainer.step_number == 1
    assert checkpoints.load_state(tmp_path / "state")[1]["config"]["steps"] == 1000


def test_state_of_another_configuration_is_refused():
    state = state_of(trainer_for(steps=12))
    with pytest.raises(ValueError, match="this training state was made with"):
        load_state(trainer_for(steps=13), *state)


@pytest.mark.parametrize("frozen", [0.0, 0.25])
def test_training_gains_on_images_it_has_not_seen(frozen, tmp_path):
    torch.manual_seed(0)
    model = build(TINY)
    torch.nn.init.zeros_(model.reconnet.conv.weight)
    patches = Patches(pictures(6), task="denoising", patch=24)
    trainer = Trainer(model, patches, tiny_config("adamw", steps=150, batch=8, patch=24, frozen_bn_fraction=frozen))
    held = ValidationSet(pictures(2, seed=9), task="denoising")
    assert abs(held.psnr_gain(model)) < 1e-3
    run(trainer, held, tmp_path)
    name, best, gains = selection.best_weights(trainer, held)
    assert gains[name] == max(gains.values()) > 3.0
    assert ("last, statistics renewed" in gains) == (frozen == 0)
    assert held.psnr_gain(best) == pytest.approx(gains[name])


def test_output_weights_are_solved_for_the_least_error_of_the_output():
    torch.manual_seed(0)
    model = build(Config(3, 1, channels=4)).eval()
    torch.nn.init.normal_(model.reconnet.conv.weight, std=0.1)
    one = ValidationSet(pictures(1), task="denoising", levels=(30,))  # of one crop alone the weight does not matter
    solved = selection.solve_output_weights(model, one)
    assert float(solved.output_weights.detach().sum()) == pytest.approx(1, abs=1e-5)
    assert all(
        torch.equal(a, b)
        for (name, a), b in zip(solved.named_parameters(), model.parameters(), strict=True)
        if name != "output_weights"
    )
    with torch.no_grad():
        clean = torch.from_numpy(one.pairs[0][0]).float()

        def error(weights):
            model.output_weights.copy_(weights)
            return float((model.predictions(one.inputs)[0] - clean).square().mean())

        best = solved.output_weights.detach()
        least = error(best)
        for aside in ([0.05, -0.05, 0.0], [-0.05, 0.05, 0.0], [0.05, 0.0, -0.05], [-0.05, 0.0, 0.05]):
            assert error(best + torch.tensor(aside)) > least


def test_solved_output_weights_are_kept_where_they_gain_on_held_back_images():
    trainer, held = trainer_for(), ValidationSet(pictures(2, seed=9), task="super-resolution")
    torch.nn.init.normal_(trainer.model.reconnet.conv.weight, std=0.05)
    trainer.frozen = True
    before, _, gains = selection.best_weights(trainer, held)
    name, best, with_crops = selection.best_weights(trainer, held, ValidationSet(pictures(3), task="super-resolution"))
    assert name == f"{before}, {selection.SOLVED}"
    assert held.psnr_gain(best) == pytest.approx(with_crops[name])
    assert with_crops[name] > gains[before] + 0.01
    rubbish = ValidationSet(pictures(1), task="super-resolution")
    rubbish.pairs = [(1 - reference, x) for reference, x in rubbish.pairs]
    assert selection.best_weights(trainer, held, rubbish)[0] == before


def test_the_choice_of_weights_leaves_frozen_statistics():
    held, crops = (
        ValidationSet(pictures(1), task="super-resolution"),
        ValidationSet(pictures(3), task="super-resolution"),
    )
    trainer = trainer_for(frozen_bn_fraction=0.5)
    while trainer.step_number < trainer.config.steps:
        trainer.step()
    with torch.no_grad():
        for parameter in trainer.average.parameters():
            parameter.add_(1)  # so that the last weights are the better ones
    name, best, _ = selection.best_weights(trainer, held, crops)
    assert name.startswith("last")
    for found, frozen in zip(statistics(best), statistics(trainer.model), strict=True):
        assert torch.equal(found, frozen)


def test_a_network_that_is_the_identity_has_nothing_to_solve():
    model = build(Config(2, 1, channels=2)).eval()
    torch.nn.init.zeros_(model.reconnet.conv.weight)
    solved = selection.solve_output_weights(model, ValidationSet(pictures(1), task="jpeg"))
    assert torch.allclose(solved.output_weights, torch.full((2,), 0.5))


def test_a_stage_that_gains_nothing_leaves_the_weights_as_they_were():
    trainer, held = trainer_for(), ValidationSet(pictures(2, seed=9), task="super-resolution")
    before = deepcopy(trainer.model).eval()
    torch.nn.init.zeros_(before.reconnet.conv.weight)  # its output is the input; the others' is noise
    trainer.initial_model = before
    name, best, gains = selection.best_weights(trainer, held)
    assert (name, best) == (selection.INITIAL_MODEL, before)
    assert gains[name] == pytest.approx(0, abs=1e-3)
    resumed = trainer_for()
    load_state(resumed, *state_of(trainer))
    assert selection.best_weights(resumed, held)[0] == selection.INITIAL_MODEL


def test_validation_leaves_frozen_batch_norms_frozen():
    trainer = trainer_for(frozen_bn_fraction=1.0)
    trainer.step()
    ValidationSet(pictures(1), task="super-resolution").psnr_gain(trainer.model)
    before = [values.clone() for values in statistics(trainer.model)]
    trainer.step()
    assert all(map(torch.equal, before, statistics(trainer.model)))
    assert trainer.model.training


def test_costs_are_those_of_both_kinds_of_steps_of_the_refresh_and_of_validation(monkeypatch):
    now, trainer, held = [0.0], trainer_for(), ValidationSet(pictures(2), task="super-resolution")

    def costing(function, seconds):
        def call(self, *given):
            now[0] += seconds(self)
            return function(self, *given)

        return call

    monkeypatch.setattr("memnet.training.budget.time.perf_counter", lambda: now[0])
    monkeypatch.setattr(Trainer, "update", costing(Trainer.update, lambda trainer: 5.0 if trainer.frozen else 1.0))
    monkeypatch.setattr(Soap, "refresh", costing(Soap.refresh, lambda _: 0.25))
    monkeypatch.setattr(ValidationSet, "psnr_gain", costing(ValidationSet.psnr_gain, lambda _: 2.0))
    costs = budget.measure(trainer.model, trainer.patches, trainer.config, held)
    assert (costs.step, costs.frozen_step, costs.refresh, costs.validation) == (1.25, 5.25, 0.25, 2.0)
    assert costs.selection == 2.0 * (4 + len(trainer.patches.shapes) / 2)  # fewer images than the 30 crops


def test_a_resumed_trainer_has_frozen_statistics_if_it_had():
    for steps, frozen in ((9, False), (10, True)):
        trainer, resumed = trainer_for(), trainer_for()
        for _ in range(steps):
            trainer.step()
        load_state(resumed, *state_of(trainer))
        assert (trainer.frozen, resumed.frozen) == (frozen, frozen)


def test_non_finite_steps_change_nothing_and_then_stop_the_run():
    trainer = trainer_for()
    before = deepcopy(trainer.model.state_dict())
    trainer.patches.pixels = trainer.patches.pixels.float() * math.nan
    for _ in range(NONFINITE_STEPS - 1):
        trainer.step()
    after = trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert trainer.skipped == NONFINITE_STEPS - 1
    with pytest.raises(ValueError, match="no finite gradient"):
        trainer.step()


def test_renewed_statistics_are_those_of_the_training_batches():
    trainer = trainer_for()
    renewed = selection.renew_statistics(trainer.model, trainer.patches, batches=3, batch=16, seed=5)
    generator = torch.Generator().manual_seed(5)
    x = torch.cat([trainer.patches.draw(16, generator)[0] for _ in range(3)])
    torch.testing.assert_close(renewed.fenet[0].running_mean, x.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-6)
    assert not renewed.training


def test_frozen_norms_keep_their_statistics_and_the_network_still_learns():
    trainer = trainer_for(steps=12, frozen_bn_fraction=0.5)
    seen = []
    for _ in range(12):
        trainer.step()
        seen.append(([s.clone() for s in statistics(trainer.model)], trainer.model.fenet[2].weight.clone()))
    still = [all(map(torch.equal, one[0], other[0])) for one, other in itertools.pairwise(seen)]
    assert still == [False] * 5 + [True] * 6
    assert not any(torch.equal(one[1], other[1]) for one, other in itertools.pairwise(seen[:-1]))


def test_a_step_with_frozen_statistics_is_that_of_the_network_in_evaluation():
    trainer = trainer_for(frozen_bn_fraction=1.0)
    x, clean, _ = trainer.patches.draw(4, torch.Generator().manual_seed(0))
    trainer.step()
    with torch.no_grad():
        expected = supervised_loss(deepcopy(trainer.model).eval(), x, clean)
        torch.testing.assert_close(supervised_loss(trainer.model, x, clean), expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_compiled_pieces_give_the_same_gradients_with_one_graph_for_all_blocks():
    torch.manual_seed(0)
    plain = build(Config(3, 2, channels=4)).train()
    compiled = deepcopy(plain)
    cuda_graph.compile_modules(compiled, backend="aot_eager")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    x, clean = torch.rand(2, 1, 9, 9), torch.rand(2, 1, 9, 9)
    for model in (plain, compiled):
        supervised_loss(model, x, clean).backward()
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs == 1 + 1 + 3 + 1  # FENet, recursive units, gates, ReconNet
    copied = deepcopy(compiled)
    assert copied.blocks[0].recursive_unit._compiled_call_impl is None


@pytest.mark.parametrize("preset", ["soap", "adamw", "paper"])
def test_a_step_reads_no_number_so_that_a_gpu_can_capture_it(preset, monkeypatch):
    trainer = trainer_for(preset=preset)
    for name in ("model", "average", "skips", "clip", "average_rate"):
        setattr(trainer, name, getattr(trainer, name).to("meta"))  # where reading a value raises
    trainer.optimiser = optimiser_for(trainer.model, trainer.config)
    monkeypatch.setattr(trainer.optimiser, "step", lambda: None)  # its fused kernels know no such tensors
    x, clean = (torch.rand(4, 1, 12, 12, device="meta") for _ in range(2))
    loss, norm = trainer.update(x, clean, torch.ones(4, device="meta"))
    assert loss.shape == norm.shape == ()
    with pytest.raises(RuntimeError, match="meta"):
        trainer.check_divergence()


def test_the_average_is_that_of_the_weights_so_far():
    trainer = trainer_for()
    expected = trainer.average.fenet[2].weight.detach().clone()
    for step in range(6):
        trainer.step()
        expected += (1 - (step + 2) / (step + 11)) * (trainer.model.fenet[2].weight.detach() - expected)
    torch.testing.assert_close(trainer.average.fenet[2].weight, expected)
    assert not torch.allclose(expected, trainer.model.fenet[2].weight, atol=1e-4)


def test_the_log_holds_the_mean_loss_since_the_last_validation(tmp_path):
    trainer, losses = trainer_for(), []
    step = trainer.step
    trainer.step = lambda: losses.append(step()) or losses[-1]
    run(trainer, ValidationSet(pictures(1), task="super-resolution"), tmp_path)
    means = torch.stack([loss for loss, _ in losses]).view(3, 4).mean(dim=1).tolist()
    assert [float(row["loss"]) for row in read_log(tmp_path / "log.csv")] == pytest.approx(means, rel=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_convolutions_are_of_the_precision_that_was_configured(precision):
    torch.manual_seed(1)
    config = tiny_config("soap", steps=12, batch=4, patch=12, precision=precision)
    trainer, seen = Trainer(build(TINY), Patches(pictures(), task="jpeg", patch=12), config), set()
    trainer.model.fenet[2].register_forward_hook(lambda module, given, y: seen.add(y.dtype))
    loss, _ = trainer.step()
    assert seen == {getattr(torch, precision)}
    assert loss.dtype == trainer.model.fenet[2].weight.dtype == torch.float32


def test_skipped_steps_are_counted_on_when_a_training_is_resumed():
    trainer, resumed = trainer_for(), trainer_for()
    trainer.patches.pixels = trainer.patches.pixels.float() * math.nan
    trainer.step()
    load_state(resumed, *state_of(trainer))
    assert resumed.skipped == 1


def test_alpha_weighs_the_final_prediction_against_the_intermediate_ones():
    model, x = MemNet(Config(2, 1, channels=4)).eval(), torch.rand(2, 1, 8, 8)
    clean = torch.rand(2, 1, 8, 8)
    y, y_m = model.predictions(x)
    final, *others = (torch.nn.functional.mse_loss(output, clean) for output in (y, *y_m))
    assert torch.isclose(supervised_loss(model, x, clean, alpha=1.0), final)
    assert torch.isclose(supervised_loss(model, x, clean, alpha=0.4), 0.4 * final + 0.3 * sum(others))
    assert torch.isclose(supervised_loss(model, x, clean), (final + sum(others)) / 3)  # the paper's 1 / (M + 1)
