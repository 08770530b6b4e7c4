"""Make items again: run their notebooks and compare what they write with what is committed."""

import ast
import os
import sys
import time
from pathlib import Path

from memnet import paths
from memnet.protocol import datasets, tasks
from memnet.publishing import compare, items, notebooks, records
from memnet.publishing.items import GIVEN, IMAGES, Item
from memnet.publishing.notebooks import NotebookFailed


def reproduce(
    names: list[str] | None = None,
    *,
    images: str = "auto",
    parameters: dict | None = None,
    output: Path | None = None,
    fresh: bool = False,
    update: bool = False,
) -> bool:
    """Run the notebooks of the items `names` (by default all), print a line for each; whether all agree.

    The files go to `output` (build/figures by default), in folders of the names of the images shown, and are compared
    with what is committed in figures/. With `update` they replace these, whether they agree or not. `images` is
    embedded, benchmark, or auto: benchmark where all test sets are on disk. An item that shows the embedded set alone
    does so in any case. A notebook works in a folder of its own, and only a complete result replaces what was there
    before. Raises ValueError for an unknown item, or a parameter that a notebook does not declare, that has another
    type or that is no scale of a network.
    """
    parameters = parameters or {}
    if update and (parameters or output):
        raise ValueError("--update writes what the notebooks' own parameters give to figures/: leave out the others")
    chosen = [items.find_item(name) for name in names or items.ITEMS]
    images = resolve_images(images)
    check_parameters(chosen, parameters)
    kinds = [images if images in item.images else "embedded" for item in chosen]
    folders = {kind: make_folders(output, kind, update=update) for kind in dict.fromkeys(kinds)}
    if os.environ.get("MEMNET_DATA"):  # notebooks work in folders of their own
        os.environ["MEMNET_DATA"] = os.path.abspath(os.path.expanduser(os.environ["MEMNET_DATA"]))
    results = []
    for number, (item, kind) in enumerate(zip(chosen, kinds, strict=True), start=1):
        print(f"[{number}/{len(chosen)}] {item.name}: {item.shows}", file=sys.stderr, flush=True)
        given = {"images": kind, "fresh": fresh, **parameters}
        results.append(run_item(item, given, *folders[kind], update=update))
    for kind, (target, executed) in folders.items():
        print(f"\n{kind} images, compared with {paths.FIGURES / kind}")
        for item, shown, result in zip(chosen, kinds, results, strict=True):
            if shown == kind:
                print(f"{item.name:10} {result['state']:7} {result['seconds']:6.1f} s  {result['message']}")
        print(f"files: {target}\nexecuted notebooks, to read: {executed}")
    return all(result["state"] == "made" and (update or result["agrees"]) for result in results)


def make_folders(output: Path | None, images: str, *, update: bool) -> tuple[Path, Path]:
    """The folders for the files and for the executed notebooks; ValueError when they cannot be made."""
    root = Path(output or paths.BUILD / "figures").absolute()  # a notebook works in another folder
    executed = (root if output else paths.BUILD) / "executed" / images
    target = (paths.FIGURES if update else root) / images
    for folder in (target, executed):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"{folder} cannot be made a folder for the results ({error.strerror}): choose another --output"
            ) from error
    return target, executed


def resolve_images(images: str) -> str:
    """embedded or benchmark; ValueError when it is neither, or when benchmark images are asked for and missing."""
    sets = [name for task in tasks.TASKS.values() for name in task.test_sets]
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
        except (ValueError, SyntaxError, MemoryError, RecursionError):  # the last two: nested too deeply
            parsed[name] = text
    return parsed


def check_parameters(chosen: list[Item], given: dict) -> None:
    """Raise ValueError for a name that a notebook of `chosen` does not have, a value of another type, or no scale."""
    known = {item.name: notebooks.declared(paths.NOTEBOOKS / item.notebook) for item in items.ITEMS.values()}
    for item in chosen:
        if "output" not in known[item.name]:
            raise ValueError(f"{item.notebook} has no parameter output: it cannot be told where to write its files")
    for name, value in given.items():
        if name in GIVEN:
            raise ValueError(f"the parameter {name} is given by the option {GIVEN[name]}")
        for item in chosen:
            if name not in known[item.name]:
                having = [other for other in items.ITEMS if name in known[other]]
                where = f"; items that have it: {', '.join(having)}" if having else ""
                declares = ", ".join(known[item.name])
                raise ValueError(f"{item.notebook} has no parameter {name!r}: it declares {declares}{where}")
            wanted = type(known[item.name][name])
            if type(value) is not wanted and not (wanted is float and type(value) is int):
                raise ValueError(f"{item.notebook}: {name} is of type {wanted.__name__}, got {value!r:.80}")
        check_level(name, value)


def check_level(name: str, value: object) -> None:
    """Raise ValueError when a parameter is a task's level (`level` is a scale) that makes no sense there.

    A scale is one of those that the networks are trained for: they enlarge by no other.
    """
    for task in tasks.TASKS.values():
        if task.level_name == ("scale" if name == "level" else name):
            task.check_level(value)
            if task.enlarges and value not in task.levels:
                raise ValueError(f"{name} is one of {', '.join(map(str, task.levels))}, got {value}")


def run_item(item: Item, parameters: dict, target: Path, executed: Path, *, update: bool) -> dict:
    """Run an item's notebook apart and move what it made to `target`; state (made, failed), seconds, message."""
    begin = time.monotonic()
    with paths.temporary(target, folder=True) as staging:
        try:
            notebooks.execute(item, {**parameters, "output": str(staging)}, executed)
            seconds = time.monotonic() - begin
            check_complete(item, staging)
            message, agrees = compare.agreement(item, staging, paths.FIGURES / target.name, parameters)
            finish_record(item, staging, parameters, seconds, update=update)
            move_over(item, staging, target)
            return {"state": "made", "seconds": seconds, "message": message, "agrees": agrees}
        except NotebookFailed as error:
            return {"state": "failed", "seconds": time.monotonic() - begin, "message": str(error)}


def check_complete(item: Item, made: Path) -> None:
    """Raise NotebookFailed when a file that the item promises, or its record, was not written."""
    absent = [name for name in item.writes if not list(made.glob(f"{name}.*"))]
    absent += [f"{item.name}.json"] * (not (made / f"{item.name}.json").exists())
    if absent:
        raise NotebookFailed(f"{item.notebook} did not write {', '.join(absent)}")


def finish_record(item: Item, folder: Path, given: dict, seconds: float, *, update: bool) -> None:
    """Add to a record the time that the item took, and all parameters of its notebook but where it wrote to.

    In an `update` time and commit go to figures/made.csv instead, which is tracked apart from what they do not change.
    """
    known = notebooks.declared(paths.NOTEBOOKS / item.notebook)
    parameters = {name: given.get(name, value) for name, value in known.items() if name != "output"}
    record = records.read(item.name, folder) | {"parameters": parameters, "seconds": round(seconds, 1)}
    if update:
        records.note_made(record)
    records.write(records.lasting(record) if update else record, folder)


def move_over(item: Item, staging: Path, target: Path) -> None:
    """Move every file of `staging` into `target`: the old record goes first and the new one comes last.

    So files of two runs, which a kill may leave behind, never stand beside a record.
    """
    record = f"{item.name}.json"
    (target / record).unlink(missing_ok=True)
    for path in sorted(staging.iterdir(), key=lambda path: (path.name == record, path.name)):
        path.replace(target / path.name)
