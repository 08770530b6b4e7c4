"""The power spectra of predictions: sec. 3.4 and fig. 4."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import fft, signal
from torch import nn

from memnet import checks
from memnet.protocol import images, tasks
from memnet.protocol.datasets import Picture
from memnet.restoration import tiling
from memnet.study import analysis, store

WINDOWS = ("hann", "mirror", "none")
BANDS = {"low": (0, 1 / 6), "mid": (1 / 6, 1 / 3), "high": (1 / 3, 1 / 2)}  # cycles per pixel; thirds of the circle
CIRCLES = 64  # of stored spectra
ALIKE = 0.5  # dB; what the choice of the window alone changes in a band: Hann against mirror, bicubic on Set5
CLAIMS = {  # section 3.4 on fig. 4 (c), from left to right, in our words: number, band, claim
    "NL4 - NL6": (1, "mid", "without long-term memory a later block loses mid frequencies that an earlier one has"),
    "Mem6 - Mem4": (2, "mid", "with it, a later block keeps what the earlier one carries and adds mid frequencies"),
    "Mem4 - NL4": (3, "all", "in earlier blocks the two networks are alike"),
    "Mem6 - NL6": (4, "high", "in the end MemNet has more of the high frequencies"),
}


def power_spectrum(image: np.ndarray, window: str = "hann") -> tuple[np.ndarray, np.ndarray]:
    """The power of an image (H, W) at each frequency, centred, and the distance of each frequency from 0.

    Both are (H, W); the distance is in cycles per pixel. A Fourier transform takes an image as periodic: the jump
    between opposite borders has power at every frequency. `window` says what is done about it: "hann" fades the image
    out towards its borders; "mirror" continues it as its mirror image (the cosine transform; frequency 0 is then in
    the upper left corner); "none" leaves the jump in. White noise of variance s^2 has s^2 everywhere with each.
    Raises ValueError for an unknown window, and for an image that is not (H, W) with sides of 2 or more.
    """
    images.check_channel(image)
    if window not in WINDOWS:
        raise ValueError(f"unknown window {window!r}: choose one of {', '.join(WINDOWS)}")
    if min(image.shape) < 2:
        raise ValueError(f"a spectrum is that of one channel (H, W) with sides of 2 pixels or more, got {image.shape}")
    image = np.asarray(image, float)
    if window == "mirror":
        radius = np.hypot(*np.ix_(*(np.arange(n) / (2 * n) for n in image.shape)))
        return fft.dctn(image, norm="ortho") ** 2, radius
    weight = np.ones(image.shape)
    if window == "hann":
        weight = np.outer(*(signal.windows.hann(n, sym=False) for n in image.shape))
    power = np.abs(np.fft.fftshift(np.fft.fft2(weight * image))) ** 2 / (weight**2).sum()
    return power, np.hypot(*np.ix_(*(np.fft.fftshift(np.fft.fftfreq(n)) for n in image.shape)))


def circle_of(radius: np.ndarray, circles: int) -> np.ndarray:
    """The number of the circle, 0 .. K = `circles`, to which each frequency belongs; K + 1 for the corners beyond."""
    return np.minimum(np.floor(2 * circles * radius + 0.5).astype(int), circles + 1)


def spectral_density(image: np.ndarray, window: str = "hann", circles: int | None = None) -> np.ndarray:
    """Power of an image (H, W) from low to high frequency: its power spectrum averaged over concentric circles.

    Element k = 0 .. K is the mean power of the frequencies whose distance from 0 rounds to k / (2 K) cycles per pixel:
    0 is the mean's, K is the Nyquist frequency, 1/2. K is `circles`, or half the shorter side. The unit is that of the
    image, squared; no logarithm is taken. White noise of variance s^2 gives s^2 everywhere. `window` is "hann",
    "mirror" or "none" (see `power_spectrum`). Source: section 3.4, fig. 4. Raises ValueError as `power_spectrum`, and
    for more circles than the image resolves.
    """
    # Paper: it names no window. Without one the jump at the borders hides how much a network restores.
    power, radius = power_spectrum(image, window)
    resolved = min(image.shape) // 2
    circles = resolved if circles is None else circles
    circles = checks.number(f"the number of circles in an image of {image.shape}", circles, 1, resolved, whole=True)
    circle = circle_of(radius, circles).ravel()
    return (np.bincount(circle, power.ravel())[: circles + 1] / np.bincount(circle)[: circles + 1]).copy()


def error_spectrum(error: np.ndarray, circles: int = CIRCLES) -> np.ndarray:
    """The mean squared error by frequency: (K + 2,) for an error y - x (H, W), with K = `circles`.

    Elements 0 .. K are summed over the circles of `spectral_density`, the last one over the corners beyond. By
    Parseval their sum is exactly the mean of error^2; so no window is applied. Raises ValueError as `power_spectrum`.
    """
    power, radius = power_spectrum(error, "none")
    return np.bincount(circle_of(radius, circles).ravel(), power.ravel(), minlength=circles + 2) / error.size


def psnr_by_frequency(errors: np.ndarray, reference_errors: np.ndarray) -> np.ndarray:
    """Which frequencies bring the decibels: (..., K + 2) in dB, for error spectra of two images against one original.

    The sum is exactly the PSNR of the first minus that of the second. Each frequency has the part of it that it has of
    the fall in squared error.
    """
    mse, reference_mse = errors.sum(axis=-1, keepdims=True), reference_errors.sum(axis=-1, keepdims=True)
    ratio = np.log(reference_mse / mse)
    same = np.abs(ratio) < 1e-9
    logarithmic_mean = np.where(same, mse, (reference_mse - mse) / np.where(same, 1, ratio))
    return 10 / np.log(10) * (reference_errors - errors) / logarithmic_mean


def frequencies(circles: int) -> np.ndarray:
    """The frequency, in cycles per pixel, of each element of a spectral density with so many circles."""
    return np.linspace(0, 0.5, circles + 1)


def decibels(density: np.ndarray) -> np.ndarray:
    """10 log10 of a density: one scale for all frequencies, over which an image's power falls by millions."""
    return 10 * np.log10(np.maximum(density, np.finfo(float).tiny))


