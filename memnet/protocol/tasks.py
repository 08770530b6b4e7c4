"""The restoration tasks (section 5.1): what a level is, how an image is degraded and how the result is scored.

A task is one class here, entered in TASKS. What else a new task takes are its networks: runs of `study.registry`.
`tests/test_tasks.py` adds a fourth one.
"""

import zlib
from abc import ABC, abstractmethod

import numpy as np
import skimage.filters
import skimage.restoration

from memnet import checks
from memnet.protocol import degradations, images, metrics


class Task(ABC):
    """A restoration task with the levels that one network is trained for.

    A subclass sets the attributes without a value and defines `degrade`. One whose degradation is random, so that
    training draws it for every patch, is a RandomTask.
    """

    name: str
    short: str  # the name in the runs of the task; accepted wherever a task is given
    levels: tuple[int, ...]  # that the paper trains and tests on
    level_name: str  # what a level is
    prefix: str  # what is written before a level
    level_range: tuple[int, int]  # the lowest and the highest level that make sense
    degraded: str  # what tables and figures call the degraded image
    restored: str  # what a restored file's name ends with; {scale} is the scale
    test_sets: tuple[str, ...]
    channel = staticmethod(images.luma)  # uint8 (H, W) or (H, W, 3) to the uint8 (H, W) that is restored and measured
    chroma_shrink: int | None = None  # of colour images: Cb and Cr are restored shrunk by this; None: they are kept
    multiple = 1  # training images are cropped to a multiple of so many pixels
    enlarges = False  # whether the level is a scale by which the restored image is larger than the one that is given
    symmetric = True  # whether a transposed image degrades to the transposed degraded image

    @abstractmethod
    def degrade(
        self, image: np.ndarray, level: float, *, key: str = "", seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """The reference and what a network gets of a uint8 channel (H, W): two float64 arrays of one shape.

        What is random depends on (seed, key) alone: give every image its name as key. Raises ValueError for a level
        that makes no sense.
        """

    def score(self, reference: np.ndarray, image: np.ndarray, level: float) -> tuple[float, float]:
        """PSNR (dB) and SSIM of an image (H, W) against its reference, as the field reports them for this task."""
        reference, image = self.compared(reference, image, level)
        return metrics.psnr(reference, image), metrics.ssim(reference, image)

    def restored_classically(self, image: np.ndarray, level: float) -> dict[str, np.ndarray]:
        """What methods without a network, from scikit-image, make of a degraded image (H, W), by name."""
        return {}

    def compared(self, reference: np.ndarray, image: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """The two images (H, W) as the metrics take them: as they are, unless a task says otherwise."""
        return reference, image

    def check_level(self, level: float) -> float:
        """The level; ValueError when it is outside `level_range`."""
        return checks.number(f"the {self.level_name} of {self.name}", level, *self.level_range)

    def whole(self, level: float) -> int:
        """The level as an integer; ValueError when it is not a whole number."""
        level = checks.number(f"the {self.level_name}", level, 1, 1000)
        if level % 1:
            raise ValueError(f"{self.name} takes whole numbers as levels, got {level}")
        return int(level)


class RandomTask(Task):
    """A task that training degrades every patch for; of other tasks each image's degraded versions are made once."""

    @abstractmethod
    def degrade_patches(self, clean, level, noise):
        """Training patches (N, 1, P, P), float in [0, 1], degraded at `level` (N, 1, 1, 1) by standard normal `noise`.

        NumPy arrays or torch tensors, all three alike.
        """

    @abstractmethod
    def input_error(self, level: float) -> float:
        """The root mean square error of the inputs at a level, up to a factor that all levels share."""


class Denoising(RandomTask):
    """White Gaussian noise, not clipped; a level is its sigma in grey levels (of 255)."""

    name = short = "denoising"
    levels = (30, 50, 70)
    level_name, prefix, level_range = "sigma", "sigma ", (1, 255)
    degraded, restored = "Noisy", "denoised"
    test_sets = ("S14", "BSD200")
    channel = staticmethod(images.gray)
    chroma_shrink = 1

    def degrade(self, image, level, *, key="", seed=0):
        # Paper: MATLAB's generator, which NumPy does not have. Over 12 images seeds move the mean by 0.006 dB.
        reference, rng = images.to_float(image), np.random.default_rng([seed, zlib.crc32(key.encode())])
        return reference, degradations.gaussian_noise(reference, level, rng)

    def restored_classically(self, image, level):
        sigma = level / 255
        patches = {"patch_size": 7, "patch_distance": 10}
        return {"non-local means": skimage.restoration.denoise_nl_means(image, h=0.6 * sigma, sigma=sigma, **patches)}

    def degrade_patches(self, clean, level, noise):
        return clean + level / 255 * noise

    def input_error(self, level):
        return level / 255


class SuperResolution(Task):
    """Shrunk and enlarged back with MATLAB's bicubic imresize; a level is the scale."""

    name, short = "super-resolution", "sr"
    levels = (2, 3, 4)
    level_name, prefix, level_range = "scale", "x", (2, 8)
    degraded, restored = "Bicubic", "x{scale}"
    test_sets = ("Set5", "Set14", "BSD100", "Urban100")
    multiple = 12
    enlarges = True

    def degrade(self, image, level, *, key="", seed=0):
        """As `Task.degrade`; cropped to a multiple of the scale first. ValueError for an image below the scale."""
        reference = images.crop_to_multiple(images.to_float(image), self.whole(level))
        return reference, degradations.bicubic(reference, int(level))

    def restored_classically(self, image, level):
        return {"unsharp mask": skimage.filters.unsharp_mask(image.clip(0, 1), radius=level / 2, amount=1.0)}

    def compared(self, reference, image, level):
        """Both rounded to uint8, and `level` pixels shaved from each border."""
        rounded = (images.to_float(images.to_uint8(channel)) for channel in (reference, image))
        return tuple(images.shave(channel, int(level)) for channel in rounded)


class JpegDeblocking(Task):
    """Compressed by the IJG encoder; a level is its quality."""

    name = short = "jpeg"
    levels = (10, 20)
    level_name, prefix, level_range = "quality", "quality ", (1, 100)
    degraded, restored = "JPEG", "deblocked"
    test_sets = ("Classic5", "LIVE1")
    chroma_shrink = 2  # +0.35 and +0.23 dB (RGB) at qualities 10 and 20 over luma alone; at full size +0.13, +0.12
    multiple = 8
    symmetric = False  # the encoder's quantisation table is not

    def degrade(self, image, level, *, key="", seed=0):
        reference = images.to_float(image)
        return reference, degradations.jpeg(reference, self.whole(level))

    def restored_classically(self, image, level):
        return {"total variation": skimage.restoration.denoise_tv_chambolle(image, weight=0.2 / level)}


TASKS: dict[str, Task] = {task.name: task for task in (Denoising(), SuperResolution(), JpegDeblocking())}


def task(name: str | Task) -> Task:
    """The task of that name or short name (a Task is itself); ValueError with all the names when there is none."""
    if isinstance(name, Task):
        return name
    for known in TASKS.values():
        if name in (known.name, known.short):
            return known
    raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")


def degrade(
    image: np.ndarray, *, task: str | Task, level: float, key: str = "", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The reference and what a network gets of a uint8 channel (H, W): two float64 arrays of one shape.

    `level` is sigma in grey levels (of 255), the scale or the JPEG quality. References lie in [0, 1]; super-resolution
    crops them to a multiple of the scale, and its inputs, like noisy ones, may leave [0, 1]. Noise depends on
    (seed, key) alone: give every image its name as key. Source: section 5.1. Raises ValueError for an unknown task, for
    a level that makes no sense there, and for an image that is smaller than the scale.
    """
    images.check_channel(image)
    seed = checks.number("the seed", seed, 0, 2**62, whole=True)
    if not isinstance(key, str):
        raise ValueError(f"the key is a text, such as the image's name, got {key!r:.80}")
    return named(task).degrade(image, level, key=key, seed=seed)


def score(reference: np.ndarray, image: np.ndarray, *, task: str | Task, level: float) -> tuple[float, float]:
    """PSNR (dB) and SSIM of an image (H, W) against its reference, as the field reports them for the task.

    Super-resolution: both rounded to uint8, `level` pixels shaved from each border; otherwise the floats as they are.
    Raises ValueError for an unknown task.
    """
    return named(task).score(reference, image, level)


named = task  # where `task` is a parameter
