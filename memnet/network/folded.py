"""The trained network in the form that is fastest to run: the same numbers to rounding, other arithmetic.

Three things change. A batch norm after a convolution goes into a copy of its weights for each recursion. A batch norm
and ReLU before one become a single clamp: relu(s v + t) = s max(v, -t / s) + t for s > 0 (min for s < 0), with s and t
in the convolution that follows. And a gate is a running sum over its memories, each added when it is there: nothing is
concatenated, and no recursion's state is kept.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.network.model import MemNet, PlainNet, RecursiveUnit, check_input

SMALLEST = 1e-30  # a batch norm's scale that is nearer to 0 counts as this
STRIP_BYTES = 16 * 2**20  # of a feature map that is convolved at a time: what is made again has to stay in the cache


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale s and shift t of each channel of a batch norm in evaluation, float64; s is never 0."""
    s = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    t = norm.bias.double() - s * norm.running_mean.double()
    return torch.where(s.abs() < SMALLEST, SMALLEST, s), t


class Clamped(nn.Module):
    """A convolution of relu(s v + t) as one of clamp(v, low, high), with s in its weight and t in its bias.

    `weight` is (O, I, K, K) and `bias` (O,), those of the convolution that follows batch norm and ReLU; both float64.
    """

    def __init__(self, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor):
        super().__init__()
        s, t = affine(norm)
        turn = -t / s
        shape = (1, len(s), 1, 1)
        self.register_buffer("low", torch.where(s > 0, turn, -torch.inf).float().view(shape))
        self.register_buffer("high", torch.where(s > 0, torch.inf, turn).float().view(shape))
        self.register_buffer("zero", turn.float().view(shape))  # where relu(s v + t) is 0, as in padding
        folded = (weight * s.view(1, -1, 1, 1)).float().contiguous(memory_format=torch.channels_last)
        self.register_buffer("weight", folded)
        self.register_buffer("bias", (bias + (weight * t.view(1, -1, 1, 1)).sum(dim=(1, 2, 3))).float())

    def forward(self, v: Tensor, padded: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """The 3x3 convolution of v (N, C, H, W) in strips of rows; `padded` (N, C, H + 2, W + 2) is for work."""
        for edge in edges(padded):
            edge.copy_(self.zero.expand_as(edge))
        torch.clamp(v, self.low, self.high, out=inside(padded))
        return convolved(padded, self.weight, self.bias)

    def add_to(self, total: Tensor, v: Tensor, clamped: Tensor) -> None:
        """Add the 1x1 convolution of v (N, C, H, W), but for its bias, to `total`; `clamped` is memory to work in."""
        torch.clamp(v, self.low, self.high, out=clamped)
        as_matrix(total).addmm_(as_matrix(clamped), self.weight[:, :, 0, 0].t())


def inside(padded: Tensor) -> Tensor:
    """The feature map (N, C, H, W) within its padded form (N, C, H + 2, W + 2)."""
    return padded[..., 1:-1, 1:-1]


def edges(padded: Tensor) -> tuple[Tensor, ...]:
    """The padding of a feature map: its first and last row and column."""
    return padded[..., :1, :], padded[..., -1:, :], padded[..., :1], padded[..., -1:]


def convolved(padded: Tensor, weight: Tensor, bias: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The 3x3 convolution of a padded map (N, C, H + 2, W + 2), in strips: rows of the result, and what is there."""
    height = padded.shape[-2] - 2
    rows = height if padded.is_cuda else max(STRIP_BYTES * (height + 2) // padded.nbytes, 1)
    for top in range(0, height, rows):
        strip = slice(top, min(top + rows, height))
        yield strip, functional.conv2d(padded[..., strip.start : strip.stop + 2, :], weight, bias)


def as_matrix(v: Tensor) -> Tensor:
    """A channels_last tensor (N, C, H, W) as its matrix (N H W, C), without a copy."""
    return v.permute(0, 2, 3, 1).view(-1, v.shape[1])


class FoldedUnit(nn.Module):
    """A recursive unit (eqs. 5-7) with both batch norms of each recursion in copies of its first convolution."""

    def __init__(self, unit: RecursiveUnit):
        super().__init__()
        weight, bias = (p.detach().double() for p in (unit.conv1.weight, unit.conv1.bias))
        self.first = nn.ModuleList()
        for norm1, norm2 in zip(unit.norms1, unit.norms2, strict=True):
            s, t = affine(norm2)
            self.first.append(Clamped(norm1, weight * s.view(-1, 1, 1, 1), bias * s + t))
        self.second = deepcopy(unit.conv2)

    def add_to(self, state: Tensor, r: int, padded: Tensor, middle: Tensor) -> None:
        """Recursion `r` (from 0): make H^r, which is `state` (N, C, H, W), H^{r+1} in place.

        `padded` and `middle` (N, C, H + 2, W + 2) are memory to work in; the edges of `middle` are 0.
        """
        for rows, residual in self.first[r](state, padded):
            torch.clamp(residual, 0, out=inside(middle)[..., rows, :])
        for rows, residual in convolved(middle, self.second.weight, self.second.bias):
            state[..., rows, :] += residual


class FoldedGate(nn.Module):
    """A gate unit (eq. 9) as a sum: one 1x1 convolution for each memory."""

    def __init__(self, norm: nn.BatchNorm2d, conv: nn.Conv2d):
        super().__init__()
        channels = conv.out_channels
        weight = conv.weight.detach().double()
        none = torch.zeros(channels, dtype=torch.float64, device=weight.device)
        parts = range(0, conv.in_channels, channels)
        self.memories = nn.ModuleList(
            Clamped(part_of(norm, i, i + channels), weight[:, i : i + channels], none) for i in parts
        )
        self.register_buffer("bias", conv.bias.detach() + sum(memory.bias for memory in self.memories))

    def start(self, like: Tensor) -> Tensor:
        """The sum before any memory: the bias, in the shape of `like` (N, C, H, W)."""
        return torch.empty_like(like).copy_(self.bias.view(1, -1, 1, 1).expand_as(like))


def part_of(norm: nn.BatchNorm2d, begin: int, end: int) -> nn.BatchNorm2d:
    """The batch norm of the channels from `begin` to before `end`."""
    part = nn.BatchNorm2d(end - begin, eps=norm.eps, device=norm.weight.device)
    for name, value in (*norm.named_parameters(), *norm.named_buffers()):
        if value.ndim:
            getattr(part, name).data.copy_(value[begin:end])
    return part


class Workspace:
    """Memory to work in that all blocks share, for feature maps like one (N, C, H, W)."""

    def __init__(self, like: Tensor):
        n, c, h, w = like.shape
        self.work = torch.empty_like(like)
        self.padded, self.middle = (
            torch.empty((n, c, h + 2, w + 2), dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
            for _ in range(2)
        )
        for edge in edges(self.middle):
            edge.zero_()


def unseen(share: float) -> None:
    """Progress that nobody watches: `share` of the work is done."""


class InferenceNet(nn.Module):
    """A trained MemNet made for inference, with the `config`, `predictions` and `forward` of what it was made of.

    The memory blocks compute in `precision`; the first convolution and the final sum are float32.
    """

    def __init__(self, model: MemNet, precision: torch.dtype = torch.float32):
        super().__init__()
        self.config = model.config
        self.fenet = deepcopy(model.fenet)
        self.units = nn.ModuleList(FoldedUnit(block.recursive_unit) for block in model.blocks)
        self.gates = nn.ModuleList(FoldedGate(block.gate_unit[0], block.gate_unit[2]) for block in model.blocks)
        conv = model.reconnet.conv
        weight, bias = conv.weight.detach().double(), conv.bias.detach().double()
        self.recons = nn.ModuleList(Clamped(norm, weight, bias) for norm in model.reconnet.norms)
        self.register_buffer("output_weights", model.output_weights.detach().clone())
        self.precision = precision
        for part in (self.units, self.gates, self.recons):
            part.to(precision)
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def sources(
        self, number: int, memory: list[Tensor], space: Workspace, progress: Callable[[float], None] = unseen
    ) -> Iterator[Tensor]:
        """The memories that the gate of block m = `number` + 1 takes, in its order, from [B_0 .. B_{m-1}] (N, C, H, W).

        Each H^r is gone when the next one is taken: it becomes that in place.
        """
        yield from memory if self.config.long_term else []
        state = memory[-1].clone(memory_format=torch.channels_last)
        for r in range(1, self.config.recursions + 1):
            self.units[number].add_to(state, r - 1, space.padded, space.middle)
            if self.config.short_term or r == self.config.recursions:
                yield state
            progress((number + r / self.config.recursions) / self.config.blocks)

    def block(
        self, number: int, memory: list[Tensor], space: Workspace, progress: Callable[[float], None] = unseen
    ) -> Tensor:
        """B_m of block m = `number` + 1 from [B_0 .. B_{m-1}] (N, C, H, W)."""
        gate = self.gates[number]
        total = gate.start(memory[-1])
        for part, source in zip(gate.memories, self.sources(number, memory, space, progress), strict=True):
            part.add_to(total, source, space.work)
        return total

    def first(self, x: Tensor) -> Tensor:
        """B_0 (N, C, H, W) of x (N, 1, H, W)."""
        return self.fenet(x).to(self.precision).contiguous(memory_format=torch.channels_last)

    def memories(
        self, memory: list[Tensor], space: Workspace, progress: Callable[[float], None] = unseen
    ) -> list[Tensor]:
        """[B_0 .. B_M] from [B_0 .. B_m] (N, C, H, W)."""
        for number in range(len(memory) - 1, len(self.units)):
            memory = [*memory, self.block(number, memory, space, progress)]
        return memory

    def reconstruction(self, memory: list[Tensor], x: Tensor, space: Workspace) -> tuple[Tensor, list[Tensor]]:
        """y and [y_1 .. y_M] (eqs. 3, 11), all of the shape of x (N, 1, H, W), from [B_0 .. B_M]."""
        y_m = [
            torch.cat([strip for _, strip in recon(supervised, space.padded)], dim=2).float() + x
            for recon, supervised in zip(self.recons, memory[-len(self.recons) :], strict=True)
        ]
        if not self.config.multi_supervised:
            return y_m[0], y_m
        return sum(weight * y for weight, y in zip(self.output_weights, y_m, strict=True)), y_m

    def predictions(self, x: Tensor, progress: Callable[[float], None] = unseen) -> tuple[Tensor, list[Tensor]]:
        """y and [y_1 .. y_M] as of `MemNet.predictions`, for x (N, 1, H, W).

        `progress` is called after every recursion with the share that is done.
        """
        check_input(x)
        first = self.first(x)
        space = Workspace(first)
        return self.reconstruction(self.memories([first], space, progress), x, space)

    def forward(self, x: Tensor) -> Tensor:
        """The restored image y of x; both (N, 1, H, W), luma in [0, 1], any H and W from 1."""
        return self.predictions(x)[0]


def inference_form(model: MemNet | PlainNet | InferenceNet, precision: torch.dtype = torch.float32) -> nn.Module:
    """The fastest form of a trained network that gives its numbers to the rounding of `precision`.

    Other networks come back as they are; ValueError when they are asked for another precision than float32.
    """
    if isinstance(model, MemNet):
        return InferenceNet(model, precision)
    if precision not in (torch.float32, getattr(model, "precision", None)):
        raise ValueError(f"{type(model).__name__} computes in float32 alone")
    return model
