"""Figures 4 to 9 and their kin. Data in, Figure out: nothing is computed here but where things are drawn."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from memnet.network.model import Config
from memnet.publishing import schematics, style
from memnet.publishing.schematics import Drawing
from memnet.publishing.style import BLACK, BLUE, COLOURS, GREY, MARKERS, ORANGE, PLATE, SKY, VERMILLION
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


def psnr_against_parameters(points: pd.DataFrame, title: str = "") -> Drawing:
    """Fig. 6: PSNR against convolution weights, coloured by seconds for a 288x288 picture, logarithmically.

    `points` has method, parameters_k (thousands), psnr (dB), seconds (NaN: not known) and origin (paper or ours). A
    line joins MemNet_M3, MemNet_M4, ...: the predictions y_3, y_4, ... of one network. Other methods are triangles.
    """
    with style.look():
        figure = schematics.drawing(6.4, 4.2)
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
    with style.look():
        figure = schematics.drawing(wide + 1.95 * columns, tall + (0.3 if title else 0))
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


LEVEL_UNITS = {"sigma": "sigma (grey levels of 255)", "scale": "scale factor", "quality": "JPEG quality"}


def level_curves(summary: pd.DataFrame, *, paper: tuple[int, ...], level_name: str, title: str = "") -> Drawing:
    """PSNR against level, one line a run and set, the input's dashed below; vertical lines mark the paper's levels.

    `summary` are rows of `evaluation.summary`.
    """
    with style.look():
        figure = schematics.drawing(6.0, 4.6)
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
    with style.look():
        figure = schematics.drawing(7.0, 0.55 * len(groups) + 1.0)
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


def bars(values: pd.Series, unit: str, title: str = "") -> Drawing:
    """One horizontal bar for each named number, with the number at its end: prices of mistakes, say, in dB."""
    with style.look():
        figure = schematics.drawing(7.0, 0.33 * len(values) + 1.0)
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
