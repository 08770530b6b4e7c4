"""Pitfalls of the protocol: how published code departs from it, and by how many dB each departure changes a number.

All but one need no network: they change the PSNR and SSIM of the degraded image itself.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import skimage.color
import skimage.metrics
import skimage.transform
import torch
from PIL import Image
from torch import nn

from memnet.protocol import datasets, degradations, images, metrics, tasks
from memnet.protocol.datasets import Picture
from memnet.study import evaluation

AS_PUBLISHED = "as published"
SR = "super-resolution"
Score = tuple[float, float]  # PSNR in dB, SSIM


# ------------------------------------------------------------------------------- ways to make one channel of an image
def unrounded_luma(original: np.ndarray) -> np.ndarray:
    """Y as floats, where MATLAB's rgb2ycbcr of a uint8 image rounds it."""
    return images.to_float(original) if original.ndim == 2 else images.rgb_to_ycbcr(images.to_float(original))[..., 0]


def luma(original: np.ndarray) -> np.ndarray:
    """Y as published: studio swing, rounded."""
    return images.to_float(images.luma(original))


def full_range(original: np.ndarray) -> np.ndarray:
    """Pillow's mode L, which is also Y of JPEG files: black is 0 and white 255, not 16 and 235."""
    return images.to_float(np.asarray(Image.fromarray(original).convert("L")))


def skimage_gray(original: np.ndarray) -> np.ndarray:
    """scikit-image's rgb2gray: full range, and weights of another standard."""
    return images.to_float(original) if original.ndim == 2 else skimage.color.rgb2gray(original)


def channels(original: np.ndarray) -> np.ndarray:
    """R, G and B beside each other, as one channel."""
    parts = [original] if original.ndim == 2 else [original[..., c] for c in range(3)]
    return images.to_float(np.concatenate(parts, axis=1))


# ------------------------------------------------------------------------------------------ ways to shrink and enlarge
def pillow_resize(image: np.ndarray, scale: float) -> np.ndarray:
    """A channel (H, W), floats, by Pillow's bicubic resize: the right kernel, borders renormalised, not mirrored."""
    height, width = (round(size * scale) for size in image.shape)
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC))


def torch_resize(image: np.ndarray, scale: float) -> np.ndarray:
    """A channel (H, W), floats, by torch's bicubic interpolate with its defaults: a = -0.75, no antialiasing."""
    size = tuple(round(edge * scale) for edge in image.shape)
    x = torch.from_numpy(np.asarray(image, float))[None, None]
    return torch.nn.functional.interpolate(x, size=size, mode="bicubic")[0, 0].numpy()


def skimage_resize(image: np.ndarray, scale: float) -> np.ndarray:
    """A channel (H, W), floats, by scikit-image's resize of order 3: splines, a Gaussian before shrinking."""
    size = tuple(round(edge * scale) for edge in image.shape)
    return skimage.transform.resize(image, size, order=3, anti_aliasing=scale < 1)


# --------------------------------------------------------------------------------------------------- the three tasks
def bicubic(
    original: np.ndarray,
    scale: int,
    key: str = "",
    *,
    channel: Callable = luma,
    multiple: int | None = None,
    resize: Callable = degradations.imresize,
    round_small: bool = False,
    round_both: bool = True,
    border: bool = False,
    ssim: Callable = metrics.ssim,
) -> Score:
    """PSNR and SSIM of an image shrunk by `scale` and enlarged back; the defaults are as published.

    Raises ValueError for a `multiple` that is none of the scale.
    """
    if multiple and multiple % scale:
        raise ValueError(
            f"an image that is cropped to a multiple of {multiple} cannot be shrunk by {scale}: choose 2 to 4"
        )
    parts = np.split(channel(original), 3 if channel is channels and original.ndim == 3 else 1, axis=1)
    pairs = []
    for part in parts:
        reference = images.crop_to_multiple(part, multiple or scale)
        small = resize(reference, 1 / scale)
        image = resize(images.to_float(images.to_uint8(small)) if round_small else small, scale)
        pair = [images.to_float(images.to_uint8(p)) if round_both else p for p in (reference, image)]
        pairs.append([p if border else images.shave(p, scale) for p in pair])
    reference, image = (np.concatenate([pair[side] for pair in pairs], axis=1) for side in (0, 1))
    return metrics.psnr(reference, image), float(np.mean([ssim(*pair) for pair in pairs]))


def noisy(original: np.ndarray, sigma: int, key: str = "", *, after: Callable | None = None) -> Score:
    """PSNR and SSIM of a noisy image; `after` is what a pitfall does with the noisy image."""
    reference, image = tasks.degrade(images.gray(original), task="denoising", level=sigma, key=key)
    return tasks.score(reference, after(image) if after else image, task="denoising", level=sigma)


