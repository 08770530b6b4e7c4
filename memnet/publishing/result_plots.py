"""Figures 6 to 9, and the curves, spreads and bars beside the tables. Data in, Figure out."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from memnet.publishing import schematics, style
from memnet.publishing.plots import caption, show
from memnet.publishing.schematics import Drawing
from memnet.publishing.style import BLUE, COLOURS, GREY, MARKERS, ORANGE, PLATE, VERMILLION


def psnr_against_parameters(points: pd.DataFrame, title: str = "") -> Drawing:
    """fig6: PSNR against convolution weights, coloured by seconds for a 288x288 image, logarithmically.

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
        over = 2.5  # the line, and under the points
        axes.annotate(name, place, (7, -9), textcoords="offset points", fontsize=8, bbox=PLATE, zorder=over)


def qualitative(
    images: dict[str, np.ndarray],
    *,
    area: tuple[int, int, int, int],
    scores: dict[str, tuple[float, float]],
    title: str = "",
) -> Drawing:
    """fig7a, fig7b, fig8a, fig8b, fig8c, fig9a, fig9b: an original with a box, and this part of all images, enlarged.

    `images` are floats in [0, 1], (H, W) or (H, W, 3), by the name of their method, "original" among them; `area` is
    (top, left, height, width) of the box; `scores` are PSNR (dB) and SSIM of whole images. Raises ValueError when the
    box leaves the image.
    """
    top, left, height, width = area
    whole = images["original"]
    if min(area) < 0 or top + height > whole.shape[0] or left + width > whole.shape[1]:
        raise ValueError(f"the box {area} (top, left, height, width) leaves the image of {whole.shape[:2]} pixels")
    columns, tall = -(-len(images) // 2), 2 * (1.9 * height / width + 0.5)
    wide = min(3.4, (tall - 0.3) * whole.shape[1] / whole.shape[0])
    with style.look():
        figure = schematics.drawing(wide + 1.95 * columns, tall + 0.3)
        figure.suptitle(title, fontsize=10)
        first, second = figure.subfigures(1, 2, width_ratios=[wide, 1.95 * columns])
        axes = first.subplots()
        show(axes, whole, "PSNR and SSIM are those\nof whole images")
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fc="none", ec=ORANGE, lw=1.8))
        panels = second.subplots(2, columns, squeeze=False).ravel()
        for panel, (name, image) in zip(panels, images.items(), strict=False):
            show(panel, image[top : top + height, left : left + width], caption(name, scores), enlarged=True)
        for panel in panels[len(images) :]:
            panel.remove()
        return figure


LEVEL_UNITS = {"sigma": "sigma (grey levels of 255)", "scale": "scale factor", "quality": "JPEG quality"}


def level_curves(summary: pd.DataFrame, *, paper: tuple[int, ...], level_name: str, title: str = "") -> Drawing:
    """levels_sigma, levels_scale, levels_quality: PSNR against level, a line for each run and set.

    `summary` are rows of `evaluation.summary`. The input's lines are dashed; vertical lines mark the levels of `paper`.
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


def spread(rows: pd.DataFrame, by: str = "run") -> Drawing:
    """table3_spread, table4_spread, table5_spread: how the gain spreads over images.

    A line for each value of `by` has quartiles, range and every image. `rows` are tidy rows with the columns gain (dB),
    `by` and image; the image with the least gain is named.
    """
    groups = list(rows.groupby(by, sort=False))
    with style.look():
        figure = schematics.drawing(7.0, 0.55 * len(groups) + 1.0)
        axes = figure.subplots()
        axes.axvline(0, color="black", lw=0.8)
        for place, (_, group) in enumerate(groups):
            box_style = {"patch_artist": True, "boxprops": {"facecolor": "white"}, "medianprops": {"color": "black"}}
            axes.boxplot(
                group.gain, positions=[place], orientation="horizontal", widths=0.55, whis=(0, 100), **box_style
            )
            shift = 0.16 * np.sin(2.4 * np.arange(len(group)))  # so that points do not cover each other
            axes.scatter(group.gain, place + shift, s=14, color=BLUE, alpha=0.7, lw=0, zorder=3)
            least = group.loc[group.gain.idxmin()]
            where = {"xytext": (-7, 0), "textcoords": "offset points", "ha": "right", "va": "center", "bbox": PLATE}
            axes.annotate(least.image, (least.gain, place), fontsize=7, color=GREY, **where)
        axes.set_yticks(range(len(groups)), [f"{name} ({len(group)})" for name, group in groups])
        axes.margins(x=0.12)
        axes.set(xlabel="gain over the input (dB)", ylim=(len(groups) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
        return figure


def bars(values: pd.Series, unit: str, title: str = "") -> Drawing:
    """One horizontal bar for each named number, with the number at its end: changes in PSNR, say, in dB."""
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
