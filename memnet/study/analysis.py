"""Differences between networks image by image, and the crop that shows them best."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import ndimage, stats


def paired(rows: pd.DataFrame, one: str, others: Sequence[str]) -> pd.DataFrame:
    """How much better (dB) a run is than `others` on the same images: one, other, dataset, level, pictures, decibels.

    `rows` are tidy rows; `decibels` is the mean of the differences of PSNR, `low` and `high` its 95 % interval over
    images (Student's t), `verdict` that on the claim that it is better. Another training of the same network would
    differ too: the interval does not know by how much.
    """
    columns = ["one", "other", "dataset", "level", "pictures", "decibels", "low", "high", "verdict"]
    key, found = ["dataset", "level", "image"], []
    for other in others:
        both = rows[rows.run == one].merge(rows[rows.run == other], on=key, suffixes=("", "_other"))
        for (dataset, level), group in both.groupby(["dataset", "level"], sort=False):
            mean, low, high = interval((group.psnr - group.psnr_other).to_numpy())
            found.append((one, other, dataset, level, len(group), mean, low, high, verdict(low, high)))
    return pd.DataFrame(found, columns=columns)


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of `values` (n, ...) over n and the ends of its 95 % interval by Student's t; the ends are NaN for n = 1."""
    mean, n = np.mean(values, axis=0), len(values)
    if n < 2:
        return mean, mean * np.nan, mean * np.nan
    half = stats.t.ppf(0.975, n - 1) * np.std(values, axis=0, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half


def verdict(low: float, high: float, bound: float = 0) -> str:
    """What an interval says of the claim that a number is above `bound`: supported, not supported or undecided.

    Supported if the whole interval lies above the bound, not supported if the whole interval lies below it. An
    interval with the bound in it, or with NaN as its ends (of one value), leaves the claim undecided.
    """
    return "supported" if low > bound else "not supported" if high < bound else "undecided"


def detail_box(reference: np.ndarray, size: int = 64) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the window of `size` x `size` with most detail in an image (H, W) or (H, W, 3).

    Detail is the mean squared gradient, so that the crop of a figure is chosen by the reference alone and favours no
    method. The window shrinks with an image that is smaller.
    """
    height, width = (min(size, n) for n in reference.shape[:2])
    image = np.atleast_3d(reference).mean(axis=2, dtype=float)
    gradient = sum(ndimage.sobel(image, axis) ** 2 for axis in (0, 1))
    total = np.pad(gradient, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(np.argmax(sums), sums.shape)
    return int(top), int(left), height, width
