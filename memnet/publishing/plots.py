"""Figures 4 and 5, images side by side and training curves. Data in, Figure out: plots compute nothing."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from memnet.network.model import Config
from memnet.publishing import schematics, style
from memnet.publishing.schematics import Drawing
from memnet.publishing.style import BLACK, BLUE, COLOURS, GREY, ORANGE, SKY, VERMILLION
from memnet.study.spectra import BANDS

LINES = {  # the predictions of fig. 4
    "Mem6": {"color": BLUE, "label": "$y_6$ MemNet"},
    "Mem4": {"color": SKY, "label": "$y_4$ MemNet"},
    "NL6": {"color": VERMILLION, "ls": "--", "label": "$y_6$ MemNet_NL"},
    "NL4": {"color": ORANGE, "lw": 3.5, "alpha": 0.6, "zorder": 1.5, "label": "$y_4$ MemNet_NL"},  # lies below NL6
    "original": {"color": BLACK, "lw": 1.0, "label": "original"},
    "input": {"color": GREY, "lw": 1.0, "ls": ":", "label": "input"},
}
THIRDS = BANDS | {"all": (0, 1 / 2)}


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
    with style.look():
        figure = schematics.drawing(4.0 * (1 + len(relative)) + 1.0, 3.9)
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
    with style.look():
        figure = schematics.drawing(2.6 * len(differences), 2.9)
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
    with style.look():
        figure = schematics.drawing(8.4, 2.5 * len(norms) + 0.4)
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
    with style.look():
        figure = schematics.drawing(2.2 * columns, rows * (2.2 * height / width + 0.45))
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


def training_curves(logs: dict[str, pd.DataFrame], title: str = "") -> Drawing:
    """Gain over the input on held-back pictures, and the training loss, against steps: one line a run.

    `logs` are the CSV files of `training.train`: columns step, loss and gain.
    """
    with style.look():
        figure = schematics.drawing(8.4, 3.2)
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
