"""A network on a set of pictures at a level: tidy rows, kept by what made them."""

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from memnet import datasets, degradations, images, metrics, restoration
from memnet.datasets import Picture
from memnet.inference import device_of, inference_form
from memnet.paths import RESULTS, whole_file

COLUMNS = ["run", "task", "dataset", "level", "image", "psnr", "ssim", "input_psnr", "input_ssim"]
PROTOCOL = 1  # raised whenever the same weights and pictures would give other numbers
KEY = ("weights", "images", "protocol", "seed")
MADE = ("device", "torch", "date", "commit")  # beside the key: on what, with what, when rows were made


def evaluate_picture(
    model: nn.Module,
    picture: Picture,
    *,
    task: str,
    level: int,
    seed: int = 0,
    tile: int | str | None = None,
    ensemble: bool = False,
    intermediate: bool = True,
) -> dict:
    """Scores of one picture: input, output and every intermediate prediction (psnr_1 .. psnr_M), and the seconds.

    In tiles and as an ensemble (as in `restoration.restore_plane`) there are no intermediate predictions. Without
    `intermediate` none is asked for, and a picture that is too large for the memory is restored in tiles.
    """
    reference, degraded = degradations.degrade(picture.plane, task=task, level=level, key=picture.name, seed=seed)
    begin = time.perf_counter()
    # Paper: tiles of 120 to 150 pixels, with their seams. Whole pictures have none.
    if tile is None and not ensemble and intermediate:
        y, y_m = restoration.predict(model, degraded)
    else:
        y, y_m = restoration.restore_plane(model, degraded, tile=tile, ensemble=ensemble), []
    seconds = time.perf_counter() - begin
    psnr, ssim = degradations.score(reference, y, task=task, level=level)
    input_psnr, input_ssim = degradations.score(reference, degraded, task=task, level=level)
    row = {"image": picture.name, "psnr": psnr, "ssim": ssim, "input_psnr": input_psnr, "input_ssim": input_ssim}
    for number, prediction in enumerate(y_m, start=1):
        row[f"psnr_{number}"] = metrics.psnr(*degradations.compared(reference, prediction, task=task, level=level))
    return {**row, "seconds": seconds}


def look_at(
    model: nn.Module, picture: Picture, *, task: str, level: int, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, float]]]:
    """Planes (H, W) to look at, by name: original, Noisy or Bicubic or JPEG, MemNet; (PSNR, SSIM) of the last two."""
    reference, degraded = degradations.degrade(picture.plane, task=task, level=level, key=picture.name, seed=seed)
    name = degradations.task(task).degraded
    planes = {"original": reference, name: degraded, "MemNet": restoration.predict(model, degraded)[0]}
    shown = [name for name in planes if name != "original"]
    return planes, {name: degradations.score(reference, planes[name], task=task, level=level) for name in shown}


