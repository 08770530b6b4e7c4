"""Train a run of the registry: start, resume or continue it, and write its weights with their history."""

import sys
import time
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from memnet import paths
from memnet.network import checkpoints
from memnet.network.growth import added_norms, deepened
from memnet.network.model import Config, StackConfig, build
from memnet.protocol import datasets
from memnet.study import provenance, registry
from memnet.study.registry import Experiment
from memnet.training import budget, distributed, loop, selection
from memnet.training.config import RECIPES, Plan, recipe_named
from memnet.training.sampler import Patches
from memnet.training.trainer import Trainer, initialise
from memnet.training.validation import HeldBack, some_of, split


def train(
    run: str,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    recipe: str | None = None,
    batch: int | None = None,
    patch: int | None = None,
    seed: int | None = None,
    rate: float | None = None,
    settle: float | None = None,
    by_error: bool | None = None,
    enlarge: int | None = None,
    recursions: int | None = None,
    precision: str | None = None,
    output: Path | None = None,
    resume: bool = False,
    extend: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    local_norms: bool = False,
    compiled: bool | None = None,
    recorded: bool | None = None,
    progress: bool = True,
) -> Path:
    """Train a run to a budget of `steps`, or of `minutes` from which the steps are planned; the path of its weights.

    With both, the schedule is of `steps` and this piece of it stops after `minutes`. `recipe` is soap unless given.
    `resume` goes on with a stopped schedule, and ValueError says what is given that the schedule has not; `extend`
    starts another cycle from finished weights; `precision` is the processor's best unless given. `seed` is that of new
    weights and of the patches: unless given 0, and another for each cycle, which would draw the same patches again
    otherwise. `rate` is the peak of the learning rate, `settle` the share of the steps, the last ones, in which batch
    norms keep their statistics, `by_error` whether patches are then drawn by how wrong their inputs are, `enlarge` how
    many times larger their edge is then (and so many fewer are drawn that their pixels are as many): the recipe's
    unless given. With fewer `recursions` than the run's, new weights are those of a shallower network, which learns
    faster by the second; the cycle that extends them gives them the run's (or as many as it is told, a multiple).
    `compiled` says whether torch.compile fuses what it can, `recorded` whether a step becomes one CUDA graph: on one
    GPU, unless given.

    In `output` (data/weights unless given) lie afterwards RUN.safetensors, RUN.csv (the log) and RUN.state (to resume
    from). A schedule that is stopped before its end replaces no weights that gain more on held-back pictures.

    Started by torchrun, all its processes train together on shares of one batch, with batch norms over the whole batch
    unless `local_norms`; the first of them writes.
    """
    began = time.monotonic()
    with distributed.together(device or ("cuda" if torch.cuda.is_available() else "cpu")) as device:
        what = registry.experiment(run)
        folder = Path(output or paths.WEIGHTS)
        files = {"weights": "safetensors", "log": "csv", "state": "state"}
        files = {name: folder / f"{run}.{suffix}" for name, suffix in files.items()}
        check_output(run, files, resume=resume, extend=extend, overwrite=overwrite)
        learn, held = split(datasets.training_planes(what.training_set))
        tensors, meta = checkpoints.load_state(files["state"]) if resume else ({}, None)
        asked, recursions = recursions, meta["plan"].get("recursions") if meta else recursions
        config = with_recursions(what, recursions)
        told = {"batch": batch, "patch": patch, "settle": settle, "by_error": by_error, "enlarge": enlarge}
        told |= {"peak": rate, "seed": seed, "precision": precision}
        if meta:
            plan = Plan(**meta["plan"])
            check_resumed(plan, config, {"recipe": recipe, "steps": steps, "recursions": asked, **told})
            model, cycles = build(config), []  # weights and cycles come with the state
        else:
            recipe, weights = recipe or "soap", files["weights"] if extend else None
            model, cycles = start(what, config, weights, recipe=recipe, seed=seed or 0, folder=folder)
            # Paper: float32. In bfloat16 convolutions can take half the time; statistics, loss, weights: float32.
            told["precision"] = precision or ("float32" if recipe == "paper" else budget.native_precision(device))
            told["seed"] = len(cycles) if seed is None else seed
            told["recursions"] = None if config == what.config else recursions
            plan = plan_for(recipe, 10 if steps is None else steps, **told)
        stride = RECIPES[plan.recipe].stride
        patches = Patches(
            learn,
            task=what.task,
            patch=plan.patch,
            stride=stride,
            levels=what.levels,
            balanced=what.balanced,
            device=device,
        )
        if model.config != config:
            deeper = deepened(model, config.recursions).to(device)
            renew = {"batches": 25, "batch": plan.batch, "seed": plan.seed + 10**6}
            model = selection.renew_statistics(deeper, patches, norms=added_norms(model, deeper), **renew)
        if distributed.size() > 1 and not local_norms:
            model = distributed.synchronised(model)
        fast = {"compiled": compiled, "recorded": recorded}
        looked_at = {"task": what.task, "levels": what.watched, "device": device}
        held_back = HeldBack(held, **looked_at)
        if meta is None and steps is None:
            minutes = 30.0 if minutes is None else minutes
            costs = budget.measure(model, patches, plan, held_back, **fast)
            plan = distributed.agreed(costs.longest(plan, 60 * minutes - (time.monotonic() - began)))
        trainer = Trainer(model, patches, plan, **fast)
        trainer.cycles, trainer.before = cycles, deepcopy(model).eval() if cycles else None
        if meta:
            trainer.load_state(tensors, meta)
        minutes = None if minutes is None else max(0.0, minutes - (time.monotonic() - began) / 60)
        how = {"state": files["state"], "log": files["log"], "minutes": minutes, "progress": progress}
        loop.train(trainer, held_back, **how, looks=plan.n_validations)
        crops = HeldBack(some_of(learn), **looked_at)
        path = finish(what, trainer, held_back, crops, files["weights"])
        distributed.agreed(None)  # none goes before the first has written
        return path


