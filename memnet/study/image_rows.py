"""What is measured of a network image by image, kept on disk beside the rows of PSNR and under the same key."""

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from memnet import paths
from memnet.network import checkpoints
from memnet.network.folded import inference_form
from memnet.protocol import datasets
from memnet.study import evaluation, provenance, registry, store


def file_of(kind: str, run: str, dataset: str, level: int) -> Path:
    """Where rows of a kind (spectra, gates) of a run on a data set at a level are kept."""
    return registry.results_folder(run) / f"{kind}-{dataset}-{level}.csv"


def collect(
    kind: str,
    run: str,
    dataset: str,
    level: int,
    measure: Callable[..., pd.DataFrame],
    *,
    limit: int | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """The rows of a kind for the first `limit` images of a data set: stored ones, the others measured now.

    `measure(model, image, task=..., level=...)` gives the rows of one image, with a column `image`. Rows are reused
    when the run's weights, the images and the protocol are those that made them; `fresh` measures all again. Where the
    images are not on disk, stored rows are all there is. Raises ValueError for a run without weights, and when there
    are neither rows nor images.
    """
    store.check_limit(limit)
    path, key = file_of(kind, run, dataset, level), key_of(run, dataset)
    reason = store.not_storable(dataset)
    stored = None if fresh or reason else stored_rows(path, key)
    if stored is not None and not datasets.available(dataset):
        names = list(dict.fromkeys(stored.image))[:limit]
        return stored[stored.image.isin(names)].reset_index(drop=True)
    images = datasets.pictures(dataset)
    tables = {} if stored is None else dict(list(stored.groupby("image", sort=False)))
    wanted = [number for number, name in enumerate(images.names[:limit]) if name not in tables]
    model = inference_form(registry.ready(run)) if wanted else None
    for number in evaluation.with_progress(wanted, f"{kind} of {run} on {dataset} at {level}", progress=progress):
        name = images.names[number]
        tables[name] = measure(model, images[number], task=registry.experiment(run).task, level=level).round(4)
        if not reason:
            add_rows(path, tables[name], key=key, order=images.names)
    if reason and wanted:
        print(f"{kind} of {run} on {dataset} at {level}: rows are not stored: {reason}", file=sys.stderr)
    return pd.concat([tables[name] for name in images.names[:limit]], ignore_index=True)


def add_rows(path: Path, rows: pd.DataFrame, *, key: dict, order: list[str]) -> None:
    """Put the rows of an image among those of the same key in a file, to which other processes may add theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with paths.lock(path.parent):
        stored = stored_rows(path, key)
        others = [] if stored is None else [stored[~stored["image"].isin(rows["image"])]]
        every = store.in_order(pd.concat([*others, rows], ignore_index=True), order)
        store.write_rows(path, every, key | {"commit": provenance.commit()}, float_format="%.4f")


def key_of(run: str, dataset: str) -> dict:
    """What rows are known by: weights, images, protocol. ValueError for a run without weights."""
    if not registry.trained(run):
        raise ValueError(f"{run} has no weights: train it with `memnet train {run}`")
    weights = checkpoints.weights_hash(registry.weights_path(run))
    return {"weights": weights, "images": datasets.digest(dataset), "protocol": store.PROTOCOL}


def stored_rows(path: Path, key: dict) -> pd.DataFrame | None:
    """The rows of a file that were made by what `key` names; None when there are none."""
    if not path.is_file():
        return None
    made_by, rows = store.read_rows(path)
    return rows if key.items() <= made_by.items() else None
