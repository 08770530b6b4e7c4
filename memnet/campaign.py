"""The networks of the paper trained one after another, in pieces of time: what was left goes on, what is done stays."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from memnet import checkpoints, datasets, degradations, experiments
from memnet.model import StackConfig
from memnet.paths import WEIGHTS

RESERVE = 0.3  # minutes that a piece leaves for the choice of weights and for writing them
LEAST = 1.7  # minutes that are needed to begin: for reading pictures and compiling; with less left a run waits


def campaign(
    runs: Sequence[str] = (),
    *,
    steps: int,
    shallow: int = 0,
    minutes: float | None = None,
    output: Path | None = None,
    **how,
) -> Iterator[str]:
    """Train `runs` (by default all, in the order of `experiments.EXPERIMENTS`) to `steps` each; a sentence on each.

    They begin with `shallow` steps more, if it is told, in a cycle of their own with one recursion; a network without
    recursions makes all of them in one, one that has a single recursion makes these alone. What an earlier piece left
    unfinished in `output` (data/weights unless given) is resumed, what is finished stays as it is, and when `minutes`
    are nearly over the rest waits for the next piece.
    `how` goes to `experiments.train` (batch=, patch=, rate=, settle=, overwrite= ...). Raises ValueError for an unknown
    run before anything is trained.
    """
    runs = [experiments.experiment(run).name for run in runs or experiments.EXPERIMENTS]
    folder = Path(output or WEIGHTS)
    end = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    for run in runs:
        cycles = schedules(run, steps=steps, shallow=shallow)
        if not left_of(cycles, run, folder):
            yield f"{run}: finished before, {progress(run, folder)[1]} steps"
        while schedule := left_of(cycles, run, folder):
            step, planned = progress(run, folder)
            left = (end - time.monotonic()) / 60 - RESERVE
            if left < LEAST:
                yield f"{run}: waits at step {step} of {planned or cycles[0]['steps']}"
                break
            experiments.train(run, **schedule, minutes=None if minutes is None else left, output=folder, **how)
            step, planned = progress(run, folder)
            yield f"{run}: step {step} of {planned}"
            if step < planned:
                break


def schedules(run: str, *, steps: int, shallow: int) -> list[dict]:
    """What `experiments.train` is told for each cycle of a run, in their order."""
    what = experiments.experiment(run)
    if not shallow or what.parent:
        return [{"steps": steps}]
    if isinstance(what.config, StackConfig):
        return [{"steps": shallow + steps}]
    return [{"steps": shallow, "recursions": 1}, {"steps": steps, "extend": True}]


def left_of(cycles: list[dict], run: str, folder: Path) -> dict | None:
    """What `experiments.train` is told next to go on with these cycles; None when they are finished."""
    plan, step = state_of(run, folder)
    if plan is None:
        return cycles[0]
    if step < plan["steps"] or not experiments.written(run, folder):
        return {"resume": True}
    return cycles[1] if len(cycles) > 1 and plan.get("recursions") == 1 else None


def progress(run: str, folder: Path) -> tuple[int, int]:
    """At which step a run's cycle in `folder` is, and of how many; zeros where it has not begun."""
    plan, step = state_of(run, folder)
    return step, plan["steps"] if plan else 0


def state_of(run: str, folder: Path) -> tuple[dict | None, int]:
    """The plan and the step of a run's state in `folder`; None and zero where there is none."""
    try:
        meta = checkpoints.load_meta(folder / f"{run}.state")
    except ValueError:
        return None, 0
    return meta["plan"], meta["step"]


def measure(runs: Sequence[str] = ()) -> Iterator[str]:
    """Measure the trained ones of `runs` (by default all) on every benchmark set on disk; a sentence on each."""
    for run in filter(experiments.trained, runs or experiments.EXPERIMENTS):
        task = degradations.task(experiments.experiment(run).task)
        try:
            for dataset in filter(datasets.available, datasets.TEST_SETS[task.name]):
                counts = [len(experiments.rows(run, dataset, level)) for level in task.levels]
                yield f"{run}: {sum(counts)} rows of {dataset}"
        except ValueError as error:  # it may not be as deep yet as it is to be
            yield f"{run}: not measured: {error}"
