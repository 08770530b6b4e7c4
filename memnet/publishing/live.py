"""Train a run inside a notebook: a sentence and curves that are replaced meanwhile; it can be interrupted."""

import time
from pathlib import Path

import pandas as pd
from IPython.display import HTML, display

from memnet.publishing import plots
from memnet.study import train_run
from memnet.study.train_run import Files, Outcome
from memnet.training.config import TrainingConfig
from memnet.training.trainer import Trainer

SECONDS = 1.0  # between two drawings of the curves


class Watch:
    """What a notebook shows of a training: called after every step, it draws again once a second at most.

    The sentence and the curves of the log stay as they are when the training ends or is stopped.
    """

    def __init__(self, run: str, log: Path):
        self.run, self.log, self.rows, self.last = run, log, 0, 0.0
        self.sentence = display(HTML(""), display_id=True)
        self.curves = display(HTML(""), display_id=True)

    def __call__(self, trainer: Trainer) -> None:
        if time.monotonic() - self.last < SECONDS:
            return
        self.last = time.monotonic()
        step, steps = trainer.step_number, trainer.config.steps
        each = trainer.seconds / step
        self.say(f"step {step:,} of {steps:,}, {1000 * each:.0f} ms a step, {each * (steps - step):,.0f} s to go")
        self.draw()

    def say(self, sentence: str) -> None:
        """Replace the sentence."""
        self.sentence.update(HTML(f"{self.run}: {sentence}"))

    def draw(self) -> None:
        """Replace the curves if the log has new rows."""
        rows = pd.read_csv(self.log) if self.log.exists() else []
        if len(rows) > self.rows:
            self.rows = len(rows)
            self.curves.update(plots.training_curves({self.run: rows}, title=self.run))


def train(run: str, config: TrainingConfig, *, minutes: float, folder: Path, device: str) -> None:
    """Train a run for some minutes into a folder, or go on with what was stopped there; says which.

    The stop button of the notebook ends it after the step: the same call goes on. A finished training is not
    continued. Raises ValueError as `train_run`.
    """
    files, unfinished = Files.of(run, folder), train_run.unfinished(run, folder)
    if unfinished is None and files.weights.exists():
        print(f"{name_of(files.weights)} is finished, so nothing is trained. To train again, name another folder.")
        return
    watch = Watch(run, files.log)
    watch.say("goes on where it was stopped ..." if unfinished else "begins: data, and the time of a step ...")
    try:
        outcome = train_run.train_run(
            run,
            None if unfinished else config,
            start="resume" if unfinished else "fresh",
            minutes=minutes,
            plan_steps=not unfinished,
            output=folder,
            device=device,
            progress=False,
            watch=watch,
        )
    except KeyboardInterrupt:
        watch.say("stopped. Run this cell again to go on.")
        return
    watch.draw()
    watch.say(ending(outcome))


def name_of(weights: Path) -> str:
    """A file of weights with its folder: the same on every machine."""
    return f"{weights.parent.name}/{weights.name}"


def ending(outcome: Outcome) -> str:
    """In one sentence how a training ended."""
    if outcome.finished:
        return f"all {outcome.steps:,} steps are done. The weights are in {name_of(outcome.weights)}."
    why = "stopped" if outcome.interrupted else "the minutes are over"
    return f"{why} at step {outcome.step:,} of {outcome.steps:,}. Run this cell again to go on."