def plan_for(recipe: str, steps: int, **told) -> Plan:
    """The plan of a cycle as it was `told`; where that is None, as the recipe has it. ValueError for what cannot be."""
    fixed = recipe_named(recipe)
    for name in ("batch", "patch", "settle", "by_error"):
        told[name] = getattr(fixed, name) if told[name] is None else told[name]
    if told["enlarge"] is None:
        told["enlarge"] = 1 if told["batch"] % fixed.enlarge**2 else fixed.enlarge
    return Plan(recipe, steps, **told)


def check_output(run: str, files: dict[str, Path], *, resume: bool, extend: bool, overwrite: bool) -> None:
    """Raise ValueError where a run would overwrite what is there, or has nothing to go on from."""
    if resume and extend:
        raise ValueError("--resume goes on with a stopped schedule and --extend starts another: give one of them")
    if extend and not files["weights"].exists():
        raise ValueError(f"{files['weights']} is not there to be extended: train {run} first")
    there = [str(path) for path in files.values() if path.exists()]
    if there and not (resume or extend or overwrite):
        raise ValueError(f"{there[0]} exists: give --resume, --extend, --overwrite or another --output")


def check_resumed(plan: Plan, config: Config | StackConfig, told: dict) -> None:
    """Raise ValueError where something is told that a stopped schedule, its plan or its network, has otherwise."""
    has = asdict(plan) | {"recursions": getattr(config, "recursions", None)}
    has["peak"] = plan.peak or RECIPES[plan.recipe].rate
    for name, value in told.items():
        if value is not None and value != has[name]:
            words = f"the schedule that was stopped has {'rate' if name == 'peak' else name} {has[name]}, not {value}"
            raise ValueError(f"{words}: leave that out with --resume, or begin anew with --overwrite")


