"""The training loop: steps, checkpoints, validation and the log."""

import csv
import time
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from memnet.network import checkpoints
from memnet.training import distributed
from memnet.training.trainer import Trainer
from memnet.training.validation import HeldBack

CHECKPOINT_SECONDS = 60
LOG_COLUMNS = ("step", "seconds", "loss", "rate", "norm", "gain", "skipped")


class Log:
    """A CSV of the run's progress beside its weights; a resumed run drops the rows after its checkpoint."""

    def __init__(self, path: Path, *, keep_to_step: int):
        rows = []
        if keep_to_step and path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= keep_to_step]
        self.path = path
        if not distributed.first():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def add(self, **values) -> None:
        """Append one row; numbers are written to five significant digits."""
        row = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in values.items()}
        if not distributed.first():
            return
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, LOG_COLUMNS).writerow(row)


def train(
    trainer: Trainer,
    held_back: HeldBack,
    *,
    state: Path,
    log: Path,
    minutes: float | None = None,
    looks: int = 12,
    progress: bool = True,
) -> bool:
    """Run the trainer's plan to its end, or for `minutes`, from wherever it stands; whether the end was reached.

    The state is written to the folder `state` at the start, every minute and at the end, unless a step was broken off;
    the gain on held-back pictures is looked at `looks` times and goes to the CSV file `log`.
    """
    if trainer.step_number == 0:
        keep(state, trainer)  # in place of another training's, which --resume would go on with
    plan, journal = trainer.plan, Log(log, keep_to_step=trainer.step_number)
    before, begin, saved, losses = trainer.seconds, time.monotonic(), time.monotonic(), []
    quiet = not (progress and distributed.first())
    bar = tqdm(total=plan.steps, initial=trainer.step_number, unit="step", disable=quiet, mininterval=2)
    try:
        while trainer.step_number < plan.steps:
            loss, norm = trainer.step()
            losses.append(loss)
            bar.update()
            now = time.monotonic()
            trainer.seconds = before + now - begin
            if trainer.step_number % max(1, plan.steps // looks) == 0 or trainer.step_number == plan.steps:
                bar.set_postfix_str(look(trainer, held_back, journal, losses, norm))
                losses = []
            if minutes is not None and distributed.agreed(now - begin > 60 * minutes):
                break
            if now - saved > CHECKPOINT_SECONDS:
                keep(state, trainer)
                saved = now
    finally:
        bar.close()
        if trainer.whole:
            keep(state, trainer)
    return trainer.step_number >= plan.steps


def keep(state: Path, trainer: Trainer) -> None:
    """Write the state of the training, by the first process alone: it is the same in all."""
    if distributed.first():
        checkpoints.save_state(state, *trainer.state())


def look(trainer: Trainer, held_back: HeldBack, journal: Log, losses: list[Tensor], norm: Tensor) -> str:
    """Write one row of the log: the mean loss since the last one, and the average's gain; the same in words."""
    gain, loss = held_back.gain(trainer.average), float(torch.stack(losses).mean())
    rate = trainer.plan.rate(trainer.step_number - 1)
    numbers = {"seconds": trainer.seconds, "loss": loss, "rate": rate, "norm": float(norm), "gain": gain}
    journal.add(step=trainer.step_number, skipped=trainer.skipped, **numbers)
    skipped = f", {trainer.skipped} steps skipped: the rate may be too high" if trainer.skipped else ""
    return f"loss {loss:.5f}, gain {gain:+.2f} dB, norm {float(norm):.3f}{skipped}"
