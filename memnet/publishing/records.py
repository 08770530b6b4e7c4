"""The record of an item: ITEM.json beside its files says what made them; figures/made.csv when and how long it took."""

import hashlib
import io
import json
from pathlib import Path

import pandas as pd

from memnet import paths
from memnet.network.checkpoints import json_hash
from memnet.publishing import items
from memnet.study import store

VARYING = ("commit", "seconds")  # of a record: what changes at every run, although the files do not
MADE_COLUMNS = ["item", "images", "seconds", "commit"]


def read(name: str, folder: Path) -> dict | None:
    """The record of an item in a folder of figures; None when it was not made there.

    Raises ValueError when the file is broken.
    """
    path = folder / f"{name}.json"
    return parse(path.read_text(encoding="utf-8", errors="replace"), path) if path.exists() else None


def parse(text: str, path: Path) -> dict:
    """The record in the text of the file `path`; ValueError unless it is one, as it was written."""
    try:
        record = json.loads(text)
        if record.pop("sha256") == json_hash(record) and record["item"] == path.stem:
            return record
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise ValueError(
        f"{path} is no record of the item {path.stem}, or was changed since: make it again with "
        f"`memnet reproduce {path.stem} --update`"
    )


def write(record: dict, folder: Path) -> None:
    """Write a record as ITEM.json, with a hash of what it holds."""
    content = {**record, "sha256": json_hash(record)}
    paths.write_text(folder / f"{record['item']}.json", json.dumps(content, indent=1) + "\n")


def table(record: dict, name: str, folder: Path) -> pd.DataFrame:
    """A CSV of an item in a folder of figures; ValueError unless it is what the record says."""
    path = folder / name
    content = path.read_bytes() if path.is_file() else b""
    if record["files"].get(name) != hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()[:16]:
        item = record["item"]
        raise ValueError(f"{path} is not what its record says: make it again with `memnet reproduce {item} --update`")
    return pd.read_csv(io.BytesIO(content))


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
    return store.read_rows(path)[1] if path.exists() else pd.DataFrame(columns=MADE_COLUMNS)


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
        store.write_rows(paths.FIGURES / "made.csv", table, {}, digits=1)
