"""Figure 4: images and their spectra. Data in, Figure out: nothing is computed here but where things are drawn."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle

from memnet.publishing import schematics, style
from memnet.publishing.plots import show
from memnet.publishing.schematics import Drawing
from memnet.publishing.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from memnet.study.spectra import BANDS, power_spectrum

LINES = {  # the predictions of fig. 4
    "original": {"color": BLACK, "lw": 1.0, "label": "original"},
    "input": {"color": GREY, "lw": 1.0, "ls": ":", "label": "bicubic"},
    "NL4": {"color": ORANGE, "lw": 3.5, "alpha": 0.6, "zorder": 1.5, "label": "$y_4$ MemNet_NL"},  # lies below NL6
    "NL6": {"color": VERMILLION, "ls": "--", "label": "$y_6$ MemNet_NL"},
    "Mem4": {"color": SKY, "label": "$y_4$ MemNet"},
    "Mem6": {"color": BLUE, "label": "$y_6$ MemNet"},
}
NETWORKS = {"Mem": "MemNet", "NL": "MemNet_NL"}
SET_COLOURS = (GREEN, PURPLE)
WINDOW_NAMES = {"none": "no window", "hann": "Hann window", "mirror": "mirrored"}


def mark_bands(axes: Axes) -> None:
    """The limits of the low, mid and high band, and their names along the upper edge."""
    axes.set(xlim=(0, 0.5), xticks=[0, 1 / 6, 1 / 3, 1 / 2], xticklabels=["0", "1/6", "1/3", "1/2"])
    axes.grid(axis="x", color="#bbbbbb", linewidth=0.8)
    for name, (low, high) in BANDS.items():
        place = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text((low + high) / 2, 1.01, name, color=GREY, fontsize=8, **place)


def frequencies_of(line: np.ndarray) -> np.ndarray:
    """Cycles per pixel of the elements of a density, without frequency 0."""
    return np.linspace(0, 0.5, len(line))[1:]


def images_and_spectra(
    images: dict[str, np.ndarray], area: tuple[int, int, int, int], scores: dict[str, float], title: str = ""
) -> Drawing:
    """fig4a: a column for each image (H, W) in [0, 1], by its name in LINES, the original first.

    From above: the image with a box, the boxed part enlarged, its difference to the original, and the centred 2-D power
    spectrum (Hann) with the circles at 1/6, 1/3 and 1/2 cycle per pixel. `area` is (top, left, height, width) of the
    box, `scores` PSNR in dB.
    """
    top, left, height, width = area
    part = (slice(top, top + height), slice(left, left + width))
    original = next(iter(images.values()))
    largest = max(np.abs(image - original)[part].max() for image in images.values())
    with style.look():
        tall = 1.5 * (original.shape[0] / original.shape[1] + 2 * height / width + 1)
        figure = schematics.drawing(1.55 * len(images), tall + 0.9)
        figure.suptitle(title, fontsize=10)
        ratios = [original.shape[0] / original.shape[1], height / width, height / width, 1]
        panels = figure.subplots(4, len(images), squeeze=False, gridspec_kw={"height_ratios": ratios})
        for column, (name, image) in zip(panels.T, images.items(), strict=True):
            show(column[0], image, f"{scores[name]:.2f} dB" if name in scores else "PSNR")
            column[0].set_title(LINES[name]["label"], fontsize=9)
            column[0].add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fc="none", ec=ORANGE, lw=1.5))
            show(column[1], image[part], enlarged=True)
            difference = (image - original)[part]
            drawn = column[2].imshow(255 * difference, cmap="RdBu_r", vmin=-255 * largest, vmax=255 * largest)
            spectrum(column[3], image)
        panels[1, 0].set_ylabel("enlarged")
        panels[2, 0].set_ylabel("minus original")
        panels[3, 0].set_ylabel("power spectrum")
        for axes in panels[2:].ravel():
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        bar = figure.colorbar(drawn, ax=panels[2], fraction=0.025, pad=0.01)
        bar.ax.set_ylabel("grey levels", fontsize=8)
        return figure


def spectrum(axes: Axes, image: np.ndarray, window: str = "hann") -> None:
    """The centred 2-D power spectrum of an image, eight decades of it, with the circles that limit the bands."""
    power, _ = power_spectrum(image, window)
    extent = (-0.5, 0.5, 0.5, -0.5)
    shown = np.log10(np.maximum(power, 1e-20))
    axes.imshow(shown, cmap="magma", extent=extent, aspect="equal", vmin=-6, vmax=2)
    for _, limit in BANDS.values():
        axes.add_patch(Circle((0, 0), limit, fc="none", ec="white", lw=0.7, ls="--"))


def densities(
    densities: dict[str, np.ndarray], relative: dict[str, dict[str, np.ndarray]] | None = None, title: str = ""
) -> Drawing:
    """fig4b: spectral densities (K + 1,) by name (those of LINES) against frequency.

    Left the power, on a logarithmic axis and without the mean (frequency 0). `relative` adds a panel for each of its
    titles: the same names in dB against the original (of `spectra.relative`), which the left cannot show, because an
    image's power falls by millions.
    """
    relative = relative or {}
    with style.look():
        figure = schematics.drawing(3.1 * (1 + len(relative)), 3.4)
        first, *others = figure.subplots(1, 1 + len(relative), squeeze=False)[0]
        for name, density in densities.items():
            first.semilogy(frequencies_of(density), density[1:], **LINES[name])
        first.set_ylabel("power (of intensities in [0, 1])")
        first.set_title("power, this image", pad=16)
        for axes, (words, lines) in zip(others, relative.items(), strict=True):
            if axes is not others[0]:
                axes.sharey(others[0])
            for name, line in lines.items():
                axes.plot(frequencies_of(line), line[1:], **LINES[name])
            axes.set_title(words, pad=16)
        if others:
            lowest = min(line.min() for lines in relative.values() for name, line in lines.items() if name != "input")
            others[0].set(ylabel="relative to the original (dB)", ylim=(lowest - 6, None))  # bicubic falls far below
        for axes in (first, *others):
            axes.set_xlabel("frequency (cycles per pixel)")
            mark_bands(axes)
        figure.suptitle(title, fontsize=10)
        figure.legend(handles=first.get_lines(), loc="outside lower center", ncols=6, fontsize=8.5)
        return figure


def differences(
    means: dict[str, dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]],
    claims: pd.DataFrame,
    one: dict[str, np.ndarray],
) -> Drawing:
    """fig4c: the four differences of densities in dB, numbered as the claims are.

    `means` has, by data set and pair, (mean, low, high) over images, each (K + 1,); `one` are the differences of the
    image that is shown: thin black lines, as the paper draws them. `claims` (of `spectra.claims_of`, one window) adds
    to each panel the band that its claim speaks of, and below it each set's number and verdict.
    """
    colours = dict(zip(means, SET_COLOURS, strict=False))
    with style.look():
        figure = schematics.drawing(9.4, 3.2 + 0.35 * len(means))
        panels = figure.subplots(1, len(one), sharey=True, squeeze=False)[0]
        for axes, (pair, line) in zip(panels, one.items(), strict=True):
            axes.axhline(0, color="black", lw=0.8)
            for dataset, (mean, low, high) in ((name, pairs[pair]) for name, pairs in means.items()):
                axes.fill_between(frequencies_of(mean), low[1:], high[1:], color=colours[dataset], alpha=0.2, lw=0)
                axes.plot(frequencies_of(mean), mean[1:], color=colours[dataset], label=f"{dataset}, mean and 95 %")
            axes.plot(frequencies_of(line), line[1:], color=BLACK, lw=0.7, label="the image shown")
            mark_bands(axes)
            mark_claim(axes, claims[claims.difference == pair], colours)
        panels[0].set_ylabel("difference (dB)")
        figure.legend(handles=panels[0].get_lines()[1:], loc="outside lower center", ncols=3, fontsize=8.5)
        return figure


def mark_claim(axes: Axes, claims: pd.DataFrame, colours: dict[str, str]) -> None:
    """The number and band of a claim of section 3.4, and below the panel what each data set says of it."""
    claim = claims.iloc[0]
    axes.set_title(f"({claim.number})  {claim.difference.replace('-', chr(0x2212))}", pad=16)
    axes.set_xlabel("cycles per pixel", fontsize=8)
    axes.axvspan(*BANDS.get(claim.band, (0, 1 / 2)), color="#fff3cc", lw=0, zorder=0)
    for line, row in enumerate(claims.itertuples()):
        half = "" if np.isnan(row.high) else f" ± {row.high - row.decibels:.2f}"
        number = f"{row.decibels:.2f}{half} dB"
        text = f"|difference| {number}" if row.band == "all" else number
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "top", "fontsize": 8}
        below = (0, -34 - 25 * line)
        axes.annotate(f"{text}\n{row.verdict}", (0.5, 0), below, color=colours[row.dataset], **place)


def borders(
    image: np.ndarray, relative: dict[str, dict[str, np.ndarray]], claims: pd.DataFrame, title: str = ""
) -> Drawing:
    """fig4_borders: what a spectrum shows of an image's borders, and what it then hides of a network.

    Left the image (H, W) as a Fourier transform takes it: periodic, so that its borders meet, here in the middle; then
    its 2-D spectrum without and with a Hann window. Below, `relative` (of `spectra.relative`, by window): densities
    against the original; and the claims (of `spectra.claims_of`, one data set) with and without a window.
    """
    with style.look():
        figure = schematics.drawing(9.4, 6.0)
        figure.suptitle(title, fontsize=10)
        above, below = figure.subfigures(2, 1, height_ratios=[1.15, 1.2])
        panels = above.subplots(1, 3)
        show(panels[0], np.roll(image, (image.shape[0] // 2, image.shape[1] // 2), (0, 1)), "opposite borders meet")
        panels[0].set_title("as the transform takes it")
        for axes, window in zip(panels[1:], ("none", "hann"), strict=True):
            spectrum(axes, image, window)
            axes.set(title=WINDOW_NAMES[window], xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        left, right = below.subplots(1, 2)
        for window, lines in relative.items():
            for name, line in lines.items():
                look = {"color": LINES[name]["color"], "ls": {"none": "--", "hann": "-", "mirror": ":"}[window]}
                label = f"{LINES[name]['label']}, {WINDOW_NAMES[window]}"
                left.plot(frequencies_of(line), line[1:], label=label, **look)
        left.set(xlabel="frequency (cycles per pixel)", ylabel="relative to the original (dB)")
        left.legend(fontsize=7.5)
        mark_bands(left)
        for shift, (window, colour) in zip((-0.18, 0.18), (("none", GREY), ("hann", BLUE)), strict=True):
            rows = claims[claims.window == window]
            bars = right.bar(rows.number + shift, rows.decibels, 0.34, color=colour, label=WINDOW_NAMES[window])
            right.bar_label(bars, fmt="%.2f", fontsize=7.5, padding=2)
        right.axhline(0, color="black", lw=0.8)
        names = [f"({row.number})\n{row.difference.replace('-', chr(0x2212))}" for row in rows.itertuples()]
        right.set_xticks(rows.number, names, fontsize=8)
        right.set(ylabel="decibels of the claim")
        right.margins(y=0.15)
        right.grid(axis="x", visible=False)
        right.legend(fontsize=8)
        return figure


def errors(shares: dict[str, dict[str, np.ndarray]], title: str = "") -> Drawing:
    """fig4_errors: which frequencies bring the decibels; a panel for each title, PSNR by frequency, summed up from 0.

    `shares` are those of `spectra.psnr_by_frequency` (K + 2,) by title and name; a line ends at the whole difference of
    PSNR, with the corners above 1/2 cycle per pixel as its last step.
    """
    with style.look():
        figure = schematics.drawing(9.4, 3.3)
        figure.suptitle(title, fontsize=10)
        panels = figure.subplots(1, len(shares), squeeze=False)[0]
        for axes, (words, lines) in zip(panels, shares.items(), strict=True):
            for number, (name, share) in enumerate(lines.items()):
                look = LINES.get(name, {"color": (BLUE, VERMILLION, GREEN)[number % 3], "label": name})
                frequency = [*np.linspace(0, 0.5, len(share) - 1), 0.54]
                axes.plot(frequency, share.cumsum(), **{**look, "lw": 1.5})
                axes.plot(0.54, share.sum(), marker="o", ms=4, color=look["color"])
            axes.axhline(0, color="black", lw=0.8)
            axes.set(xlabel="up to this frequency (cycles per pixel)", ylabel="PSNR (dB), summed")
            axes.set_title(words, pad=16)
            mark_bands(axes)
            axes.set(
                xlim=(0, 0.56), xticks=[0, 1 / 6, 1 / 3, 1 / 2, 0.54], xticklabels=["0", "1/6", "1/3", "1/2", "all"]
            )
            axes.legend(fontsize=8)
        return figure


def blocks(maps: dict[str, dict[str, np.ndarray]], title: str = "") -> Drawing:
    """fig4_blocks: a column for each network, a row for each of its maps (M, K + 1) of `spectra.block_maps`.

    Maps of one row share a scale in dB.
    """
    rows = {words: {name: maps[name][words] for name in maps} for words in next(iter(maps.values()))}
    with style.look():
        figure = schematics.drawing(9.4, 1.9 * len(rows) + 0.6)
        figure.suptitle(title, fontsize=10)
        panels = figure.subplots(len(rows), len(maps), sharex=True, squeeze=False)
        for row, (words, networks) in zip(panels, rows.items(), strict=True):
            least, largest = (f(list(networks.values())) for f in (np.min, np.max))
            for axes, (name, values) in zip(row, networks.items(), strict=True):
                extent = (0, 0.5, len(values) + 0.5, 0.5)
                how = {"cmap": "viridis", "vmin": least, "vmax": largest, "aspect": "auto"}
                drawn = axes.imshow(values, extent=extent, interpolation="nearest", **how)
                axes.set_yticks(range(1, len(values) + 1), [f"$y_{{{m}}}$" for m in range(1, len(values) + 1)])
                axes.set_title(f"{name}: {words}", fontsize=9, pad=14)
                mark_bands(axes)
                axes.grid(visible=False)
            figure.colorbar(drawn, ax=row, label="dB", pad=0.01)
        for axes in panels[-1]:
            axes.set_xlabel("frequency (cycles per pixel)")
        return figure
