"""Training patches, drawn, flipped and degraded on the device where the network is."""

from collections.abc import Sequence
from copy import copy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from memnet.protocol import tasks
from memnet.protocol.tasks import RandomTask, Task

FIXED_POINT = 16384  # degraded channels are kept as int16: [-2, 2) in steps of 0.016 grey levels
CANDIDATES = 16  # patches among which each one is drawn by importance sampling
UNIFORM_SHARE = 0.2  # of importance sampling, the share that is uniform: no weight is above 1 / 0.2


class Patches:
    """Pairs of degraded and clean patches (section 5.1), drawn at random from images that live on `device`.

    `images` are uint8 channels (H, W). They are cropped to multiples of what the task takes, and those that hold no
    patch are left out. `patch` is the edge of a patch and `stride` that of the grid of its positions, in pixels (the
    paper's: 31 and 21). Every image is there upright and transposed; with the flips of each patch these are the 8
    orientations of section 5.1. Inputs of every level are made once, or drawn again for every patch where the task is
    random. A pixel takes 2 bytes for the clean image and 2 for each level's input, twice.

    `levels` are the task's by default. All weigh alike in the loss, as in the paper. If `balanced`, the loss of each
    level is weighed by one over the root mean square error of its inputs: of levels that lie far apart the worst
    would be learnt alone otherwise. Raises ValueError for an unknown task and when no image holds a patch.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        *,
        task: str | Task,
        patch: int,
        stride: int = 1,
        levels: Sequence[int] | None = None,
        balanced: bool = False,
        device="cpu",
    ):
        self.task, self.patch, self.device = tasks.task(task), patch, torch.device(device)
        self.levels = tuple(levels or self.task.levels)
        multiple = self.task.multiple
        images = [p[: p.shape[0] // multiple * multiple, : p.shape[1] // multiple * multiple] for p in images]
        images = [p for p in images if min(p.shape) >= patch]
        if not images:
            raise ValueError(f"no training image holds a patch of {patch}x{patch} pixels")
        upright = [with_inputs(p, self.task, self.levels) for p in images]
        pairs = zip(images, upright, strict=True)
        stacks = upright + [transposed(p, stack, self.task, self.levels) for p, stack in pairs]
        self.pixels = torch.cat([torch.from_numpy(s.reshape(len(s), -1)) for s in stacks], dim=1).to(self.device)
        self.shapes, self.stride = torch.tensor([s.shape[1:] for s in stacks]), stride
        self.widths = self.shapes[:, 1].to(self.device)
        self.starts = cumulative(self.shapes.prod(dim=1)).to(self.device)
        self.lay_grid()
        self.importance = self.balance() if balanced else torch.ones(len(self.levels), device=self.device)

    def lay_grid(self) -> None:
        """Where patches of the present size can lie; an image that holds none has no place. ValueError for none."""
        grid = ((self.shapes - self.patch) // self.stride + 1).clamp(min=0)
        self.columns = grid[:, 1].to(self.device)
        self.first = cumulative(grid.prod(dim=1)).to(self.device)
        self.positions = int(grid.prod(dim=1).sum())
        if not self.positions:
            raise ValueError(f"no training image holds a patch of {self.patch}x{self.patch} pixels")

    def grown(self, times: int) -> "Patches":
        """The same images for patches of `times` the edge; ValueError when no image holds one."""
        larger = copy(self)
        larger.patch = times * self.patch
        larger.lay_grid()
        return larger

    def balance(self) -> Tensor:
        """What each level's loss is weighed by, mean 1: in proportion to one over the rms error of its inputs."""
        if isinstance(self.task, RandomTask):
            rms = torch.tensor([self.task.input_error(level) for level in self.levels], device=self.device)
        else:
            rms = torch.stack([(inputs - self.pixels[0]).float().square().mean().sqrt() for inputs in self.pixels[1:]])
        return 1 / rms / (1 / rms).mean()

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """`count` degraded patches, their clean ones, and their weights in the loss (mean 1).

        Float32 (count, 1, P, P), clean ones in [0, 1], degraded ones not clipped, and (count,). `generator` is one of
        the same device.
        """
        # Paper: each patch once an epoch. Drawn with replacement here, since no epoch is ever finished.
        position = torch.randint(self.positions, (count,), generator=generator, device=self.device)
        level = torch.randint(len(self.levels), (count,), generator=generator, device=self.device)
        flips = torch.randint(2, (2, count, 1), generator=generator, device=self.device).bool()
        index = self.indices(position, flips)
        clean = self.pixels[0].take(index).float().unsqueeze(1) / FIXED_POINT
        if isinstance(self.task, RandomTask):
            noise = torch.randn(clean.shape, generator=generator, device=self.device)
            levels = torch.tensor(self.levels, device=self.device).float()[level].view(-1, 1, 1, 1)
            return self.task.degrade_patches(clean, levels, noise), clean, self.importance[level]
        inputs = self.pixels.view(-1).take(index + (1 + level.view(-1, 1, 1)) * self.pixels.shape[1])
        return inputs.float().unsqueeze(1) / FIXED_POINT, clean, self.importance[level]

    def draw_by_importance(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Importance sampling: as `draw`, but a patch of a larger input error comes more often and weighs less.

        The weighted mean over such patches is in expectation that of `draw`'s patches, but varies less: a smooth patch
        has little to teach. A share of `UNIFORM_SHARE` is uniform, and every batch has small errors and large ones.
        """
        # Paper: every patch once an epoch. The root of the error is about the size of a patch's gradient; noise is
        # everywhere alike, so there it is the error that a plain mean of neighbours leaves.
        x, clean, importance = self.draw(CANDIDATES * count, generator)
        blurred = functional.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)
        errors = [(guess - clean).square().mean(dim=(1, 2, 3)).sqrt() for guess in (x, blurred)]
        wrong = importance * torch.minimum(*errors) + 1e-6
        share = UNIFORM_SHARE / len(x) + (1 - UNIFORM_SHARE) * wrong / wrong.sum()
        # One patch from each of `count` equal parts of the chances, in the order of the errors: no draw is all easy.
        order = wrong.argsort()
        chance = torch.rand(count, generator=generator, device=self.device)
        chance = (torch.arange(count, device=self.device) + chance) / count
        chosen = order[torch.searchsorted(share[order].cumsum(0), chance).clamp(max=len(x) - 1)]
        return x[chosen], clean[chosen], importance[chosen] / (len(x) * share[chosen])

    def indices(self, position: Tensor, flips: Tensor) -> Tensor:
        """Places in a flat channel of the patches at `position` (N,), flipped by rows and columns; (N, P, P)."""
        image = torch.searchsorted(self.first, position, right=True) - 1
        cell, columns = position - self.first[image], self.columns[image]
        row, column = cell // columns * self.stride, cell % columns * self.stride
        along = torch.arange(self.patch, device=self.device).expand(2, len(position), self.patch)
        along = torch.where(flips, self.patch - 1 - along, along)
        rows, cols = row[:, None] + along[0], column[:, None] + along[1]
        return (self.starts[image, None] + rows * self.widths[image, None])[:, :, None] + cols[:, None, :]


def with_inputs(image: np.ndarray, task: Task, levels: Sequence[int]) -> np.ndarray:
    """A uint8 channel (H, W) and, unless the task is random, its inputs: int16 fixed point (1 + levels, H, W)."""
    inputs = [] if isinstance(task, RandomTask) else [task.degrade(image, level)[1] for level in levels]
    return np.stack([np.round(pixels * FIXED_POINT).astype(np.int16) for pixels in [image / 255.0, *inputs]])


def transposed(image: np.ndarray, stack: np.ndarray, task: Task, levels: Sequence[int]) -> np.ndarray:
    """The stack of the transposed image: degraded again where the task is not symmetric."""
    if task.symmetric:
        return np.ascontiguousarray(stack.transpose(0, 2, 1))
    return with_inputs(np.ascontiguousarray(image.T), task, levels)


def cumulative(sizes: Tensor) -> Tensor:
    """Where each of the consecutive parts of these sizes begins."""
    return torch.cumsum(sizes, 0) - sizes
