"""The training loop: steps, checkpoints, validation and the log."""

import csv
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from memnet import paths
from memnet.network import checkpoints
from memnet.training import distributed
from memnet.training.state import state_of
from memnet.training.trainer import Trainer
from memnet.training.validation import ValidationSet

CHECKPOINT_SECONDS = 60
BROADCAST_STEPS = 10  # after which several processes agree on whether to stop
LOG_COLUMNS = ("step", "seconds", "loss", "rate", "norm", "gain", "skipped")


class Log:
    """A CSV of a training's progress beside its weights, and its rows, which go into the state of the training.

    So a training that is resumed writes the rows up to its checkpoint again, whatever has become of the file.
    """

    def __init__(self, path: Path, rows: list[dict]):
        self.path, self.rows = path, rows
        if not distributed.is_main_process():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with paths.atomic_write(path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def add(self, **values) -> None:
        """Append one row, on the disk before anything else happens; numbers have five significant digits."""
        self.rows.append({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in values.items()})
        if not distributed.is_main_process():
            return
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, LOG_COLUMNS).writerow(self.rows[-1])
            file.flush()
            os.fsync(file.fileno())


class StopRequest:
    """Whether Ctrl-C or SIGTERM has come: the first lets the step end, a second Ctrl-C breaks it off."""

    def __init__(self):
        self.requested = False

    def __call__(self, number: int, frame: object) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Ctrl-C and SIGTERM are requests to stop, as far as this is the main thread."""
    request, before = StopRequest(), {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    trainer: Trainer,
    validation: ValidationSet,
    *,
    state: Path,
    log: Path,
    minutes: float | None = None,
    n_validations: int | None = None,
    progress: bool = True,
    watch: Callable[[Trainer], None] = lambda trainer: None,
) -> bool:
    """Train to the last step, or for `minutes`, from the step that has been reached; whether a signal stopped it.

    At least one step is made. The state is written to the folder `state` at the start, every CHECKPOINT_SECONDS and at
    the end, unless a step was broken off. `n_validations` times (the configuration's number) a row of LOG_COLUMNS goes
    to the CSV file `log`: the step, the seconds of training so far, the mean loss since the last row (eq. 12), the
    learning rate, the gradients' norm before clipping, the PSNR gain of the running average over the input on
    `validation` (dB), and the steps skipped so far. `watch` is called after every step, for those who want to see more.

    Ctrl-C and SIGTERM end the training after the step. Under torchrun all processes call this, and the main one writes.
    Raises ValueError when the training diverges, when the state cannot be written and for a broken log.
    """
    if trainer.step_number == 0:
        save_checkpoint(state, trainer)  # in place of another training's, which --resume would go on with
    steps, history = trainer.config.steps, Log(log, trainer.log)
    every = max(1, steps // (n_validations or trainer.config.n_validations))
    earlier, begin, saved, losses = trainer.seconds, time.monotonic(), time.monotonic(), []
    quiet = not (progress and distributed.is_main_process())
    bar = tqdm(total=steps, initial=trainer.step_number, unit="step", disable=quiet, mininterval=2)
    with stop_requests() as stop:
        try:
            while trainer.step_number < steps:
                loss, norm = trainer.step()
                losses.append(loss)
                bar.update()
                now = time.monotonic()
                trainer.seconds = earlier + now - begin
                if trainer.step_number % every == 0 or trainer.step_number == steps:
                    bar.set_postfix_str(validate(trainer, validation, history, losses, norm))
                    losses = []
                watch(trainer)
                over = minutes is not None and now - begin > 60 * minutes
                may_broadcast = trainer.step_number % BROADCAST_STEPS == 0  # a broadcast makes a GPU wait
                if (distributed.world_size() == 1 or may_broadcast) and distributed.broadcast(over or stop.requested):
                    break
                if now - saved > CHECKPOINT_SECONDS:
                    save_checkpoint(state, trainer)
                    saved = now
        finally:
            bar.close()
            if trainer.complete:
                save_checkpoint(state, trainer)
    return distributed.broadcast(stop.requested)


def save_checkpoint(state: Path, trainer: Trainer) -> None:
    """Write the state of the training, by the main process alone: it is the same in all."""
    if distributed.is_main_process():
        checkpoints.save_state(state, *state_of(trainer))


def validate(trainer: Trainer, validation: ValidationSet, history: Log, losses: list[Tensor], norm: Tensor) -> str:
    """Write one row of the log: the mean loss since the last one, and the average's PSNR gain; the same in words."""
    gain, loss = validation.psnr_gain(trainer.average), float(torch.stack(losses).mean())
    rate = trainer.config.rate(trainer.step_number - 1)
    history.add(
        step=trainer.step_number,
        seconds=trainer.seconds,
        loss=loss,
        rate=rate,
        norm=float(norm),
        gain=gain,
        skipped=trainer.skipped,
    )
    skipped = f", {trainer.skipped} steps skipped: the learning rate may be too high" if trainer.skipped else ""
    return f"loss {loss:.5f}, PSNR gain {gain:+.2f} dB, gradient norm {float(norm):.3f}{skipped}"
