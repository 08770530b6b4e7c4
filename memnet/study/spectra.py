"""The power spectra of predictions: sec. 3.4 and fig. 4."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from memnet.network.model import MemNet
from memnet.protocol import tasks
from memnet.restoration import tiling
from memnet.study import analysis, evaluation

BANDS = {"low": (0, 1 / 6), "mid": (1 / 6, 1 / 3), "high": (1 / 3, 1 / 2)}  # cycles per pixel; thirds of the circle
CLAIMS = {  # section 3.4 on fig. 4 (c), from left to right, in our words
    "NL4 - NL6": ("mid", "without long-term memory a later block loses mid frequencies that an earlier one has"),
    "Mem6 - Mem4": ("mid", "with it, a later block keeps what the earlier one carries and adds mid frequencies"),
    "Mem4 - NL4": ("all", "in earlier blocks the two networks are alike"),
    "Mem6 - NL6": ("high", "in the end MemNet has more of the high frequencies"),
}


def spectral_density(image: np.ndarray, circles: int | None = None) -> np.ndarray:
    """Power of an image (H, W) from low to high frequency: its centred power spectrum averaged over concentric circles.

    Element k is the mean of |F|^2 / (H W) over the frequencies (cycles per pixel, both axes alike) at a distance of
    k / (2 K) from the centre, rounded to k = 0 .. K: 0 is the mean's, K the Nyquist frequency, 1/2. K is `circles`, or
    half the shorter side. The unit is the image's, squared; white noise of variance s^2 gives s^2 everywhere. No window
    is applied, no logarithm taken. Raises ValueError for more circles than the image resolves.
    """
    if image.ndim != 2:
        raise ValueError(f"a spectral density is that of one plane (H, W), got shape {image.shape}")
    resolved = min(image.shape) // 2
    circles = resolved if circles is None else circles
    if not 0 <= circles <= resolved:
        raise ValueError(f"an image of {image.shape} resolves {resolved} circles, got {circles}: ask for fewer")
    power = np.fft.fftshift(np.abs(np.fft.fft2(image)) ** 2) / image.size
    radius = np.hypot(*np.ix_(*(np.fft.fftshift(np.fft.fftfreq(n)) for n in image.shape)))
    circle = np.floor(2 * circles * radius + 0.5).astype(int).ravel()
    inside = circle <= circles  # the corners lie beyond the last circle
    return np.bincount(circle[inside], power.ravel()[inside]) / np.bincount(circle[inside])


def frequencies(circles: int) -> np.ndarray:
    """The frequency, in cycles per pixel, of each element of a spectral density with so many circles."""
    return np.linspace(0, 0.5, circles + 1)


def prediction_spectra(
    models: dict[str, MemNet],
    pictures: Sequence,
    *,
    task: str,
    level: int,
    blocks: tuple[int, ...] = (4, 6),
    circles: int = 64,
    progress: bool = True,
) -> dict[str, np.ndarray]:
    """Spectral densities (pictures, circles + 1) of the predictions y_m, m in `blocks`, by the name of model and block.

    Models {"Mem": ..., "NL": ...} give Mem4, Mem6, NL4, NL6 (fig. 4); "original" and "input" come with them. `pictures`
    are those of `datasets.pictures`, degraded at `level` of `task` as their protocol says. Raises ValueError for a
    block whose prediction a model does not make.
    """
    for name, model in models.items():
        if len(model.reconnet.norms) < max(blocks):
            raise ValueError(f"{name} makes {len(model.reconnet.norms)} predictions, and y_{max(blocks)} is asked for")
    found: dict[str, list[np.ndarray]] = {}
    for picture in evaluation.watched(pictures, f"spectra at {level}", progress=progress):
        original, degraded = tasks.degrade(picture.plane, task=task, level=level, key=picture.name)
        planes = {"original": original, "input": degraded}
        for name, model in models.items():
            _, predictions = tiling.predict(model, degraded)
            planes |= {f"{name}{m}": predictions[m - 1] for m in blocks}
        for name, plane in planes.items():
            found.setdefault(name, []).append(spectral_density(plane, circles))
    return {name: np.stack(densities) for name, densities in found.items()}


def decibels(density: np.ndarray) -> np.ndarray:
    """10 log10 of a density: one scale for all frequencies, over which a picture's power falls by millions."""
    return 10 * np.log10(np.maximum(density, np.finfo(float).tiny))


def relative(densities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Densities (..., circles + 1) in dB against the one called "original", which is 0 everywhere."""
    return {name: decibels(density) - decibels(densities["original"]) for name, density in densities.items()}


def spectral_differences(densities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The four differences of fig. 4 (c) in dB, (pictures, circles + 1) each, from densities Mem4, Mem6, NL4, NL6.

    Paper: it does not say in what unit the densities are drawn. In dB a difference is a ratio of powers, 3 dB twice.
    """
    return {
        pair: decibels(densities[one]) - decibels(densities[other])
        for pair in CLAIMS
        for one, other in [pair.split(" - ")]
    }


def clearest(densities: dict[str, np.ndarray]) -> int:
    """The number of the picture that shows best what fig. 4 is about: the largest Mem6 - NL6 at high frequencies."""
    return int(band(spectral_differences(densities)["Mem6 - NL6"], "high").mean(axis=1).argmax())


def band(density: np.ndarray, name: str) -> np.ndarray:
    """The elements of densities (..., circles + 1) that lie in a band: low, mid, high, or all but the mean."""
    f = frequencies(density.shape[-1] - 1)
    low, high = BANDS.get(name, (0, 0.5))
    return density[..., (f > low) & (f <= high)]


def claims(densities: dict[str, np.ndarray]) -> pd.DataFrame:
    """The four claims of section 3.4 as numbers: difference, band, claim, decibels, low, high, pictures, verdict.

    `decibels` is the difference of densities, meant over the circles of the band and then over pictures; `low` and
    `high` are its 95 % interval over pictures (Student's t). Claims 1, 2, 4 are supported when the interval lies
    above 0. Claim 3 (alike) takes the difference without its sign, and is supported when the interval lies below the
    difference of claim 4: what is called alike has to be closer than what is called different. Paper: it shows one
    picture and no interval; bands, unit and this limit are ours. One picture has no verdict.
    """
    rows, differences = [], spectral_differences(densities)
    limit = band(differences["Mem6 - NL6"], CLAIMS["Mem6 - NL6"][0]).mean()
    for pair, difference in differences.items():
        name, claim = CLAIMS[pair]
        values = band(np.abs(difference) if name == "all" else difference, name).mean(axis=-1)
        mean, low, high = analysis.interval(values)
        supported = high < limit if name == "all" else low > 0
        words = "supported" if supported else "not supported"
        rows.append(
            (pair, name, claim, mean, low, high, len(values), words if len(values) > 1 else "one picture: open")
        )
    columns = ["difference", "band", "claim", "decibels", "low", "high", "pictures", "verdict"]
    return pd.DataFrame(rows, columns=columns)
