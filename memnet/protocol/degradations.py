"""What happens to an image before it is restored: noise, bicubic shrinking, JPEG.

Images are (H, W), of any kind that `images.as_float` takes; results are floats in [0, 1].
The protocol is section 5.1 of the paper as the field reads it: MATLAB's imresize, the IJG encoder, noise that is not
clipped.
"""

import io
import math
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import sparse

from memnet import checks
from memnet.protocol import images


def imresize(image: np.ndarray, scale: float, *, antialias: bool = True) -> np.ndarray:
    """MATLAB's imresize (bicubic, a = -0.5, antialiased when it shrinks, symmetric borders) of an image, float64.

    (H, W) becomes (ceil(scale H), ceil(scale W)), in the units of the image: gray levels of a uint8 stay gray levels.
    Raises ValueError unless there is an image (H, W) of finite numbers and the scale is from 1e-6 to 1e6.
    `antialias=False` is MATLAB's option of that name, which no published protocol uses.
    """
    images.check_channel(image)
    scale = checks.number("the scale", scale, 1e-6, 1e6)
    rows, columns = (resampling_matrix(size, scale, antialias) for size in image.shape)
    return (columns @ (rows @ np.asarray(image, float)).T).T


def enlarged_rows(image: np.ndarray, scale: int, rows: slice) -> np.ndarray:
    """`imresize(image, scale)[rows]` of an image, float64, without the others: what is large comes strip by strip."""
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
    """An image (H, W) shrunk by `scale` and enlarged back, floats in [0, 1].

    Raises ValueError unless scale is a whole number of 1 or more and H, W are multiples of it.
    """
    images.check_channel(image)
    scale = checks.number("the scale", scale, 1, 10**6, whole=True)
    if any(size % scale for size in image.shape):
        raise ValueError(f"an image of {image.shape[0]}x{image.shape[1]} is no multiple of {scale}: crop it first")
    return imresize(imresize(images.as_float(image), 1 / scale), scale)


def gaussian_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """An image with white Gaussian noise of `sigma` gray levels (of 255); not clipped, so floats that leave [0, 1].

    Raises ValueError for sigma outside [0, 255], for what is no image and for what is no `numpy.random.Generator`.
    """
    sigma = checks.number("the sigma of noise", sigma, 0, 255)
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is a generator such as numpy.random.default_rng(0), got {type(rng).__name__}")
    image = images.as_float(image)
    return image + rng.normal(0, sigma / 255, image.shape)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """An image (H, W) rounded to uint8, compressed by the IJG encoder at `quality` (1-100), decoded; floats in [0, 1].

    Raises ValueError for another quality, and for what is no image.
    """
    quality = checks.number("the quality of a JPEG", quality, 1, 100, whole=True)
    images.check_channel(image)
    file = io.BytesIO()
    Image.fromarray(images.to_uint8(images.as_float(image))).save(file, "JPEG", quality=quality)
    return images.to_float(np.asarray(Image.open(file)))
