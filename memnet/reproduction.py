"""Every item of the paper re-made by running its notebook headless, and compared with what is committed."""

import ast
import hashlib
import io
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from memnet import checkpoints, datasets, evaluation, experiments, tables
from memnet.paths import FIGURES, NOTEBOOKS, ROOT

EXECUTED = ROOT / "build" / "executed"  # notebooks with their outputs, to read
TRIED = ROOT / "build" / "figures"  # what notebooks write that are run by hand
TOLERANCES = {"psnr": 0.01, "gain": 0.01, "decibels": 0.01, "ssim": 0.0005}  # by what a column's name contains
UNTIMED = ("second", "date")  # columns that are never compared
IMAGES = ("embedded", "benchmark")
GIVEN = {"images": "--images", "output": "--output", "fresh": "--fresh"}  # parameters that have their own option
PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "matplotlib", "pillow", "papermill")


@dataclass(frozen=True)
class Item:
    """What one notebook re-makes, and the names of the files (without ending) that it writes."""

    name: str
    notebook: str
    shows: str
    writes: tuple[str, ...]
    tolerance: float = 1.0  # times TOLERANCES: training live differs between processors


ITEMS = {
    item.name: item
    for item in (
        Item("start", "01_start.ipynb", "three pictures restored", ("start", "start_scores")),
        Item("network", "02_network.ipynb", "figs. 1-3: structures, counts", ("fig1", "fig2", "fig3", "layers")),
        Item(
            "training",
            "03_training.ipynb",
            "a small network trained live",
            ("training", "training_log"),
            tolerance=100.0,
        ),
        Item("table1", "04_table1_ablations.ipynb", "table 1: NL, NS, MemNet", ("table1", "order")),
        Item("fig4", "05_fig4_spectra.ipynb", "fig. 4: spectra of y_4, y_6", ("fig4a", "fig4b", "fig4c", "claims")),
        Item("fig5", "06_fig5_gates.ipynb", "fig. 5: gate weight norms", ("fig5", "observations")),
        Item(
            "table2",
            "07_table2_structures.ipynb",
            "table 2, fig. 6: other structures",
            ("table2", "networks", "table2_budgets", "fig6"),
        ),
        Item(
            "table3",
            "08_table3_denoising.ipynb",
            "table 3, fig. 7: denoising",
            ("table3", "fig7a", "fig7b", "table3_spread"),
        ),
        Item(
            "table4",
            "09_table4_super_resolution.ipynb",
            "table 4, fig. 8: super-resolution",
            ("table4", "fig8a", "fig8b", "table4_spread"),
        ),
        Item(
            "table5",
            "10_table5_jpeg.ipynb",
            "table 5, fig. 9: JPEG deblocking",
            ("table5", "fig9a", "fig9b", "table5_spread"),
        ),
        Item("table6", "11_table6_depth.ipynb", "table 6: depth", ("table6", "table6_budgets")),
        Item("slips", "12_slips.ipynb", "what a slip in the protocol costs", ("slips", "slip_prices")),
        Item(
            "beyond",
            "13_beyond.ipynb",
            "any level; tiles, turns",
            ("levels_sigma", "levels_scale", "levels_quality", "levels", "ways"),
        ),
        Item("exercises", "14_exercises.ipynb", "nine exercises, checked", ("exercises",)),
    )
}


# ------------------------------------------------------------------------------------------------ inside the notebooks


def save(
    name: str,
    *,
    images: str,
    output: str = "",
    figures: dict | None = None,
    numbers: dict[str, pd.DataFrame] | None = None,
    runs: tuple[str, ...] = (),
    sets: tuple[str, ...] = (),
    rows: pd.DataFrame | None = None,
    parameters: dict | None = None,
    headline: tuple[str, float | None, float | None] | None = None,
) -> Path:
    """Write what an item consists of, with its provenance beside it, to `output`, or to build/figures/`images`; where.

    So a notebook that is tried out in JupyterLab leaves what is committed alone: `reproduce` gives an `output`.
    `figures` (name: Figure) become PNG (300 dpi) and PDF, `numbers` (name: DataFrame) CSV, Markdown and LaTeX, all with
    stable bytes. NAME.json says which weights, pictures, versions and parameters made them, and when and on what the
    `rows` (of `evaluation`) were measured; `headline` is the number that stands for the item: (what it is, the paper's,
    ours). Raises ValueError when a promised file is not among them.
    """
    figures, numbers = figures or {}, numbers or {}
    absent = set(ITEMS[name].writes) - set(figures) - set(numbers)
    if absent:
        raise ValueError(f"item {name} promises {', '.join(sorted(absent))}, which is not among what is saved")
    folder = Path(output) if output else TRIED / images
    folder.mkdir(parents=True, exist_ok=True)
    written = [path for title, figure in figures.items() for path in write_figure(folder / title, figure)]
    written += [path for title, table in numbers.items() for path in write_table(folder / title, table)]
    record = provenance(name, images=images, runs=runs, sets=sets, rows=rows, parameters=parameters or {})
    record["headline"] = headline
    record["files"] = {p.name: hashlib.sha256(p.read_bytes()).hexdigest()[:16] for p in sorted(written)}
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    return folder


