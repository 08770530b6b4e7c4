"""The numbers that the paper prints: tables 1-6 and fig. 6, each with how well it is confirmed.

`confirmed`: an independent publication prints the same. `consistent`: measured again and close. `unconfirmed`: no
independent copy is known, shown with MARK.
"""

import io
from functools import cache

import pandas as pd

from memnet import paths

MARK = "†"
MARK_MEANS = f"{MARK} printed in the paper, but no independent copy of the number was found"


@cache
def read(name: str) -> pd.DataFrame:
    """A file of data/paper, read once; callers get copies. ValueError when it is not what SHA256SUMS there says."""
    text = paths.checked_text(paths.PAPER / f"{name}.csv")
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values={"psnr": "", "ssim": ""})


def tables() -> pd.DataFrame:
    """Tables 1-6, one cell a row: table, dataset, level, method, psnr (dB), ssim, confidence, remark, source.

    `level` is sigma (table 3), the quality (table 5) or the scale. A cell that the paper leaves blank is NaN.
    """
    return read("paper").copy()


def fig6() -> pd.DataFrame:
    """The points of fig. 6: method, parameters_k (thousands), psnr (dB, +-0.003), seconds (+-0.015) for 288x288."""
    return read("fig6").copy()


def networks() -> pd.DataFrame:
    """The rows of table 2 that are no PSNR: method, attribute, value (text), confidence, source."""
    return read("table2_networks").copy()


def printed(table: int, *, dataset: str, level: int, method: str) -> pd.Series:
    """One cell of a table, as a row of `tables()`; ValueError when the paper has no such cell."""
    cells = read("paper")
    of_table = cells[cells.table == table]
    found = of_table[(of_table.dataset == dataset) & (of_table.level == level) & (of_table.method == method)]
    if found.empty:
        methods = ", ".join(of_table.method.unique()) or "none: tables are 1 to 6"
        raise ValueError(f"table {table} has no {method!r} on {dataset} at level {level} (its methods: {methods})")
    return found.iloc[0].copy()


def mark(cell: pd.Series, metric: str = "psnr") -> str:
    """MARK when the cell's `metric` (psnr or ssim) has no independent copy, otherwise nothing."""
    unconfirmed = cell["confidence"] == "unconfirmed"
    return MARK if unconfirmed or (metric == "ssim" and cell["remark"] == "confirmed_psnr_only") else ""
