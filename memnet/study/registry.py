"""Every network of the study by name: its task, configuration, training images and weights."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import nn

from memnet import download, paths
from memnet.network import checkpoints
from memnet.network.folded import inference_form
from memnet.network.model import PRESETS, Config, PlainConfig, variant
from memnet.network.runtime import PRECISIONS
from memnet.protocol import tasks
from memnet.protocol.tasks import Task


class Example(NamedTuple):
    """What a qualitative figure shows: an image of a data set, the level, and which part enlarged."""

    dataset: str
    image: str
    level: int
    area: tuple[int, int, int, int] | None = None  # top, left, height, width; the part with most detail by default


@dataclass(frozen=True)
class Experiment:
    """A run: which network learns which task from which images, and the table or figure it is for."""

    name: str
    task: str
    config: Config | PlainConfig
    training_set: str
    shown_in: str
    levels: tuple[int, ...] | None = None  # to learn from, if not the task's
    balanced: bool = False  # whether levels weigh by one over their inputs' error, for levels that lie far apart
    parent: str | None = None  # the run whose weights it begins from, if not from new ones
    main: bool = False  # the network of its task in tables 3-5
    any_level: bool = False  # the network of its task for images whose level is unknown
    benchmark: tuple[Example, ...] = ()  # what the task's qualitative figures show: the paper's images first
    embedded: tuple[Example, ...] = ()  # and those of the embedded set

    @property
    def training_levels(self) -> tuple[int, ...]:
        """The levels it is trained on: its own, or its task's."""
        return self.levels or tasks.task(self.task).levels

    @property
    def validation_levels(self) -> tuple[int, ...]:
        """The levels of the validation set: three, spread over those it is trained on, or all."""
        return self.training_levels[:: max(1, (len(self.training_levels) - 1) // 2)]


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
        Experiment("sr-M6R1", SR, M6R1, "291", "the start of sr-M6R6"),
        Experiment(
            "sr-M6R6",
            SR,
            memnet_of("M6R6"),
            "291",
            "tables 2, 4, 6, figs. 6, 8",
            parent="sr-M6R1",
            main=True,
            any_level=True,
            benchmark=(
                Example("BSD100", "108005", 3),
                Example("Urban100", "img_002", 4),
                Example("Set14", "barbara", 3, (336, 71, 64, 64)),
            ),
            embedded=(
                Example("embedded", "chelsea", 3),
                Example("embedded", "coins", 4),
                Example("embedded", "rocket", 4),
            ),
        ),
        Experiment("jpeg-M6R1", "jpeg", M6R1, "BSD300-luma", "the start of jpeg-M6R6"),
        Experiment(
            "jpeg-M6R6",
            "jpeg",
            memnet_of("M6R6"),
            "BSD300-luma",
            "table 5, fig. 9",
            parent="jpeg-M6R1",
            main=True,
            benchmark=(Example("Classic5", "barbara", 10), Example("LIVE1", "lighthouse2", 10)),
            embedded=(Example("embedded", "astronaut", 10), Example("embedded", "camera", 10)),
        ),
        Experiment("denoising-M6R1", "denoising", M6R1, "BSD300", "the start of denoising-M6R6"),
        Experiment(
            "denoising-M6R6",
            "denoising",
            memnet_of("M6R6"),
            "BSD300",
            "table 3, fig. 7",
            parent="denoising-M6R1",
            main=True,
            benchmark=(Example("S14", "10", 30, (50, 96, 64, 64)), Example("BSD200", "206062", 70, (80, 40, 64, 64))),
            embedded=(Example("embedded", "camera", 30), Example("embedded", "chelsea", 70)),
        ),
        # Paper: three sigmas, two qualities. Ours for images whose damage nobody knows.
        Experiment(
            "denoising-M6R6-any",
            "denoising",
            memnet_of("M6R6"),
            "BSD300",
            "images of your own",
            levels=tuple(range(5, 80, 5)),
            balanced=True,
            parent="denoising-M6R6",
            any_level=True,
        ),
        Experiment(
            "jpeg-M6R6-any",
            "jpeg",
            memnet_of("M6R6"),
            "BSD300-luma",
            "images of your own",
            levels=(5, *range(10, 100, 10)),
            balanced=True,
            parent="jpeg-M6R6",
            any_level=True,
        ),
    )
}


