"""Where a network runs: its device, its precision, cuDNN's switches."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
}  # not float16: memories of trained networks exceed it


def device_for(name: str) -> str:
    """The device of that name, or for "" a GPU if there is one, else the CPU; ValueError for one that is not here."""
    gpu = torch.cuda.is_available()
    if name not in ("", "cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}: choose cuda, cpu, or an empty text for what is here")
    if name == "cuda" and not gpu:
        raise ValueError("torch finds no GPU here: set the device to cpu, or leave it empty")
    return name or ("cuda" if gpu else "cpu")


@contextmanager
def cudnn(**settings: bool) -> Iterator[None]:
    """Settings of `torch.backends.cudnn` for a while: what GPUs do in convolutions.

    Without `allow_tf32=False` they round what they multiply in float32 to 11 bits; `benchmark=True` tries all kernels
    on the first input of a shape.
    """
    before = {name: getattr(torch.backends.cudnn, name) for name in settings}
    try:
        for name, value in settings.items():
            setattr(torch.backends.cudnn, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(torch.backends.cudnn, name, value)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode for a while; each of its modules is then in the mode in which it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def device_of(model: nn.Module) -> torch.device:
    """Where the weights of a network are; the CPU for one that has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
