"""Compare the tables that were made with those that are committed."""

import io
from pathlib import Path

import pandas as pd

from memnet import paths
from memnet.publishing import records
from memnet.publishing.items import GIVEN, Item
from memnet.study import provenance

TOLERANCES = {"psnr": 0.01, "gain": 0.01, "decibels": 0.01, "ssim": 0.0005}  # by what a column's name contains
RELATIVE = 1e-3  # of a column's largest number: the tolerance of all others
UNTIMED = ("second", "date")  # columns that are never compared


def agreement(item: Item, made: Path, folder: Path, parameters: dict) -> tuple[str, bool]:
    """Whether the tables in `made` are those committed in `folder`, and the result of the comparison in one sentence.

    A table that is on one side alone is a difference. With other `parameters` than the committed ones nothing is
    compared.
    """
    path = folder / f"{item.name}.json"
    text = committed(path)
    if text is None:
        return "is not committed", False
    record = records.parse(text, path)
    if changed := changed_parameters(parameters, record["parameters"]):
        return f"not compared: {changed}", True
    tables = sorted(path.name for path in made.glob("*.csv"))
    lost = sorted(name for name in record["files"] if name.endswith(".csv") and name not in tables)
    found, tolerances = [f"{name} is committed, but was not made" for name in lost], dict(item.tolerances)
    for name in tables:
        before = committed(folder / name)
        if before is None:
            found.append(f"{name} is not committed")
        else:
            found += differences(pd.read_csv(made / name), pd.read_csv(io.StringIO(before)), tolerances, name)
    agrees = "agrees with what is committed" if tables else "has no numbers to compare"
    return "; ".join(found) or agrees, not found


def changed_parameters(given: dict, before: dict) -> str:
    """Which parameters of a notebook are not those of the committed item, such as "level=2, committed 4"."""
    changed = [name for name in given if name not in GIVEN and given[name] != before.get(name, given[name])]
    return "; ".join(f"{name}={given[name]}, committed {before[name]}" for name in changed)


def committed(path: Path) -> str | None:
    """A text file as it was last committed, or as it lies there outside a checkout; None where there is none."""
    if path.is_relative_to(paths.ROOT) and provenance.git("rev-parse", "HEAD"):
        return provenance.git("show", f"HEAD:{path.relative_to(paths.ROOT).as_posix()}")
    return path.read_text(encoding="utf-8") if path.exists() else None


def differences(new: pd.DataFrame, old: pd.DataFrame, tolerances: dict[str, float], name: str) -> list[str]:
    """What differs between two tables, a sentence for each column; `tolerances` go before TOLERANCES."""
    if list(new.columns) != list(old.columns) or len(new) != len(old):
        return [f"{name} differs in its rows or columns"]
    compared = [column for column in new.columns if not any(part in column for part in UNTIMED)]
    found = {column: difference(new[column], old[column], tolerances) for column in compared}
    return [f"{name}: {column} {sentence}" for column, sentence in found.items() if sentence]


def difference(new: pd.Series, old: pd.Series, tolerances: dict[str, float]) -> str:
    """How a column differs beyond the tolerance; "" when it agrees. Texts and whole numbers have to be equal."""
    numbers = all(pd.api.types.is_numeric_dtype(column) for column in (new, old))
    if not numbers or not any(pd.api.types.is_float_dtype(column) for column in (new, old)):
        changed = ~((new == old) | (new.isna() & old.isna()))
        return f"differs in {changed.sum()} of {len(new)} rows" if changed.any() else ""
    largest = max(old[old.abs() < float("inf")].abs(), default=0.0)
    known = TOLERANCES | tolerances
    tolerance = next((value for part, value in known.items() if part in str(new.name)), RELATIVE * largest)
    apart = (new - old).abs()  # missing where both are infinite
    one_missing = int((new.isna() != old.isna()).sum())
    if one_missing:
        return f"is missing in one of the two in {one_missing} of {len(new)} rows"
    if apart.max() > tolerance:
        return f"differs by up to {apart.max():.4g}"
    return ""
