"""What happens to a picture before it is restored: noise, bicubic shrinking, JPEG; and how the result is scored.

Planes are floats in [0, 1], (H, W), unless a docstring says uint8. The protocol is section 5.1 of the paper as the
field reads it: MATLAB's imresize, the IJG encoder, noise that is not clipped.
"""

import io
import math
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import sparse

from memnet import images, metrics


@dataclass(frozen=True)
class Task:
    """A restoration task with the levels that one network is trained for."""

    name: str
    levels: tuple[int, ...]
    level_name: str  # what a level is
    prefix: str  # how it is written before the number
    degraded: str  # what tables call the degraded picture


TASKS = {
    "denoising": Task("denoising", (30, 50, 70), "sigma", "sigma ", "Noisy"),
    "super-resolution": Task("super-resolution", (2, 3, 4), "scale", "x", "Bicubic"),
    "jpeg": Task("jpeg", (10, 20), "quality", "quality ", "JPEG"),
}


def task(name: str) -> Task:
    """The task of that name; ValueError with all the names when there is none."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    return TASKS[name]


def imresize(image: np.ndarray, scale: float, *, antialias: bool = True) -> np.ndarray:
    """MATLAB's imresize (bicubic, a = -0.5, antialiased when it shrinks, symmetric borders) of a plane, float64.

    (H, W) becomes (ceil(scale H), ceil(scale W)). Raises ValueError unless there is a plane and scale > 0.
    `antialias=False` is MATLAB's option of that name, which no published protocol uses.
    """
    if image.ndim != 2 or 0 in image.shape or not scale > 0:
        raise ValueError(f"imresize takes a plane (H, W) and a scale above 0, got {image.shape} and {scale}")
    rows, columns = (resampling_matrix(size, scale, antialias) for size in image.shape)
    return (columns @ (rows @ np.asarray(image, float)).T).T


def enlarged_rows(image: np.ndarray, scale: int, rows: slice) -> np.ndarray:
    """`imresize(image, scale)[rows]` of a plane, float64, without the others: what is large comes strip by strip."""
    vertical = resampling_matrix(image.shape[0], scale)[rows]
    first, last = vertical.indices.min(), vertical.indices.max() + 1
    part = vertical[:, first:last] @ np.asarray(image[first:last], float)
    return (resampling_matrix(image.shape[1], scale) @ part.T).T


@lru_cache(maxsize=64)
def resampling_matrix(size: int, scale: float, antialias: bool = True) -> sparse.csr_array:
    """What each of ceil(scale size) new pixels takes from each of `size` old ones: rows that sum to 1."""
    new_size = math.ceil(round(size * scale, 9))
    stretch = min(scale, 1.0) if antialias else 1.0  # shrinking widens the kernel: antialiasing
    width = 4 / stretch
    centre = (np.arange(new_size) + 0.5) / scale - 0.5
    taps = np.floor(centre - width / 2).astype(int)[:, None] + np.arange(math.ceil(width) + 2)
    weights = cubic(stretch * (centre[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.concatenate([np.arange(size), np.arange(size)[::-1]])
    old, new = mirrored[taps % (2 * size)], np.broadcast_to(np.arange(new_size)[:, None], taps.shape)
    return sparse.csr_array((weights.ravel(), (new.ravel(), old.ravel())), shape=(new_size, size))


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def bicubic(image: np.ndarray, scale: int) -> np.ndarray:
    """A plane shrunk by `scale` and enlarged back (H, W); ValueError unless scale >= 1 and H, W are multiples."""
    if scale < 1:
        raise ValueError(f"a scale is 1 or more, got {scale}")
    if any(size % scale for size in image.shape):
        raise ValueError(f"a picture of {image.shape[0]}x{image.shape[1]} is no multiple of {scale}: crop it first")
    return imresize(imresize(image, 1 / scale), scale)


def gaussian_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """A plane with white Gaussian noise of `sigma` grey levels (of 255); not clipped, so values leave [0, 1].

    Raises ValueError unless the plane is of floats and sigma >= 0.
    """
    if not np.issubdtype(image.dtype, np.floating) or not sigma >= 0:
        raise ValueError(f"noise of sigma >= 0 is added to floats in [0, 1], got sigma {sigma} and {image.dtype}")
    return image + rng.normal(0, sigma / 255, image.shape)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """A plane rounded to uint8, compressed by the IJG encoder at `quality` (1-100) and decoded; floats in [0, 1].

    Raises ValueError for another quality.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"the quality of a JPEG is 1 to 100, got {quality}")
    file = io.BytesIO()
    Image.fromarray(images.to_uint8(image)).save(file, "JPEG", quality=quality)
    return images.to_float(np.asarray(Image.open(file)))


def degrade(
    plane: np.ndarray, *, task: str, level: float, key: str = "", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The reference and what a network gets of a uint8 plane (H, W): two float64 planes of one shape.

    `level` is sigma in grey levels, the scale or the quality; super-resolution crops to a multiple of the scale.
    Noise depends on (seed, key) alone: give every picture its name as key. Raises ValueError for an unknown task or a
    level that makes no sense there, and when a picture is smaller than the scale.
    """
    reference = images.to_float(plane)
    if task == "denoising":
        # Paper: MATLAB's generator, which NumPy does not have. Over 12 pictures seeds move the mean by 0.006 dB.
        rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
        return reference, gaussian_noise(reference, level, rng)
    if level % 1:
        raise ValueError(f"{task} takes whole numbers as levels, got {level}")
    level = int(level)
    if task == "super-resolution":
        reference = images.crop_to_multiple(reference, level)
        return reference, bicubic(reference, level)
    if task == "jpeg":
        return reference, jpeg(reference, level)
    raise ValueError(f"unknown task {task!r}: choose one of {', '.join(TASKS)}")


def score(reference: np.ndarray, image: np.ndarray, *, task: str, level: float) -> tuple[float, float]:
    """PSNR (dB) and SSIM of a plane (H, W) against its reference, as the field reports them for the task.

    Super-resolution: both rounded to uint8, `level` pixels shaved from each border; otherwise the floats as they are.
    """
    reference, image = compared(reference, image, task=task, level=level)
    return metrics.psnr(reference, image), metrics.ssim(reference, image)


def compared(reference: np.ndarray, image: np.ndarray, *, task: str, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The two planes as the metrics of a task take them: rounded and shaved for super-resolution, else as they are."""
    if task == "super-resolution":
        planes = (images.to_float(images.to_uint8(plane)) for plane in (reference, image))
        reference, image = (images.shave(plane, int(level)) for plane in planes)
    return reference, image
