"""No number is typed twice: those below "What to notice" are computed by cells, or those of the committed tables."""

import re

import nbformat
import pandas as pd
import pytest

from memnet import paths
from memnet.publishing.items import ITEMS

DECIMAL = re.compile(r"(?<![\w.])[-+]?\d+\.\d+(?![\w.])")


def remarks(text):
    """What stands between "What to notice" and the exercise, without targets of links."""
    _, found, rest = text.partition("**What to notice.**")
    return re.sub(r"\]\([^)]*\)", "]", rest.partition("**Exercise.**")[0]) if found else ""


def committed_numbers(item, decimals):
    """All numbers of an item's committed tables, rounded, without a sign."""
    files = [path for name in item.writes for path in paths.FIGURES.glob(f"*/{name}.csv")]
    numbers = pd.concat(
        [pd.read_csv(path).select_dtypes("number").stack() for path in files] or [pd.Series(dtype=float)]
    )
    return {f"{abs(number):.{decimals}f}" for number in numbers}


def typed_numbers(item, text):
    """Decimal numbers in remarks that no committed table of the item has."""
    numbers = [number.lstrip("+-") for number in DECIMAL.findall(remarks(text))]
    return [n for n in numbers if n not in committed_numbers(item, len(n.partition(".")[2]))]


@pytest.mark.parametrize("name", ITEMS)
def test_remarks_have_no_number_that_no_table_has(name):
    cells = nbformat.read(paths.NOTEBOOKS / ITEMS[name].notebook, as_version=4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert [number for text in texts for number in typed_numbers(ITEMS[name], text)] == []


def test_a_typed_number_would_be_found():
    text = (
        "Gains of 9.876 dB.\n\n**What to notice.** M6R6 is 12.345 dB ([fig](a/1.5.png)) ahead.\n\n**Exercise.** 0.05?"
    )
    assert typed_numbers(ITEMS["table6"], text) == ["12.345"]
