"""Images as arrays (H, W) or (H, W, 3): reading, writing, colour spaces as MATLAB has them, borders."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from memnet import checks
from memnet.paths import atomic_write
from memnet.protocol import photographs

# BT.601, studio swing, from R, G, B in [0, 1] to Y, Cb, Cr in grey levels: MATLAB's rgb2ycbcr
TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
YCBCR_OFFSET = np.array([16.0, 128.0, 128.0])
YCBCR_TO_RGB = np.linalg.inv(TO_YCBCR / 255.0).T  # rows: what changes of Y, Cb and Cr add to R, G and B
TO_GRAY = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])  # MATLAB's rgb2gray
NOISY = (-4.0, 5.0)  # what the values of a float image may reach with noise of sigma up to 255
STRIP = 256  # rows of an image whose floats are there at a time


def read_picture(path: Path) -> np.ndarray:
    """The image in a file as uint8, (H, W) if it is gray and (H, W, 3) RGB otherwise; alpha is dropped.

    Raises ValueError, with the file's name and the reason, when there is no readable image.
    """
    return to_8_bits(photographs.read_photograph(path).pixels)


def write_picture(path: Path, image: np.ndarray, **options) -> None:
    """Write uint8, uint16, or floats in [0, 1] with 8 bits, whole or not at all; the name says the format.

    (H, W) is gray and (H, W, 3) colour; (H, W, 2) and (H, W, 4) are these with alpha. `options` go to
    Pillow's save (`icc_profile=`, `quality=` ...). Raises ValueError for other arrays.
    """
    check_values(image)
    if 0 in image.shape or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (2, 3, 4)):
        raise ValueError(f"{path}: an image is (H, W) or (H, W, 2 to 4) with at least one pixel, got {image.shape}")
    image = to_uint8(image) if image.dtype.kind == "f" else to_8_bits(image)
    with atomic_write(Path(path)) as partial:
        Image.fromarray(image).save(partial, **options)


def strips(height: int) -> Iterator[slice]:
    """Slices of STRIP rows each, so that the floats of a large image are never there all at once."""
    return (slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP))


def check_values(image: np.ndarray) -> None:
    """Raise ValueError unless this is an array of uint8, uint16, or finite floats with black at 0 and white at 1.

    Noise that is not clipped may leave [0, 1], as far as NOISY.
    """
    check_array(image)
    if image.dtype in (np.uint8, np.uint16):
        return
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"an image is uint8, uint16, or float in [0, 1], got {image.dtype}")
    if image.size and not (NOISY[0] <= image.min() and image.max() <= NOISY[1]):
        raise ValueError(
            f"a float image lies in [0, 1], got {image.min():.3g} to {image.max():.3g}: divide it by its white level"
        )


def check_array(image: np.ndarray) -> None:
    """Raise ValueError unless this is a numpy array, without a mask, of finite numbers."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"an image is a numpy array, got {type(image).__name__}")
    if isinstance(image, np.ma.MaskedArray):
        raise ValueError("the image is a masked array: give its pixels a value first, with `image.filled(value)`")
    if image.dtype.kind not in "uif":
        raise ValueError(f"an image is uint8, uint16, or float in [0, 1], got {image.dtype}")
    if not np.isfinite(image).all():
        raise ValueError("the image holds values that are not finite (NaN or infinity)")


def check_channel(image: np.ndarray) -> None:
    """Raise ValueError unless this is an array (H, W), of at least one pixel, of finite numbers of any unit."""
    check_array(image)
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"a channel is (H, W) with at least one pixel, got {image.shape}")


def as_float(image: np.ndarray) -> np.ndarray:
    """An image of any kind as float64 in [0, 1]: uint8 / 255, uint16 / 65535, floats as they are.

    Raises ValueError for other arrays (`check_values`).
    """
    check_values(image)
    top = 1.0 if image.dtype.kind == "f" else float(np.iinfo(image.dtype).max)
    return np.asarray(image, float) / top


def as_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats in [0, 1] in the type of an image: rounded to levels for integers, clipped for all."""
    if np.issubdtype(dtype, np.floating):
        return values.clip(0, 1).astype(dtype)
    top = np.iinfo(dtype).max
    return np.clip(np.round(values * float(top)), 0, top).astype(dtype)


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 of any shape to float64 in [0, 1]; ValueError for another type."""
    check_uint8(image)
    return image / 255.0


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] of any shape to uint8: rounded, clipped; ValueError for another type."""
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"floats in [0, 1] are turned into uint8, got {image.dtype}")
    return as_type(image, np.dtype(np.uint8))


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """uint16 to uint8, rounded; uint8 as it is; ValueError for another type."""
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"uint16 is turned into uint8, got {image.dtype}")
    if image.dtype == np.uint8:
        return image
    return np.concatenate([np.round(image[rows] / 257.0).astype(np.uint8) for rows in strips(len(image))])


def check_uint8(image: np.ndarray) -> None:
    """Raise ValueError unless the image is uint8, without a mask."""
    if getattr(image, "dtype", None) != np.uint8:
        raise ValueError(f"the image is to be uint8, got {getattr(image, 'dtype', type(image).__name__)}")
    check_array(image)


def rgb_to_ycbcr(image: np.ndarray) -> np.ndarray:
    """Y, Cb, Cr (H, W, 3) of an RGB image (H, W, 3), both in [0, 1] as fractions of 255; not rounded."""
    return (image @ TO_YCBCR.T + YCBCR_OFFSET) / 255.0


def check_gray_or_rgb(image: np.ndarray) -> None:
    """Raise ValueError unless the image is uint8 (H, W) or (H, W, 3)."""
    check_uint8(image)
    if image.ndim != 2 and image.shape[2:] != (3,):
        raise ValueError(f"an image is (H, W) or (H, W, 3), got {image.shape}")


def luma(image: np.ndarray) -> np.ndarray:
    """uint8 luma (H, W), 16 to 235, of a uint8 RGB image as MATLAB's rgb2ycbcr; a gray image is its own luma.

    Raises ValueError for another type.
    """
    check_gray_or_rgb(image)
    if image.ndim == 2:
        return image
    return np.round(rgb_to_ycbcr(to_float(image))[..., 0] * 255.0).astype(np.uint8)


def gray(image: np.ndarray) -> np.ndarray:
    """uint8 gray (H, W), 0 to 255, of a uint8 RGB image as MATLAB's rgb2gray; a gray image is itself.

    Raises ValueError for another type.
    """
    check_gray_or_rgb(image)
    if image.ndim == 2:
        return image
    return np.round(image @ TO_GRAY).clip(0, 255).astype(np.uint8)


def shave(image: np.ndarray, border: int) -> np.ndarray:
    """The image without `border` pixels on each side; ValueError when nothing is left."""
    border = checks.number("the border", border, 0, max(image.shape), whole=True)
    if min(image.shape[:2]) <= 2 * border:
        raise ValueError(
            f"an image of {image.shape[0]}x{image.shape[1]} has nothing left without {border} pixels a side"
        )
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """The upper left part whose height and width are multiples of `scale`; ValueError when that is empty."""
    scale = checks.number("the scale", scale, 1, 10**6, whole=True)
    height, width = (size - size % scale for size in image.shape[:2])
    if 0 in (height, width):
        raise ValueError(f"an image of {image.shape[0]}x{image.shape[1]} is smaller than the scale {scale}")
    return image[:height, :width]