# Rows


def measure_image(model: nn.Module, image: Picture, *, task: str, level: int) -> pd.DataFrame:
    """Spectra in dB of an image, its degraded form and the predictions y_1 .. y_M: image, kind, of, 0 .. K, beyond.

    `kind` is a window ("hann" or "none"): the spectral density with it; or "error": the error spectrum of what PSNR
    compares, whose `beyond` are the corners. `of` is original, input, 1 .. M.
    """
    scored = tasks.task(task)
    reference, degraded = scored.degrade(image.pixels, level, key=image.name)
    _, predictions = tiling.predict(model, degraded)
    shown = {"original": reference, "input": degraded} | {str(m): y for m, y in enumerate(predictions, 1)}
    rows = []
    for of, pixels in shown.items():
        rows += [(window, of, *decibels(spectral_density(pixels, window, CIRCLES)), 0) for window in ("hann", "none")]
        original, compared = scored.compared(reference, pixels, level)
        rows += [("error", of, *decibels(error_spectrum(compared - original)))] if of != "original" else []
    table = pd.DataFrame(rows, columns=["kind", "of", *map(str, range(CIRCLES + 1)), "beyond"])
    table.insert(0, "image", image.name)
    return table


def named(runs: str) -> dict[str, str]:
    """The two runs that fig. 4 compares, {"Mem": ..., "NL": ...}, from "RUN RUN"; ValueError for another number."""
    names = runs.split()
    if len(names) != 2:
        raise ValueError(f"fig. 4 compares two runs, with and without long-term memory, got {runs!r}")
    return dict(zip(("Mem", "NL"), names, strict=True))


def prediction_spectra(
    runs: dict[str, str], dataset: str, level: int, *, limit: int | None = None, fresh: bool = False
) -> dict[str, dict[str, np.ndarray]]:
    """Spectra of a data set and of what networks make of it, by kind (see `measure_image`) and name.

    Runs {"Mem": ..., "NL": ...} (of `named`) give Mem1 .. Mem6, NL1 .. NL6, beside "original" and "input": densities of
    power (images, K + 1) for "hann" and "none", (images, K + 2) for "error". Rows are stored, and measured where they
    are not.
    """
    spectra: dict[str, dict[str, np.ndarray]] = {}
    for name, run in runs.items():
        rows = store.image_rows("spectra", run, dataset, level, measure_image, limit=limit, fresh=fresh)
        for (kind, of), group in rows.groupby(["kind", "of"], sort=False):
            power = 10 ** (group.drop(columns=["image", "kind", "of"]).to_numpy(float) / 10)
            title = of if of in ("original", "input") else f"{name}{of}"
            spectra.setdefault(kind, {})[title] = power if kind == "error" else power[:, :-1]
    return spectra


# What they say


