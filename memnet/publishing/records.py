"""The record of an item: ITEM.json beside its files says what made them; figures/made.csv when and how long it took."""

import json
from pathlib import Path

import pandas as pd

from memnet import paths
from memnet.publishing import items

VARYING = ("commit", "seconds")  # of a record: what changes at every run, although the files do not
MADE_COLUMNS = ["item", "images", "seconds", "commit"]


def read(name: str, folder: Path) -> dict | None:
    """The record of an item in a folder of figures; None when it was not made there.

    Raises ValueError when the file is broken.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["item"] == name and all(isinstance(record[part], dict) for part in ("files", "parameters")):
            return record
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ValueError(f"{path} is no record of the item {name}: make it again with `memnet reproduce {name} --update`")


def write(record: dict, folder: Path) -> None:
    """Write a record as ITEM.json."""
    paths.write_text(folder / f"{record['item']}.json", json.dumps(record, indent=1) + "\n")


def lasting(record: dict) -> dict:
    """A record without what changes at every run; rows of the embedded set are measured again by every checkout."""
    rows = [
        {name: row[name] for name in ("run", "dataset", "level", "pictures")} if row["dataset"] == "embedded" else row
        for row in record["rows"]
    ]
    return {name: value for name, value in record.items() if name not in VARYING} | {"rows": rows}


def made() -> pd.DataFrame:
    """When the committed items were made: a row for each item and kind of images, with MADE_COLUMNS."""
    path = paths.FIGURES / "made.csv"
    if not path.exists():
        return pd.DataFrame(columns=MADE_COLUMNS)
    try:
        table = pd.read_csv(path, dtype={"commit": str, "item": str, "images": str})
    except ValueError as error:  # those of pandas are
        message = " ".join(str(error).split())
        raise ValueError(f"{path} is no table ({message}): restore it from the repository") from error
    if list(table.columns) != MADE_COLUMNS:
        raise ValueError(f"{path} has other columns than {', '.join(MADE_COLUMNS)}: restore it from the repository")
    return table


def made_of(name: str, images: str) -> dict:
    """Seconds and commit of a committed item; missing ones are NaN and None."""
    table = made()
    found = table[(table["item"] == name) & (table["images"] == images)]
    return found.iloc[0].to_dict() if len(found) else {"seconds": float("nan"), "commit": None}


def note_made(record: dict) -> None:
    """Put the seconds and the commit of a record into figures/made.csv."""
    row = {name: record[name] for name in MADE_COLUMNS}
    order = [(images, name) for images in items.IMAGES for name in items.ITEMS]
    with paths.lock(paths.FIGURES):
        rows = {(other["images"], other["item"]): other for other in made().to_dict("records")}
        rows[row["images"], row["item"]] = row
        table = pd.DataFrame([rows[key] for key in order if key in rows])
        paths.write_text(paths.FIGURES / "made.csv", table.to_csv(index=False, lineterminator="\n"))
