"""Every trained network of the paper by name: its task, configuration, training pictures, weights and rows."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from memnet import checkpoints, datasets, degradations, evaluation, parallel, training
from memnet.deepening import added_norms, deepened
from memnet.inference import PRECISIONS, inference_form
from memnet.model import PRESETS, Config, StackConfig, build, variant
from memnet.patches import HeldBack, Patches, some_of, split
from memnet.paths import ROOT, WEIGHTS


@dataclass(frozen=True)
class Experiment:
    """A run: which network learns which task from which pictures, and the table or figure it is for."""

    name: str
    task: str
    config: Config | StackConfig
    training_set: str
    shown_in: str
    levels: tuple[int, ...] | None = None  # to learn from, if not the task's
    parent: str | None = None  # the run whose weights it begins from, if not from new ones

    @property
    def learnt(self) -> tuple[int, ...]:
        """The levels that it learns from: its own, or its task's."""
        return self.levels or degradations.task(self.task).levels

    @property
    def watched(self) -> tuple[int, ...]:
        """The levels of held-back pictures that are looked at: three, spread over those that it learns from, or all."""
        return self.learnt[:: max(1, (len(self.learnt) - 1) // 2)]


def memnet_of(preset: str, *variants: str) -> Config:
    """A preset with the ablations applied."""
    config = PRESETS[preset]
    for name in variants:
        config = variant(config, name)
    return config


def first_blocks(blocks: int) -> Config:
    """M6R6 up to block m = `blocks`: the network whose prediction y_m is."""
    return replace(PRESETS["M6R6"], blocks=blocks)


SR = "super-resolution"
M6R1 = replace(PRESETS["M6R6"], recursions=1)  # 20 layers
EXPERIMENTS = {
    run.name: run
    for run in (
        Experiment("denoising-M6R6", "denoising", memnet_of("M6R6"), "BSD300", "table 3, fig. 5"),
        Experiment("sr-M6R6", SR, memnet_of("M6R6"), "291", "tables 1, 4, figs. 4, 5"),
        Experiment("jpeg-M6R6", "jpeg", memnet_of("M6R6"), "BSD300-luma", "table 5, fig. 5"),
        Experiment("sr-M6R6-NL", SR, memnet_of("M6R6", "NL"), "291", "table 1, fig. 4"),
        Experiment("sr-M6R6-NS", SR, memnet_of("M6R6", "NS"), "291", "table 1"),
        Experiment("sr-M6R6-brief", SR, memnet_of("M6R6"), "291", "tables 2, 6"),
        Experiment("sr-M6R6-91", SR, memnet_of("M6R6"), "91", "table 2"),
        Experiment("sr-M6R6-91-basic", SR, memnet_of("M6R6", "basic"), "91", "table 2"),
        Experiment("sr-plain", SR, PRESETS["plain"], "291", "table 2, fig. 1"),
        Experiment("sr-skip", SR, PRESETS["skip"], "291", "table 2, fig. 1"),
        Experiment("sr-M4R6", SR, memnet_of("M4R6"), "291", "table 6"),
        Experiment("sr-M6R8", SR, memnet_of("M6R8"), "291", "table 6"),
        Experiment("sr-M10R10", SR, memnet_of("M10R10"), "291", "table 6"),
        # All layers from the first step, one budget, one seed: what table 1 and figs. 4 and 5 compare.
        Experiment("sr-M6R6-scratch", SR, memnet_of("M6R6"), "291", "table 1, figs. 4, 5"),
        Experiment("sr-M6R6-NL-scratch", SR, memnet_of("M6R6", "NL"), "291", "table 1, fig. 4"),
        Experiment("sr-M6R6-NS-scratch", SR, memnet_of("M6R6", "NS"), "291", "table 1"),
        Experiment("denoising-M6R6-scratch", "denoising", memnet_of("M6R6"), "BSD300", "fig. 5"),
        Experiment("jpeg-M6R6-scratch", "jpeg", memnet_of("M6R6"), "BSD300-luma", "fig. 5"),
        # Paper: 80 layers from the start. Ours: 20 of them, which learn faster, and 80 that begin from these.
        Experiment("sr-M6R1", SR, M6R1, "291", "the start of sr-M6R6-deepened"),
        Experiment("sr-M6R6-deepened", SR, memnet_of("M6R6"), "291", "tables 2, 4, 6, figs. 6, 8", parent="sr-M6R1"),
        Experiment("jpeg-M6R1", "jpeg", M6R1, "BSD300-luma", "the start of jpeg-M6R6-deepened"),
        Experiment(
            "jpeg-M6R6-deepened", "jpeg", memnet_of("M6R6"), "BSD300-luma", "table 5, fig. 9", parent="jpeg-M6R1"
        ),
        Experiment("denoising-M6R1", "denoising", M6R1, "BSD300", "the start of denoising-M6R6-deepened"),
        Experiment(
            "denoising-M6R6-deepened",
            "denoising",
            memnet_of("M6R6"),
            "BSD300",
            "table 3, fig. 7",
            parent="denoising-M6R1",
        ),
        # Paper: three sigmas, two qualities. Ours for pictures whose damage nobody knows.
        Experiment(
            "denoising-M6R6-any",
            "denoising",
            memnet_of("M6R6"),
            "BSD300",
            "pictures of your own",
            levels=tuple(range(5, 80, 5)),
            parent="denoising-M6R6-deepened",
        ),
        Experiment(
            "jpeg-M6R6-any",
            "jpeg",
            memnet_of("M6R6"),
            "BSD300-luma",
            "pictures of your own",
            levels=(5, *range(10, 100, 10)),
            parent="jpeg-M6R6-deepened",
        ),
    )
}
DEFAULT_RUNS = {"denoising": "denoising-M6R6-deepened", SR: "sr-M6R6-deepened", "jpeg": "jpeg-M6R6-deepened"}
RUNS_FOR_ANY_LEVEL = {"denoising": "denoising-M6R6-any", SR: "sr-M6R6-deepened", "jpeg": "jpeg-M6R6-any"}

EXAMPLES = {  # (data set, picture, level) of the qualitative figures: the paper's, and ours of the embedded set
    "denoising": {
        "benchmark": (("S14", "10", 30), ("BSD200", "206062", 70)),
        "embedded": (("embedded", "camera", 30), ("embedded", "chelsea", 70)),
    },
    SR: {
        "benchmark": (("BSD100", "108005", 3), ("Urban100", "img_002", 4)),
        "embedded": (("embedded", "chelsea", 3), ("embedded", "coins", 4)),
    },
    "jpeg": {
        "benchmark": (("Classic5", "barbara", 10), ("LIVE1", "lighthouse2", 10)),
        "embedded": (("embedded", "astronaut", 10), ("embedded", "camera", 10)),
    },
}


def experiment(run: str) -> Experiment:
    """The experiment of that name; ValueError with all the names when there is none."""
    if run not in EXPERIMENTS:
        raise ValueError(f"unknown run {run!r}: choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[run]


def weights_path(run: str) -> Path:
    """Where the shipped weights of a run are, or would be."""
    return WEIGHTS / f"{experiment(run).name}.safetensors"


def trained(run: str) -> bool:
    """Whether there are weights for a run."""
    return weights_path(run).is_file()


def load(run: str) -> nn.Module:
    """The trained network of a run, in evaluation mode on the CPU, with its training as `.history`.

    Raises ValueError where the weights are missing, and says how to train them.
    """
    if not trained(run):
        raise ValueError(f"{run} has no weights: train it with `memnet train {run}`, best on a GPU")
    model, model.history = checkpoints.load(weights_path(run))
    if any(cycle.get("recursions") for cycle in model.history.get("cycles", ())[-1:]):
        raise ValueError(f"{weights_path(run)} is not yet as deep as {run}: go on with `memnet train {run} --extend`")
    return model


def run_for(task: str, run: str | None) -> str:
    """The run to restore with: the one that is named, if it is of that task, or that for any level; else ValueError."""
    degradations.task(task)
    if run is None:
        return RUNS_FOR_ANY_LEVEL[task]
    if experiment(run).task != task:
        raise ValueError(f"{run} is a network for {experiment(run).task}, not for {task}")
    return run


def ready(run: str, precision: str = "float32") -> nn.Module:
    """The trained network of a run on the GPU, if there is one, to restore or measure pictures with.

    `precision` bfloat16 gives a form that is faster on some processors, and less exact. Raises ValueError for an
    unknown run or precision, and as `load` for a run without weights.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    model = load(run)
    model = model.cuda() if torch.cuda.is_available() else model
    return model if precision == "float32" else inference_form(model, PRECISIONS[precision])


def rows(
    run: str, dataset: str, level: int, *, limit: int | None = None, fresh: bool = False, progress: bool = True
) -> pd.DataFrame:
    """The tidy rows (as of `evaluation.evaluate`) of a run on a data set at a level: stored, or else measured now.

    Without the data set's pictures on disk only stored rows can be had; ValueError when there are none.
    """
    found = stored_rows(run, dataset, level)
    if not datasets.available(dataset) and found is not None and not fresh:
        print(f"{run} on {dataset} at {level}: {len(found)} rows reused", file=sys.stderr)
        return found[:limit]
    model = ready(run)
    task, weights = experiment(run).task, checkpoints.weights_hash(weights_path(run))
    how = {"limit": limit, "fresh": fresh, "progress": progress, "made_by": {"commit": commit()}}
    return evaluation.measure(model, run=run, task=task, dataset=dataset, level=level, weights=weights, **how)


def stored_rows(run: str, dataset: str, level: int) -> pd.DataFrame | None:
    """The rows stored for the run's present weights, perhaps of a part of the set; None when there are none."""
    if not trained(run):
        return None
    weights = checkpoints.weights_hash(weights_path(run))
    return evaluation.stored(run, dataset, level, weights=weights, images=datasets.digest(dataset))


def sets_of(task: str, images: str) -> tuple[str, ...]:
    """The data sets that a table shows: the task's test sets for benchmark `images`, or the embedded set."""
    return datasets.TEST_SETS[task] if images == "benchmark" else ("embedded",)


def example(task: str, images: str, number: int) -> tuple[datasets.Picture, int, str]:
    """Picture, level and a title of the first (0) or second (1) qualitative figure of a task.

    Raises ValueError when the pictures of that data set are not on disk.
    """
    dataset, name, level = EXAMPLES[task][images][number]
    pictures = datasets.pictures(dataset)
    title = f"{'picture ' * name.isdigit()}{name} of {dataset}, {degradations.task(task).prefix}{level}"
    return pictures[pictures.names.index(name)], level, title


def collect(
    runs: Sequence[str],
    sets: Sequence[str],
    *,
    levels: Sequence[int] | None = None,
    measure: bool = True,
    limit: int | None = None,
    fresh: bool = False,
) -> pd.DataFrame:
    """The rows of all trained `runs` on all `sets` at their task's levels (or at `levels`), in one tidy table.

    Runs that are not trained have no rows. Without `measure` only stored rows are taken, and nothing is measured;
    `fresh` measures all anew.
    With `limit` the first so many pictures of each set are taken, also where rows of more are stored.
    """
    found = []
    for run in filter(trained, runs):
        for dataset in sets:
            for level in levels or degradations.task(experiment(run).task).levels:
                if measure or fresh:
                    found.append(rows(run, dataset, level, limit=limit, fresh=fresh))
                else:
                    found.append(stored_rows(run, dataset, level))
                    count = 0 if found[-1] is None else len(found[-1])
                    print(f"{run} on {dataset} at {level}: {count} rows reused, none measured", file=sys.stderr)
    found = [table[:limit] for table in found if table is not None]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=evaluation.COLUMNS)


def overview(runs: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each of `runs` (by default all): what it is for, and what is behind its weights.

    That is the steps, patches and hours of all its cycles (not its parent's), the machine, and the gain on held-back
    training pictures.
    """
    table = []
    for run in map(experiment, runs or EXPERIMENTS):
        row = {"run": run.name, "task": run.task, "training set": run.training_set, "for": run.shown_in}
        if trained(run.name):
            cycles = own_cycles(checkpoints.load(weights_path(run.name))[1])
            row["steps"] = sum(cycle["steps"] for cycle in cycles)
            row["patches"] = sum(cycle["steps"] * cycle["batch"] for cycle in cycles)
            row["hours"] = round(sum(cycle["seconds"] for cycle in cycles) / 3600, 2)
            row["hardware"] = "; ".join(dict.fromkeys(cycle["hardware"] for cycle in cycles))
            row["held-back gain (dB)"] = round(cycles[-1]["held_back_gain"], 2)
        else:
            row["steps"] = "not trained"
        table.append(row)
    return pd.DataFrame(table).astype(object).fillna("")


def own_cycles(history: dict) -> list[dict]:
    """The cycles of training in the history of a run's weights that are not its parent's."""
    run = history.get("run")
    return [cycle for cycle in history["cycles"] if cycle.get("run", run) == run]


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
    with parallel.together(device or ("cuda" if torch.cuda.is_available() else "cpu")) as device:
        what = experiment(run)
        folder = Path(output or WEIGHTS)
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
            plan = training.Plan(**meta["plan"])
            check_resumed(plan, config, {"recipe": recipe, "steps": steps, "recursions": asked, **told})
            model, cycles = build(config), []  # weights and cycles come with the state
        else:
            recipe, weights = recipe or "soap", files["weights"] if extend else None
            model, cycles = start(what, config, weights, recipe=recipe, seed=seed or 0, folder=folder)
            # Paper: float32. In bfloat16 convolutions can take half the time; statistics, loss, weights: float32.
            told["precision"] = precision or ("float32" if recipe == "paper" else training.native_precision(device))
            told["seed"] = len(cycles) if seed is None else seed
            told["recursions"] = None if config == what.config else recursions
            plan = plan_for(recipe, 10 if steps is None else steps, **told)
        stride = training.RECIPES[plan.recipe].stride
        patches = Patches(learn, task=what.task, patch=plan.patch, stride=stride, levels=what.levels, device=device)
        if model.config != config:
            deeper = deepened(model, config.recursions).to(device)
            renew = {"batches": 25, "batch": plan.batch, "seed": plan.seed + 10**6}
            model = training.renew_statistics(deeper, patches, norms=added_norms(model, deeper), **renew)
        if parallel.size() > 1 and not local_norms:
            model = parallel.synchronised(model)
        fast = {"compiled": compiled, "recorded": recorded}
        if meta is None and steps is None:
            plan = planned(model, patches, plan, 30.0 if minutes is None else minutes, began=began, fast=fast)
            minutes = None
        trainer = training.Trainer(model, patches, plan, **fast)
        trainer.cycles, trainer.before = cycles, deepcopy(model).eval() if cycles else None
        if meta:
            trainer.load_state(tensors, meta)
        looked_at = {"task": what.task, "levels": what.watched, "device": device}
        held_back = HeldBack(held, **looked_at)
        minutes = None if minutes is None else minutes - (time.monotonic() - began) / 60
        how = {"state": files["state"], "log": files["log"], "minutes": minutes, "progress": progress}
        training.train(trainer, held_back, **how, looks=min(12, plan.steps // 25 + 1))  # a look costs about 15 steps
        crops = HeldBack(some_of(learn), **looked_at)
        path = finish(what, trainer, held_back, crops, files["weights"])
        parallel.agreed(None)  # none goes before the first has written
        return path


def plan_for(recipe: str, steps: int, **told) -> training.Plan:
    """The plan of a cycle as it was `told`; where that is None, as the recipe has it. ValueError for what cannot be."""
    fixed = training.recipe_named(recipe)
    for name in ("batch", "patch", "settle", "by_error"):
        told[name] = getattr(fixed, name) if told[name] is None else told[name]
    if told["enlarge"] is None:
        told["enlarge"] = 1 if told["batch"] % fixed.enlarge**2 else fixed.enlarge
    return training.Plan(recipe, steps, **told)


def check_output(run: str, files: dict[str, Path], *, resume: bool, extend: bool, overwrite: bool) -> None:
    """Raise ValueError where a run would overwrite what is there, or has nothing to go on from."""
    if resume and extend:
        raise ValueError("--resume goes on with a stopped schedule and --extend starts another: give one of them")
    if extend and not files["weights"].exists():
        raise ValueError(f"{files['weights']} is not there to be extended: train {run} first")
    there = [str(path) for path in files.values() if path.exists()]
    if there and not (resume or extend or overwrite):
        raise ValueError(f"{there[0]} exists: give --resume, --extend, --overwrite or another --output")


def check_resumed(plan: training.Plan, config: Config | StackConfig, told: dict) -> None:
    """Raise ValueError where something is told that a stopped schedule, its plan or its network, has otherwise."""
    has = asdict(plan) | {"recursions": getattr(config, "recursions", None)}
    has["peak"] = plan.peak or training.RECIPES[plan.recipe].rate
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
        shipped = weights_path(what.parent)
        here = (folder or WEIGHTS) / shipped.name
        return from_parent(what.parent, here if here.is_file() else shipped)
    torch.manual_seed(seed)
    return training.initialise(build(config), recipe), []


def from_parent(parent: str, weights: Path) -> tuple[nn.Module, list[dict]]:
    """The network of the run `parent`, for another to begin from, and its cycles, marked as the parent's."""
    model, history = checkpoints.load(weights)
    return model, [{"run": parent, **cycle} for cycle in history["cycles"]]


def planned(
    model: nn.Module,
    patches: Patches,
    plan: training.Plan,
    minutes: float,
    *,
    began: float,
    fast: dict[str, bool | None],
) -> training.Plan:
    """The plan with as many steps as end `minutes` after `began`, a tenth kept for looking and for the last choice."""
    seconds = training.seconds_per_step(model, patches, plan, **fast)
    left = 60 * minutes - (time.monotonic() - began)
    return replace(plan, steps=parallel.agreed(int(0.9 * left / seconds)))


def finish(what: Experiment, trainer: training.Trainer, held_back: HeldBack, crops: HeldBack, path: Path) -> Path:
    """Choose the best weights of a cycle and write them with the run's whole history.

    Those of a cycle that was stopped before its end replace none that gain more: they will do so when it has ended.
    """
    choice, model, gains = training.best_weights(trainer, held_back, crops)
    steps, seconds, plan = trainer.step_number, trainer.seconds, trainer.plan
    if steps < plan.steps and (kept := held_back_gain(path)) > gains[choice]:
        words = f"{what.name} stopped at step {steps} of {plan.steps} with {gains[choice]:+.2f} dB"
        if parallel.first():
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
        "hardware": evaluation.hardware(trainer.patches.device),
        "processes": parallel.size(),
        "torch": torch.__version__,
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    history = {"run": what.name, "task": what.task, "training_set": what.training_set}
    history["levels"] = what.learnt
    history["cycles"] = [*trainer.cycles, cycle]
    if parallel.first():
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


def commit() -> str | None:
    """The source's commit, marked where package or notebooks were changed since; None outside a checkout.

    MEMNET_COMMIT says it for a copy without git.
    """
    if told := os.environ.get("MEMNET_COMMIT"):
        return told
    number = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "memnet", "notebooks")
    return f"{number}-dirty" if number and changed else number


def git(*words: str) -> str | None:
    """What git says of this checkout; None where there is none, or no git."""
    command = ["git", "-C", str(ROOT), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
