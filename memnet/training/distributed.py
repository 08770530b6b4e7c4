"""One training on several processes, as `torchrun` starts them.

Every process draws the whole batch with the same generator and works on its shard. With synchronised batch norms and
averaged gradients all of them make the step that one process would make, to rounding. Without torchrun there is one
process and nothing here does anything.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def world_size() -> int:
    """How many processes train one network."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main_process() -> bool:
    """Whether this process writes and prints, also after the process group is gone."""
    return (rank() if world_size() > 1 else int(os.environ.get("RANK", "0"))) == 0


@contextmanager
def process_group(device: str) -> Iterator[str]:
    """Init the process group if torchrun started this process; its device: cpu, cuda, cuda:1 ..."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        if device.startswith("cuda:"):
            torch.cuda.set_device(device)
        yield device
        return
    on_gpu = device.startswith("cuda")
    device = f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else device
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def shard(batch: Tensor) -> Tensor:
    """This process's part of a batch (N, ...); ValueError when N is no multiple of the number of processes."""
    if len(batch) % world_size():
        raise ValueError(f"a batch of {len(batch)} cannot be split among {world_size()} processes: choose a multiple")
    return batch[rank() :: world_size()]


@torch.no_grad()
def all_reduce_mean(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over the processes."""
    if world_size() == 1:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view(tensor.shape))


def broadcast(value):
    """The main process's value, in all of them."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


class SyncBatchNorm(nn.BatchNorm2d):
    """A batch norm whose statistics in training are those of all processes' batches together."""

    def forward(self, v: Tensor) -> Tensor:
        """v (N, C, H, W) normalised; running statistics move as those of `BatchNorm2d`."""
        if not self.training or world_size() == 1:
            return super().forward(v)
        count, values = v.numel() // v.shape[1] * world_size(), v.float()
        mean = all_reduce(values.sum(dim=(0, 2, 3))) / count
        centred = values - mean.view(1, -1, 1, 1)
        variance = all_reduce(centred.square().sum(dim=(0, 2, 3))) / count
        self.update_statistics(mean.detach(), variance.detach() * count / max(count - 1, 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(v.dtype)

    @torch.no_grad()
    def update_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of this batch."""
        self.num_batches_tracked += 1
        new_share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, new_share)
        self.running_var.lerp_(variance, new_share)


def convert_sync_batchnorm(model: nn.Module) -> nn.Module:
    """The model with its batch norms made `SyncBatchNorm`, in place."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm
    return model
