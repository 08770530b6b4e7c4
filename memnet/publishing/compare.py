"""Compare the tables that were made with those that are committed."""

import io
from pathlib import Path

import pandas as pd

from memnet import paths
from memnet.publishing.items import Item
from memnet.study import provenance

TOLERANCES = {"psnr": 0.01, "gain": 0.01, "decibels": 0.01, "ssim": 0.0005}  # by what a column's name contains
UNTIMED = ("second", "date")  # columns that are never compared


def agreement(item: Item, made: Path, folder: Path) -> tuple[str, bool]:
    """Whether the numbers in the CSV files of `made` are those committed in `folder`: column by column, in words."""
    new, found, compared = [], [], 0
    for path in sorted(made.glob("*.csv")):
        before = committed(folder / path.name)
        if before is None:
            new.append(f"{path.name} is new")
            continue
        compared += 1
        found += differences(pd.read_csv(path), pd.read_csv(io.StringIO(before)), dict(item.tolerances), path.name)
    otherwise = "agrees with what is committed" if compared else "has no numbers to compare"
    return "; ".join([*found, *new]) or otherwise, not found


def committed(path: Path) -> str | None:
    """A text file as it was last committed, or as it lies there outside a checkout; None where there is none."""
    if path.is_relative_to(paths.ROOT) and provenance.git("rev-parse", "HEAD"):
        return provenance.git("show", f"HEAD:{path.relative_to(paths.ROOT).as_posix()}")
    return path.read_text(encoding="utf-8") if path.exists() else None


def differences(new: pd.DataFrame, old: pd.DataFrame, tolerances: dict[str, float], name: str) -> list[str]:
    """What differs between two tables beyond the tolerances, in words; `tolerances` go before TOLERANCES."""
    if list(new.columns) != list(old.columns) or len(new) != len(old):
        return [f"{name} has another shape than before"]
    compared = [column for column in new.columns if not any(part in column for part in UNTIMED)]
    words = (difference(new[column], old[column], tolerances) for column in compared)
    return [f"{name}: {column} {what}" for column, what in zip(compared, words, strict=True) if what]


def difference(new: pd.Series, old: pd.Series, tolerances: dict[str, float]) -> str:
    """How a column differs beyond the tolerance, in words; "" when it agrees. Texts and counts have to be equal."""
    numbers = all(pd.api.types.is_numeric_dtype(column) for column in (new, old))
    if not numbers or not any(pd.api.types.is_float_dtype(column) for column in (new, old)):
        changed = ~((new == old) | (new.isna() & old.isna()))
        return f"differs in {changed.sum()} of {len(new)} rows" if changed.any() else ""
    usual = next(
        (value for part, value in (TOLERANCES | tolerances).items() if part in new.name), 1e-3 * (1 + old.abs().max())
    )
    apart = (new - old).abs()  # missing where both are infinite
    one_missing = int((new.isna() != old.isna()).sum())
    if one_missing:
        return f"is missing in one of the two in {one_missing} of {len(new)} rows"
    if apart.max() > usual:
        return f"differs by up to {apart.max():.4g}"
    return ""
