"""Write the files of an item: figures, tables, and what made them."""

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from memnet import paths
from memnet.network import checkpoints
from memnet.protocol import datasets
from memnet.publishing import items, records, tables
from memnet.study import provenance, registry, store

PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "matplotlib", "pillow", "papermill")


def save(
    name: str,
    *,
    images: str,
    output: str,
    figures: dict | None = None,
    numbers: dict[str, pd.DataFrame] | None = None,
    runs: tuple[str, ...] = (),
    sets: tuple[str, ...] = (),
    rows: pd.DataFrame | None = None,
    parameters: dict | None = None,
    headline: tuple[str, float | None, float | None] | None = None,
) -> Path:
    """Write what an item consists of, with its record beside it, to `output`, or to build/figures/`images`; where.

    `figures` (name: Figure) become PNG (300 dpi) and PDF, `numbers` (name: DataFrame) CSV, Markdown and LaTeX, all with
    stable bytes. NAME.json says which weights, images, versions and parameters made them, and when and on what the
    `rows` (of `evaluation`) were measured; `headline` is the number that stands for the item: (what it is, the paper's,
    ours). Raises ValueError when a promised file is not among them.
    """
    figures, numbers = figures or {}, numbers or {}
    absent = set(items.ITEMS[name].writes) - set(figures) - set(numbers)
    if absent:
        raise ValueError(f"item {name} promises {', '.join(sorted(absent))}, which is not among what is saved")
    folder = Path(output) if output else paths.BUILD / "figures" / images
    folder.mkdir(parents=True, exist_ok=True)
    written = [path for title, figure in figures.items() for path in write_figure(folder / title, figure)]
    written += [path for title, table in numbers.items() for path in write_table(folder / title, table)]
    record = provenance_of(name, images=images, runs=runs, sets=sets, rows=rows, parameters=parameters or {})
    record["headline"] = headline
    record["files"] = {p.name: hashlib.sha256(p.read_bytes()).hexdigest()[:16] for p in sorted(written)}
    records.write(record, folder)
    return folder


def write_figure(path: Path, figure) -> list[Path]:
    """PNG and PDF of a figure on a white face, with stable bytes."""
    png, pdf = path.with_suffix(".png"), path.with_suffix(".pdf")
    for file, metadata in ((png, {"Software": None}), (pdf, {"CreationDate": None})):
        with paths.atomic_write(file) as partial:
            figure.savefig(partial, dpi=300, facecolor="white", bbox_inches="tight", metadata=metadata)
    return [png, pdf]


def write_table(path: Path, table: pd.DataFrame) -> list[Path]:
    """CSV, Markdown and LaTeX of a table."""
    texts = {".csv": tables.to_csv(table), ".md": tables.to_markdown(table), ".tex": tables.to_latex(table)}
    for suffix, text in texts.items():
        paths.write_text(path.with_suffix(suffix), text)
    return [path.with_suffix(suffix) for suffix in texts]


def provenance_of(
    name: str,
    *,
    images: str,
    runs: tuple[str, ...],
    sets: tuple[str, ...],
    rows: pd.DataFrame | None,
    parameters: dict,
) -> dict:
    """What made an item: weights' and images' hashes, rows, protocol, parameters, versions, commit."""
    trained = [run for run in runs if registry.trained(run)]
    return {
        "item": name,
        "notebook": items.ITEMS[name].notebook,
        "images": images,
        "weights": {run: checkpoints.weights_hash(registry.weights_path(run)) for run in trained},
        "not_trained": [run for run in runs if run not in trained],
        "pictures": {dataset: datasets.digest_on_disk(dataset) for dataset in sets},
        "rows": [] if rows is None else rows_behind(rows),
        "protocol": store.PROTOCOL,
        "parameters": parameters,
        "versions": {"python": platform.python_version()} | {package: version(package) for package in PACKAGES},
        "commit": provenance.commit(),
    }


def rows_behind(rows: pd.DataFrame) -> list[dict]:
    """What is known of stored rows, a line for each run, set and level: how many images, measured when, on what."""
    lines = []
    for (run, dataset, level), group in rows.groupby(["run", "dataset", "level"], sort=False):
        key, _ = store.read_rows(store.file_of(run, dataset, level))
        made, *earlier = store.provenances(key)
        made |= {"earlier": earlier} if earlier else {}
        lines.append({"run": run, "dataset": dataset, "level": int(level), "pictures": len(group), **made})
    return lines
