"""Figures 1-9 and their kin. Data in, Figure out: nothing is measured or computed here but where things are drawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from memnet import analysis
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


# --------------------------------------------------------------------------------------- structures: figures 1, 2 and 3

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
    """Text on white, legible over lines."""
    defaults = {"ha": "center", "va": "center", "fontsize": 8.5, "zorder": 5}
    axes.text(*point, text, color=colour, bbox=PLATE, **defaults | options)


WIDTH = 21.0  # units across fig. 1
LONG_TERM = Line2D([], [], color=GREEN, label="long-term memory")
SHORT_TERM = Line2D([], [], color="black", label="short-term memory")


def structures(plain: StackConfig, skip: StackConfig, config: Config, block: int | None = None) -> Drawing:
    """Fig. 1: the plain structure, the one with skip connections, and memory block m = `block` of a MemNet.

    Every convolution of the stacks and every recursion of the block is drawn. `block` is the last one by default.
    """
    heights = [1.5, 4.6, 6.0]
    with look():
        figure = drawing(0.4 * WIDTH, 0.4 * sum(heights) + 1.1)
        parts = figure.subplots(3, 1, height_ratios=heights)
        draw_stack(parts[0], plain, heights[0], "(a) plain structure: short-term memory only")
        draw_stack(parts[1], skip, heights[1], "(b) skip connections: restricted long-term memory")
        draw_block(parts[2], config, block or config.blocks, heights[2])
        figure.legend(handles=[SHORT_TERM, LONG_TERM], loc="outside lower center", ncols=2)
        return figure


def draw_stack(axes: Axes, config: StackConfig, height: float, title: str) -> None:
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
    """Fig. 2 (basic) or fig. 3 (multi-supervised): from x to y through all memory blocks of a configuration."""
    m, pitch, start = config.blocks, 2.4, 3.4
    width = start + pitch * m + (1.4 if config.multi_supervised else 3.4)
    above = 0.9 + 0.4 * m if config.long_term else 0.9
    below = 4.8 if config.multi_supervised else 1.4
    blocks = [start + pitch * (i + 0.5) for i in range(m)]
    with look():
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
    """ReconNet, and the input picture that is added to what it gives (eq. 3)."""
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


# -------------------------------------------------------------------------------------------------- spectra: figure 4

LINES = {  # the predictions of fig. 4
    "Mem6": {"color": BLUE, "label": "$y_6$ MemNet"},
    "Mem4": {"color": SKY, "label": "$y_4$ MemNet"},
    "NL6": {"color": VERMILLION, "ls": "--", "label": "$y_6$ MemNet_NL"},
    "NL4": {"color": ORANGE, "lw": 3.5, "alpha": 0.6, "zorder": 1.5, "label": "$y_4$ MemNet_NL"},  # lies below NL6
    "original": {"color": BLACK, "lw": 1.0, "label": "original"},
    "input": {"color": GREY, "lw": 1.0, "ls": ":", "label": "input"},
}
THIRDS = analysis.BANDS | {"all": (0, 1 / 2)}


def mark_bands(axes: Axes) -> None:
    """The limits of the low, mid and high band, and their names along the upper edge."""
    axes.set(xlim=(0, 0.5), xticks=[0, 1 / 6, 1 / 3, 1 / 2], xticklabels=["0", "1/6", "1/3", "1/2"])
    axes.grid(axis="x", color="#bbbbbb", linewidth=0.8)
    for name in ("low", "mid", "high"):
        middle = sum(THIRDS[name]) / 2
        axes.text(
            middle, 1.01, name, transform=axes.get_xaxis_transform(), ha="center", va="bottom", color=GREY, fontsize=8
        )


def spectra(
    densities: dict[str, np.ndarray], relative: dict[str, dict[str, np.ndarray]] | None = None, title: str = ""
) -> Drawing:
    """Fig. 4 (b): spectral densities (circles + 1,) by name (those of LINES, or any) against frequency.

    Left the power, on a logarithmic axis and without the mean (frequency 0). `relative` adds a panel for each of its
    titles: the same names in dB against the original (of `analysis.relative`), which the left cannot show, because a
    picture's power falls by millions.
    """
    relative = relative or {}
    with look():
        figure = drawing(4.0 * (1 + len(relative)) + 1.0, 3.9)
        first, *others = figure.subplots(1, 1 + len(relative), squeeze=False)[0]
        for name, density in densities.items():
            first.semilogy(np.linspace(0, 0.5, len(density))[1:], density[1:], **LINES.get(name, {"label": name}))
        first.set_ylabel("power (of intensities in [0, 1])")
        for axes, (words, lines) in zip(others, relative.items(), strict=True):
            if axes is not others[0]:
                axes.sharey(others[0])
            for name, line in lines.items():
                axes.plot(np.linspace(0, 0.5, len(line))[1:], line[1:], **LINES.get(name, {"label": name}))
            axes.set_ylabel("power relative to the original (dB)")
            axes.set_title(words, pad=16)
        for axes in (first, *others):
            axes.set_xlabel("frequency (cycles per pixel)")
            mark_bands(axes)
        figure.suptitle(title, fontsize=10)
        figure.legend(handles=first.get_lines(), loc="outside lower center", ncols=6)
        return figure


def spectral_differences(
    differences: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    claims: pd.DataFrame | None = None,
    one: dict[str, np.ndarray] | None = None,
) -> Drawing:
    """Fig. 4 (c): differences of densities in dB, each (mean, low, high) over pictures, (circles + 1,) every one.

    `one` are those of a single picture, as the paper draws them: thin black lines. `claims` (of `analysis.claims`)
    adds to each panel the band that its claim speaks of, the number and the verdict.
    """
    with look():
        figure = drawing(2.6 * len(differences), 2.9)
        panels = figure.subplots(1, len(differences), sharey=True, squeeze=False)[0]
        for axes, (pair, (mean, low, high)) in zip(panels, differences.items(), strict=True):
            frequency = np.linspace(0, 0.5, len(mean))
            axes.axhline(0, color="black", lw=0.8)
            axes.fill_between(frequency[1:], low[1:], high[1:], color=BLUE, alpha=0.2, lw=0)
            axes.plot(frequency[1:], mean[1:], color=BLUE, label="mean of the set, 95 %")
            if one is not None:
                axes.plot(frequency[1:], one[pair][1:], color=BLACK, lw=0.8, label="the picture shown")
            mark_bands(axes)
            axes.set_xlabel("cycles per pixel")
            axes.set_title(pair.replace("-", "\N{MINUS SIGN}"), pad=16)
            if claims is not None:
                mark_claim(axes, claims[claims.difference == pair].iloc[0])
        panels[0].set_ylabel("difference (dB)")
        if one is not None:
            panels[0].legend(fontsize=7)
        return figure


def mark_claim(axes: Axes, claim: pd.Series) -> None:
    """The band of a claim of section 3.4, its number with the interval, and the verdict."""
    axes.axvspan(*THIRDS[claim.band], color="#fff3cc", lw=0, zorder=0)
    half = "" if np.isnan(claim.high) else f" ± {claim.high - claim.decibels:.2f}"
    size = "|difference| " if claim.band == "all" else ""
    text = f"{size}{claim.decibels:.2f}{half} dB\n{claim.verdict}"
    axes.text(0.5, -0.3, text, transform=axes.transAxes, ha="center", va="top", fontsize=8.5)


# ---------------------------------------------------------------------------------------------------- gates: figure 5


def gate_norms(
    norms: dict[str, list[np.ndarray]], config: Config, means: dict[str, pd.DataFrame] | None = None
) -> Drawing:
    """Fig. 5: for each task one curve a gate m, the norm of its weights for every map, against the memory of the map.

    The paper counts maps from 0 in every gate, so that one memory lies elsewhere in each; here every memory has its own
    place on the axis, long-term B_0 .. B_{M-1} first, and gate m has a gap where memories do not exist yet. `norms` has
    an array (L_m,) for each gate (`analysis.gate_norms` by task); `means` (`analysis.memory_norms` by task) adds the
    mean over the maps of each memory as steps.
    """
    memories = list(dict.fromkeys(name for m in (config.blocks, 1) for name in config.gate_sources(m)))
    with look():
        figure = drawing(8.4, 2.5 * len(norms) + 0.4)
        panels = figure.subplots(len(norms), 1, sharex=True, squeeze=False)[:, 0]
        colours = COLOURS[: config.blocks]
        if config.blocks > len(COLOURS):
            colours = [matplotlib.colormaps["viridis"](x) for x in np.linspace(0, 0.95, config.blocks)]
        for axes, (task, v) in zip(panels, norms.items(), strict=True):
            for m, (values, colour) in enumerate(zip(v, colours, strict=True), start=1):
                table = None if means is None else means[task][means[task].block == m]
                gate_curve(axes, values, config.gate_sources(m), memories, colour, table)
            axes.set(xlim=(0, len(memories)), ylabel="norm (each gate to [0, 1])", title=task)
            axes.axvline(sum(name.startswith("B") for name in memories), color="black", lw=0.8)
        names = [f"${name[0]}_{{{name[1:]}}}$" if name[0] == "B" else f"$H^{{{name[1:]}}}$" for name in memories]
        panels[-1].set_xticks(np.arange(len(memories)) + 0.5, names)
        panels[-1].tick_params(axis="x", length=0)
        panels[-1].set_xlabel("memory: long-term, then short-term; one point a feature map")
        handles = [Line2D([], [], color=c, label=f"$v_{{{m}}}$") for m, c in enumerate(colours, start=1)]
        figure.legend(handles=handles, loc="outside right upper", title="gate")
        return figure


def gate_curve(
    axes: Axes, values: np.ndarray, sources: list[str], memories: list[str], colour: str, means: pd.DataFrame | None
) -> None:
    """The norms of one gate, each memory's maps at its place: a curve, or points behind the curve of means if given."""
    thin = {"lw": 0.7} if means is None else {"ls": "", "marker": ".", "ms": 2.5, "mew": 0, "alpha": 0.5}
    for name, maps in zip(sources, np.split(values, len(sources)), strict=True):
        place = memories.index(name) + (np.arange(len(maps)) + 0.5) / len(maps)
        axes.plot(place, maps, color=colour, zorder=2, **thin)
    if means is None:
        return
    places = np.array([memories.index(name) + 0.5 for name in means.memory])
    for part in (means.kind == "long-term", means.kind != "long-term"):
        axes.plot(places[part], means["mean"][part], color=colour, lw=0.8, zorder=3)
    axes.hlines(means["mean"], places - 0.4, places + 0.4, color=colour, lw=2, zorder=3)


