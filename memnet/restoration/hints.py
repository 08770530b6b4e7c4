"""Whether an image shows that another task is meant: grain of noise, or the squares of JPEG.

The thresholds were set on Set14, LIVE1 and 30 images of BSD100, luma: neither takes a clean image for damaged there.
"""

import numpy as np

from memnet.protocol import images
from memnet.protocol.tasks import Task

SMALLEST = 64  # pixels: the edge from which on both measures hold
GRAIN = 9.0  # gray levels: clean images show at most 7.4, those with noise of sigma 10 at least 9.6
SQUARES = 1.3  # clean images show at most 1.21, JPEG of quality 75 1.25, of quality 10 at least 1.47
SMOOTH_QUARTER = 0.25  # of the image, where texture is not taken for noise
BLOCK = 16  # differences, at half the image's size, that share one measure


def hint(pixels: np.ndarray, task: Task) -> str | None:
    """A remark where uint8 or uint16 pixels show that another task than this is meant; None where they do not."""
    pixels = images.to_8_bits(pixels)
    luma = images.luma(pixels)
    if min(luma.shape) < SMALLEST:
        return None
    if task.name != "jpeg" and squares(luma) > SQUARES:
        return "it shows the squares of JPEG: --task jpeg is made for them"
    if task.name != "denoising" and (sigma := grain(luma)) > GRAIN:
        return f"it shows grain, sigma about {sigma:.0f}: --task denoising is made for it"
    return None


def grain(luma: np.ndarray) -> float:
    """The sigma of noise in uint8 luma (H, W), in gray levels: diagonal Haar differences where they are smallest."""
    a, b, c, d = (part.astype(np.float32) for part in quarters(luma))
    differences = np.abs(a - b - c + d) / 2
    height, width = (size // BLOCK for size in differences.shape)
    blocks = differences[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK)
    medians = np.median(blocks.swapaxes(1, 2).reshape(height * width, -1), axis=1)
    return float(np.quantile(medians, SMOOTH_QUARTER)) / 0.6745  # the median of |N(0, 1)|


def quarters(luma: np.ndarray) -> tuple[np.ndarray, ...]:
    """The four pixels of every 2x2 square, each (H // 2, W // 2)."""
    height, width = (size // 2 * 2 for size in luma.shape)
    return tuple(luma[top:height:2, left:width:2] for top in (0, 1) for left in (0, 1))


def squares(luma: np.ndarray) -> float:
    """How much larger steps are at the borders of 8x8 squares than within, in uint8 luma; in the weaker direction."""
    return min(steps_at_borders(luma), steps_at_borders(luma.T))


def steps_at_borders(luma: np.ndarray) -> float:
    """The mean step between columns 7 and 8, 15 and 16 ... as a multiple of the median of the other mean steps."""
    width = (luma.shape[1] - 1) // 8 * 8
    steps = np.abs(np.diff(luma[:, : width + 1].astype(np.int16), axis=1)).mean(axis=0)
    means = steps.reshape(-1, 8).mean(axis=0)
    return float(means[7] / (np.median(means[:7]) + 0.5))  # 0.5: what rounding alone does to a flat image
