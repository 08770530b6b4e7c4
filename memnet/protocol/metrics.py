"""PSNR and SSIM of images (H, W), with every convention stated."""

import math

import numpy as np
from skimage.metrics import structural_similarity

from memnet import checks
from memnet.protocol import images

SSIM_WINDOW = 11


def psnr(reference: np.ndarray, image: np.ndarray, data_range: float | None = None) -> float:
    """Peak signal-to-noise ratio in dB over all pixels, 10 log10(data_range^2 / MSE); inf for identical images.

    Both are (H, W) of one shape; nothing is rounded, clipped or shaved here. The range is that of the type: 1 for
    floats, 255 for uint8, 65535 for uint16; floats of another range need `data_range`. Raises ValueError otherwise, and
    for values that are not finite.
    """
    reference, image, data_range = comparable(reference, image, data_range)
    error = np.mean((reference - image) ** 2)
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def ssim(reference: np.ndarray, image: np.ndarray, data_range: float | None = None) -> float:
    """Structural similarity of Wang et al. 2004: Gaussian 11x11 window, sigma 1.5, mean over the valid region.

    K1 = 0.01, K2 = 0.03, population covariance. Types and range are those of `psnr`. Raises
    ValueError as `psnr` does, and below 11x11 pixels.
    """
    reference, image, data_range = comparable(reference, image, data_range)
    if min(reference.shape) < SSIM_WINDOW:
        height, width = reference.shape
        raise ValueError(f"SSIM needs {SSIM_WINDOW}x{SSIM_WINDOW} pixels, the image has {height}x{width}")
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(reference, image, data_range=data_range, **window))


def comparable(
    reference: np.ndarray, image: np.ndarray, data_range: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Two images (H, W) as float64 and their range; ValueError unless they are of one shape and the range fits."""
    if np.ndim(reference) != 2 or np.shape(reference) != np.shape(image):
        raise ValueError(f"the metrics compare (H, W) of one shape, got {np.shape(reference)} and {np.shape(image)}")
    for values in (reference, image):
        images.check_channel(values)
    if data_range is None:
        images.check_values(reference)
        values = image if image.dtype.kind == "f" else images.as_float(image)  # a result may be as wrong as it likes
        return images.as_float(reference), np.asarray(values, float), 1.0
    data_range = checks.number("data_range", data_range, 1e-9, 1e9)
    for values in (reference, image):
        if values.dtype.kind != "f" and data_range < values.max():
            raise ValueError(f"a data_range of {data_range} does not fit {values.dtype} up to {values.max()}")
    return np.asarray(reference, float), np.asarray(image, float), float(data_range)
