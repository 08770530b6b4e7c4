"""Pictures as arrays (H, W) or (H, W, 3): reading, writing, colour spaces as MATLAB has them, borders."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from memnet.paths import atomic_write

# BT.601, studio swing, from R, G, B in [0, 1] to Y, Cb, Cr in grey levels: MATLAB's rgb2ycbcr
TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
YCBCR_OFFSET = np.array([16.0, 128.0, 128.0])
Y_TO_RGB = 255 / 219  # what a change of Y adds to R, to G and to B when Cb and Cr stay
TO_GRAY = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])  # MATLAB's rgb2gray
STRIP = 256  # rows of a picture whose floats are there at a time


def read_picture(path: Path) -> np.ndarray:
    """The picture in a file as uint8, (H, W) if it is gray and (H, W, 3) RGB otherwise; alpha is dropped.

    Raises ValueError, with the file's name and the reason, when there is no readable picture.
    """
    with open_picture(path) as picture:
        return eight_bits(path, np.asarray(picture)) if is_deep(picture) else gray_or_rgb(picture)


def gray_or_rgb(picture: Image.Image) -> np.ndarray:
    """The uint8 pixels of an opened picture of 8 bits: (H, W) if it is gray, (H, W, 3) RGB otherwise; no alpha."""
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L", "LA", "La") else "RGB"))


def is_deep(picture: Image.Image) -> bool:
    """Whether an opened picture has gray levels of more than 8 bits."""
    return picture.mode in ("I", "F") or picture.mode.startswith("I;16")


def eight_bits(path: Path, values: np.ndarray) -> np.ndarray:
    """Deep gray levels as uint8: floats from [0, 1], integers from [0, 65535]; ValueError on anything else."""
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: the picture holds values that are not finite (NaN or infinity)")
    top = 1.0 if np.issubdtype(values.dtype, np.floating) else 65535
    if values.min() < 0 or values.max() > top:
        raise ValueError(f"{path}: gray levels lie outside [0, {top:g}] ({values.min():g} to {values.max():g})")
    return np.concatenate([to_uint8(values[rows] / top) for rows in strips(len(values))])


def strips(height: int) -> Iterator[slice]:
    """Slices of STRIP rows each, so that the floats of a large picture are never there all at once."""
    return (slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP))


def open_picture(path: Path) -> Image.Image:
    """A Pillow image, loaded and turned upright; ValueError, naming file and reason, when there is none.

    Its info says whether there are `more_frames` and whether they are `deep`, of more than 8 bits.
    """
    path = Path(path) if isinstance(path, str) else path
    content = read_bytes(path)
    if not content:
        raise ValueError(f"{path}: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as picture:
                deep = ";16" in str(picture.tile) or picture.mode in ("I", "F")
                picture.load()
                loaded = ImageOps.exif_transpose(picture)
                loaded.info |= {"deep": deep, "more_frames": has_more_frames(picture)}
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: this is no picture that can be read") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: the picture claims more pixels than are safe to open ({error})") from error
    except MemoryError:
        raise
    except Exception as error:  # a decoder that is given rubbish raises anything: IndexError, struct.error ...
        raise ValueError(f"{path}: the picture is broken ({error})") from error
    return loaded


def has_more_frames(picture: Image.Image) -> bool:
    """Whether an opened file holds a second frame or page that can be found."""
    try:
        picture.seek(1)
    except Exception:  # what follows the first frame may be missing or rubbish: then there is no other
        return False
    return True


def read_bytes(path: Path) -> bytes:
    """The content of a file; ValueError with its name and the reason when it cannot be read."""
    try:
        if path.is_dir():
            raise ValueError(f"{path}: this is a folder, not a picture")
        if path.exists() and not path.is_file():
            raise ValueError(f"{path}: this is a device or a pipe, not a file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{path}: there is no such file") from error
    except OSError as error:
        raise ValueError(f"{path}: the file cannot be read ({error.strerror})") from error


def write_picture(path: Path, image: np.ndarray, **options) -> None:
    """Write uint8, or floats in [0, 1], whole or not at all; the name says the format.

    (H, W) is gray and (H, W, 3) colour; (H, W, 2) and (H, W, 4) are these with alpha.
    `options` go to Pillow's save (`icc_profile=`, `quality=` ...).
    """
    path = Path(path)
    image = image if image.dtype == np.uint8 else to_uint8(image)
    with atomic_write(path) as partial:
        Image.fromarray(image).save(partial, **options)


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 of any shape to float64 in [0, 1]."""
    return image / 255.0


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] of any shape to uint8: rounded, clipped."""
    return np.clip(np.round(image * 255.0), 0, 255).astype(np.uint8)


def rgb_to_ycbcr(image: np.ndarray) -> np.ndarray:
    """Y, Cb, Cr (H, W, 3) of an RGB picture (H, W, 3), both in [0, 1] as fractions of 255; not rounded."""
    return (image @ TO_YCBCR.T + YCBCR_OFFSET) / 255.0


def luma(image: np.ndarray) -> np.ndarray:
    """uint8 luma (H, W), 16 to 235, of a uint8 RGB picture as MATLAB's rgb2ycbcr; a gray picture is its own luma."""
    if image.ndim == 2:
        return image
    return np.round(rgb_to_ycbcr(to_float(image))[..., 0] * 255.0).astype(np.uint8)


def gray(image: np.ndarray) -> np.ndarray:
    """uint8 gray (H, W), 0 to 255, of a uint8 RGB picture as MATLAB's rgb2gray; a gray picture is itself."""
    if image.ndim == 2:
        return image
    return np.round(image @ TO_GRAY).clip(0, 255).astype(np.uint8)


def shave(image: np.ndarray, border: int) -> np.ndarray:
    """The picture without `border` pixels on each side; ValueError when nothing is left."""
    if min(image.shape[:2]) <= 2 * border:
        raise ValueError(
            f"a picture of {image.shape[0]}x{image.shape[1]} has nothing left without {border} pixels a side"
        )
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """The upper left part whose height and width are multiples of `scale`; ValueError when that is empty."""
    if scale < 1:
        raise ValueError(f"a scale is at least 1, got {scale}")
    height, width = (size - size % scale for size in image.shape[:2])
    if 0 in (height, width):
        raise ValueError(f"a picture of {image.shape[0]}x{image.shape[1]} is smaller than the scale {scale}")
    return image[:height, :width]
