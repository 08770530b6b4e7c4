"""The running average of a network's weights and statistics, updated without reading a number from the device."""

import torch
from torch import Tensor, nn


def decay(step: int) -> float:
    """By how much the average keeps of itself at step `step` (from 0): 0.999, and less at the start."""
    return min(0.999, (step + 2) / (step + 11))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, rate: Tensor, nonfinite: Tensor) -> None:
    """Move the average by `rate` = 1 - decay towards the model.

    After a step that was not finite (`nonfinite`) it does not move, and the model's statistics become the average's.
    """
    rate = torch.where(nonfinite, 0.0, rate)
    kept, now = list(average.parameters()), list(model.parameters())
    moves = torch._foreach_sub(now, kept)
    torch._foreach_mul_(moves, rate)
    torch._foreach_add_(kept, moves)
    kept, now = statistics(average), statistics(model)
    sizes = [len(values) for values in now]
    before, latest = torch.cat(kept), torch.cat(now)
    latest = torch.where(nonfinite, before, latest)
    torch._foreach_copy_(now, latest.split(sizes))
    torch._foreach_copy_(kept, torch.lerp(before, latest, rate).split(sizes))
    torch._foreach_add_(counters(model), -nonfinite.long(), alpha=1)  # without alpha it would read the number


def statistics(model: nn.Module) -> list[Tensor]:
    """Running means and variances of all batch norms."""
    return [buffer for buffer in model.buffers() if buffer.is_floating_point()]


def counters(model: nn.Module) -> list[Tensor]:
    """How many batches each batch norm has seen."""
    return [buffer for buffer in model.buffers() if not buffer.is_floating_point()]
