"""Train a run of the registry: from nothing, or from where it was; and write its weights with their history."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from memnet import paths
from memnet.network import checkpoints, memory
from memnet.network.growth import added_norms, grow
from memnet.network.model import Config, PlainConfig, build
from memnet.protocol import datasets
from memnet.study import provenance, registry
from memnet.study.registry import Experiment
from memnet.training import budget, distributed, loop, selection
from memnet.training.config import PRESETS, TrainingConfig
from memnet.training.optimiser import initialise
from memnet.training.sampler import Patches
from memnet.training.state import load_state
from memnet.training.trainer import Trainer
from memnet.training.validation import ValidationSet, split, spread

STARTS = ("fresh", "resume", "continue", "grow")


@dataclass(frozen=True)
class Files:
    """What a training writes: its weights, the log, the state to resume from, and the lock of the three."""

    weights: Path
    log: Path
    state: Path
    lock: Path

    @classmethod
    def of(cls, run: str, folder: Path | None = None) -> "Files":
        """Those of a run in a folder, by default data/weights."""
        folder = Path(os.path.expanduser(folder or paths.WEIGHTS))
        return cls(*(folder / f"{run}.{suffix}" for suffix in ("safetensors", "csv", "state", "lock")))


@dataclass(frozen=True)
class Outcome:
    """How far a training has come, and where its weights are."""

    step: int
    steps: int
    weights: Path
    interrupted: bool = False  # by Ctrl-C or SIGTERM: nothing was written but the state

    @property
    def finished(self) -> bool:
        return self.step >= self.steps


def train_run(
    run: str,
    config: TrainingConfig | None = None,
    *,
    start: str = "fresh",
    minutes: float | None = None,
    plan_steps: bool = False,
    output: Path | None = None,
    overwrite: bool = False,
    device: str | None = None,
    eager: bool = False,
    progress: bool = True,
    watch: Callable[[Trainer], None] = lambda trainer: None,
) -> Outcome:
    """Train a run as `config` (the preset soap) says, for `minutes` at most; with `plan_steps` as many steps as fit.

    `start` is fresh (new weights, or those of the run's parent), resume (an unfinished training, whose configuration
    `config` must equal if it is given), continue (another training stage from finished weights) or grow (such a stage,
    with the run's number of recursions or that of `config`).

    In `output` (by default data/weights) lie afterwards RUN.safetensors, RUN.csv (the log) and RUN.state (to resume
    from). A training that is stopped before its end replaces no weights that gain more on the validation set. `watch`
    is called after every step. Under torchrun all processes train one network and the main process writes. Raises
    ValueError for what cannot be done.
    """
    began, experiment, files = time.monotonic(), registry.experiment(run), Files.of(run, output)
    check_start(files, start=start, overwrite=overwrite)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with distributed.process_group(device) as device, memory_errors(), only_training(files.lock):
        check_start(files, start=start, overwrite=overwrite)
        config, model, stages, saved = begin(experiment, config, files, start=start, device=device)
        images, validation_images = split(datasets.training_images(config.training_set or experiment.training_set))
        validation = validation_set(experiment, validation_images, device)
        network = network_config(experiment, config.recursions)
        check_memory(network, config, device)
        levels = ", ".join(map(str, experiment.training_levels))
        tell(f"{run}: preparing {len(images)} training images at levels {levels}", progress)
        patches = patches_for(experiment, images, config, device)
        model = ready_to_train(model, network, patches, config)
        if plan_steps:
            tell(f"{run}: timing some steps", progress)
            costs = budget.measure(model, patches, config, validation, eager=eager)
            config = distributed.broadcast(costs.longest(config, 60 * minutes - (time.monotonic() - began)))
        trainer = Trainer(model, patches, config, eager=eager)
        trainer.stages, trainer.initial_model = stages, deepcopy(model).eval() if stages else None
        if saved:
            load_named_state(trainer, saved, files.state)
        left = None if minutes is None else max(0.0, minutes - (time.monotonic() - began) / 60)
        interrupted = loop.train(
            trainer, validation, state=files.state, log=files.log, minutes=left, progress=progress, watch=watch
        )
        if not interrupted:
            crops = validation_set(experiment, spread(images), device)
            finish(experiment, trainer, validation, crops, files.weights)
        distributed.broadcast(None)  # no process ends before the main one has written
    return Outcome(trainer.step_number, config.steps, files.weights, interrupted)


# ----------------------------------------------------------------------------------------------------- how it starts
def check_start(files: Files, *, start: str, overwrite: bool) -> None:
    """Raise ValueError where a training would overwrite what is there, or has nothing to start from."""
    if start not in STARTS:
        raise ValueError(f"unknown start {start!r}: choose one of {', '.join(STARTS)}")
    if start in ("continue", "grow") and not files.weights.exists():
        raise ValueError(f"{files.weights} is not there to start from: train {files.weights.stem} first")
    there = [path for path in (files.weights, files.log, files.state) if path.exists()]
    if there and start == "fresh" and not overwrite:
        raise ValueError(f"{there[0]} exists: give --resume, --continue, --grow, --overwrite or another --output")


def begin(
    experiment: Experiment, config: TrainingConfig | None, files: Files, *, start: str, device: str
) -> tuple[TrainingConfig, nn.Module, list[dict], tuple | None]:
    """The configuration, the network to start from, the stages behind it, and the saved state of a resumed training."""
    if start == "resume":
        tensors, meta = checkpoints.load_state(files.state)
        saved = saved_config(meta, files.state)
        check_resumed(saved, config)
        if meta["threads"] != torch.get_num_threads() and distributed.is_main_process():
            words = f"{files.state} was made with {meta['threads']} threads, not {torch.get_num_threads()}"
            print(f"memnet: {words}: the weights will differ in their last digits", file=sys.stderr)
        return saved, build(network_config(experiment, saved.recursions)), [], (tensors, meta)
    config = config or PRESETS["soap"]
    if config.precision == "auto":
        # Paper: float32. In bfloat16 convolutions can take half the time; statistics, loss, weights: float32.
        config = replace(config, precision=budget.native_precision(device))
    if start == "fresh":
        model, stages = fresh_network(experiment, config, files.weights.parent)
    else:
        model, stages = finished_network(experiment, files.weights)
    if start == "continue":
        config = replace(config, recursions=getattr(model.config, "recursions", None))
    config = replace(config, seed=config.seed + len(stages))  # other patches than in earlier stages
    if config.recursions == getattr(experiment.config, "recursions", None):
        config = replace(config, recursions=None)
    return config, model, stages, None


def fresh_network(experiment: Experiment, config: TrainingConfig, folder: Path) -> tuple[nn.Module, list[dict]]:
    """A new network, or the run's parent with its stages: that in `folder`, or else the shipped one."""
    if experiment.parent:
        shipped = registry.weights_path(experiment.parent)
        here = folder / shipped.name
        return parent_network(experiment.parent, here if here.is_file() else shipped)
    torch.manual_seed(config.seed)
    return initialise(build(network_config(experiment, config.recursions)), config), []


def parent_network(parent: str, weights: Path) -> tuple[nn.Module, list[dict]]:
    """The network of the run `parent`, for another to start from, and its stages, marked as the parent's."""
    model, history = checkpoints.load(weights)
    return model, [{"run": parent, **stage} for stage in history["stages"]]


def finished_network(experiment: Experiment, weights: Path) -> tuple[nn.Module, list[dict]]:
    """The network in a file of weights and the stages behind it; ValueError when it is of another run."""
    model, history = checkpoints.load(weights)
    if history["run"] != experiment.name:
        raise ValueError(f"{weights} belongs to the run {history['run']}, not to {experiment.name}")
    return model, history["stages"]


def network_config(experiment: Experiment, recursions: int | None) -> Config | PlainConfig:
    """The network of a run with that many recursions, by default its own; ValueError where it has not any."""
    if recursions is None:
        return experiment.config
    if isinstance(experiment.config, PlainConfig):
        raise ValueError(f"{experiment.name} is a network without recursions: leave their number out")
    if recursions < 1 or experiment.config.recursions % recursions:
        number = experiment.config.recursions
        raise ValueError(f"{experiment.name} has {number} recursions, of which {recursions} is no divisor")
    return replace(experiment.config, recursions=recursions)


def saved_config(meta: dict, state: Path) -> TrainingConfig:
    """The configuration in the meta of a training state; ValueError naming the state when there is none."""
    try:
        return TrainingConfig(**meta["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{state} is broken or of another version ({error}): start again with --overwrite") from error


def check_resumed(saved: TrainingConfig, config: TrainingConfig | None) -> None:
    """Raise ValueError where a configuration is given that the unfinished training has not."""
    if config is None:
        return
    given = asdict(config)
    for name, value in asdict(saved).items():
        if given[name] != value and not (name == "precision" and given[name] == "auto"):
            words = f"the unfinished training has {name} {value}, not {given[name]}"
            raise ValueError(f"{words}: leave that out with --resume, or start again with --overwrite")


def patches_for(experiment: Experiment, images: Sequence, config: TrainingConfig, device: str) -> Patches:
    """The training patches of a run."""
    return Patches(
        images,
        task=experiment.task,
        levels=experiment.levels,
        balanced=experiment.balanced,
        patch=config.patch,
        stride=config.stride,
        device=device,
    )


def tell(message: str, progress: bool) -> None:
    """A line on stderr of the main process, where progress is shown."""
    if progress and distributed.is_main_process():
        print(f"memnet: {message}", file=sys.stderr)


def validation_set(experiment: Experiment, images: Sequence, device: str) -> ValidationSet:
    """Crops of images at a run's validation levels."""
    return ValidationSet(images, task=experiment.task, levels=experiment.validation_levels, device=device)


def ready_to_train(
    model: nn.Module, wanted: Config | PlainConfig, patches: Patches, config: TrainingConfig
) -> nn.Module:
    """The network, grown to the configuration that is `wanted`, with synchronised batch norms on several processes."""
    if model.config != wanted:
        larger = grow(model, wanted.recursions).to(patches.device)
        norms, seed = added_norms(model, larger), config.seed + 10**6
        model = selection.renew_statistics(larger, patches, batches=25, batch=config.batch, seed=seed, norms=norms)
    if distributed.world_size() > 1 and config.sync_bn:
        model = distributed.convert_sync_batchnorm(model)
    return model


@contextmanager
def only_training(lock: Path) -> Iterator[None]:
    """Hold the lock of a run's files; ValueError while another training writes them, or nobody can."""
    if not distributed.is_main_process():
        yield
        return
    made = not lock.parent.exists()
    registry.make_weights_folder(lock.parent)
    with ExitStack() as stack:
        lock.touch()
        try:
            stack.enter_context(paths.lock(lock, wait=False))
        except (BlockingIOError, FileNotFoundError) as error:  # the other one goes on, or has ended at this moment
            words = f"another training writes {lock.stem} in {lock.parent}"
            raise ValueError(f"{words}: wait for its end, or give another --output") from error
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            with suppress(OSError):  # it is not empty
                if made:
                    lock.parent.rmdir()


def load_named_state(trainer: Trainer, saved: tuple, state: Path) -> None:
    """Go on from a saved state; ValueError naming it when it does not fit."""
    try:
        load_state(trainer, *saved)
    except ValueError as error:
        raise ValueError(f"{state} cannot be resumed: {error}") from error


def check_memory(network: Config | PlainConfig, config: TrainingConfig, device: str) -> None:
    """ValueError when a batch's feature maps alone, one of each convolution, do not fit into the free memory."""
    bytes_each = 2 if config.precision == "bfloat16" else 4
    pixels = config.batch * config.patch**2 // distributed.world_size()
    needed = bytes_each * pixels * network.channels * network.longest_path
    if needed > (free := memory.free(torch.device(device))):
        words = f"{config.batch} patches of {config.patch}x{config.patch} need {needed / 2**30:,.0f} GiB or more"
        raise ValueError(f"{words}, and {free / 2**30:,.1f} GiB are free: choose a smaller batch or patch")


@contextmanager
def memory_errors() -> Iterator[None]:
    """ValueError in place of what torch says when memory is not enough."""
    try:
        with memory.errors():
            yield
    except MemoryError as error:
        raise ValueError("this training needs more memory than there is: choose a smaller batch or patch") from error


# ------------------------------------------------------------------------------------------------------- how it ends
def finish(
    experiment: Experiment, trainer: Trainer, validation: ValidationSet, crops: ValidationSet, path: Path
) -> None:
    """Choose the best weights of a training stage and write them with the whole history.

    Those of a stage that was stopped before its end replace none that gain more: they will do so when it has ended.
    """
    choice, model, gains = selection.best_weights(trainer, validation, crops)
    unfinished = trainer.step_number < trainer.config.steps
    if unfinished and (kept := psnr_gain_of(path)) > gains[choice]:
        if distributed.is_main_process():
            words = f"{path} keeps its weights of {kept:+.2f} dB until this training, now {gains[choice]:+.2f} dB, ends"
            print(f"memnet: {words}", file=sys.stderr)
        return
    history = {
        "run": experiment.name,
        "task": experiment.task,
        "training_set": trainer.config.training_set or experiment.training_set,
        "levels": experiment.training_levels,
        "stages": [*trainer.stages, stage_record(trainer, choice, gains[choice])],
    }
    if distributed.is_main_process():
        checkpoints.save(path, model, history=history)


def stage_record(trainer: Trainer, choice: str, gain: float) -> dict:
    """What the history says of a training stage; `steps` are those that were made."""
    config, seconds = trainer.config, trainer.seconds
    return {
        **asdict(config),
        "steps": trainer.step_number,
        "planned_steps": config.steps,
        "seconds": round(seconds, 1),
        "images_per_second": round(trainer.step_number * config.batch / max(seconds, 1e-9), 1),
        "skipped": trainer.skipped,
        "weights": choice,
        "psnr_gain": round(gain, 4),
        "hardware": provenance.hardware(trainer.patches.device),
        "processes": distributed.world_size(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": provenance.commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def psnr_gain_of(weights: Path) -> float:
    """What the network in a file gains on its validation set, in dB; -inf when there is none in it."""
    try:
        return checkpoints.history(weights)["stages"][-1]["psnr_gain"]
    except ValueError:
        return float("-inf")


def unfinished(run: str, folder: Path | None = None) -> TrainingConfig | None:
    """The configuration of a run's training in a folder whose last weights are not written yet; None if there is none.

    Raises ValueError where there is a training state that is broken.
    """
    files = Files.of(run, folder)
    if not checkpoints.has_state(files.state):
        return None
    meta = checkpoints.load_meta(files.state)
    config = saved_config(meta, files.state)
    try:
        stage = checkpoints.history(files.weights)["stages"][-1]
    except ValueError:
        return config
    expected = {**asdict(config), "planned_steps": config.steps}
    return None if all(stage.get(name) == value for name, value in expected.items()) else config


def train_runs(
    runs: Sequence[str],
    config: TrainingConfig | None = None,
    *,
    overrides: dict | None = None,
    start: str = "fresh",
    minutes: float | None = None,
    plan_steps: bool = False,
    output: Path | None = None,
    overwrite: bool = False,
    device: str | None = None,
    eager: bool = False,
    progress: bool = True,
) -> Iterator[tuple[str, Outcome | None]]:
    """Train runs one after another in `minutes` in all; each with its outcome, None for one that got no time.

    With `start` resume, unfinished trainings go on, finished ones are skipped, and those that have not begun begin.
    A resumed training must have the settings in `overrides`. The other arguments are those of `train_run`.
    """
    began, config = time.monotonic(), replace(config or PRESETS["soap"], **overrides or {})
    for run in runs:
        registry.experiment(run)
    for number, run in enumerate(runs):
        left = None if minutes is None else max(0.0, minutes - (time.monotonic() - began) / 60)
        saved, how = unfinished(run, output) if start == "resume" else None, start
        if start == "resume" and not saved:
            how = "fresh"
            weights = Files.of(run, output).weights
            if weights.exists():
                checkpoints.load(weights)  # ValueError when it is broken
                yield run, Outcome(0, 0, weights)
                continue
        if left == 0 and number:
            yield run, None
            continue
        wanted, planned = (replace(saved, **overrides or {}), False) if saved else (config, plan_steps)
        share = left / (len(runs) - number) if planned else left
        outcome = train_run(
            run,
            wanted,
            start=how,
            minutes=share,
            plan_steps=planned,
            output=output,
            overwrite=overwrite,
            device=device,
            eager=eager,
            progress=progress,
        )
        yield run, outcome
        if outcome.interrupted:
            return
