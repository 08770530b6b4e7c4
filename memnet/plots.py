"""Figures 1-9 and their kin. Data in, Figure out: nothing is measured or computed here but where things are drawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import patheffects, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from memnet.model import Config, StackConfig

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


@contextmanager
def look() -> Iterator[None]:
    """One look for all figures, whatever the reader's own settings of matplotlib."""
    with style.context(["default", STYLE]):
        yield


class Drawing(Figure):
    """A figure on white that looks the same everywhere and shows itself in Jupyter without pyplot."""

    def savefig(self, *args, **kwargs) -> None:
        """Write the figure as `Figure.savefig` does, in the look it was drawn in."""
        with look():
            super().savefig(*args, **kwargs)

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def drawing(width: float, height: float) -> Drawing:
    """An empty figure of a size in inches that lays itself out."""
    return Drawing(figsize=(width, height), layout="constrained", facecolor="white")


# ---------------------------------------------------------------------------------------- structures: figures 1, 2 and 3

FILL = {"layer": "#dbe9f6", "gate": "#fde2c8", "net": "#eeeeee", "sum": "#ffffff", "state": "#bcdcf2"}


def canvas(axes: Axes, width: float, height: float, title: str = "") -> Axes:
    """Axes without axes: `width` x `height` units, equal in both directions."""
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    axes.set_title(title, loc="left", fontsize=10)
    return axes


def box(axes: Axes, centre: tuple, size: tuple, text: str = "", kind: str = "net", fontsize: float = 8.5) -> None:
    """A box with text at its centre."""
    corner = (centre[0] - size[0] / 2, centre[1] - size[1] / 2)
    shape = FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.08", fc=FILL[kind], ec="black", lw=0.9)
    axes.add_patch(shape)
    axes.text(*centre, text, ha="center", va="center", fontsize=fontsize, zorder=4)


def circle(axes: Axes, centre: tuple, text: str = "", kind: str = "state", radius: float = 0.26) -> None:
    """A circle with text at its centre."""
    axes.add_patch(matplotlib.patches.Circle(centre, radius, fc=FILL[kind], ec="black", lw=0.9, zorder=3))
    axes.text(*centre, text, ha="center", va="center", fontsize=8.5, zorder=4)


