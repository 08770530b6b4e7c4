"""Speed on a GPU: compiled layers, and a training step captured as one CUDA graph."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from memnet.network.model import PreActivation, ReconNet, RecursiveUnit

WARMUP_STEPS = 3  # on a GPU, before the capture: they compile, choose kernels and make the optimiser's state


def compile_modules(model: nn.Module, backend: str = "inductor") -> None:
    """Have `torch.compile` fuse norms, activations and sums of the modules that repeat: one graph serves all blocks.

    Copies of the model (`deepcopy`) are not compiled.
    """
    torch._dynamo.config.cache_size_limit = 64  # one graph for each shape of gate
    for module in model.modules():
        if isinstance(module, RecursiveUnit | PreActivation | ReconNet):
            module.compile(dynamic=False, backend=backend)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Garbage is collected before and not meanwhile: another graph that dies during a capture would spoil it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class CUDAGraph:
    """A function of tensors on a GPU that is captured as one CUDA graph and then replayed by a single launch.

    The first calls run eagerly. From then on the function must do the same with tensors at the same addresses: what
    changes from call to call is an argument or lies in a tensor.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]]):
        self.function, self.calls, self.graph = function, 0, None
        self.stream = torch.cuda.Stream()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What the function returns for `inputs`, always of the shapes of the first call."""
        if self.calls < WARMUP_STEPS:
            self.calls += 1
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                outputs = self.function(*inputs)
            torch.cuda.current_stream().wait_stream(self.stream)
            return outputs
        if self.graph is None:
            self.graph, self.inputs = torch.cuda.CUDAGraph(), [tensor.clone() for tensor in inputs]
            with no_garbage_collection(), torch.cuda.graph(self.graph):
                self.outputs = self.function(*self.inputs)
        for captured, tensor in zip(self.inputs, inputs, strict=True):
            captured.copy_(tensor)
        self.graph.replay()
        return tuple(tensor.clone() for tensor in self.outputs)
