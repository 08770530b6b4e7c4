"""Figures of the teaching notebooks."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from memnet.publishing import plots, schematics, style
from memnet.publishing.schematics import Drawing
from memnet.publishing.style import BLUE, COLOURS, GREY, MARKERS, ORANGE, VERMILLION


def gradient_profiles(profiles: dict[str, np.ndarray], title: str = "") -> Drawing:
    """section4_gradients: the norms of gradients from the first layer to the last, one line a network."""
    with style.look():
        figure = schematics.drawing(6.8, 3.4)
        axes = figure.subplots()
        for number, (name, norms) in enumerate(profiles.items()):
            marker = MARKERS[number % len(MARKERS)]
            line = style.line_style(number) if number < len(COLOURS) else {"color": GREY, "ls": "--"}
            axes.semilogy(range(1, len(norms) + 1), norms, marker=marker, ms=3, label=name, **line)
        axes.set(xlabel="convolution, from the input to the output", ylabel="norm of the gradient", title=title)
        figure.legend(loc="outside right center")
        return figure


def relative_spectra(lines: dict[str, np.ndarray], title: str = "") -> Drawing:
    """Spectral densities in dB against the original's (circles + 1,), one line an image; 0 is the original."""
    with style.look():
        figure = schematics.drawing(6.8, 3.4)
        axes = figure.subplots()
        for number, (name, line) in enumerate(lines.items()):
            colour = GREY if name == "input" else COLOURS[number % len(COLOURS)]
            frequency = np.linspace(0, 0.5, len(line))[1:]
            axes.plot(frequency, line[1:], color=colour, ls=":" if name == "input" else "-", label=name)
        axes.axhline(0, color="black", lw=0.8)
        axes.set(xlabel="frequency (cycles per pixel)", ylabel="power relative to the original (dB)", title=title)
        figure.legend(loc="outside right center")
        return figure


def memory_panel(
    maps: dict[str, np.ndarray], norms: pd.Series, *, shown: str, off: str, block: int, title: str = ""
) -> Drawing:
    """Feature maps (H, W) of the memory `shown`, and the norms of a gate by memory, that which is `off` in white."""
    with style.look():
        figure = schematics.drawing(10.0, 3.6)
        figure.suptitle(title, fontsize=10)
        left, right = figure.subfigures(1, 2, width_ratios=[3, 2])
        left.suptitle(f"{shown} in gate {block}", fontsize=9)
        for axes, (name, image) in zip(left.subplots(2, 4).ravel(), maps.items(), strict=False):
            plots.show(axes, image, name)
        norm_bars(right.subplots(), norms, shown=shown, off=off, block=block)
        return figure


def gate_norms(norms: pd.Series, *, shown: str, off: str, block: int) -> Drawing:
    """The norms of a gate by memory, that which is `off` in white."""
    with style.look():
        figure = schematics.drawing(7.4, 2.6)
        norm_bars(figure.subplots(), norms, shown=shown, off=off, block=block)
        return figure


def norm_bars(axes: Axes, norms: pd.Series, *, shown: str, off: str, block: int) -> None:
    """A bar for each memory of a gate: the one that is `shown` in orange, the one that is `off` in white."""
    colours = ["white" if name == off else ORANGE if name == shown else BLUE for name in norms.index]
    axes.bar(norms.index, norms, color=colours, edgecolor="black", linewidth=0.6)
    axes.set(ylabel=f"norm of the weights of gate {block}")
    axes.tick_params(axis="x", labelsize=8)


def training_costs(table: pd.DataFrame, curve: pd.DataFrame, *, paper: float, own: pd.DataFrame) -> Drawing:
    """train: PSNR against the pixels of all patches seen, a fitted curve with its 90 % band, the paper's number.

    `table` and `own` have the columns of `training_cost.trainings`, `curve` those of `training_cost.band`. A training
    of one's own whose PSNR is missing is a vertical line.
    """
    with style.look():
        figure = schematics.drawing(7.4, 4.2)
        axes = figure.subplots()
        axes.fill_between(curve.pixels, curve.low, curve.high, color=BLUE, alpha=0.15, lw=0, label="90 % of the refits")
        axes.semilogx(curve.pixels, curve.psnr, color=BLUE, label="fitted curve")
        axes.axhline(paper, color="black", lw=1, ls="--", label=f"the paper: {paper:.2f} dB")
        for fitted, marker, colour, label in ((True, "o", BLUE, "MemNet, 291 images"), (False, "^", GREY, "others")):
            part = table[table.fitted == fitted]
            axes.plot(part.pixels, part.psnr, marker, color=colour, ls="", label=label)
        for row in own.itertuples():
            axes.axvline(row.pixels, color=VERMILLION, lw=1, ls=":", label=f"your {row.run}")
            axes.plot(row.pixels, row.psnr, "*", color=VERMILLION, ms=12)
        axes.set(xlabel="pixels of all patches seen (millions)", ylabel="mean PSNR on Set5, x3 (dB)")
        figure.legend(loc="outside right center")
        return figure