def experiment(run: str) -> Experiment:
    """The experiment of that name; ValueError with all the names when there is none."""
    if not isinstance(run, str) or run not in EXPERIMENTS:
        raise ValueError(f"unknown run {run!r}: choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[run]


def weights_path(run: str) -> Path:
    """Where the weights of a run are, or would be.

    That is paths.OWN_WEIGHTS, if it is set and has them, paths.WEIGHTS, or else the folder inside an installed package.
    """
    file = f"{experiment(run).name}.safetensors"
    folders = (paths.OWN_WEIGHTS, paths.WEIGHTS, paths.INSTALLED / "weights")
    found = (folder / file for folder in folders if folder and (folder / file).is_file())
    return next(found, paths.WEIGHTS / file)


def results_folder(run: str) -> Path:
    """Where the rows of a run are kept: in paths.RESULTS, or beside weights of the reader's own."""
    folder = weights_path(run).parent
    return (folder / "results" if folder == paths.OWN_WEIGHTS else paths.RESULTS) / run


def trained(run: str) -> bool:
    """Whether there are weights for a run on this machine."""
    return weights_path(run).is_file()


def fetched_weights(run: str) -> Path:
    """Where the weights of a run are; they are fetched when they are not on this machine. ValueError as there."""
    if not trained(run):
        fetch_weights(run)
    return weights_path(run)


def fetch_weights(run: str) -> None:
    """Download the weights of a run into paths.WEIGHTS by data/weights.csv, the table of run, sha256 and address.

    Raises ValueError where the table has no address for the run, what comes has another SHA-256, or the folder
    takes no files.
    """
    path = paths.DATA / "weights.csv"
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype=str).set_index("run")[["sha256", "address"]]
    except (OSError, ValueError, KeyError) as error:  # those of pandas are ValueErrors
        message = " ".join(str(error).split())
        raise ValueError(f"{path} is no table of weights ({message}): restore it from the repository") from error
    if run not in table.index or not table.address[run]:
        raise ValueError(
            f"{run} has no weights at {weights_path(run)}: train it with `memnet train {run}`, best on a GPU, "
            "or name the folder data/weights of a checkout of this project in MEMNET_WEIGHTS"
        )
    file = download.File(weights_path(run), table.address[run], table.sha256[run])
    make_weights_folder(file.path.parent)
    try:
        download.download(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"the weights of {run} did not come from {file.url} ({error})") from error


def make_weights_folder(folder: Path) -> None:
    """Make a folder for weights; ValueError, with what to do, where it takes no files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        words = f"{folder} takes no weights ({error.strerror})"
        raise ValueError(f"{words}: name a folder of your own by --output or MEMNET_WEIGHTS") from error


def load(run: str) -> nn.Module:
    """The trained network of a run, in evaluation mode on the CPU, with its training as `.history`.

    Weights that are not on this machine are fetched. Raises ValueError, with what to do, where there are none,
    or those of another run.
    """
    model, model.history = checkpoints.load(fetched_weights(run))
    if model.history.get("run") != run:
        raise ValueError(f"{weights_path(run)} holds weights of {model.history.get('run')}: put those of {run} there")
    if any(stage.get("recursions") for stage in model.history.get("stages", ())[-1:]):
        raise ValueError(f"{weights_path(run)} has fewer recursions than {run}: go on with `memnet train {run} --grow`")
    return model


def main_run(task: str | Task) -> str:
    """The run of a task that stands in tables 3-5; ValueError for an unknown task or one without such a run."""
    return only_run(task, "main")


def run_for(task: str | Task, run: str | None = None) -> str:
    """The run to restore with: the one that is named, if it is of that task, or that for any level; else ValueError."""
    task = tasks.task(task)
    if run is None:
        return only_run(task, "any_level")
    if experiment(run).task != task.name:
        raise ValueError(f"{run} is a network for {experiment(run).task}, not for {task.name}")
    return run


def only_run(task: str | Task, mark: str) -> str:
    """The one run of a task whose field `mark` is true; ValueError when there is none."""
    name = tasks.task(task).name
    found = [run.name for run in EXPERIMENTS.values() if run.task == name and getattr(run, mark)]
    if len(found) != 1:
        raise ValueError(f"one run of {name} has to be marked `{mark}` in EXPERIMENTS, got {len(found)}")
    return found[0]


def ready(run: str, precision: str = "float32") -> nn.Module:
    """The trained network of a run on the GPU, if there is one, to restore or measure images with.

    `precision` bfloat16 gives a form that is faster on some processors, and less exact. Raises ValueError for an
    unknown run or precision, and as `load` for a run without weights.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    model = load(run)
    model = model.cuda() if torch.cuda.is_available() else model
    return model if precision == "float32" else inference_form(model, PRECISIONS[precision])