def relative(densities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Densities (..., K + 1) in dB against the one called "original", which is 0 everywhere."""
    return {name: decibels(density) - decibels(densities["original"]) for name, density in densities.items()}


def spectral_differences(densities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The four differences of fig. 4 (c) in dB, (images, K + 1) each, from densities Mem4, Mem6, NL4, NL6.

    Paper: it does not say in what unit the densities are drawn. In dB a difference is a ratio of powers, 3 dB twice.
    Raises ValueError when one of the four is missing.
    """
    missing = {"Mem4", "Mem6", "NL4", "NL6"} - set(densities)
    if missing:
        raise ValueError(f"fig. 4 compares y_4 and y_6 of two networks, and {', '.join(sorted(missing))} is missing")
    pairs = {pair: pair.split(" - ") for pair in CLAIMS}
    return {pair: decibels(densities[one]) - decibels(densities[other]) for pair, (one, other) in pairs.items()}


def choose(densities: dict[str, np.ndarray], shown: int = -1) -> int:
    """The number of the image to show: `shown`, or for -1 the one with the largest Mem6 - NL6 at high frequencies.

    Raises ValueError when there is no such image.
    """
    difference = band(spectral_differences(densities)["Mem6 - NL6"], "high").mean(axis=1)
    if not -1 <= shown < len(difference):
        raise ValueError(f"shown is -1, or 0 to {len(difference) - 1} for {len(difference)} images, got {shown}")
    return int(difference.argmax()) if shown == -1 else shown


def band(density: np.ndarray, name: str) -> np.ndarray:
    """The elements of densities (..., K + 1) that lie in a band: low, mid, high, or all but frequency 0."""
    f = frequencies(density.shape[-1] - 1)
    low, high = BANDS.get(name, (0, 0.5))
    return density[..., (f > low) & (f <= high)]


def claims(densities: dict[str, np.ndarray]) -> pd.DataFrame:
    """The four claims of section 3.4 as numbers: number, difference, band, claim, decibels, low, high, images, verdict.

    `decibels` is the difference of densities, averaged over the circles of the band and then over images; `low` and
    `high` are its 95 % interval over images (Student's t). Claims 1, 2, 4 say that the difference is above 0. Claim 3
    (alike) says that the difference without its sign is below ALIKE. For verdicts see `analysis.verdict`.
    Paper: it shows one image and no interval; bands, unit and this bound are ours.
    """
    rows = []
    for pair, difference in spectral_differences(densities).items():
        number, name, claim = CLAIMS[pair]
        values = band(np.abs(difference) if name == "all" else difference, name).mean(axis=-1)
        mean, low, high = analysis.interval(values)
        verdict = analysis.verdict(-high, -low, -ALIKE) if name == "all" else analysis.verdict(low, high)
        rows.append((number, pair, name, claim, mean, low, high, len(values), verdict))
    columns = ["number", "difference", "band", "claim", "decibels", "low", "high", "images", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def claims_of(spectra: dict[str, dict[str, dict[str, np.ndarray]]]) -> pd.DataFrame:
    """`claims` for each data set and window, with these as columns, from `prediction_spectra` by data set."""
    tables = [
        claims(by_kind[window]).assign(dataset=dataset, window=window)
        for dataset, by_kind in spectra.items()
        for window in ("hann", "none")
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["dataset", "window", *table.columns[:-2]]]


def psnr_by_band(errors: dict[str, np.ndarray], pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """PSNR of one prediction above another by band, in dB, mean over images: prediction, against, low .. beyond, all.

    `errors` are error spectra (images, K + 2) by name; `beyond` is the corners above 1/2 cycle per pixel, and the four
    bands sum to `all`.
    """
    rows = []
    for one, other in pairs:
        gain = psnr_by_frequency(errors[one], errors[other]).mean(axis=0)
        parts = [gain[0] + band(gain[:-1], "low").sum(), *(band(gain[:-1], name).sum() for name in ("mid", "high"))]
        rows.append((one, other, *parts, gain[-1], gain.sum()))
    return pd.DataFrame(rows, columns=["prediction", "against", "low", "mid", "high", "beyond", "all"])


def block_maps(spectra: dict[str, dict[str, np.ndarray]], name: str) -> dict[str, np.ndarray]:
    """Blocks by frequencies for the network called `name`: two maps (M, K + 1) in dB, mean over images, by title.

    The power of y_1 .. y_M against the original's, and what each frequency brings of the PSNR of y_m over the input: a
    row of it, with the corners beyond the last circle, sums to that PSNR.
    """
    blocks = [key for key in spectra["hann"] if key.removeprefix(name).isdigit()]
    power, error = relative(spectra["hann"]), spectra["error"]
    gains = [psnr_by_frequency(error[key], error["input"]).mean(axis=0)[:-1] for key in blocks]
    return {
        "power against the original": np.stack([power[key].mean(axis=0) for key in blocks]),
        "PSNR over the input, by circle": np.stack(gains),
    }
