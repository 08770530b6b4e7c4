"""Restore a numpy image, gray or colour, of any size."""

from collections.abc import Callable

import numpy as np
from torch import nn

from memnet import checks
from memnet.network import memory
from memnet.network.folded import unseen
from memnet.protocol import degradations, images, tasks
from memnet.protocol.tasks import Task
from memnet.restoration import tiling


def restore(
    image: np.ndarray,
    *,
    task: str | Task,
    model: nn.Module,
    scale: int | None = None,
    luma_only: bool = False,
    strength: float = 1.0,
    tile: int | str | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    progress: Callable[[float], None] = unseen,
) -> np.ndarray:
    """A restored copy of an image (H, W) or (H, W, 3), in the same type and range.

    Types are uint8, uint16, and floats in [0, 1]; noise that was not clipped may leave [0, 1], the result does not.
    Super-resolution takes the small image and `scale` (2, 3, 4), and gives (scale H, scale W).

    Colour: denoising restores Y, Cb and Cr, each by the network, in three times the time. Deblocking restores Cb and Cr
    at half their size, as JPEG mostly stores them, in 1.5 times the time. Super-resolution, and all tasks with
    `luma_only` (the paper's way), restore Y; Cb and Cr are kept or enlarged bicubically. `strength` from 0 to 1 mixes
    the input (enlarged, if need be) with the result. The other options are those of `restore_channel`.
    Raises ValueError on anything else, and MemoryError when the image itself does not fit the memory.
    """
    task = tasks.task(task)
    check_image(image)
    check_scale(task, scale)
    scale = scale and int(scale)  # numbers of NumPy overflow
    strength = checks.number("strength", strength, 0, 1)
    if not isinstance(model, nn.Module):
        raise ValueError(f"a model is a torch.nn.Module, got {type(model).__name__}")
    chroma = image.ndim == 3 and not luma_only and task.chroma_shrink
    shrinks = [1, chroma, chroma] if chroma else [1]  # of Y, Cb and Cr
    height, width = (size * (scale or 1) for size in image.shape[:2])
    memory.check(height * width * (8 + 4 * len(shrinks) + image.ndim * image.dtype.itemsize))
    costs, done, changes = [1 / shrink**2 for shrink in shrinks], 0, []
    for channel, shrink in enumerate(shrinks):
        seen_by_network = shrunk(enlarged_channel(image, channel, scale), shrink)
        within = tiling.part_of(progress, done / sum(costs), costs[channel] / sum(costs))
        y = tiling.restore_channel(
            model, seen_by_network, tile=tile, overlap=overlap, ensemble=ensemble, progress=within
        )
        changes.append(y - seen_by_network)
        done += costs[channel]
    restored = np.empty((height, width, *image.shape[2:]), image.dtype)
    for rows in images.strips(height):
        change = [grown(change, rows, shrink)[:, :width] for change, shrink in zip(changes, shrinks, strict=True)]
        values = seen(image, rows, scale) + strength * to_rgb(np.stack(change, axis=-1), image.ndim)
        restored[rows] = images.as_type(values, image.dtype)
    return restored


def shrunk(channel: np.ndarray, scale: int) -> np.ndarray:
    """A channel (H, W) as its means over squares of `scale` pixels; the last row and column count more often."""
    if scale == 1:
        return channel
    height, width = (-(-size // scale) for size in channel.shape)
    padded = np.pad(channel, [(0, -size % scale) for size in channel.shape], mode="edge")
    return padded.reshape(height, scale, width, scale).mean(axis=(1, 3))


def grown(channel: np.ndarray, rows: slice, scale: int) -> np.ndarray:
    """Some rows of a channel that is enlarged by `scale`."""
    return channel[rows] if scale == 1 else degradations.enlarged_rows(channel, scale, rows)


def enlarged_channel(image: np.ndarray, channel: int, scale: int | None) -> np.ndarray:
    """Y, Cb or Cr (0, 1, 2; a gray image is its own Y) as the network sees it: float32 (H, W)."""
    height, width = (size * (scale or 1) for size in image.shape[:2])
    values = np.empty((height, width), np.float32)
    for rows in images.strips(height):
        part = seen(image, rows, scale)
        values[rows] = images.rgb_to_ycbcr(part)[..., channel] if part.ndim == 3 else part
    return values


def seen(image: np.ndarray, rows: slice, scale: int | None) -> np.ndarray:
    """Some rows of an image as the network sees them: float64, enlarged bicubically (not clipped) by a scale."""
    if scale is None:
        return images.as_float(image[rows])
    channels = [image] if image.ndim == 2 else [image[..., c] for c in range(image.shape[2])]
    large = [degradations.enlarged_rows(channel, scale, rows) for channel in channels]
    values = np.stack(large, axis=-1) if image.ndim == 3 else large[0]
    return values if image.dtype.kind == "f" else values / float(np.iinfo(image.dtype).max)


def enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    """An image enlarged bicubically, in its own type."""
    parts = (seen(image, rows, scale) for rows in images.strips(len(image) * scale))
    return np.concatenate([images.as_type(values, image.dtype) for values in parts])


def to_rgb(change: np.ndarray, ndim: int) -> np.ndarray:
    """What changes (H, W, n) of the first n of Y, Cb and Cr add to a gray image, or to R, G and B."""
    return change[..., 0] if ndim == 2 else change @ images.YCBCR_TO_RGB[: change.shape[-1]]


def check_image(image: np.ndarray) -> None:
    """Raise ValueError unless this is an image that `restore` takes."""
    images.check_values(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise ValueError(f"an image is (H, W) or (H, W, 3) with at least one pixel, got {image.shape}")


def check_scale(task: Task, scale: int | None) -> None:
    """Raise ValueError unless the scale is one of the levels of a task that enlarges, and None for the others."""
    if task.enlarges:
        if isinstance(scale, bool) or not isinstance(scale, int | np.integer) or scale not in task.levels:
            wanted = f"{', '.join(map(str, task.levels[:-1]))} or {task.levels[-1]}"
            raise ValueError(f"{task.name} needs a scale (--level) of {wanted}, got {scale!r:.80}")
    elif scale is not None:
        raise ValueError(f"{task.name} takes no scale or --level: one network serves all its levels")
