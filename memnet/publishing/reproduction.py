"""Make items again: run their notebooks and compare what they write with what is committed."""

import ast
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from memnet import paths
from memnet.protocol import datasets
from memnet.publishing import compare, items, notebooks
from memnet.publishing.items import GIVEN, IMAGES, Item
from memnet.publishing.notebooks import NotebookFailed


def reproduce(
    names: list[str] | None = None,
    *,
    images: str = "auto",
    parameters: dict | None = None,
    output: Path | None = None,
    fresh: bool = False,
) -> bool:
    """Run the notebooks of the items `names` (by default all), print a line for each; whether all agree.

    What is made is compared with what is committed; with `parameters` a difference is what was asked for.

    `images` is embedded, benchmark, or auto: benchmark where all test sets are on disk. A notebook works in a folder
    of its own, and only a complete result replaces what was in `output` (figures/ by default). Raises ValueError for
    an unknown item, or a parameter that a notebook does not declare or that has another type.
    """
    chosen = [items.find_item(name) for name in names or items.ITEMS]
    images = resolve_images(images)
    check_parameters(chosen, parameters or {})
    target = make_target(Path(output) if output else paths.FIGURES, images)
    if os.environ.get("MEMNET_DATA"):  # notebooks work in folders of their own
        os.environ["MEMNET_DATA"] = os.path.abspath(os.environ["MEMNET_DATA"])
    results = []
    for number, item in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {item.name}: {item.shows}", file=sys.stderr, flush=True)
        given = {"images": images, "fresh": fresh, **(parameters or {})}
        results.append(run_item(item, given, target))
    print(f"\n{images} pictures, files in {target}, compared with {paths.FIGURES / images}")
    for item, result in zip(chosen, results, strict=True):
        print(f"{item.name:10} {result['state']:7} {result['seconds']:6.1f} s  {result['words']}")
    return all(result["state"] == "made" and (parameters or result["agrees"]) for result in results)


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


def check_parameters(chosen: list[Item], given: dict) -> None:
    """Raise ValueError for a name that a notebook of `chosen` does not declare, or a value of another type."""
    known = {item.name: notebooks.declared(paths.NOTEBOOKS / item.notebook) for item in items.ITEMS.values()}
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
                raise ValueError(f"{item.notebook}: {name} is of type {wanted.__name__}, got {value!r}")


def run_item(item: Item, parameters: dict, target: Path) -> dict:
    """Run an item's notebook apart and move what it made to `target`; state (made, failed), seconds, words."""
    staging = Path(tempfile.mkdtemp(prefix=f".{item.name}-", dir=target))
    begin = time.monotonic()
    try:
        notebooks.execute(item, {**parameters, "output": str(staging)}, notebooks.EXECUTED / target.name)
        seconds = time.monotonic() - begin
        check_complete(item, staging)
        words, agrees = compare.agreement(item, staging, paths.FIGURES / target.name)
        complete_record(staging / f"{item.name}.json", item, parameters, seconds)
        move_over(staging, target)
        return {"state": "made", "seconds": seconds, "words": words, "agrees": agrees}
    except NotebookFailed as error:
        return {"state": "failed", "seconds": time.monotonic() - begin, "words": str(error)}
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_complete(item: Item, made: Path) -> None:
    """Raise NotebookFailed when a file that the item promises, or its provenance, was not written."""
    absent = [name for name in item.writes if not list(made.glob(f"{name}.*"))]
    absent += [f"{item.name}.json"] * (not (made / f"{item.name}.json").exists())
    if absent:
        raise NotebookFailed(f"{item.notebook} did not write {', '.join(absent)}")


def complete_record(record: Path, item: Item, given: dict, seconds: float) -> None:
    """Add the time that an item took to its provenance, and all parameters of its notebook but where it wrote to."""
    known = notebooks.declared(paths.NOTEBOOKS / item.notebook)
    parameters = {name: given.get(name, value) for name, value in known.items() if name != "output"}
    content = json.loads(record.read_text()) | {"parameters": parameters, "seconds": round(seconds, 1)}
    record.write_text(json.dumps(content, indent=1) + "\n")


def move_over(staging: Path, target: Path) -> None:
    """Move every file of `staging` into `target`, each at once."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(staging.iterdir()):
        path.replace(target / path.name)