def kept(run: str, precision: str = "float32") -> nn.Module:
    """As `ready`, folded for inference, and the same object at the next call while the file of the weights is the same.

    It is shared: read it, do not change it. Raises ValueError as `ready`.
    """
    path = fetched_weights(run)
    file = path.stat()
    return read_once(run, precision, (path, file.st_ino, file.st_size, file.st_mtime_ns))


@lru_cache(maxsize=4)
def read_once(run: str, precision: str, file: tuple) -> nn.Module:
    """The network of `kept`; `file` says which file its weights are in."""
    return inference_form(ready(run, precision))


def sets_of(task: str, images: str) -> tuple[str, ...]:
    """The data sets that a table shows: the task's test sets for benchmark `images`, or the embedded set."""
    return tasks.task(task).test_sets if images == "benchmark" else ("embedded",)


def examples(task: str, images: str) -> tuple[Example, ...]:
    """What the qualitative figures of a task show: the paper's images (benchmark), or embedded ones."""
    return getattr(experiment(main_run(task)), images)


def compared_runs(task: str) -> dict[str, str]:
    """Run by the name in figures: a task's networks without memory blocks, if it has any, and its main run."""
    name = tasks.task(task).name
    plain = [run for run in EXPERIMENTS.values() if run.task == name and isinstance(run.config, PlainConfig)]
    return {"skip" if run.config.skip else "plain": run.name for run in plain} | {"MemNet": main_run(task)}


def overview(runs: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each of `runs` (by default all): what it is for, and what is behind its weights.

    That is the steps, patches and hours of all its training stages (not its parent's), the machine, and the
    PSNR gain on the validation set.
    """
    table = []
    for run in map(experiment, runs or EXPERIMENTS):
        row = {"run": run.name, "task": run.task, "training set": run.training_set, "for": run.shown_in}
        if trained(run.name):
            row |= training_of(weights_path(run.name))
        else:
            row["steps"] = "not trained"
        table.append(row)
    return pd.DataFrame(table).astype(object).fillna("")


def training_of(weights: Path) -> dict:
    """What a row of `overview` says of the training behind a file of weights.

    Raises ValueError, with its name, when the file is broken or has no such history.
    """
    history = checkpoints.history(weights)
    try:
        stages = own_stages(history)
        return {
            "steps": sum(stage["steps"] for stage in stages),
            "patches": sum(stage["steps"] * stage["batch"] for stage in stages),
            "hours": round(sum(stage["seconds"] for stage in stages) / 3600, 2),
            "hardware": "; ".join(dict.fromkeys(stage["hardware"] for stage in stages)),
            "gain (dB)": round(stages[-1]["psnr_gain"], 2),
        }
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{weights} has no history of its training ({type(error).__name__}: {error})") from error


def listing() -> str:
    """The runs in a table of 80 columns: what each is for, the steps and hours of its training, and its PSNR gain."""
    lines = [f"{'run':24}{'for':28}{'steps':>9}{'hours':>7}{'gain/dB':>9}"]
    for run in EXPERIMENTS.values():
        try:
            row = overview([run.name]).iloc[0]
        except ValueError as error:
            lines.append(f"{run.name:24}broken: {error}")
            continue
        numbers = (
            ["not trained"] if "hours" not in row else [f"{row.steps:9}", f"{row.hours:7}", f"{row['gain (dB)']:9}"]
        )
        lines.append(f"{run.name:24}{run.shown_in:28}{''.join(numbers)}")
    return "\n".join(lines)


def own_stages(history: dict) -> list[dict]:
    """The training stages in the history of a run's weights that are not its parent's."""
    run = history.get("run")
    return [stage for stage in history["stages"] if stage.get("run", run) == run]