def with_recursions(what: Experiment, recursions: int | None) -> Config | StackConfig:
    """The configuration of a run with that many recursions, its own unless given; ValueError where it has not any."""
    if recursions is None:
        return what.config
    if isinstance(what.config, StackConfig):
        raise ValueError(f"{what.name} is a network without recursions: leave their number out")
    if recursions < 1 or what.config.recursions % recursions:
        raise ValueError(f"{what.name} has {what.config.recursions} recursions: {recursions} is no part of them")
    return replace(what.config, recursions=recursions)


def start(
    what: Experiment,
    config: Config | StackConfig,
    weights: Path | None,
    *,
    recipe: str,
    seed: int,
    folder: Path | None = None,
) -> tuple[nn.Module, list[dict]]:
    """The network to begin a cycle from and the cycles it has behind it: finished weights, its parent's or none.

    New weights are of the configuration `config`; finished ones of that which they were trained with. A parent that
    was trained into `folder` goes before the shipped one.
    """
    if weights:
        model, history = checkpoints.load(weights)
        if history["run"] != what.name:
            raise ValueError(f"{weights} belongs to the run {history['run']}, not to {what.name}")
        return model, history["cycles"]
    if what.parent:
        shipped = registry.weights_path(what.parent)
        here = (folder or paths.WEIGHTS) / shipped.name
        return from_parent(what.parent, here if here.is_file() else shipped)
    torch.manual_seed(seed)
    return initialise(build(config), recipe), []


def from_parent(parent: str, weights: Path) -> tuple[nn.Module, list[dict]]:
    """The network of the run `parent`, for another to begin from, and its cycles, marked as the parent's."""
    model, history = checkpoints.load(weights)
    return model, [{"run": parent, **cycle} for cycle in history["cycles"]]


def finish(what: Experiment, trainer: Trainer, held_back: HeldBack, crops: HeldBack, path: Path) -> Path:
    """Choose the best weights of a cycle and write them with the run's whole history.

    Those of a cycle that was stopped before its end replace none that gain more: they will do so when it has ended.
    """
    choice, model, gains = selection.best_weights(trainer, held_back, crops)
    steps, seconds, plan = trainer.step_number, trainer.seconds, trainer.plan
    if steps < plan.steps and (kept := held_back_gain(path)) > gains[choice]:
        words = f"{what.name} stopped at step {steps} of {plan.steps} with {gains[choice]:+.2f} dB"
        if distributed.first():
            print(f"{words}: {path} keeps its weights of {kept:+.2f} dB until the schedule ends", file=sys.stderr)
        return path
    cycle = {
        **asdict(plan),
        "steps": steps,
        "planned_steps": plan.steps,
        "seconds": round(seconds, 1),
        "images_per_second": round(steps * plan.batch / max(seconds, 1e-9), 1),
        "skipped": trainer.skipped,
        "weights": choice,
        "held_back_gain": round(gains[choice], 4),
        "hardware": provenance.hardware(trainer.patches.device),
        "processes": distributed.size(),
        "torch": torch.__version__,
        "commit": provenance.commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    history = {"run": what.name, "task": what.task, "training_set": what.training_set}
    history["levels"] = what.learnt
    history["cycles"] = [*trainer.cycles, cycle]
    if distributed.first():
        checkpoints.save(path, model, history=history)
    return path


def written(run: str, folder: Path) -> bool:
    """Whether the weights of a run in `folder` are of the training whose state lies beside them, at the same step."""
    try:
        meta = checkpoints.load_meta(folder / f"{run}.state")
        cycle = checkpoints.load(folder / f"{run}.safetensors")[1]["cycles"][-1]
    except ValueError:
        return False
    plan = meta["plan"]
    wanted = {**plan, "planned_steps": plan["steps"], "steps": meta["step"]}
    return all(cycle.get(name) == value for name, value in wanted.items())


def held_back_gain(weights: Path) -> float:
    """What the network in a file gains on held-back training pictures, in dB; -inf when there is none in it."""
    try:
        return checkpoints.load(weights)[1]["cycles"][-1]["held_back_gain"]
    except ValueError:
        return float("-inf")
