"""The restoration tasks: their levels, how an image is degraded and how the result is scored (section 5.1)."""

import zlib
from dataclasses import dataclass

import numpy as np

from memnet.protocol import degradations, images, metrics


@dataclass(frozen=True)
class Task:
    """A restoration task with the levels that one network is trained for."""

    name: str
    levels: tuple[int, ...]
    level_name: str  # what a level is
    prefix: str  # how it is written before the number
    degraded: str  # what tables call the degraded picture


TASKS = {
    "denoising": Task("denoising", (30, 50, 70), "sigma", "sigma ", "Noisy"),
    "super-resolution": Task("super-resolution", (2, 3, 4), "scale", "x", "Bicubic"),
    "jpeg": Task("jpeg", (10, 20), "quality", "quality ", "JPEG"),
}


def task(name: str) -> Task:
    """The task of that name; ValueError with all the names when there is none."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    return TASKS[name]


def degrade(
    plane: np.ndarray, *, task: str, level: float, key: str = "", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The reference and what a network gets of a uint8 plane (H, W): two float64 planes of one shape.

    `level` is sigma in grey levels, the scale or the quality; super-resolution crops to a multiple of the scale.
    Noise depends on (seed, key) alone: give every picture its name as key. Raises ValueError for an unknown task or a
    level that makes no sense there, and when a picture is smaller than the scale.
    """
    reference = images.to_float(plane)
    if task == "denoising":
        # Paper: MATLAB's generator, which NumPy does not have. Over 12 pictures seeds move the mean by 0.006 dB.
        rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
        return reference, degradations.gaussian_noise(reference, level, rng)
    if level % 1:
        raise ValueError(f"{task} takes whole numbers as levels, got {level}")
    level = int(level)
    if task == "super-resolution":
        reference = images.crop_to_multiple(reference, level)
        return reference, degradations.bicubic(reference, level)
    if task == "jpeg":
        return reference, degradations.jpeg(reference, level)
    raise ValueError(f"unknown task {task!r}: choose one of {', '.join(TASKS)}")


def score(reference: np.ndarray, image: np.ndarray, *, task: str, level: float) -> tuple[float, float]:
    """PSNR (dB) and SSIM of a plane (H, W) against its reference, as the field reports them for the task.

    Super-resolution: both rounded to uint8, `level` pixels shaved from each border; otherwise the floats as they are.
    """
    reference, image = compared(reference, image, task=task, level=level)
    return metrics.psnr(reference, image), metrics.ssim(reference, image)


def compared(reference: np.ndarray, image: np.ndarray, *, task: str, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The two planes as the metrics of a task take them: rounded and shaved for super-resolution, else as they are."""
    if task == "super-resolution":
        planes = (images.to_float(images.to_uint8(plane)) for plane in (reference, image))
        reference, image = (images.shave(plane, int(level)) for plane in planes)
    return reference, image
