"""What a training costs and brings: PSNR on Set5 against the pixels of all patches that a network saw."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from memnet.network import checkpoints
from memnet.network.model import Config, build
from memnet.protocol import datasets
from memnet.study import evaluation, registry, store, train_run
from memnet.study.registry import Experiment
from memnet.study.train_run import Files
from memnet.training import budget
from memnet.training.config import PRESETS, TrainingConfig
from memnet.training.optimiser import initialise
from memnet.training.trainer import Trainer
from memnet.training.validation import split

TASK, DATASET, LEVEL = "super-resolution", "Set5", 3
MILLION = 1e6
POWERS = np.linspace(0.02, 1.5, 149)  # that are tried for the fit
REFITS = 1000  # of the curve, which say how uncertain it is


def trainings() -> pd.DataFrame:
    """The trained networks of super-resolution with stored rows of Set5 at x3, one a row, by their pixels.

    Columns: run; pixels, of the patches of all stages, the parent's too, in millions; hours of these stages; psnr
    (dB); fitted, whether it is a multi-supervised MemNet that learned from the 291 images: what `fit` takes.
    """
    runs = [run for run in registry.EXPERIMENTS.values() if run.task == TASK and registry.trained(run.name)]
    rows = store.collect([run.name for run in runs], (DATASET,), levels=(LEVEL,), measure=False)
    psnr = rows.groupby("run").psnr.mean()
    table = [row_of(run, registry.weights_path(run.name), psnr[run.name]) for run in runs if run.name in psnr]
    return pd.DataFrame(table).sort_values("pixels", kind="stable").reset_index(drop=True)


def row_of(run: Experiment, weights: Path, psnr: float) -> dict:
    """A row of `trainings`, from a file of weights."""
    history = checkpoints.history(weights)
    pixels = sum(pixels_of(stage) for stage in history["stages"])
    hours = sum(stage["seconds"] for stage in history["stages"]) / 3600
    memnet = isinstance(run.config, Config) and run.config.multi_supervised
    fitted = memnet and history["training_set"] == "291"
    return {"run": run.name, "pixels": pixels / MILLION, "hours": hours, "psnr": psnr, "fitted": fitted}


def pixels_of(stage: dict) -> int:
    """The pixels of all patches of a training stage, from its record or its configuration."""
    return stage["steps"] * stage["batch"] * stage["patch"] ** 2


class Curve(NamedTuple):
    """PSNR = top - drop * pixels ** -power, pixels in millions; `refits` (n, 3) say how uncertain the three are."""

    top: float
    drop: float
    power: float
    refits: np.ndarray


def fit(pixels: np.ndarray, psnr: np.ndarray) -> Curve:
    """The curve with the least squared error, and REFITS to it with noise of the size of what it leaves.

    For a given power it is linear in top and drop, so all `POWERS` are tried. ValueError for fewer than 4 points.
    """
    if len(psnr) < 4:
        raise ValueError(f"a curve of three numbers takes 4 trainings or more, got {len(psnr)}")
    best = best_curves(pixels, psnr[:, None])[0]
    left = psnr - value(best, pixels)
    noise = np.random.default_rng(0).normal(0, np.sqrt((left**2).sum() / (len(psnr) - 3)), (len(psnr), REFITS))
    return Curve(*best, refits=best_curves(pixels, (psnr - left)[:, None] + noise))


def best_curves(pixels: np.ndarray, psnr: np.ndarray) -> np.ndarray:
    """(top, drop, power) of the best curve through each column of `psnr` (points, n), as rows (n, 3)."""
    found, errors = [], []
    for power in POWERS:
        terms = np.stack([np.ones(len(pixels)), -(pixels**-power)], axis=1)
        solved, _, _, _ = np.linalg.lstsq(terms, psnr, rcond=None)
        found.append(np.vstack([solved, np.full(psnr.shape[1], power)]))
        errors.append(((terms @ solved - psnr) ** 2).sum(axis=0))
    return np.array(found)[np.argmin(errors, axis=0), :, np.arange(psnr.shape[1])]


def value(curve: Curve | np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """PSNR (dB) of a curve, or of a row of refits, at some millions of pixels."""
    top, drop, power = curve[:3]
    return top - drop * pixels**-power


def band(curve: Curve, pixels: np.ndarray) -> pd.DataFrame:
    """The curve at some millions of pixels, and between which PSNR 90 % of its refits lie: pixels, psnr, low, high."""
    low, high = np.percentile([value(refit, pixels) for refit in curve.refits], [5, 95], axis=0)
    return pd.DataFrame({"pixels": pixels, "psnr": value(curve, pixels), "low": low, "high": high})


def axis(table: pd.DataFrame) -> np.ndarray:
    """Millions of pixels to draw a curve at: from the least of `trainings` to a hundred times the most."""
    return np.geomspace(table.pixels.min(), 100 * table.pixels.max(), 60)


def pixels_to(curve: Curve | np.ndarray, psnr: float) -> float:
    """The millions of pixels at which a curve reaches a PSNR; infinity where it stays below."""
    top, drop, power = curve[:3]
    return float((drop / (top - psnr)) ** (1 / power)) if top > psnr and drop > 0 else np.inf


def cost(curve: Curve, psnr: float, seconds_per_pixel: float) -> pd.Series:
    """What it would cost to reach a PSNR: pixels in millions and hours, by the curve and by its refits.

    `reached` is the share of the refits that reach it; of all refits, a twentieth needs at most `pixels, least`.
    """
    needed = np.array([pixels_to(refit, psnr) for refit in curve.refits])
    pixels, least = pixels_to(curve, psnr), float(np.quantile(needed, 0.05, method="lower"))
    hours = seconds_per_pixel * MILLION / 3600
    top = np.percentile(curve.refits[:, 0], [5, 95])
    return pd.Series(
        {
            "target": psnr,
            "top": curve.top,
            "top, low": top[0],
            "top, high": top[1],
            "reached": np.isfinite(needed).mean(),
            "pixels": pixels,
            "hours": pixels * hours,
            "pixels, least": least,
            "hours, least": least * hours,
        }
    )


def without_each(table: pd.DataFrame) -> pd.DataFrame:
    """How much the curve rests on single points: `fit` without one of the trainings, a row for each.

    Columns: run (left out); psnr (its own) and predicted (of the curve without it, at its pixels); top of that curve,
    with low and high, between which 90 % of its refits have their top; all in dB. `table` is that of `trainings`.
    """
    rows = []
    for row in table.itertuples():
        others = table.drop(row.Index)
        curve = fit(others.pixels.to_numpy(), others.psnr.to_numpy())
        low, high = np.percentile(curve.refits[:, 0], [5, 95])
        rows.append((row.run, row.psnr, value(curve, row.pixels), curve.top, low, high))
    return pd.DataFrame(rows, columns=["run", "psnr", "predicted", "top", "low", "high"])


def verdict(found: pd.Series, hardware: str, left_out: pd.DataFrame) -> str:
    """What a `cost` and its `without_each` say, in sentences; `hardware` is what the hours are of."""
    low, high, least = (found[name] for name in ("top, low", "top, high", "pixels, least"))
    text = f"The curve rises to {found.top:.2f} dB (90 % of the refits: {low:.2f} to {high:.2f} dB). "
    if np.isfinite(found.pixels):
        text += f"It reaches {found.target:.2f} dB after {found.pixels:,.0f} million pixels: {found.hours:,.1f} hours"
        text += f" on {hardware}."
    else:
        text += f"It does not reach {found.target:.2f} dB; {100 * found.reached:.0f} % of the refits do."
    if np.isinf(found.pixels) and np.isfinite(least):
        text += f" The 5 % that are fastest take {least:,.0f} million pixels or fewer"
        text += f": {found['hours, least']:,.1f} hours on {hardware}."
    one = left_out.loc[(left_out.top - found.top).abs().idxmax()]
    others = left_out.top.drop(one.name)
    return text + (
        f"\n\nThe curve rests most on {one.run}, which has {one.psnr:.2f} dB. Without this one training it rises to "
        f"{one.top:.2f} dB (90 % of the refits: {one.low:.2f} to {one.high:.2f} dB). Without one of the others it "
        f"rises to {others.min():.2f} to {others.max():.2f} dB."
    )


def seconds_per_pixel(run: str) -> float:
    """Seconds of a run's last training stage for each pixel of its patches."""
    stage = checkpoints.history(registry.weights_path(run))["stages"][-1]
    return stage["seconds"] / pixels_of(stage)