def arrow(axes: Axes, start: tuple, end: tuple, colour: str = "black", bend: float = 0, width: float = 1.0) -> None:
    """An arrow between two points, straight or bent."""
    how = f"arc3,rad={bend}"
    kind = {"arrowstyle": "-|>", "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0, "zorder": 2}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=how, color=colour, lw=width, **kind))


def way(axes: Axes, *points: tuple, colour: str = "black", width: float = 1.0) -> None:
    """A line through points that ends in an arrow."""
    axes.plot(*zip(*points[:-1], strict=True), color=colour, lw=width, solid_joinstyle="round", zorder=2)
    arrow(axes, points[-2], points[-1], colour, width=width)


def label(axes: Axes, point: tuple, text: str, colour: str = "black", **options) -> None:
    """Text that stays legible over lines."""
    halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    defaults = {"ha": "center", "va": "center", "fontsize": 8.5, "zorder": 5}
    axes.text(*point, text, color=colour, path_effects=halo, **defaults | options)


def structures(plain: StackConfig, skip: StackConfig, config: Config, block: int | None = None) -> Drawing:
    """Fig. 1: the plain structure, the one with skip connections, and memory block m = `block` of a MemNet.

    Every convolution of the stacks and every recursion of the block is drawn. `block` is the last one by default.
    """
    with look():
        figure = drawing(8.4, 6.6)
        parts = figure.subplots(3, 1, height_ratios=[1.0, 2.6, 4.6])
        draw_stack(parts[0], plain, "(a) plain structure: short-term memory only")
        draw_stack(parts[1], skip, "(b) skip connections: restricted long-term memory")
        draw_block(parts[2], config, block or config.blocks)
        return figure


def draw_stack(axes: Axes, config: StackConfig, title: str) -> None:
    """A stack of convolutions as circles; what a skip connection adds arrives as a green arc."""
    last = config.layers + 1  # FENet is 0, ReconNet the last
    width = 21.0
    xs = np.linspace(0.9, width - 0.9, config.layers + 2)
    reach = 0.36 * (xs[-2] - xs[1]) if config.skip else 0
    canvas(axes, width, 1.1 + reach, title)
    radius = min(0.36, 0.36 * (xs[1] - xs[0]))
    for place, x in enumerate(xs):
        name = {0: "FENet", last: "ReconNet"}.get(place, "")
        circle(axes, (x, 0.75), kind="net" if name else "state", radius=radius)
        label(axes, (x, 0.12), name, fontsize=8)
        if place:
            arrow(axes, (xs[place - 1] + radius, 0.75), (x - radius, 0.75))
    for early in range(config.layers // 2 if config.skip else 0):
        start, end = xs[early] + radius, xs[last - 1 - early] + radius
        half, middle = (end - start) / 2, (start + end) / 2
        arc = np.linspace(np.pi, 0.04, 60)
        ys = 0.8 + 0.72 * half * np.sin(arc)
        way(axes, *zip(middle + half * np.cos(arc), ys, strict=True), colour=GREEN)


def draw_block(axes: Axes, config: Config, block: int) -> None:
    """A memory block: R recursions in a row, the gate below them, the memories that enter it."""
    sources = config.gate_sources(block)
    r, long = config.recursions, [name for name in sources if name.startswith("B")]
    step, left = 1.75, 2.6
    width = left + step * r + 2.6
    right = left + step * (r - 0.5)
    canvas(axes, width, 6.2, f"(c) memory block $m={block}$ of MemNet: persistent memory")
    axes.add_patch(Rectangle((left - 0.35, 3.5), right - left + 0.9, 1.75, fc="none", ec=BLUE, lw=1.1, ls=(0, (4, 3))))
    label(axes, (left - 0.3, 5.5), f"recursive unit, one pair of convolutions, $R={r}$", BLUE, ha="left")
    axes.text(0.35, 4.4, f"$B_{{{block - 1}}}$", ha="center", va="center")
    arrow(axes, (0.7, 4.4), (left, 4.4))
    label(axes, ((left + 0.35) / 2 + 0.2, 4.68), f"$H^0=B_{{{block - 1}}}$", fontsize=8)
    gate_left, gate_right, top = 0.9, right + 0.5, 1.75
    for number in range(1, r + 1):
        x = left + step * (number - 0.5) - 0.3
        if number > 1:
            arrow(axes, (x - step + 0.36, 4.4), (x - 0.36, 4.4))
        else:
            arrow(axes, (left - 0.1, 4.4), (x - 0.36, 4.4))
        circle(axes, (x, 4.4), f"$H^{{{number}}}$", radius=0.36)
        if f"H{number}" in sources:
            arrow(axes, (x, 4.04), (x, top))
    for place, name in enumerate(long):
        x = gate_left + 0.15 + place * min(0.42, 1.5 / max(1, len(long)))
        arrow(axes, (x, 2.75), (x, top), GREEN, width=1.2)
    if long:
        names = f"$B_0$" if len(long) == 1 else f"$B_0 \\ldots B_{{{block - 1}}}$"
        label(axes, (gate_left - 0.1, 3.0), f"{names}", GREEN, ha="left")
    box(axes, ((gate_left + gate_right) / 2, 1.35), (gate_right - gate_left, 0.8), "gate unit: $1\\times1$ convolution", "gate")
    way(axes, (gate_right, 1.35), (width - 0.9, 1.35))
    axes.text(width - 0.45, 1.35, f"$B_{{{block}}}$", ha="center", va="center")
    handles = [
        Line2D([], [], color="black", label="short-term memory $H^1 \\ldots H^R$"),
        Line2D([], [], color=GREEN, label="long-term memory $B_0 \\ldots B_{m-1}$"),
    ]
    axes.legend(handles=handles, loc="lower center", ncols=2, bbox_to_anchor=(0.5, -0.02))


def network(config: Config) -> Drawing:
    """Fig. 2 (basic) or fig. 3 (multi-supervised): from x to y through all memory blocks of a configuration."""
    with look():
        m = config.blocks
        pitch, start = 2.3, 3.6
        width = start + pitch * m + (3.6 if not config.multi_supervised else 1.2)
        arcs = 0.55 + 0.4 * m if config.long_term else 0.7
        below = 4.7 if config.multi_supervised else 1.5
        figure = drawing(0.52 * width, 0.52 * (below + 0.9 + arcs) + 0.3)
        axes = figure.subplots()
        canvas(axes, width, below + 0.9 + arcs)
        y = below + 0.45
        blocks = [start + pitch * (i + 0.5) for i in range(m)]
        draw_blocks(axes, config, blocks, y, pitch)
        if config.multi_supervised:
            draw_supervision(axes, blocks, y, pitch, width)
        else:
            draw_basic_output(axes, blocks, y, pitch, width)
        return figure


def draw_blocks(axes: Axes, config: Config, blocks: list[float], y: float, pitch: float) -> None:
    """x, FENet, the memory blocks in a row and the long-term memory above them."""
    axes.text(0.25, y, "$x$", ha="center", va="center")
    arrow(axes, (0.5, y), (1.0, y))
    box(axes, (1.8, y), (1.5, 0.9), "FENet")
    outs = [2.55, *(x + 0.75 for x in blocks)]
    for number, x in enumerate(blocks, start=1):
        arrow(axes, (outs[number - 1], y), (x - 0.75, y))
        label(axes, ((outs[number - 1] + x - 0.75) / 2, y - 0.3), f"$B_{{{number - 1}}}$")
        box(axes, (x, y), (1.5, 0.9), f"memory\nblock {number}", "layer", fontsize=8)
    if not config.long_term:
        return
    for early, x in enumerate(outs[:-1]):
        leave = x + 0.22
        height = y + 0.75 + 0.4 * (len(outs) - 2 - early)
        for later in range(early, len(blocks)):
            enter = blocks[later] - 0.6 + 1.2 * (early + 0.5) / len(blocks)
            way(axes, (leave, y), (leave, height), (enter, height), (enter, y + 0.45), colour=GREEN, width=0.9)
        axes.plot(leave, y, "o", ms=3, color=GREEN, zorder=4)


def draw_basic_output(axes: Axes, blocks: list[float], y: float, pitch: float, width: float) -> None:
    """ReconNet, and the input picture that is added to what it gives (eq. 3)."""
    end = blocks[-1] + 0.75
    arrow(axes, (end, y), (end + 0.8, y))
    label(axes, (end + 0.38, y - 0.3), f"$B_{{{len(blocks)}}}$")
    box(axes, (end + 1.55, y), (1.5, 0.9), "ReconNet")
    arrow(axes, (end + 2.3, y), (end + 2.75, y))
    circle(axes, (end + 3.0, y), "$+$", "sum")
    arrow(axes, (end + 3.26, y), (end + 3.7, y))
    axes.text(width - 0.1, y, "$y$", ha="center", va="center")
    way(axes, (0.6, y), (0.6, y - 1.2), (end + 3.0, y - 1.2), (end + 3.0, y - 0.26))
    label(axes, ((0.6 + end) / 2, y - 1.2), "$x$ (the network learns the residual)")


def draw_supervision(axes: Axes, blocks: list[float], y: float, pitch: float, width: float) -> None:
    """One ReconNet for all blocks, its predictions y_m, and their weighted sum (eqs. 11, 12)."""
    left, right = blocks[0] - 0.9, blocks[-1] + 0.95
    box(axes, ((left + right) / 2, y - 1.75), (right - left, 0.8), "ReconNet, shared by all blocks, plus $x$")
    box(axes, ((left + right) / 2, y - 4.3), (right - left, 0.7), r"$y=\sum_m w_m\,y_m$", "gate")
    for number, x in enumerate(blocks, start=1):
        out = x + 0.75
        drop = out if number == len(blocks) else out + 0.1
        way(axes, (out, y), (drop, y), (drop, y - 1.35))
        if number == len(blocks):
            label(axes, (out + 0.32, y - 0.3), f"$B_{{{number}}}$")
        arrow(axes, (x, y - 2.15), (x, y - 2.7))
        circle(axes, (x, y - 3.0), f"$y_{{{number}}}$", "sum", radius=0.3)
        arrow(axes, (x, y - 3.3), (x, y - 3.95))
        label(axes, (x + 0.35, y - 3.6), f"$w_{{{number}}}$")
    way(axes, (0.6, y), (0.6, y - 1.75), (left, y - 1.75))
    label(axes, (left - 1.4, y - 1.75), "$x$")
    arrow(axes, (right, y - 4.3), (width - 0.45, y - 4.3))
    axes.text(width - 0.2, y - 4.3, "$y$", ha="center", va="center")
