"""PSNR and SSIM on planes (H, W), with every convention stated."""

import math

import numpy as np
from skimage.metrics import structural_similarity

SSIM_WINDOW = 11


def psnr(reference: np.ndarray, image: np.ndarray, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB over all pixels, 10 log10(data_range^2 / MSE); inf for identical planes.

    Nothing is rounded, clipped or shaved here. Raises ValueError unless both are (H, W) of one shape.
    """
    check_planes(reference, image)
    error = np.mean((np.asarray(reference, float) - np.asarray(image, float)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def ssim(reference: np.ndarray, image: np.ndarray, data_range: float = 1.0) -> float:
    """Structural similarity of Wang et al. 2004: Gaussian 11x11 window, sigma 1.5, mean over the valid region.

    K1 = 0.01, K2 = 0.03, population covariance. Raises ValueError unless both are (H, W) of one shape from 11x11.
    """
    check_planes(reference, image)
    if min(reference.shape) < SSIM_WINDOW:
        height, width = reference.shape
        raise ValueError(f"SSIM needs {SSIM_WINDOW}x{SSIM_WINDOW} pixels, the picture has {height}x{width}")
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    reference, image = np.asarray(reference, float), np.asarray(image, float)
    return float(structural_similarity(reference, image, data_range=data_range, **window))


def check_planes(reference: np.ndarray, image: np.ndarray) -> None:
    """Raise ValueError unless both are planes (H, W) of one shape."""
    if reference.ndim != 2 or reference.shape != image.shape:
        raise ValueError(f"the metrics compare planes (H, W) of one shape, got {reference.shape} and {image.shape}")