def evaluate(
    model: nn.Module,
    pictures: Sequence[Picture],
    *,
    run: str,
    task: str,
    dataset: str,
    level: int,
    seed: int = 0,
    tile: int | str | None = None,
    ensemble: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Tidy rows, one a picture: COLUMNS, psnr_1 .. psnr_M of the intermediate predictions, seconds.

    PSNR in dB, float32 network, protocol of `degradations.score`; noise is seeded by (seed, picture's name). `tile`
    and `ensemble` are those of `restoration.restore_plane`: whole pictures, once, unless given.
    """
    head = {"run": run, "task": task, "dataset": dataset, "level": level}
    shown = watched(pictures, f"{run} on {dataset} at {level}", progress=progress)
    how, model = {"task": task, "level": level, "seed": seed, "tile": tile, "ensemble": ensemble}, inference_form(model)
    return pd.DataFrame([head | evaluate_picture(model, picture, **how) for picture in shown])


def watched(pictures: Sequence, title: str, *, progress: bool):
    """The pictures with a progress bar on stderr that appears after two seconds."""
    return tqdm(pictures, desc=title, unit="picture", disable=not progress, delay=2, leave=False)


def file_of(run: str, dataset: str, level: int, seed: int = 0) -> Path:
    """Where the rows of a run on a data set at a level are kept, of noise of seed 0 or of another."""
    return RESULTS / run / f"{dataset}-{level}{f'-seed{seed}' if seed else ''}.csv"


def write_rows(path: Path, rows: pd.DataFrame, key: dict) -> None:
    """Write rows behind a first line that holds their key as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = rows.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    with whole_file(path) as partial:
        partial.write_text(f"# {json.dumps(key)}\n{text}")


def read_rows(path: Path) -> tuple[dict, pd.DataFrame]:
    """Key and rows of `write_rows`; ValueError when the file is not of that kind."""
    with path.open() as file:
        first = file.readline()
        if not first.startswith("# {"):
            raise ValueError(f"{path} holds no rows with a key in its first line: remove it")
        return json.loads(first[2:]), pd.read_csv(file, dtype={"image": str, "run": str, "dataset": str})


def stored(run: str, dataset: str, level: int, *, weights: str, images: str, seed: int = 0) -> pd.DataFrame | None:
    """The rows made by these weights on these pictures under today's protocol, perhaps of a part of the set.

    None when there are none, or when what is there was made by anything else.
    """
    path = file_of(run, dataset, level, seed)
    if not path.is_file():
        return None
    key, rows = read_rows(path)
    wanted = {"weights": weights, "images": images, "protocol": PROTOCOL, "seed": seed}
    return rows if {name: key.get(name) for name in KEY} == wanted else None


def measure(
    model: nn.Module,
    *,
    run: str,
    task: str,
    dataset: str,
    level: int,
    weights: str,
    fresh: bool = False,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = True,
    made_by: dict | None = None,
) -> pd.DataFrame:
    """The rows of a run on a data set at a level: stored ones of these `weights` (hash), missing ones measured now.

    Only the first `limit` pictures are wanted when it is given. Every new row is stored at once, so an evaluation that
    is stopped goes on where it was; `fresh` measures those that are wanted anew. `made_by` goes beside the file's key,
    and how rows were made that were there before stays there. ValueError for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"a limit is 1 picture or more, got {limit}")
    path, digest = file_of(run, dataset, level, seed), datasets.digest(dataset)
    have = stored(run, dataset, level, weights=weights, images=digest, seed=seed)
    key = {"weights": weights, "images": digest, "protocol": PROTOCOL, "seed": seed}
    key |= {"pictures": len(datasets.pictures(dataset)), **(made_by or {}), **circumstances(model)}
    names = datasets.pictures(dataset).names[:limit]
    earlier = set() if have is None else set(have["image"])
    earlier_made = [] if have is None else ways_made(read_rows(path)[0])
    wanted = [index for index, name in enumerate(names) if fresh or name not in earlier]
    print(
        f"{run} on {dataset} at {level}: {len(names) - len(wanted)} rows reused, {len(wanted)} to measure",
        file=sys.stderr,
    )
    pictures, model = datasets.pictures(dataset), inference_form(model)
    for index in watched(wanted, f"{run} on {dataset} at {level}", progress=progress):
        options = {"run": run, "task": task, "dataset": dataset, "level": level, "seed": seed}
        row = evaluate(model, [pictures[index]], **options, progress=False)
        others = None if have is None else have[have["image"] != pictures.names[index]]
        have = row if others is None or others.empty else pd.concat([others, row], ignore_index=True)
        have = in_order(have, pictures.names)
        earlier.discard(pictures.names[index])
        before = [made for made in earlier_made if made not in ways_made(key)] if earlier else []
        write_rows(path, have, key | ({"earlier": before} if before else {}))
    return have[have["image"].isin(names)].reset_index(drop=True)


def ways_made(key: dict) -> list[dict]:
    """How the rows of a file were made, by the key in its first line: the last of them first, then those before."""
    return [{name: key.get(name) for name in MADE}, *key.get("earlier", [])]


def in_order(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Rows in the order of the set's pictures."""
    place = {name: number for number, name in enumerate(names)}
    return rows.sort_values("image", key=lambda image: image.map(place)).reset_index(drop=True)


def circumstances(model: nn.Module) -> dict:
    """Where and when rows are made: for the reader, not part of what they are known by."""
    device = device_of(model)
    return {"device": hardware(device), "torch": torch.__version__, "date": datetime.now(UTC).strftime("%Y-%m-%d")}


def hardware(device: torch.device) -> str:
    """The processor in words: a GPU's name, or the CPU's with its cores and the threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    report, model = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if report.exists():  # on Linux, where `platform` knows the architecture alone
        names = [line.partition(":")[2].strip() for line in report.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores, threads = os.cpu_count(), torch.get_num_threads()
    return f"{cores} CPU cores ({model}), {threads} thread{'s' * (threads != 1)}"


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over pictures: run, task, dataset, level, pictures, psnr, ssim, input_psnr, input_ssim, gain (dB)."""
    grouped = rows.groupby(["run", "task", "dataset", "level"], sort=False)
    means = grouped[["psnr", "ssim", "input_psnr", "input_ssim"]].mean()
    means.insert(0, "pictures", grouped.size())
    means["gain"] = means["psnr"] - means["input_psnr"]
    return means.reset_index()


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Tidy rows with `gain` over the input (dB) and with `where`: data set and level in words."""
    levels = rows.task.map(lambda name: degradations.task(name).prefix) + rows.level.astype(str)
    return rows.assign(gain=rows.psnr - rows.input_psnr, where=rows.dataset + ", " + levels)


def folder_rows(
    model: nn.Module,
    path: Path,
    *,
    run: str,
    task: str,
    level: int,
    tile: int | str | None = None,
    ensemble: bool = False,
    progress: bool = True,
) -> tuple[pd.DataFrame, list[str]]:
    """`evaluate` on a folder of clean pictures: gray for denoising, luma otherwise; COLUMNS alone.

    And one sentence for each picture that cannot be read, is too small or too large, which has no row; ValueError when
    none has.
    """
    pictures = datasets.folder(path, plane=images.gray if task == "denoising" else images.luma)
    head = {"run": run, "task": task, "dataset": Path(path).resolve().name, "level": level}
    how = {"task": task, "level": level, "tile": tile, "ensemble": ensemble, "intermediate": False}
    model, rows, wrong = inference_form(model), [], []
    for number in watched(range(len(pictures)), f"{run} on {path} at {level}", progress=progress):
        try:
            picture = pictures[number]
        except ValueError as error:  # it names the file
            wrong.append(str(error))
            continue
        try:
            with restoration.memory_errors():
                rows.append(head | evaluate_picture(model, picture, **how))
        except MemoryError:
            wrong.append(f"{Path(path) / picture.name}: there is not enough memory: give a smaller tile")
        except ValueError as error:
            wrong.append(f"{Path(path) / picture.name}: {error}")
    if not rows:
        raise ValueError(f"no picture of {path} could be measured; the first: {wrong[0]}")
    return pd.DataFrame(rows)[COLUMNS], wrong
