"""Rows of what is measured of a network image by image, kept on disk and keyed by weights, images and protocol."""

import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
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

PROTOCOL = 1  # raised whenever the same weights and images would give other numbers
MADE = ("device", "torch", "date", "commit")  # beside the key: on what, with what, when rows were made
TEXTS = ("image", "run", "dataset", "commit")  # columns whose values may look like numbers


def rows(
    run: str, dataset: str, level: int, *, limit: int | None = None, fresh: bool = False, progress: bool = True
) -> pd.DataFrame:
    """The tidy rows (as of `evaluation.evaluate`) of a run on a data set at a level: stored, or else measured now.

    The arguments are those of `image_rows`.
    """

    def measure(model: nn.Module, image: datasets.Picture, *, task: str, level: int) -> pd.DataFrame:
        return evaluation.evaluate(model, [image], run=run, task=task, dataset=dataset, level=level, progress=False)

    return image_rows("", run, dataset, level, measure, digits=6, limit=limit, fresh=fresh, progress=progress)


def image_rows(
    kind: str,
    run: str,
    dataset: str,
    level: int,
    measure: Callable[..., pd.DataFrame],
    *,
    digits: int = 4,
    limit: int | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """The rows of a kind (spectra, gates; "" for PSNR and SSIM) of the first `limit` images of a data set.

    Stored rows are taken when they are of the run's weights, of this protocol and of images that are those on disk;
    `fresh` measures again. `measure(model, image, task=..., level=...)` gives the rows of one image, with a column
    `image`; they are rounded to `digits`, and stored at once, so that what is stopped goes on where it was. Without the
    images on disk stored rows are all there is. Rows of images that are not the originals are not stored, nor is
    anything where data/results may not be written: both are said. ValueError for a limit below 1, for a run whose
    weights cannot be had, and when there are neither rows nor images.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"a limit is 1 image or more, got {limit}")
    registry.fetched_weights(run)
    every = datasets.names(dataset)
    names, path, key = every[:limit], file_of(run, dataset, level, kind), key_of(run, dataset)
    others = datasets.available(dataset) and bool(datasets.differing(dataset))  # whose rows are not stored ones
    found = None if fresh or others else stored(path, key)
    if found is not None and (set(names) <= set(found["image"]) or not datasets.available(dataset)):
        return found[found["image"].isin(names)].reset_index(drop=True)
    title = f"{f'{kind} of ' if kind else ''}{run} on {dataset} at {level}"
    if reason := not_storable(dataset):
        print(f"{title}: rows are not stored: {reason}", file=sys.stderr)
    tables = {} if found is None else dict(list(found.groupby("image", sort=False)))
    wanted, images = [name for name in names if name not in tables], datasets.pictures(dataset)
    print(f"{title}: {len(names) - len(wanted)} images reused, {len(wanted)} to measure", file=sys.stderr)
    model, task, measured = inference_form(registry.ready(run)), registry.experiment(run).task, set()
    made = environment(model)
    for name in evaluation.with_progress(wanted, title, progress=progress):
        tables[name] = measure(model, images.named(name), task=task, level=level).round(digits)
        measured.add(name)
        if not reason:
            add_rows(path, tables[name], key=key, made=made, measured=measured, order=every, digits=digits)
    return pd.concat([tables[name] for name in names], ignore_index=True)


def not_storable(dataset: str) -> str:
    """Why rows of a data set, measured here, cannot be stored as its rows; "" if they can."""
    if different := datasets.differing(dataset):
        total, root = len(datasets.names(dataset)), paths.images_root()
        return f"{len(different)} of {total} images in {root} differ from data/manifest.csv (the first: {different[0]})"
    existing = next(folder for folder in (paths.RESULTS, *paths.RESULTS.parents) if folder.exists())
    return "" if os.access(existing, os.W_OK) else f"{paths.RESULTS} may not be written"


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


# Rows on disk


def file_of(run: str, dataset: str, level: int, kind: str = "") -> Path:
    """Where the rows of a kind of a run on a data set at a level are kept."""
    return registry.results_folder(run) / f"{f'{kind}-' if kind else ''}{dataset}-{level}.csv"


def key_of(run: str, dataset: str) -> dict:
    """What rows are known by: hashes of the run's weights and of the images, today's protocol."""
    weights = checkpoints.weights_hash(registry.weights_path(run))
    return {"weights": weights, "images": datasets.digest(dataset), "protocol": PROTOCOL}


def stored_rows(run: str, dataset: str, level: int) -> pd.DataFrame | None:
    """The rows of PSNR stored for the run's present weights, perhaps of a part of the set; None when there are none."""
    return stored(file_of(run, dataset, level), key_of(run, dataset)) if registry.trained(run) else None


def stored(path: Path, key: dict) -> pd.DataFrame | None:
    """The rows of a file, perhaps of a part of the set; None when there are none that were made by what `key` names."""
    if not path.is_file():
        return None
    made_by, rows = read_rows(path)
    return rows if key.items() <= made_by.items() else None


def write_rows(path: Path, rows: pd.DataFrame, key: dict, *, digits: int = 6) -> None:
    """Write rows behind a first line that holds their key, and a hash of both, as JSON; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = rows.to_csv(index=False, float_format=f"%.{digits}f", lineterminator="\n")
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
            return key, pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(TEXTS, str))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # those of pandas are ValueErrors
        pass
    raise ValueError(f"{path} holds no rows as memnet wrote them, or was changed since: remove it, or restore it")


def add_rows(
    path: Path, rows: pd.DataFrame, *, key: dict, made: dict, measured: set[str], order: list[str], digits: int = 6
) -> None:
    """Put the rows of an image among those of the same key in a file, in the images' order.

    Other processes may add theirs to the file at the same time: none is lost. How rows were made (`made`, with MADE)
    that are not of the images `measured` stays beside the key, as `earlier`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with paths.lock(path.parent):
        before, others = read_rows(path) if path.is_file() else ({}, rows)
        same = key.items() <= before.items()
        others = others[~others["image"].isin(rows["image"])] if same else others[:0]
        every = in_order(rows if others.empty else pd.concat([others, rows], ignore_index=True), order)
        earlier = [old for old in provenances(before) if old not in provenances(made)] if same else []
        kept = {"earlier": earlier} if earlier and set(every["image"]) - measured else {}
        write_rows(path, every, {**key, "pictures": len(order), **made, **kept}, digits=digits)


def provenances(key: dict) -> list[dict]:
    """What made the rows of a file (MADE), by its first line: the last of them first, then those before."""
    return [{name: key.get(name) for name in MADE}, *key.get("earlier", [])]


def in_order(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Rows in the order of the set's images."""
    place = {name: number for number, name in enumerate(names)}
    return rows.sort_values("image", key=lambda image: image.map(place), kind="stable").reset_index(drop=True)


def environment(model: nn.Module) -> dict:
    """MADE for rows that are measured now: for the reader, not part of what they are known by."""
    device = device_of(model)
    return {
        "device": provenance.hardware(device),
        "torch": torch.__version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": provenance.commit(),
    }
