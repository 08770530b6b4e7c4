"""Validation images: which training images are held out, and what a network gains on crops of them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from memnet.network.runtime import cudnn, evaluating
from memnet.protocol import metrics, tasks
from memnet.protocol.tasks import Task

HELD_BACK_EVERY = 37  # every 37th training picture is held back, to watch the gain on
HELD_BACK_SIZE = 72  # edge of the crop that is looked at, a multiple of every scale and of JPEG's blocks

CROPS = 30  # of training pictures, on which output weights are solved


def split(planes: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of uint8 planes (H, W): those to learn from, and the held-back ones that are large enough to watch the gain on.

    Raises ValueError for a single plane, and when none of the held-back ones is large enough.
    """
    held = [p for p in planes[::HELD_BACK_EVERY] if min(p.shape) >= HELD_BACK_SIZE]
    if len(planes) < 2 or not held:
        raise ValueError(f"training takes two pictures or more, the first of {HELD_BACK_SIZE} pixels at least")
    return [p for number, p in enumerate(planes) if number % HELD_BACK_EVERY], held


def some_of(planes: Sequence[np.ndarray], count: int = CROPS) -> list[np.ndarray]:
    """`count` of the planes that are large enough for a crop, or all, spread over the whole sequence."""
    large = [p for p in planes if min(p.shape) >= HELD_BACK_SIZE]
    return large[:: max(1, len(large) // count)][:count]


class HeldBack:
    """Central crops of held-back pictures (uint8, `size` pixels or more) at every level: what a network gains there.

    `size` must be a multiple of every scale and of JPEG's blocks; `levels` are the task's unless given.
    """

    def __init__(
        self,
        planes: Sequence[np.ndarray],
        *,
        task: str | Task,
        levels: Sequence[int] | None = None,
        device="cpu",
        size: int = HELD_BACK_SIZE,
    ):
        task = tasks.task(task)
        self.pairs, self.levels = [], tuple(levels or task.levels)
        for number, plane in enumerate(planes):
            top, left = ((edge - size) // 2 for edge in plane.shape)
            crop = plane[top : top + size, left : left + size]
            for level in self.levels:
                self.pairs.append(task.degrade(crop, level, key=f"held back {number}"))
        inputs = np.stack([degraded for _, degraded in self.pairs]).astype(np.float32)
        self.inputs = torch.from_numpy(inputs).unsqueeze(1).to(device)

    @cudnn(allow_tf32=False)
    @torch.no_grad()
    def gain(self, model: nn.Module) -> float:
        """Mean over pictures and levels of PSNR(y) - PSNR(x), in float32, with the network's running statistics."""
        with evaluating(model):
            outputs = torch.cat([model(x).float() for x in self.inputs.split(4)]).squeeze(1).cpu().numpy()
        gains = [
            metrics.psnr(reference, y) - metrics.psnr(reference, x)
            for (reference, x), y in zip(self.pairs, outputs.astype(np.float64), strict=True)
        ]
        return float(np.mean(gains))