def write_figure(path: Path, figure) -> list[Path]:
    """PNG and PDF of a figure on a white face, with stable bytes."""
    options = {"dpi": 300, "facecolor": "white", "bbox_inches": "tight"}
    png, pdf = path.with_suffix(".png"), path.with_suffix(".pdf")
    figure.savefig(png, **options, metadata={"Software": None})
    figure.savefig(pdf, **options, metadata={"CreationDate": None})
    return [png, pdf]


def write_table(path: Path, table: pd.DataFrame) -> list[Path]:
    """CSV, Markdown and LaTeX of a table."""
    texts = {".csv": tables.to_csv(table), ".md": tables.to_markdown(table), ".tex": tables.to_latex(table)}
    for suffix, text in texts.items():
        path.with_suffix(suffix).write_text(text, encoding="utf-8")
    return [path.with_suffix(suffix) for suffix in texts]


def provenance(
    name: str,
    *,
    images: str,
    runs: tuple[str, ...],
    sets: tuple[str, ...],
    rows: pd.DataFrame | None,
    parameters: dict,
) -> dict:
    """What made an item: weights' and pictures' hashes, rows, protocol, parameters, versions, commit."""
    trained = [run for run in runs if experiments.trained(run)]
    return {
        "item": name,
        "notebook": ITEMS[name].notebook,
        "images": images,
        "weights": {run: checkpoints.weights_hash(experiments.weights_path(run)) for run in trained},
        "not_trained": [run for run in runs if run not in trained],
        "pictures": {dataset: datasets.digest(dataset) for dataset in sets},
        "rows": [] if rows is None else rows_behind(rows),
        "protocol": evaluation.PROTOCOL,
        "parameters": parameters,
        "versions": {"python": platform.python_version()} | {package: version(package) for package in PACKAGES},
        "commit": experiments.commit(),
    }


def rows_behind(rows: pd.DataFrame) -> list[dict]:
    """What is known of stored rows, a line for each run, set and level: how many pictures, measured when, on what."""
    lines = []
    for (run, dataset, level), group in rows.groupby(["run", "dataset", "level"], sort=False):
        key, _ = evaluation.read_rows(evaluation.file_of(run, dataset, level))
        made, *earlier = evaluation.ways_made(key)
        made |= {"earlier": earlier} if earlier else {}
        lines.append({"run": run, "dataset": dataset, "level": int(level), "pictures": len(group), **made})
    return lines


# ------------------------------------------------------------------------------------------------ running notebooks


def reproduce(
    items: list[str] | None = None,
    *,
    images: str = "auto",
    parameters: dict | None = None,
    output: Path | None = None,
    fresh: bool = False,
) -> bool:
    """Run the notebooks of `items` (all by default), print a line for each; whether all were made and none differs.

    What is made is compared with what is committed; with `parameters` a difference is what was asked for.

    `images` is embedded, benchmark, or auto: benchmark where all test sets are on disk. A notebook works in a folder
    of its own, and only a complete result replaces what was in `output` (figures/ by default). Raises ValueError for
    an unknown item, or a parameter that a notebook does not declare or that has another type.
    """
    chosen = [find_item(name) for name in items or ITEMS]
    images = resolve_images(images)
    check_parameters(chosen, parameters or {})
    target = make_target(Path(output) if output else FIGURES, images)
    if os.environ.get("MEMNET_DATA"):  # notebooks work in folders of their own
        os.environ["MEMNET_DATA"] = os.path.abspath(os.environ["MEMNET_DATA"])
    results = []
    for number, item in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {item.name}: {item.shows}", file=sys.stderr, flush=True)
        given = {"images": images, "fresh": fresh, **(parameters or {})}
        results.append(run_item(item, given, target))
    print(f"\n{images} pictures, files in {target}, compared with {FIGURES / images}")
    for item, result in zip(chosen, results, strict=True):
        print(f"{item.name:10} {result['state']:7} {result['seconds']:6.1f} s  {result['words']}")
    return all(result["state"] == "made" and (parameters or result["agrees"]) for result in results)


