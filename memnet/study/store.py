"""Rows of PSNR and SSIM kept on disk, keyed by what made them: weights, images, protocol."""

import json
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
from memnet.paths import atomic_write
from memnet.protocol import datasets, tasks
from memnet.study import evaluation, provenance, registry


def rows(
    run: str, dataset: str, level: int, *, limit: int | None = None, fresh: bool = False, progress: bool = True
) -> pd.DataFrame:
    """The tidy rows (as of `evaluation.evaluate`) of a run on a data set at a level: stored, or else measured now.

    Without the data set's pictures on disk only stored rows can be had; ValueError when there are none.
    """
    found = stored_rows(run, dataset, level)
    if not datasets.available(dataset) and found is not None and not fresh:
        print(f"{run} on {dataset} at {level}: {len(found)} rows reused", file=sys.stderr)
        return found[:limit]
    model = registry.ready(run)
    task, weights = registry.experiment(run).task, checkpoints.weights_hash(registry.weights_path(run))
    how = {"limit": limit, "fresh": fresh, "progress": progress, "made_by": {"commit": provenance.commit()}}
    return measure(model, run=run, task=task, dataset=dataset, level=level, weights=weights, **how)


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
    `fresh` measures all anew.
    With `limit` the first so many pictures of each set are taken, also where rows of more are stored.
    """
    found = []
    for run in filter(registry.trained, runs):
        for dataset in sets:
            for level in levels or tasks.task(registry.experiment(run).task).levels:
                if measure or fresh:
                    found.append(rows(run, dataset, level, limit=limit, fresh=fresh))
                else:
                    found.append(stored_rows(run, dataset, level))
                    count = 0 if found[-1] is None else len(found[-1])
                    print(f"{run} on {dataset} at {level}: {count} rows reused, none measured", file=sys.stderr)
    found = [table[:limit] for table in found if table is not None]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=evaluation.COLUMNS)


PROTOCOL = 1  # raised whenever the same weights and pictures would give other numbers
KEY = ("weights", "images", "protocol", "seed")
MADE = ("device", "torch", "date", "commit")  # beside the key: on what, with what, when rows were made


def file_of(run: str, dataset: str, level: int, seed: int = 0) -> Path:
    """Where the rows of a run on a data set at a level are kept, of noise of seed 0 or of another."""
    return paths.RESULTS / run / f"{dataset}-{level}{f'-seed{seed}' if seed else ''}.csv"


def write_rows(path: Path, rows: pd.DataFrame, key: dict, float_format: str = "%.6f") -> None:
    """Write rows behind a first line that holds their key as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = rows.to_csv(index=False, float_format=float_format, lineterminator="\n")
    with atomic_write(path) as partial:
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
    for index in evaluation.watched(wanted, f"{run} on {dataset} at {level}", progress=progress):
        options = {"run": run, "task": task, "dataset": dataset, "level": level, "seed": seed}
        row = evaluation.evaluate(model, [pictures[index]], **options, progress=False)
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
    return {
        "device": provenance.hardware(device),
        "torch": torch.__version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
