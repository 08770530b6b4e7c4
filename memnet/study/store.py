"""Rows of PSNR and SSIM kept on disk, keyed by what made them: weights, images, protocol."""

import hashlib
import io
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from memnet import paths
from memnet.network import checkpoints
from memnet.network.folded import inference_form
from memnet.network.runtime import device_of
from memnet.protocol import datasets, tasks
from memnet.study import evaluation, provenance, registry


def rows(
    run: str, dataset: str, level: int, *, limit: int | None = None, fresh: bool = False, progress: bool = True
) -> pd.DataFrame:
    """The tidy rows (as of `evaluation.evaluate`) of a run on a data set at a level: stored, or else measured now.

    Without the data set's images on disk only stored rows can be had; ValueError when there are none. Rows of images
    that are not the originals are not stored, nor is anything where data/results may not be written: both are said.
    """
    check_limit(limit)
    names = datasets.names(dataset)[:limit]
    found = None if fresh else stored_rows(run, dataset, level)
    if found is not None and (set(names) <= set(found["image"]) or not datasets.available(dataset)):
        return found[found["image"].isin(names)].reset_index(drop=True)
    model = registry.ready(run)
    where = {"run": run, "task": registry.experiment(run).task, "dataset": dataset, "level": level}
    if reason := not_storable(dataset):
        print(f"{run} on {dataset} at {level}: rows are not stored: {reason}", file=sys.stderr)
        return evaluation.evaluate(model, datasets.pictures(dataset)[:limit], **where, progress=progress)
    weights = checkpoints.weights_hash(registry.weights_path(run))
    options = {"limit": limit, "fresh": fresh, "progress": progress, "made_by": {"commit": provenance.commit()}}
    return measure(model, **where, weights=weights, **options)


def not_storable(dataset: str) -> str:
    """Why rows of a data set, measured here, cannot be stored as its rows; "" if they can."""
    if different := datasets.differing(dataset):
        total, root = len(datasets.names(dataset)), paths.images_root()
        return f"{len(different)} of {total} images in {root} differ from data/manifest.csv (the first: {different[0]})"
    existing = next(folder for folder in (paths.RESULTS, *paths.RESULTS.parents) if folder.exists())
    return "" if os.access(existing, os.W_OK) else f"{paths.RESULTS} may not be written"


def stored_rows(run: str, dataset: str, level: int) -> pd.DataFrame | None:
    """The rows stored for the run's present weights, perhaps of a part of the set; None when there are none."""
    if not registry.trained(run):
        return None
    weights = checkpoints.weights_hash(registry.weights_path(run))
    return stored(run, dataset, level, weights=weights, images=datasets.digest(dataset))


def collect(
    runs: Sequence[str],
    sets: Sequence[str],
    *,
    levels: Sequence[int] | None = None,
    measure: bool = True,
    limit: int | None = None,
    fresh: bool = False,
) -> pd.DataFrame:
    """The rows of all trained `runs` on all `sets` at their task's levels (or at `levels`), in one tidy table.

    Runs that are not trained have no rows. Without `measure` only stored rows are taken, and nothing is measured;
    `fresh` measures all again.
    With `limit` the first so many images of each set are taken, also where rows of more are stored.
    """
    found = []
    for run in filter(registry.trained, runs):
        for dataset in sets:
            for level in levels or tasks.task(registry.experiment(run).task).levels:
                if measure or fresh:
                    found.append(rows(run, dataset, level, limit=limit, fresh=fresh))
                else:
                    found.append(stored_rows(run, dataset, level))
    found = [table[:limit] for table in found if table is not None]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=evaluation.COLUMNS)


PROTOCOL = 1  # raised whenever the same weights and images would give other numbers
KEY = ("weights", "images", "protocol", "seed")
MADE = ("device", "torch", "date", "commit")  # beside the key: on what, with what, when rows were made


def file_of(run: str, dataset: str, level: int, seed: int = 0) -> Path:
    """Where the rows of a run on a data set at a level are kept, of noise of seed 0 or of another."""
    return registry.results_folder(run) / f"{dataset}-{level}{f'-seed{seed}' if seed else ''}.csv"