# -------------------------------------------------------------------------------- size against quality: figure 6


def psnr_against_parameters(points: pd.DataFrame, title: str = "") -> Drawing:
    """Fig. 6: PSNR against convolution weights, coloured by seconds for a 288x288 picture, logarithmically.

    `points` has method, parameters_k (thousands), psnr (dB), seconds (NaN: not known) and origin (paper or ours). A
    line joins MemNet_M3, MemNet_M4, ...: the predictions y_3, y_4, ... of one network. Other methods are triangles.
    """
    with look():
        figure = drawing(6.4, 4.2)
        axes = figure.subplots()
        known = points.seconds.dropna()
        scale = matplotlib.colors.LogNorm(*((known.min() / 1.2, known.max() * 1.2) if len(known) else (0.1, 1)))
        origins = [(o, m, ls) for o, m, ls in (("paper", "o", "-"), ("ours", "s", "--")) if o in set(points.origin)]
        for origin, marker, line in origins:
            draw_points(axes, points[points.origin == origin], scale, marker=marker, line=line)
        axes.margins(x=0.14, y=0.12)
        axes.set(xlabel="convolution weights (thousands)", ylabel="PSNR (dB)", title=title)
        handles = [
            Line2D([], [], color=GREY, mfc="white", mec="black", marker=marker, ls=line, label=f"$y_m$, {origin}")
            for origin, marker, line in origins
        ]
        if not points.method.str.startswith("MemNet_M").all():
            handles.append(Line2D([], [], mfc="white", mec="black", marker="^", ls="", label="other networks, paper"))
        axes.legend(handles=handles, loc="lower right")
        colours = matplotlib.cm.ScalarMappable(scale, "cividis")
        bar = figure.colorbar(colours, ax=axes, label="seconds for 288x288")
        bar.ax.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        bar.ax.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%.3g"))
        bar.ax.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        return figure


