"""Evaluate a network on a set of images at a level: one tidy row an image."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn
from tqdm import tqdm

from memnet.network import memory
from memnet.network.folded import inference_form
from memnet.protocol import datasets, metrics, tasks
from memnet.protocol.datasets import Picture
from memnet.protocol.tasks import Task
from memnet.restoration import tiling

COLUMNS = ["run", "task", "dataset", "level", "image", "psnr", "ssim", "input_psnr", "input_ssim"]


def evaluate_image(
    model: nn.Module,
    image: Picture,
    *,
    task: str | Task,
    level: int,
    seed: int = 0,
    tile: int | str | None = None,
    ensemble: bool = False,
    intermediate: bool = True,
) -> dict:
    """Scores of one image: input, output and every intermediate prediction (psnr_1 .. psnr_M), and the seconds.

    In tiles and as an ensemble (as in `restoration.restore_channel`) there are no intermediate predictions. Without
    `intermediate` none is asked for, and an image that is too large for the memory is restored in tiles.
    """
    task = tasks.task(task)
    reference, degraded = task.degrade(image.pixels, level, key=image.name, seed=seed)
    begin = time.perf_counter()
    # Paper: tiles of 120 to 150 pixels, with their seams. Whole images have none.
    if tile is None and not ensemble and intermediate:
        y, y_m = tiling.predict(model, degraded)
    else:
        y, y_m = tiling.restore_channel(model, degraded, tile=tile, ensemble=ensemble), []
    seconds = time.perf_counter() - begin
    psnr, ssim = task.score(reference, y, level)
    input_psnr, input_ssim = task.score(reference, degraded, level)
    row = {"image": image.name, "psnr": psnr, "ssim": ssim, "input_psnr": input_psnr, "input_ssim": input_ssim}
    for number, prediction in enumerate(y_m, start=1):
        row[f"psnr_{number}"] = metrics.psnr(*task.compared(reference, prediction, level))
    return {**row, "seconds": seconds}


def restored(
    model: nn.Module, image: Picture, *, task: str | Task, level: int
) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, float]]]:
    """Images (H, W) to look at, by name: original, Noisy or Bicubic or JPEG, MemNet; (PSNR, SSIM) of the last two."""
    task = tasks.task(task)
    reference, degraded = task.degrade(image.pixels, level, key=image.name)
    shown = {"original": reference, task.degraded: degraded, "MemNet": tiling.predict(model, degraded)[0]}
    return shown, {name: task.score(reference, y, level) for name, y in shown.items() if name != "original"}


def evaluate(
    model: nn.Module,
    images: Sequence[Picture],
    *,
    run: str,
    task: str | Task,
    dataset: str,
    level: int,
    seed: int = 0,
    tile: int | str | None = None,
    ensemble: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Tidy rows, one an image: COLUMNS, psnr_1 .. psnr_M of the intermediate predictions, seconds of the network.

    `images` are uint8 channels (H, W) by name, as of `datasets.pictures`; they are degraded by `task` at `level` with
    noise that is seeded by (seed, image's name). `run` and `dataset` only name the rows. PSNR is in dB and SSIM at most
    1, with the rounding and borders of the task's protocol (section 5.1; `Task.compared`); `input_` are those of the
    degraded image. The network computes in float32. `tile` and `ensemble` are those of `tiling.restore_channel`: whole
    images, once, by default; otherwise there is no psnr_m. Raises ValueError for an unknown task, a level that it does
    not take, and an image that is too small for it.
    """
    task = tasks.task(task)
    head = {"run": run, "task": task.name, "dataset": dataset, "level": level}
    shown = with_progress(images, f"{run} on {dataset} at {level}", progress=progress)
    model = inference_form(model)
    return pd.DataFrame(
        [
            head | evaluate_image(model, image, task=task, level=level, seed=seed, tile=tile, ensemble=ensemble)
            for image in shown
        ]
    )


def with_progress(images: Sequence, title: str, *, progress: bool):
    """The images with a progress bar on a terminal's stderr that appears after two seconds."""
    return tqdm(images, desc=title, unit="image", disable=None if progress else True, delay=2, leave=False)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over images: run, task, dataset, level, pictures, psnr, ssim, input_psnr, input_ssim, gain (dB)."""
    grouped = rows.groupby(["run", "task", "dataset", "level"], sort=False)
    means = grouped[["psnr", "ssim", "input_psnr", "input_ssim"]].mean()
    means.insert(0, "pictures", grouped.size())
    means["gain"] = means["psnr"] - means["input_psnr"]
    return means.reset_index()


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Tidy rows with `gain` over the input (dB) and with `where`: data set and level in words."""
    levels = rows.task.map(lambda name: tasks.task(name).prefix) + rows.level.astype(str)
    return rows.assign(gain=rows.psnr - rows.input_psnr, where=rows.dataset + ", " + levels)


def folder_rows(
    model: nn.Module,
    path: Path,
    *,
    run: str,
    task: str | Task,
    level: int,
    tile: int | str | None = None,
    ensemble: bool = False,
    progress: bool = True,
) -> tuple[pd.DataFrame, list[str]]:
    """`evaluate` on the task's channel (gray or luma) of a folder of clean images; COLUMNS alone.

    And one sentence for each image that cannot be read, is too small or too large, which has no row; ValueError when
    none has.
    """
    task = tasks.task(task)
    images = datasets.folder(path, channel=task.channel)
    head = {"run": run, "task": task.name, "dataset": Path(path).resolve().name, "level": level}
    model, rows, wrong = inference_form(model), [], []
    for number in with_progress(range(len(images)), f"{run} on {path} at {level}", progress=progress):
        try:
            image = images[number]
        except ValueError as error:  # it names the file
            wrong.append(str(error))
            continue
        try:
            with memory.errors():
                scores = evaluate_image(
                    model, image, task=task, level=level, tile=tile, ensemble=ensemble, intermediate=False
                )
            rows.append(head | scores)
        except MemoryError:
            wrong.append(f"{Path(path) / image.name}: there is not enough memory: give a smaller tile")
        except ValueError as error:
            wrong.append(f"{Path(path) / image.name}: {error}")
    if not rows:
        raise ValueError(f"no image of {path} could be measured; the first: {wrong[0]}")
    return pd.DataFrame(rows)[COLUMNS], wrong
