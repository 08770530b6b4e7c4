"""The validation set: training images that are kept from training, and the PSNR gain of a network on crops of them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from memnet.network.runtime import cudnn, evaluating
from memnet.protocol import metrics, tasks
from memnet.protocol.tasks import Task

VALIDATION_EVERY = 37  # every 37th training image is for validation
CROP_SIZE = 72  # edge of a validation crop in pixels, a multiple of every scale and of JPEG's blocks

CROPS = 30  # of training images, on which output weights are solved


def split(images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of uint8 channels (H, W): those to train on, and those to validate on, which are large enough for a crop.

    Raises ValueError for a single channel, and when no validation image is large enough.
    """
    held = [p for p in images[::VALIDATION_EVERY] if min(p.shape) >= CROP_SIZE]
    if len(images) < 2 or not held:
        raise ValueError(f"training takes two images or more, the first of {CROP_SIZE} pixels at least")
    return [p for number, p in enumerate(images) if number % VALIDATION_EVERY], held


def spread(images: Sequence[np.ndarray], count: int = CROPS) -> list[np.ndarray]:
    """`count` of the channels that are large enough for a crop, or all, spread over the whole sequence."""
    large = [p for p in images if min(p.shape) >= CROP_SIZE]
    return large[:: max(1, len(large) // count)][:count]


class ValidationSet:
    """Central crops of images (uint8 channels, `size` pixels or more), degraded at every level.

    `size` must be a multiple of every scale and of JPEG's blocks; `levels` are the task's by default.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        *,
        task: str | Task,
        levels: Sequence[int] | None = None,
        device="cpu",
        size: int = CROP_SIZE,
    ):
        task = tasks.task(task)
        self.pairs, self.levels = [], tuple(levels or task.levels)
        for number, image in enumerate(images):
            top, left = ((edge - size) // 2 for edge in image.shape)
            crop = image[top : top + size, left : left + size]
            for level in self.levels:
                self.pairs.append(task.degrade(crop, level, key=f"held back {number}"))
        inputs = np.stack([degraded for _, degraded in self.pairs]).astype(np.float32)
        self.inputs = torch.from_numpy(inputs).unsqueeze(1).to(device)

    @cudnn(allow_tf32=False)
    @torch.no_grad()
    def psnr_gain(self, model: nn.Module) -> float:
        """Mean over images and levels of PSNR(y) - PSNR(x) in dB, in float32, with the network's running statistics."""
        with evaluating(model):
            outputs = torch.cat([model(x).float() for x in self.inputs.split(4)]).squeeze(1).cpu().numpy()
        gains = [
            metrics.psnr(reference, y) - metrics.psnr(reference, x)
            for (reference, x), y in zip(self.pairs, outputs.astype(np.float64), strict=True)
        ]
        return float(np.mean(gains))