def draw_points(
    axes: Axes, points: pd.DataFrame, scale: matplotlib.colors.Normalize, *, marker: str, line: str
) -> None:
    """Points of one origin, coloured by their seconds and white where these are not known; MemNet's are joined."""
    ours = points.method.str.startswith("MemNet_M")
    axes.plot(points[ours].parameters_k, points[ours].psnr, color=GREY, lw=1, ls=line)
    for shape, group in ((marker, points[ours]), ("^", points[~ours])):
        options = {"marker": shape, "s": 70, "edgecolors": "black", "linewidths": 0.8, "zorder": 3}
        timed, untimed = group[group.seconds.notna()], group[group.seconds.isna()]
        axes.scatter(timed.parameters_k, timed.psnr, c=timed.seconds, norm=scale, cmap="cividis", **options)
        axes.scatter(untimed.parameters_k, untimed.psnr, c="white", **options)
    for point in points.itertuples():
        name, place = point.method.removeprefix("MemNet_"), (point.parameters_k, point.psnr)
        how = {"bbox": PLATE, "zorder": 2.5}  # over the line, under the points
        axes.annotate(name, place, xytext=(7, -9), textcoords="offset points", fontsize=8, **how)


# ---------------------------------------------------------------------------------- pictures: figures 4 (a), 7, 8 and 9


