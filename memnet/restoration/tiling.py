"""Predict one channel of any size: whole, or in tiles that fit the memory and leave no seam."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import nn

from memnet import checks
from memnet.network import memory
from memnet.network.folded import InferenceNet, inference_form, unseen
from memnet.network.runtime import cudnn, device_of, evaluating
from memnet.protocol import images

MOST_MEMORY = 4 * 2**30  # bytes that a tile may take; smaller where less than twice that is free
MAPS_AT_WORK = 8  # feature maps of an image's size that a network holds beside its memories
ORIENTATIONS = tuple(product((False, True), range(4)))  # mirrored or not, quarter turns
SMALLEST = 8  # pixels: smaller images are mirrored to this edge, as networks shift the mean of 1x1 by 80 gray levels
PAPER_TILE = (134, 8)  # the authors' own inference: windows of 150 pixels that share 16 with their neighbour


@cudnn(allow_tf32=False)
@torch.inference_mode()
def predict(
    model: nn.Module, channel: np.ndarray, *, progress: Callable[[float], None] = unseen
) -> tuple[np.ndarray, list[np.ndarray]]:
    """y and [y_1 .. y_M] (float64) of a whole channel (H, W), floats in [0, 1], in float32 where the model lives.

    `progress` is called with the share that is done: after every recursion, or at the end where a network has none.
    The network may be in training mode: it is evaluated, and left as it was. Raises ValueError when `channel` is not of
    floats, and when what comes out is not finite.
    """
    images.check_channel(channel)
    if channel.dtype.kind != "f":
        raise ValueError(f"a network takes floats in [0, 1], got {channel.dtype}")
    x = torch.from_numpy(np.ascontiguousarray(channel, dtype=np.float32))[None, None]
    device = device_of(model)
    model = inference_form(model)
    with evaluating(model):
        y, y_m = predictions_of(model, x.to(device).contiguous(memory_format=torch.channels_last), progress)
    check_finite(y)
    return as_array(y), [as_array(prediction) for prediction in y_m]


def predictions_of(
    model: nn.Module, x: torch.Tensor, progress: Callable[[float], None]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """y and [y_1 .. y_M] of a network; y and [] of a module that has `forward` alone."""
    if isinstance(model, InferenceNet):
        return model.predictions(x, progress)
    found = model.predictions(x) if hasattr(model, "predictions") else (model(x), [])
    progress(1.0)
    return found


def check_finite(y: torch.Tensor) -> None:
    """Raise ValueError when a network gave NaN or infinity."""
    if not torch.isfinite(y).all():
        raise ValueError("the network gives values that are not finite (NaN or infinity): its weights are damaged")


def as_array(y: torch.Tensor) -> np.ndarray:
    """(1, 1, H, W) to float64 (H, W)."""
    return y[0, 0].cpu().double().numpy()


def restore_channel(
    model: nn.Module,
    channel: np.ndarray,
    *,
    tile: int | str | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    progress: Callable[[float], None] = unseen,
) -> np.ndarray:
    """y (H, W) of a channel (H, W) of any size, float32, in [0, 1] but not clipped.

    An image that is too large for the free memory, or any when `tile` (pixels) is given, is restored in tiles that
    overlap by the receptive-field radius on every side: what a tile contributes is what the whole image would give,
    up to rounding. A smaller `overlap` is faster and leaves seams. `tile="paper"` takes the small tiles of the authors'
    own inference, whose seams are part of the printed numbers. An `ensemble` is the mean over the channel's eight
    orientations, in eight times the time (Timofte et al., CVPR 2016). `progress` is called with the share that is done.

    Edges below SMALLEST are mirrored to it first. A network of somebody's own, without a receptive_field_radius in its
    `config`, sees whole images: ValueError for a `tile` of pixels without an `overlap`.
    """
    images.check_channel(channel)
    height, width = channel.shape
    if min(height, width) < SMALLEST:
        channel = np.pad(channel, [(0, max(SMALLEST - size, 0)) for size in channel.shape], mode="symmetric")
    once = partial(restore_in_tiles, inference_form(model), tile=tile, overlap=overlap)
    y = mean_over_orientations(once, channel, progress) if ensemble else once(channel, progress=progress)
    return y[:height, :width]


def mean_over_orientations(restore: Callable, channel: np.ndarray, progress: Callable[[float], None]) -> np.ndarray:
    """The mean (H, W) over the eight orientations of what `restore(channel, progress=...)` makes of a channel."""
    mean, parts = np.zeros(channel.shape, np.float32), len(ORIENTATIONS)
    for number, (mirrored, turns) in enumerate(ORIENTATIONS):
        oriented = np.rot90(channel[:, ::-1] if mirrored else channel, turns)
        y = np.rot90(restore(oriented, progress=part_of(progress, number / parts, 1 / parts)), -turns)
        mean += (y[:, ::-1] if mirrored else y) / parts
    return mean


def restore_in_tiles(
    model: nn.Module,
    channel: np.ndarray,
    *,
    tile: int | str | None,
    overlap: int | None,
    progress: Callable[[float], None],
) -> np.ndarray:
    """`restore_channel` of a channel of SMALLEST or more, in one orientation; whole where that fits."""
    if tile == "paper":
        tile, overlap = PAPER_TILE
    radius = getattr(getattr(model, "config", None), "receptive_field_radius", None)
    edge = largest_edge(model) if tile is None and radius is not None else None
    if tile is None and (edge is None or channel.size <= edge**2):
        return predict(model, channel, progress=progress)[0].astype(np.float32)
    if radius is None and overlap is None:
        raise ValueError("how far this network sees is not known: give an overlap in pixels beside the tile")
    if overlap is not None:
        overlap = checks.number("the overlap of tiles", overlap, 0, 10**6, whole=True)
    overlap = min(pixels for pixels in (overlap, radius) if pixels is not None)  # more would change nothing
    tile = max(edge - 2 * overlap, 1) if tile is None else tile
    restored = np.empty(channel.shape, np.float32)
    windows = list(tiles(channel.shape, size=tile, overlap=overlap))
    for number, (seen, inner, place) in enumerate(windows):
        within = part_of(progress, number / len(windows), 1 / len(windows))
        restored[place] = predict(model, channel[seen], progress=within)[0][inner]
    return restored


def part_of(progress: Callable[[float], None], begin: float, length: float) -> Callable[[float], None]:
    """The progress of a part of the work that begins at a share of the whole and has a length."""
    return lambda share: progress(begin + share * length)


def largest_edge(model: nn.Module) -> int:
    """Edge in pixels of the largest square that a network takes at once, with half of the memory that is free."""
    config = model.config
    maps = MAPS_AT_WORK + getattr(config, "blocks", 1)
    room = min(memory.free(device_of(model)) // 2, MOST_MEMORY)
    return max(int((room / (4 * config.channels * maps)) ** 0.5), 2 * config.receptive_field_radius + 64)


def tiles(shape: tuple[int, int], *, size: int, overlap: int) -> Iterator[tuple[tuple, tuple, tuple]]:
    """Slices for tiles of edge `size`: what the network sees, the part of that to keep, and where it goes.

    Raises ValueError for a size that is no whole number from 1 on.
    """
    size = checks.number('the edge of a tile, if it is not "paper",', size, 1, 10**6, whole=True)
    for top in range(0, shape[0], size):
        for left in range(0, shape[1], size):
            seen, inner, place = [], [], []
            for begin, length in ((top, shape[0]), (left, shape[1])):
                end, first = min(begin + size, length), max(begin - overlap, 0)
                seen.append(slice(first, min(end + overlap, length)))
                inner.append(slice(begin - first, end - first))
                place.append(slice(begin, end))
            yield tuple(seen), tuple(inner), tuple(place)
