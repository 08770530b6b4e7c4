"""Figures 1 to 3, drawn from a network's configuration."""

from io import BytesIO

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from memnet.network.model import Config, PlainConfig
from memnet.publishing import style
from memnet.publishing.style import BLUE, GREEN, PLATE


class Drawing(Figure):
    """A figure on white that looks the same everywhere and shows itself in Jupyter without pyplot."""

    def savefig(self, *args, **kwargs) -> None:
        """Write the figure as `Figure.savefig` does, in the look it was drawn in."""
        with style.look():
            super().savefig(*args, **kwargs)

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def drawing(width: float, height: float) -> Drawing:
    """An empty figure of a size in inches that lays itself out."""
    return Drawing(figsize=(width, height), layout="constrained", facecolor="white")


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


def arrow(axes: Axes, start: tuple, end: tuple, colour: str = "black", width: float = 1.0) -> None:
    """A straight arrow between two points."""
    kind = {"arrowstyle": "-|>", "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0, "zorder": 2}
    axes.add_patch(FancyArrowPatch(start, end, color=colour, lw=width, **kind))


def way(axes: Axes, *points: tuple, colour: str = "black", width: float = 1.0) -> None:
    """A line through points that ends in an arrow."""
    axes.plot(*zip(*points[:-1], strict=True), color=colour, lw=width, solid_joinstyle="round", zorder=2)
    arrow(axes, points[-2], points[-1], colour, width=width)


def label(axes: Axes, point: tuple, text: str) -> None:
    """Text on white, legible over lines."""
    axes.text(*point, text, bbox=PLATE, ha="center", va="center", fontsize=8.5, zorder=5)


WIDTH = 21.0  # units across fig. 1
LONG_TERM = Line2D([], [], color=GREEN, label="long-term memory")
SHORT_TERM = Line2D([], [], color="black", label="short-term memory")


def structures(plain: PlainConfig, skip: PlainConfig, config: Config) -> Drawing:
    """fig1: the plain structure, the one with skip connections, and the last memory block of a MemNet.

    Every convolution of the stacks and every recursion of the block is drawn.
    """
    heights = [1.5, 4.6, 6.0]
    with style.look():
        figure = drawing(0.4 * WIDTH, 0.4 * sum(heights) + 1.1)
        parts = figure.subplots(3, 1, height_ratios=heights)
        draw_plain(parts[0], plain, heights[0], "(a) plain structure: short-term memory only")
        draw_plain(parts[1], skip, heights[1], "(b) skip connections: restricted long-term memory")
        draw_block(parts[2], config, config.blocks, heights[2])
        figure.legend(handles=[SHORT_TERM, LONG_TERM], loc="outside lower center", ncols=2)
        return figure


def draw_plain(axes: Axes, config: PlainConfig, height: float, title: str) -> None:
    """A stack of convolutions as circles; what a skip connection adds arrives as a green arc."""
    canvas(axes, WIDTH, height, title)
    last, y = config.layers + 1, 0.9  # FENet is 0, ReconNet the last
    xs = np.linspace(0.9, WIDTH - 0.9, config.layers + 2)
    radius = min(0.36, 0.36 * (xs[1] - xs[0]))
    for place, x in enumerate(xs):
        name = {0: "FENet", last: "ReconNet"}.get(place, "")
        circle(axes, (x, y), kind="net" if name else "state", radius=radius)
        axes.text(x, y - 0.65, name, ha="center", va="center", fontsize=8)
        if place:
            arrow(axes, (xs[place - 1] + radius, y), (x - radius, y))
    arcs = config.layers // 2 if config.skip else 0
    for early in range(arcs):
        start, end = xs[early] + 1.3 * radius, xs[last - 1 - early] + 1.3 * radius
        half, middle, angle = (end - start) / 2, (start + end) / 2, np.linspace(np.pi, 0, 80)
        top = 0.6 + (height - y - 0.7) * (arcs - early) / arcs
        way(axes, *zip(middle + half * np.cos(angle), y + 0.04 + top * np.sin(angle), strict=True), colour=GREEN)


def draw_block(axes: Axes, config: Config, block: int, height: float) -> None:
    """A memory block: R recursions in a row, the gate below them, the memories that enter it."""
    canvas(axes, WIDTH, height, f"(c) memory block $m={block}$ of MemNet: persistent memory")
    sources, r, y = config.gate_sources(block), config.recursions, 4.0
    left, right, top = 5.0, WIDTH - 2.0, 1.5  # of the recursive unit, of the gate unit
    axes.add_patch(Rectangle((left, y - 0.75), right - left, 1.5, fc="none", ec=BLUE, lw=1.1, ls=(0, (4, 3))))
    axes.text(left, y + 1.1, f"recursive unit: $R={r}$ recursions of one pair of convolutions", color=BLUE, va="center")
    axes.text(1.7, y, f"$B_{{{block - 1}}}=H^0$", ha="right", va="center")
    step = (right - left) / r
    for number in range(1, r + 1):
        x = left + step * (number - 0.5)
        circle(axes, (x, y), f"$H^{{{number}}}$", radius=min(0.5, 0.4 * step))
        arrow(axes, (x - step + 0.5 if number > 1 else 1.9, y), (x - 0.5, y))
        if f"H{number}" in sources:
            arrow(axes, (x, y - 0.5), (x, top))
    long = [name for name in sources if name.startswith("B")]
    for place, name in enumerate(long):
        x = 1.1 + (left - 1.4) * (place + 0.5) / len(long)
        arrow(axes, (x, 2.5), (x, top), GREEN, width=1.2)
        axes.text(x, 2.75, f"$B_{{{name[1:]}}}$", color=GREEN, ha="center", va="center", fontsize=8)
    box(axes, ((right + 0.9) / 2, 1.05), (right - 0.9, 0.9), r"gate unit: $1\times1$ convolution", "gate")
    arrow(axes, (right, 1.05), (right + 1.0, 1.05))
    axes.text(right + 1.2, 1.05, f"$B_{{{block}}}$", ha="left", va="center")


def network(config: Config) -> Drawing:
    """fig2 (basic) or fig3 (multi-supervised): from x to y through all memory blocks of a configuration."""
    m, pitch, start = config.blocks, 2.4, 3.4
    width = start + pitch * m + (1.4 if config.multi_supervised else 3.4)
    above = 0.9 + 0.4 * m if config.long_term else 0.9
    below = 4.8 if config.multi_supervised else 1.4
    blocks = [start + pitch * (i + 0.5) for i in range(m)]
    with style.look():
        figure = drawing(0.52 * width, 0.52 * (above + below) + 0.4)
        axes = canvas(figure.subplots(), width, above + below)
        draw_blocks(axes, config, blocks, below)
        (draw_supervision if config.multi_supervised else draw_basic_output)(axes, blocks, below, width)
        if config.long_term:
            figure.legend(handles=[LONG_TERM], loc="outside lower center")
        return figure


HALF = 0.75  # half the width of a block's box
FORK = 0.25  # behind a block, where its output branches off


def draw_blocks(axes: Axes, config: Config, blocks: list[float], y: float) -> None:
    """x, FENet, the memory blocks in a row and, above them, how every B_m reaches all later gates."""
    axes.text(0.25, y, "$x$", ha="center", va="center")
    arrow(axes, (0.5, y), (1.0, y))
    box(axes, (1.0 + HALF, y), (2 * HALF, 0.9), "FENet")
    outs = [1.0 + 2 * HALF, *(x + HALF for x in blocks)]
    for number, x in enumerate(blocks, start=1):
        arrow(axes, (outs[number - 1], y), (x - HALF, y))
        axes.text(x - HALF - 0.28, y + 0.25, f"$B_{{{number - 1}}}$", ha="center", va="center", fontsize=8.5)
        box(axes, (x, y), (2 * HALF, 0.9), f"memory\nblock {number}", "layer", fontsize=8)
    for early, out in enumerate(outs[:-1] if config.long_term else []):
        height = y + 0.75 + 0.4 * (len(blocks) - 1 - early)
        enter = [x - 0.6 + 1.2 * (early + 0.5) / len(blocks) for x in blocks[early:]]
        axes.plot([out + FORK, out + FORK, enter[-1]], [y, height, height], color=GREEN, lw=1.0, zorder=2)
        for x in enter:
            arrow(axes, (x, height), (x, y + 0.45), GREEN)
        axes.plot(out + FORK, y, "o", ms=3, color=GREEN, zorder=4)


def draw_basic_output(axes: Axes, blocks: list[float], y: float, width: float) -> None:
    """ReconNet, and the input image that is added to what it gives (eq. 3)."""
    end = blocks[-1] + HALF
    arrow(axes, (end, y), (end + 0.8, y))
    axes.text(end + 0.45, y + 0.25, f"$B_{{{len(blocks)}}}$", ha="center", va="center", fontsize=8.5)
    box(axes, (end + 0.8 + HALF, y), (2 * HALF, 0.9), "ReconNet")
    arrow(axes, (end + 0.8 + 2 * HALF, y), (end + 2.7, y))
    circle(axes, (end + 2.96, y), "$+$", "sum")
    arrow(axes, (end + 3.22, y), (width - 0.4, y))
    axes.text(width - 0.2, y, "$y$", ha="center", va="center")
    way(axes, (0.7, y), (0.7, y - 1.1), (end + 2.96, y - 1.1), (end + 2.96, y - 0.26))
    label(axes, ((0.7 + end) / 2, y - 1.1), "$x$: the network learns the residual")


def draw_supervision(axes: Axes, blocks: list[float], y: float, width: float) -> None:
    """One ReconNet for all blocks, its predictions y_m, and their weighted sum (eqs. 11, 12)."""
    left, right = blocks[0] - 0.9, blocks[-1] + 1.2
    box(axes, ((left + right) / 2, y - 1.8), (right - left, 0.8), "ReconNet, shared by all blocks, plus $x$")
    box(axes, ((left + right) / 2, y - 4.4), (right - left, 0.7), r"$y=\sum_m w_m\,y_m$", "sum")
    for number, x in enumerate(blocks, start=1):
        way(axes, (x + HALF, y), (x + HALF + FORK, y), (x + HALF + FORK, y - 1.4))
        arrow(axes, (x, y - 2.2), (x, y - 2.75))
        circle(axes, (x, y - 3.05), f"$y_{{{number}}}$", "sum", radius=0.3)
        arrow(axes, (x, y - 3.35), (x, y - 4.05))
        axes.text(x + 0.35, y - 3.7, f"$w_{{{number}}}$", ha="center", va="center", fontsize=8.5)
    axes.text(blocks[-1] + HALF + 0.5, y + 0.15, f"$B_{{{len(blocks)}}}$", ha="center", va="center", fontsize=8.5)
    way(axes, (0.7, y), (0.7, y - 1.8), (left, y - 1.8))
    label(axes, ((0.7 + left) / 2, y - 1.8), "$x$")
    arrow(axes, (right, y - 4.4), (width - 0.4, y - 4.4))
    axes.text(width - 0.2, y - 4.4, "$y$", ha="center", va="center")


RECURSION = (  # one residual building block, layer by layer: text, kind of box
    ("BN $a^r$", "net"),
    ("ReLU", "sum"),
    ("conv 3x3\n$W^1$", "layer"),
    ("BN $b^r$", "net"),
    ("ReLU", "sum"),
    ("conv 3x3\n$W^2$", "layer"),
)


def recursive_unit(config: Config) -> Drawing:
    """One recursion of a memory block layer by layer (eqs. 5, 6), and below it all R in a row (eq. 7).

    Blue boxes are the two convolutions that all recursions share; gray ones are the batch norms, two a recursion.
    """
    if isinstance(config, PlainConfig):
        raise ValueError("a network without memory blocks has no recursive unit: choose a run of a MemNet")
    with style.look():
        figure = drawing(0.46 * WIDTH, 4.9)
        above, below = figure.subplots(2, 1, height_ratios=[4.0, 3.4])
        draw_recursion(canvas(above, WIDTH, 4.0, "one recursion: a residual function and its input"), config)
        title = f"the recursive unit: $R={config.recursions}$ recursions, one pair of convolutions"
        draw_recursions(canvas(below, WIDTH, 3.4, title), config)
        return figure


def draw_recursion(axes: Axes, config: Config) -> None:
    """Batch norm, ReLU, convolution, twice; the input is added at the end. Every arrow carries the same shape."""
    y, pitch, first = 1.5, 2.7, 3.2
    axes.text(0.2, y, "$H^{r-1}$", ha="left", va="center")
    arrow(axes, (1.3, y), (first - 1.0, y))
    for place, (text, kind) in enumerate(RECURSION):
        x = first + pitch * place
        box(axes, (x, y), (2.0, 1.1), text, kind)
        arrow(axes, (x + 1.0, y), (x + pitch - (1.0 if place < len(RECURSION) - 1 else 1.36), y))
    end = first + pitch * len(RECURSION) - 1.1
    circle(axes, (end, y), "$+$", "sum")
    arrow(axes, (end + 0.26, y), (end + 0.8, y))
    axes.text(end + 0.9, y, "$H^r$", ha="left", va="center")
    way(axes, (1.75, y), (1.75, y + 1.5), (end, y + 1.5), (end, y + 0.26))
    label(axes, (WIDTH / 2, y + 1.5), "$H^{r-1}$ is added unchanged")
    axes.text(WIDTH / 2, 0.35, f"every arrow: (N, {config.channels}, H, W)", ha="center", va="center", color=BLUE)


def draw_recursions(axes: Axes, config: Config) -> None:
    """The R recursions as pairs of norms in a row, above the two convolutions that serve them all."""
    y, left, right = 2.5, 2.2, WIDTH - 1.6
    pitch = (right - left) / config.recursions
    axes.text(0.2, y, "$B_{m-1}$", ha="left", va="center")
    box(axes, ((left + right) / 2, 0.6), (right - left, 0.8), "the same $W^1$, $W^2$ and biases in all", "layer")
    for r in range(1, config.recursions + 1):
        x = left + pitch * (r - 0.5)
        box(axes, (x, y), (0.62 * pitch, 0.9), f"BN $a^{{{r}}}$, $b^{{{r}}}$", fontsize=7.5)
        arrow(axes, (x - 0.31 * pitch - (0.38 * pitch if r > 1 else 0.6), y), (x - 0.31 * pitch, y))
        arrow(axes, (x, 1.0), (x, y - 0.45), BLUE)
        axes.text(x + 0.5 * pitch, y + 0.32, f"$H^{{{r}}}$", ha="center", va="center", fontsize=8)
    arrow(axes, (right - 0.19 * pitch, y), (right + 0.6, y))
