"""Colours and line styles that all figures share."""

from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib import style

# Okabe and Ito's colours, which colour-blind readers can tell apart
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY = "#777777"
PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}  # behind text, so that lines do not cross it
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
MARKERS = "osD^vPX"
STYLE = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "memnet",
}


def line_style(number: int) -> dict:
    """Colour and dashes of line `number`, 0 and on: dashed from where the colours begin again."""
    return {"color": COLOURS[number % len(COLOURS)], "ls": ("-", "--", ":")[number // len(COLOURS) % 3]}


@contextmanager
def look() -> Iterator[None]:
    """One look for all figures, whatever the reader's own settings of matplotlib."""
    with style.context(["default", STYLE]):
        yield
