"""The networks of the paper trained one after another, in pieces of time: what was left goes on, what is done stays."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from memnet import checkpoints, datasets, degradations, experiments
from memnet.paths import WEIGHTS

RESERVE = 0.3  # minutes that a piece leaves for the choice of weights and for writing them
LEAST = 1.5  # minutes that are needed to begin: for reading pictures and compiling; with less left a run waits


def campaign(
    runs: Sequence[str] = (), *, steps: int, minutes: float | None = None, output: Path | None = None, **how
) -> Iterator[str]:
    """Train `runs` (by default all, in the order of `experiments.EXPERIMENTS`) to `steps` each; a sentence on each.

    What an earlier piece left unfinished in `output` (data/weights unless given) is resumed, what is finished stays as
    it is, and when `minutes` are nearly over the rest waits for the next piece. `how` goes to `experiments.train`
    (batch=, patch=, rate=, settle=, overwrite= ...). Raises ValueError for an unknown run before anything is trained.
    """
    runs = [experiments.experiment(run).name for run in runs or experiments.EXPERIMENTS]
    folder = Path(output or WEIGHTS)
    end = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    for run in runs:
        step, planned = progress(run, folder)
        left = (end - time.monotonic()) / 60 - RESERVE
        if step == planned != 0:
            yield f"{run}: finished before, {planned} steps"
        elif left < LEAST:
            yield f"{run}: waits at step {step} of {planned or steps}"
        else:
            schedule = {"resume": True} if planned else {"steps": steps}
            piece = {"minutes": None if minutes is None else left, "output": folder}
            experiments.train(run, **schedule, **piece, **how)
            step, planned = progress(run, folder)
            yield f"{run}: step {step} of {planned}"


def progress(run: str, folder: Path) -> tuple[int, int]:
    """At which step a run's training in `folder` is, and of how many; zeros where it has not begun."""
    try:
        _, meta = checkpoints.load_state(folder / f"{run}.state")
    except ValueError:
        return 0, 0
    return meta["step"], meta["plan"]["steps"]


def measure(runs: Sequence[str] = ()) -> Iterator[str]:
    """Measure the trained ones of `runs` (by default all) on every benchmark set on disk; a sentence on each."""
    for run in filter(experiments.trained, runs or experiments.EXPERIMENTS):
        task = degradations.task(experiments.experiment(run).task)
        for dataset in filter(datasets.available, datasets.TEST_SETS[task.name]):
            counts = [len(experiments.rows(run, dataset, level)) for level in task.levels]
            yield f"{run}: {sum(counts)} rows of {dataset}"