# -------------------------------------------------------------------------------------------------- on this machine
CPU = replace(PRESETS["soap"], batch=4, patch=24)  # what a CPU trains with


def config_for(device: str, training_set: str) -> TrainingConfig:
    """How a notebook trains on a device: on images of `training_set`, or on the run's own if that is ""."""
    return replace(CPU if device == "cpu" else PRESETS["soap"], training_set=training_set or None)


def run_for(run: str, device: str) -> str:
    """The run to train: on a GPU that run, on a CPU the smallest network for super-resolution."""
    if registry.experiment(run).task != TASK:
        raise ValueError(f"{run} is no network for {TASK}, which the plot of all trainings shows: choose an sr- run")
    return run if device != "cpu" else "sr-M6R1"


def seconds_here(run: str, config: TrainingConfig, device: str) -> float:
    """Seconds that this machine takes for each pixel of the patches of a run's training; some steps are timed."""
    experiment, config = registry.experiment(run), replace(config, precision=budget.native_precision(device))
    images, _ = split(datasets.training_images(config.training_set or experiment.training_set))
    patches = train_run.patches_for(experiment, images, config, device)
    trial = Trainer(initialise(build(experiment.config), config), patches, config)
    return budget.seconds_per_step(trial) / (config.batch * config.patch**2)


def budgets(table: pd.DataFrame, run: str, *, seconds_per_pixel: float, minutes: float) -> pd.DataFrame:
    """What some minutes are worth, beside the rows of `trainings` with the run's network; hours are those here."""
    if minutes <= 0:
        raise ValueError(f"a training takes some minutes, got {minutes:g}")
    config = registry.experiment(run).config
    same = table.run.map(lambda name: registry.experiment(name).config == config).astype(bool)
    here = {"run": f"{minutes:g} minutes here", "pixels": minutes * 60 / seconds_per_pixel / MILLION}
    rows = pd.concat([pd.DataFrame([here]), table[table.fitted & same]], ignore_index=True)
    rows["hours here"] = rows.pixels * MILLION * seconds_per_pixel / 3600
    return rows[["run", "pixels", "psnr", "hours here"]]


def own(run: str, folder: Path) -> pd.DataFrame:
    """The row of `trainings` for a network that was trained into a folder; PSNR is missing without Set5 on disk.

    Empty when its weights are not there.
    """
    weights = Files.of(run, folder).weights
    if not weights.exists():
        return pd.DataFrame(columns=["run", "pixels", "hours", "psnr", "fitted"])
    psnr = np.nan
    if datasets.available(DATASET):
        model, images = checkpoints.load(weights)[0], datasets.pictures(DATASET)
        rows = evaluation.evaluate(model, images, run=run, task=TASK, dataset=DATASET, level=LEVEL, progress=False)
        psnr = rows.psnr.mean()
    return pd.DataFrame([row_of(registry.experiment(run), weights, psnr)])