def find_item(name: str) -> Item:
    """The item of that name; ValueError with all the names when there is none."""
    if name not in ITEMS:
        raise ValueError(f"unknown item {name!r}: choose some of {', '.join(ITEMS)}")
    return ITEMS[name]


def make_target(output: Path, images: str) -> Path:
    """The folder for the files; ValueError when it cannot be made."""
    target = output.absolute() / images  # a notebook works in another folder
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{target} cannot be made a folder for the results ({error.strerror})") from error
    return target


def resolve_images(images: str) -> str:
    """embedded or benchmark; ValueError when it is neither, or when benchmark pictures are asked for and missing."""
    sets = [name for names in datasets.TEST_SETS.values() for name in names]
    absent = [name for name in sets if not datasets.available(name)]
    if images == "auto":
        return "embedded" if absent else "benchmark"
    if images not in IMAGES:
        raise ValueError(f"images are embedded, benchmark or auto, got {images!r}")
    if images == "benchmark" and absent:
        raise ValueError(
            f"{', '.join(absent)} not on disk: run `memnet data fetch`, or set MEMNET_DATA to their folder"
        )
    return images


def parse_parameters(pairs: list[str]) -> dict:
    """NAME=VALUE pairs as a dictionary; values are Python literals, anything else is text.

    Raises ValueError for what is not of that form.
    """
    parsed = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"a parameter is given as NAME=VALUE, got {pair!r}")
        text = {"true": "True", "false": "False"}.get(text, text)
        try:
            parsed[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parsed[name] = text
    return parsed


def declared(notebook: Path) -> dict:
    """Names and default values in the parameters cell of a notebook; ValueError when the file is not there."""
    if not notebook.is_file():
        raise ValueError(f"{notebook} is not there: run memnet from a checkout of the whole repository")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    assert len(tagged) == 1, f"{notebook} has {len(tagged)} cells tagged parameters"
    tree = ast.parse("".join(tagged[0]["source"]))
    return {node.target.id: ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.AnnAssign)}


def check_parameters(items: list[Item], given: dict) -> None:
    """Raise ValueError for a name that a notebook of `items` does not declare, or a value of another type."""
    known = {item.name: declared(NOTEBOOKS / item.notebook) for item in ITEMS.values()}
    for name, value in given.items():
        if name in GIVEN:
            raise ValueError(f"the parameter {name} is given by the option {GIVEN[name]}")
        for item in items:
            if name not in known[item.name]:
                having = [other for other in ITEMS if name in known[other]]
                where = f"; items that have it: {', '.join(having)}" if having else ""
                declares = ", ".join(known[item.name])
                raise ValueError(f"{item.notebook} has no parameter {name!r}: it declares {declares}{where}")
            wanted = type(known[item.name][name])
            if type(value) is not wanted and not (wanted is float and type(value) is int):
                raise ValueError(f"{item.notebook}: {name} is of type {wanted.__name__}, got {value!r}")


def run_item(item: Item, parameters: dict, target: Path) -> dict:
    """Run an item's notebook apart and move what it made to `target`; state (made, failed), seconds, words."""
    staging = Path(tempfile.mkdtemp(prefix=f".{item.name}-", dir=target))
    begin = time.monotonic()
    try:
        execute(item, {**parameters, "output": str(staging)}, EXECUTED / target.name)
        seconds = time.monotonic() - begin
        check_complete(item, staging)
        words, agrees = agreement(item, staging, FIGURES / target.name)
        complete_record(staging / f"{item.name}.json", item, parameters, seconds)
        move_over(staging, target)
        return {"state": "made", "seconds": seconds, "words": words, "agrees": agrees}
    except NotebookFailed as error:
        return {"state": "failed", "seconds": time.monotonic() - begin, "words": str(error)}
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class NotebookFailed(Exception):
    """A notebook stopped at an error, which is told in one line."""


def execute(item: Item, parameters: dict, folder: Path) -> None:
    """Run a notebook with papermill into `folder`; NotebookFailed with the error's first line when a cell fails."""
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError

    known = declared(NOTEBOOKS / item.notebook)
    folder.mkdir(parents=True, exist_ok=True)
    given = {name: value for name, value in parameters.items() if name in known}
    executed = folder / item.notebook
    try:
        try:
            run_notebook(NOTEBOOKS / item.notebook, executed, given)
        except DeadKernelError:  # killed from outside, say for memory: the one failure that another try can mend
            run_notebook(NOTEBOOKS / item.notebook, executed, given)
    except (RuntimeError, NoSuchKernel) as error:
        raise NotebookFailed(f"{item.notebook}, kernel: {str(error).splitlines()[0]}") from error