def compressed(original: np.ndarray, quality: int, key: str = "", *, colour: int | None = None) -> Score:
    """PSNR and SSIM of the luma of a JPEG; `colour` compresses the colour image, with Pillow's subsampling of it."""
    reference = luma(original)
    if colour is None or original.ndim == 2:
        image = degradations.jpeg(reference, quality)
    else:
        file = io.BytesIO()
        Image.fromarray(original).save(file, "JPEG", quality=quality, subsampling=colour)
        image = luma(np.asarray(Image.open(file)))
    return tasks.score(reference, image, task="jpeg", level=quality)


def eight_bits(image: np.ndarray) -> np.ndarray:
    """Floats as a file of 8 bits has them: clipped to [0, 1] and rounded."""
    return images.to_float(images.to_uint8(image))


def uniform_ssim(reference: np.ndarray, image: np.ndarray) -> float:
    """scikit-image's default: a uniform window of 7x7 and the sample covariance."""
    return float(skimage.metrics.structural_similarity(reference, image, data_range=1.0))


@dataclass(frozen=True)
class Pitfall:
    """A way to measure a degraded image of a task: as published, or with one mistake."""

    task: str
    name: str
    measure: Callable[[np.ndarray, int, str], Score]  # of an image as its file has it, a level, the image's name


PITFALLS = (
    Pitfall(SR, AS_PUBLISHED, bicubic),
    Pitfall(SR, "border not shaved", partial(bicubic, border=True)),
    Pitfall(SR, "small picture rounded", partial(bicubic, round_small=True)),
    Pitfall(SR, "nothing rounded", partial(bicubic, channel=unrounded_luma, round_both=False)),
    Pitfall(SR, "cropped to a multiple of 12", partial(bicubic, multiple=12)),
    Pitfall(SR, "Pillow's resize", partial(bicubic, resize=pillow_resize)),
    Pitfall(SR, "torch's interpolate", partial(bicubic, resize=torch_resize)),
    Pitfall(SR, "scikit-image's resize", partial(bicubic, resize=skimage_resize)),
    Pitfall(SR, "no antialiasing", partial(bicubic, resize=partial(degradations.imresize, antialias=False))),
    Pitfall(SR, "full-range gray", partial(bicubic, channel=full_range)),
    Pitfall(SR, "scikit-image's rgb2gray", partial(bicubic, channel=skimage_gray)),
    Pitfall(SR, "PSNR of R, G and B", partial(bicubic, channel=channels)),
    Pitfall(SR, "SSIM of a uniform window", partial(bicubic, ssim=uniform_ssim)),
    Pitfall("denoising", AS_PUBLISHED, noisy),
    Pitfall("denoising", "noise clipped to [0, 1]", partial(noisy, after=lambda image: image.clip(0, 1))),
    Pitfall("denoising", "noise clipped and rounded", partial(noisy, after=eight_bits)),
    Pitfall("jpeg", AS_PUBLISHED, compressed),
    Pitfall("jpeg", "colour compressed, 4:2:0, then luma", partial(compressed, colour=2)),
    Pitfall("jpeg", "colour compressed, 4:4:4, then luma", partial(compressed, colour=0)),
)


def changes(originals: Sequence[Picture], *, task: str, level: int) -> pd.DataFrame:
    """What each pitfall of a task changes on `originals` (uint8, gray or colour): a row each, the protocol first.

    Columns: task, level, pitfall; psnr (dB) and ssim, means over the degraded images; psnr_change and ssim_change,
    which are those less the protocol's.
    """
    task = tasks.task(task).name
    ways = {pitfall.name: pitfall.measure for pitfall in PITFALLS if pitfall.task == task}
    scores = {name: [] for name in ways}
    for original in originals:
        for name, measure in ways.items():
            scores[name].append(measure(original.pixels, level, original.name))
    means = {name: np.mean(values, axis=0) for name, values in scores.items()}
    rows = [{"task": task, "level": level, "pitfall": name, "psnr": p, "ssim": s} for name, (p, s) in means.items()]
    table = pd.DataFrame(rows)
    published = table.iloc[0]
    return table.assign(psnr_change=table.psnr - published.psnr, ssim_change=table.ssim - published.ssim)


def size_change(model: nn.Module, originals: Sequence[Picture], *, sigma: int) -> pd.DataFrame:
    """What changes when denoising is measured at full size, where BSD200 is published at half: a row as of `changes`.

    Noisy images have the same PSNR at both sizes, so this pitfall shows after a network only. Raises ValueError
    without images.
    """
    if not originals:
        raise ValueError("no image is left to denoise: the limit is 1 or more")
    halves = {"half": datasets.half_gray, "full": images.gray}
    means = {}
    for size, channel in halves.items():
        pictures = [Picture(original.name, channel(original.pixels)) for original in originals]
        rows = evaluation.evaluate(model, pictures, run="", task="denoising", dataset="", level=sigma, progress=False)
        means[size] = rows[["psnr", "ssim"]].mean()
    change = (means["full"] - means["half"]).add_suffix("_change")
    row = {"task": "denoising", "level": sigma, "pitfall": "full size, after denoising", **means["full"], **change}
    return pd.DataFrame([row])