def show(axes: Axes, image: np.ndarray, text: str = "", enlarged: bool = False) -> None:
    """A picture, uint8 or float in [0, 1], gray or colour, with text below it."""
    image = image if image.dtype == np.uint8 else np.clip(image, 0, 1)
    top = 255 if image.dtype == np.uint8 else 1
    axes.imshow(image, cmap="gray", vmin=0, vmax=top, interpolation="nearest" if enlarged else "antialiased")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(text, fontsize=8.5)


def pictures(
    images: dict[str, np.ndarray], scores: dict[str, tuple[float, float]] | None = None, columns: int = 4
) -> Drawing:
    """Pictures (H, W) or (H, W, 3) side by side, each with its name and, where `scores` has it, PSNR (dB) and SSIM.

    Fig. 4 (a). Floats lie in [0, 1].
    """
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    height, width = next(iter(images.values())).shape[:2]
    with look():
        figure = drawing(2.2 * columns, rows * (2.2 * height / width + 0.45))
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, image) in zip(panels, images.items(), strict=False):
            show(axes, image, caption(name, scores))
        for axes in panels[len(images) :]:
            axes.remove()
        return figure


def caption(name: str, scores: dict[str, tuple[float, float]] | None) -> str:
    """The name of a picture and its PSNR and SSIM below, as far as they are known; the original has their names."""
    if not scores or name not in scores:
        return f"{name}\nPSNR / SSIM" if scores and name == "original" else name
    psnr, ssim = scores[name]
    return f"{name}\n{psnr:.2f} dB / {ssim:.4f}"


def qualitative(
    images: dict[str, np.ndarray],
    *,
    area: tuple[int, int, int, int],
    scores: dict[str, tuple[float, float]] | None = None,
    title: str = "",
    columns: int = 3,
) -> Drawing:
    """Figs. 7-9: the first picture whole, with a box, and beside it the boxed part of all, enlarged.

    `images` are (H, W) or (H, W, 3) by name, the original first; `area` is (top, left, height, width) of the box;
    `scores` holds PSNR (dB) and SSIM of whole pictures, shown under the crops and said to be so. Raises ValueError when
    the box leaves the picture.
    """
    top, left, height, width = area
    whole = next(iter(images.values()))
    if min(area) < 0 or top + height > whole.shape[0] or left + width > whole.shape[1]:
        raise ValueError(f"the box {area} (top, left, height, width) leaves the picture of {whole.shape[:2]} pixels")
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    tall = rows * (1.9 * height / width + 0.5)
    wide = (tall - 0.3) * whole.shape[1] / whole.shape[0]
    with look():
        figure = drawing(wide + 1.95 * columns, tall + (0.3 if title else 0))
        figure.suptitle(title, fontsize=10)
        first, second = figure.subfigures(1, 2, width_ratios=[wide, 1.95 * columns])
        axes = first.subplots()
        show(axes, whole, "PSNR and SSIM are those\nof whole pictures" if scores else "")
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fc="none", ec=ORANGE, lw=1.8))
        panels = second.subplots(rows, columns, squeeze=False).ravel()
        for panel, (name, image) in zip(panels, images.items(), strict=False):
            show(panel, image[top : top + height, left : left + width], caption(name, scores), enlarged=True)
        for panel in panels[len(images) :]:
            panel.remove()
        return figure


# --------------------------------------------------------------------------------------------------- beyond the paper


LEVEL_UNITS = {"sigma": "sigma (grey levels of 255)", "scale": "scale factor", "quality": "JPEG quality"}