def write_rows(path: Path, rows: pd.DataFrame, key: dict, float_format: str = "%.6f") -> None:
    """Write rows behind a first line that holds their key, and a hash of both, as JSON; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = rows.to_csv(index=False, float_format=float_format, lineterminator="\n")
    paths.write_text(path, f"# {json.dumps({**key, 'sha256': content_hash(key, text)})}\n{text}")


def content_hash(key: dict, text: str) -> str:
    """16 hexadecimal digits (SHA-256) over a key and the text of its rows."""
    return hashlib.sha256(f"{json.dumps(key, sort_keys=True)}\n{text}".encode()).hexdigest()[:16]


def read_rows(path: Path) -> tuple[dict, pd.DataFrame]:
    """Key and rows of `write_rows`; ValueError, with the file's name, when they are not as they were written."""
    try:
        first, _, text = path.read_text(encoding="utf-8").partition("\n")
        key = json.loads(first.removeprefix("# "))
        if key.pop("sha256") == content_hash(key, text):
            return key, pd.read_csv(io.StringIO(text), dtype={"image": str, "run": str, "dataset": str})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # those of pandas are ValueErrors
        pass
    raise ValueError(f"{path} holds no rows as `memnet evaluate` wrote them, or was changed since: remove it")


def stored(run: str, dataset: str, level: int, *, weights: str, images: str, seed: int = 0) -> pd.DataFrame | None:
    """The rows made by these weights on these images under today's protocol, perhaps of a part of the set.

    None when there are none, or when what is there was made by anything else.
    """
    path = file_of(run, dataset, level, seed)
    if not path.is_file():
        return None
    key, rows = read_rows(path)
    return rows if same_key(key, key_of(weights, images, seed)) else None


def key_of(weights: str, images: str, seed: int) -> dict:
    """What rows are known by: hashes of weights and images, today's protocol, the noise's seed."""
    return {"weights": weights, "images": images, "protocol": PROTOCOL, "seed": seed}


def same_key(key: dict, other: dict) -> bool:
    """Whether two keys are of the same weights, images, protocol and seed."""
    return all(key.get(name) == other.get(name) for name in KEY)


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

    Only the first `limit` images are wanted when it is given. Every new row is stored at once, so an evaluation that
    is stopped goes on where it was; `fresh` measures those that are wanted again. `made_by` goes beside the file's key,
    and how rows were made that were there before stays there. ValueError for a limit below 1.
    """
    check_limit(limit)
    path, pictures = file_of(run, dataset, level, seed), datasets.pictures(dataset)
    key, names = key_of(weights, datasets.digest(dataset), seed), pictures.names[:limit]
    have = stored(run, dataset, level, weights=weights, images=key["images"], seed=seed)
    reused = set() if fresh or have is None else set(have["image"])
    wanted = [index for index, name in enumerate(names) if name not in reused]
    title = f"{run} on {dataset} at {level}"
    if wanted:  # it takes time: say so
        print(f"{title}: {len(names) - len(wanted)} rows reused, {len(wanted)} to measure", file=sys.stderr)
    key |= {"pictures": len(pictures), **(made_by or {}), **environment(model)}
    model, measured = inference_form(model), set()
    for index in evaluation.with_progress(wanted, title, progress=progress):
        options = {"run": run, "task": task, "dataset": dataset, "level": level, "seed": seed}
        row = evaluation.evaluate(model, [pictures[index]], **options, progress=False)
        measured.add(names[index])
        have = add_row(path, row, key=key, measured=measured, order=pictures.names)
    return have[have["image"].isin(names)].reset_index(drop=True)


def check_limit(limit: int | None) -> None:
    """ValueError for a limit below 1."""
    if limit is not None and limit < 1:
        raise ValueError(f"a limit is 1 image or more, got {limit}")


def add_row(path: Path, row: pd.DataFrame, *, key: dict, measured: set[str], order: list[str]) -> pd.DataFrame:
    """Put a row among those of the same key in a file, in the place of its image's; all its rows in the images' order.

    Other processes may add theirs to the file at the same time: none is lost. How rows were made that are not of the
    images `measured` stays in the key, as `earlier`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with paths.lock(path.parent):
        before, have = read_rows(path) if path.is_file() else ({}, row)
        if not same_key(before, key):
            before, have = {}, row
        others = have[~have["image"].isin(row["image"])]
        rows = in_order(row if others.empty else pd.concat([others, row], ignore_index=True), order)
        earlier = [made for made in provenances(before) if made not in provenances(key)] if before else []
        if earlier and set(rows["image"]) - measured:
            key = {**key, "earlier": earlier}
        write_rows(path, rows, key)
    return rows


def provenances(key: dict) -> list[dict]:
    """What made the rows of a file (MADE), by the key in its first line: the last of them first, then those before."""
    return [{name: key.get(name) for name in MADE}, *key.get("earlier", [])]


def in_order(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Rows in the order of the set's images."""
    place = {name: number for number, name in enumerate(names)}
    return rows.sort_values("image", key=lambda image: image.map(place), kind="stable").reset_index(drop=True)


def environment(model: nn.Module) -> dict:
    """The device, torch's version and the date: for the reader, not part of what rows are known by."""
    device = device_of(model)
    return {
        "device": provenance.hardware(device),
        "torch": torch.__version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
