"""Restore a numpy image, gray or colour, of any size."""

from collections.abc import Callable

import numpy as np
from torch import nn

from memnet.protocol import degradations, images, tasks
from memnet.protocol.tasks import Task
from memnet.restoration import tiling


def restore(
    image: np.ndarray,
    *,
    task: str | Task,
    model: nn.Module,
    scale: int | None = None,
    tile: int | str | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """A restored copy of a picture (H, W) or (H, W, 3), uint8 or float in [0, 1], in the same type and range.

    Colour: the network restores Y; Cb and Cr are kept, or enlarged bicubically. Super-resolution takes the small
    picture and `scale` (2, 3, 4), and gives (scale H, scale W). `tile`, `overlap`, `ensemble` and `progress` are those
    of `restore_plane`. Raises ValueError on anything else.
    """
    check_image(image)
    check_scale(tasks.task(task), scale)
    height, width = (size * (scale or 1) for size in image.shape[:2])
    y = np.empty((height, width), np.float32)
    for rows in images.strips(height):
        y[rows] = luma_of(seen(image, rows, scale))
    change = tiling.restore_plane(model, y, tile=tile, overlap=overlap, ensemble=ensemble, progress=progress)
    change -= y
    restored = np.empty((height, width, *image.shape[2:]), image.dtype)
    for rows in images.strips(height):
        values = seen(image, rows, scale) + to_rgb(change[rows], image.ndim)
        restored[rows] = images.to_uint8(values) if image.dtype == np.uint8 else values.clip(0, 1)
    return restored


def seen(image: np.ndarray, rows: slice, scale: int | None) -> np.ndarray:
    """Some rows of a picture as the network sees them: float64, enlarged bicubically (not clipped) by a scale."""
    if scale is None:
        return as_float(image[rows])
    planes = [image] if image.ndim == 2 else [image[..., c] for c in range(image.shape[2])]
    large = [degradations.enlarged_rows(plane, scale, rows) for plane in planes]
    values = np.stack(large, axis=-1) if image.ndim == 3 else large[0]
    return images.to_float(values) if image.dtype == np.uint8 else values


def as_float(image: np.ndarray) -> np.ndarray:
    """uint8 as float64 in [0, 1]; floats as float64."""
    return images.to_float(image) if image.dtype == np.uint8 else np.asarray(image, float)


def luma_of(values: np.ndarray) -> np.ndarray:
    """Y (H, W) of floats (H, W) or (H, W, 3)."""
    return images.rgb_to_ycbcr(values)[..., 0] if values.ndim == 3 else values


def to_rgb(change: np.ndarray, ndim: int) -> np.ndarray:
    """What a change of Y (H, W) adds to a gray picture, or to R, G and B alike while Cb and Cr stay."""
    return change if ndim == 2 else (change * images.Y_TO_RGB)[..., None]


def check_image(image: np.ndarray) -> None:
    """Raise ValueError unless this is a picture that `restore` takes."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"a picture is a numpy array, got {type(image).__name__}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise ValueError(f"a picture is (H, W) or (H, W, 3) with at least one pixel, got {image.shape}")
    if image.dtype == np.uint8:
        return
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"a picture is uint8, or float in [0, 1], got {image.dtype}")
    if not np.isfinite(image).all():
        raise ValueError("the picture holds values that are not finite (NaN or infinity)")
    if image.min() < 0 or image.max() > 1:
        raise ValueError(f"a float picture lies in [0, 1], got {image.min():.3g} to {image.max():.3g}: divide it first")


def check_scale(task: Task, scale: int | None) -> None:
    """Raise ValueError unless the scale is one of the levels of a task that enlarges, and None for the others."""
    if task.enlarges:
        if not isinstance(scale, int | np.integer) or scale not in task.levels:
            wanted = f"{', '.join(map(str, task.levels[:-1]))} or {task.levels[-1]}"
            raise ValueError(f"{task.name} needs a scale (--level) of {wanted}, got {scale}")
    elif scale is not None:
        raise ValueError(f"{task.name} takes no scale or --level: one network serves all its levels")