def level_curves(summary: pd.DataFrame, *, paper: tuple[int, ...], level_name: str, title: str = "") -> Drawing:
    """PSNR against level, one line a run and set, the input's dashed below; vertical lines mark the paper's levels.

    `summary` are rows of `evaluation.summary`.
    """
    with look():
        figure = drawing(6.0, 4.6)
        axes = figure.subplots()
        axes.set_xticks(sorted(set(summary.level)))
        for level in paper:
            axes.axvline(level, color=GREY, lw=0.8, ls=":")
        for number, ((run, dataset), group) in enumerate(summary.groupby(["run", "dataset"], sort=False)):
            line, colour = group.sort_values("level"), COLOURS[number % len(COLOURS)]
            axes.plot(
                line.level,
                line.psnr,
                marker=MARKERS[number % len(MARKERS)],
                ms=4,
                color=colour,
                label=f"{run}, {dataset} ({line.pictures.max()} pictures)",
            )
        for dataset, group in summary.sort_values("level").groupby("dataset", sort=False):
            line = group.drop_duplicates("level")
            axes.plot(line.level, line.input_psnr, color=GREY, lw=1, ls="--", label=f"input, {dataset}")
        axes.plot([], [], color=GREY, lw=0.8, ls=":", label="the paper's levels")
        axes.set(xlabel=LEVEL_UNITS.get(level_name, level_name), ylabel="PSNR (dB)", title=title)
        figure.legend(loc="outside lower center")  # where no curve can pass behind it
        return figure


def spread(rows: pd.DataFrame, value: str = "gain", by: str = "run", unit: str = "gain over the input (dB)") -> Drawing:
    """How a number spreads over pictures: quartiles, range and every picture, one line for each value of `by`.

    `rows` are tidy rows with the columns `value`, `by` and image; the picture with the least value is named.
    """
    groups = list(rows.groupby(by, sort=False))
    with look():
        figure = drawing(7.0, 0.55 * len(groups) + 1.0)
        axes = figure.subplots()
        axes.axvline(0, color="black", lw=0.8)
        for place, (_, group) in enumerate(groups):
            box_style = {"patch_artist": True, "boxprops": {"facecolor": "white"}, "medianprops": {"color": "black"}}
            axes.boxplot(
                group[value], positions=[place], orientation="horizontal", widths=0.55, whis=(0, 100), **box_style
            )
            shift = 0.16 * np.sin(2.4 * np.arange(len(group)))  # so that points do not cover each other
            axes.scatter(group[value], place + shift, s=14, color=BLUE, alpha=0.7, lw=0, zorder=3)
            least = group.loc[group[value].idxmin()]
            where = {"xytext": (-7, 0), "textcoords": "offset points", "ha": "right", "va": "center", "bbox": PLATE}
            axes.annotate(least.image, (least[value], place), fontsize=7, color=GREY, **where)
        axes.set_yticks(range(len(groups)), [f"{name} ({len(group)})" for name, group in groups])
        axes.margins(x=0.12)
        axes.set(xlabel=unit, ylim=(len(groups) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
        return figure


def training_curves(logs: dict[str, pd.DataFrame], title: str = "") -> Drawing:
    """Gain over the input on held-back pictures, and the training loss, against steps: one line a run.

    `logs` are the CSV files of `training.train`: columns step, loss and gain.
    """
    with look():
        figure = drawing(8.4, 3.2)
        gain, loss = figure.subplots(1, 2)
        for number, (run, log) in enumerate(logs.items()):
            colour = COLOURS[number % len(COLOURS)]
            gain.plot(log.step, log.gain, color=colour, label=run)
            loss.semilogy(log.step, log.loss, color=colour, label=run)
        gain.set(xlabel="step", ylabel="gain over the input (dB)", title="on what is held back")
        loss.set(xlabel="step", ylabel="loss (eq. 12)", title="training patches")
        gain.legend()
        figure.suptitle(title)
        return figure


def bars(values: pd.Series, unit: str, title: str = "") -> Drawing:
    """One horizontal bar for each named number, with the number at its end: prices of mistakes, say, in dB."""
    with look():
        figure = drawing(7.0, 0.33 * len(values) + 1.0)
        axes = figure.subplots()
        drawn = axes.barh(
            list(values.index), list(values), color=[BLUE if value >= 0 else VERMILLION for value in values]
        )
        axes.bar_label(drawn, labels=[f"{value:+.3f}" for value in values], padding=3, fontsize=8.5)
        axes.axvline(0, color="black", lw=0.8)
        axes.set(xlabel=unit, title=title)
        axes.margins(x=0.18)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        return figure
