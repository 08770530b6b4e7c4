"""What happens to a picture before it is restored: noise, bicubic shrinking, JPEG; and how the result is scored.

Planes are floats in [0, 1], (H, W), unless a docstring says uint8. The protocol is section 5.1 of the paper as the
field reads it: MATLAB's imresize, the IJG encoder, noise that is not clipped.
"""

import io
import math
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import sparse

from memnet.protocol import images


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