def run_notebook(source: Path, executed: Path, parameters: dict) -> None:
    """Run `source` in an empty working folder, its cells and outputs written to `executed`; NotebookFailed on errors.

    The kernel is this installation's python3, which has 300 s to start; its channels are encrypted where ZeroMQ can
    (ipykernel warns about plain ones in every notebook).
    """
    import papermill
    from traitlets.config import Config

    config = Config(KernelManager={"transport_encryption": "auto"})
    options = {"kernel_name": "python3", "language": "python", "start_timeout": 300, "config": config}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as empty:
        try:
            papermill.execute_notebook(str(source), str(executed), parameters, cwd=empty, **options)
        except papermill.PapermillExecutionError as error:
            where = f"cell {error.cell_index}: {error.ename}: {error.evalue}".splitlines()[0]
            raise NotebookFailed(f"{source.name}, {where} (see {executed})") from error


def check_complete(item: Item, made: Path) -> None:
    """Raise NotebookFailed when a file that the item promises, or its provenance, was not written."""
    absent = [name for name in item.writes if not list(made.glob(f"{name}.*"))]
    absent += [f"{item.name}.json"] * (not (made / f"{item.name}.json").exists())
    if absent:
        raise NotebookFailed(f"{item.notebook} did not write {', '.join(absent)}")


def complete_record(record: Path, item: Item, given: dict, seconds: float) -> None:
    """Add the time that an item took to its provenance, and all parameters of its notebook but where it wrote to."""
    known = declared(NOTEBOOKS / item.notebook)
    parameters = {name: given.get(name, value) for name, value in known.items() if name != "output"}
    content = json.loads(record.read_text()) | {"parameters": parameters, "seconds": round(seconds, 1)}
    record.write_text(json.dumps(content, indent=1) + "\n")


def move_over(staging: Path, target: Path) -> None:
    """Move every file of `staging` into `target`, each at once."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(staging.iterdir()):
        path.replace(target / path.name)


def agreement(item: Item, made: Path, folder: Path) -> tuple[str, bool]:
    """Whether the numbers in the CSV files of `made` are those committed in `folder`: column by column, in words."""
    new, found, compared = [], [], 0
    for path in sorted(made.glob("*.csv")):
        before = committed(folder / path.name)
        if before is None:
            new.append(f"{path.name} is new")
            continue
        compared += 1
        found += differences(pd.read_csv(path), pd.read_csv(io.StringIO(before)), item.tolerance, path.name)
    otherwise = "agrees with what is committed" if compared else "has no numbers to compare"
    return "; ".join([*found, *new]) or otherwise, not found


def committed(path: Path) -> str | None:
    """A text file as it was last committed, or as it lies there outside a checkout; None where there is none."""
    if path.is_relative_to(ROOT) and experiments.git("rev-parse", "HEAD"):
        return experiments.git("show", f"HEAD:{path.relative_to(ROOT).as_posix()}")
    return path.read_text(encoding="utf-8") if path.exists() else None


def differences(new: pd.DataFrame, old: pd.DataFrame, tolerance: float, name: str) -> list[str]:
    """What differs between two tables beyond the tolerance, in words."""
    if list(new.columns) != list(old.columns) or len(new) != len(old):
        return [f"{name} has another shape than before"]
    compared = [column for column in new.columns if not any(part in column for part in UNTIMED)]
    words = (difference(new[column], old[column], tolerance) for column in compared)
    return [f"{name}: {column} {what}" for column, what in zip(compared, words, strict=True) if what]


def difference(new: pd.Series, old: pd.Series, tolerance: float) -> str:
    """How a column differs beyond the tolerance, in words; "" when it agrees. Texts and counts have to be equal."""
    numbers = all(pd.api.types.is_numeric_dtype(column) for column in (new, old))
    if not numbers or not any(pd.api.types.is_float_dtype(column) for column in (new, old)):
        changed = ~((new == old) | (new.isna() & old.isna()))
        return f"differs in {changed.sum()} of {len(new)} rows" if changed.any() and tolerance <= 1 else ""
    usual = next((value for part, value in TOLERANCES.items() if part in new.name), 1e-3 * (1 + old.abs().max()))
    apart = (new - old).abs()  # missing where both are infinite
    one_missing = int((new.isna() != old.isna()).sum())
    if one_missing:
        return f"is missing in one of the two in {one_missing} of {len(new)} rows"
    if apart.max() > usual * tolerance:
        return f"differs by up to {apart.max():.4g}"
    return ""
