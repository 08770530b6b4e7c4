"""The network step by step: its equations beside the source, every shape, receptive fields, what a gate adds up."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from memnet.network import model
from memnet.network.model import Config, MemNet
from memnet.protocol import tasks
from memnet.protocol.datasets import Picture
from memnet.restoration import tiling
from memnet.training import loss


@dataclass(frozen=True)
class Equation:
    """An equation of the paper, the lines of the package that compute it, and the shape of its left side."""

    number: str
    latex: str
    meaning: str
    function: Callable
    lines: tuple[str, ...]  # how each of the source lines begins
    shape: str

    @property
    def source(self) -> str:
        """Those lines as they stand in the source; ValueError when one of them is no longer there."""
        code = [line.strip() for line in inspect.getsource(self.function).splitlines()]
        found = [[line for line in code if line.startswith(begin)][:1] for begin in self.lines]
        if not all(found):
            raise ValueError(f"{self.function.__qualname__} has no line for each of {self.lines}")
        return "\n".join(line for lines in found for line in lines)


FORWARD = "for norm1, norm2 in zip", "residual =", "state = state"
EQUATIONS = (
    Equation("1", r"B_0 = f_{ext}(x)", "feature extraction (FENet)", MemNet.memories, ("memory = [",), "(N, 64, H, W)"),
    Equation(
        "2",
        r"B_m = \mathcal{M}_m(B_{m-1})",
        "memory blocks, one after the other",
        MemNet.memories,
        ("for block in", "memory.append"),
        "(N, 64, H, W) for each m",
    ),
    Equation(
        "3",
        r"y = f_{rec}(B_M) + x",
        "reconstruction (ReconNet): the network learns the residual",
        model.ReconNet.forward,
        ("return [",),
        "(N, 1, H, W)",
    ),
    Equation(
        "4",
        r"\mathcal{L}(\Theta) = \tfrac{1}{2N} \sum_i \lVert \tilde{x}^{(i)} - y^{(i)} \rVert^2",
        "loss of the basic network: the mean squared error; the package leaves out the 1/2",
        loss.supervised_loss,
        ("y, y_m =", "errors ="),
        "a number",
    ),
    Equation(
        "5",
        r"H^r_m = \mathcal{F}(H^{r-1}_m, W_m) + H^{r-1}_m",
        "one recursion: a residual function and its input",
        model.RecursiveUnit.forward,
        FORWARD[2:],
        "(N, 64, H, W)",
    ),
    Equation(
        "6",
        r"\mathcal{F}(H, W_m) = W^2_m\, \tau(W^1_m\, \tau(H))",
        "the residual function; tau is batch norm and ReLU",
        model.RecursiveUnit.forward,
        FORWARD[1:],
        "(N, 64, H, W)",
    ),
    Equation(
        "7",
        r"H^R_m = \mathcal{R}_m(\mathcal{R}_m(\dots \mathcal{R}_m(B_{m-1})))",
        "R recursions with one pair of convolutions; each has its own two batch norms",
        model.RecursiveUnit.forward,
        FORWARD,
        "R times (N, 64, H, W)",
    ),
    Equation(
        "8",
        r"B^{gate}_m = [B_0, \dots, B_{m-1}, H^1_m, \dots, H^R_m]",
        "long-term and short-term memory, concatenated",
        model.MemoryBlock.forward,
        ("long =", "short =", "return self.gate_unit(torch.cat"),
        "(N, 64 (m + R), H, W)",
    ),
    Equation(
        "9",
        r"B_m = W^{gate}_m\, \tau(B^{gate}_m)",
        "gate unit: batch norm, ReLU, 1x1 convolution",
        model.PreActivation.forward,
        ("return conv(",),
        "(N, 64, H, W)",
    ),
    Equation(
        "10",
        r"B_m = f^{gate}_m([B_0, \dots, B_{m-1}, \mathcal{R}_m(B_{m-1}), \dots, \mathcal{R}^{(R)}_m(B_{m-1})])",
        "the whole memory block: equations 7, 8 and 9 in one line",
        model.MemoryBlock.forward,
        ("states =", "return self.gate_unit("),
        "(N, 64, H, W)",
    ),
    Equation(
        "11",
        r"y = \sum_{m=1}^{M} w_m\, y_m",
        "multi-supervised: a weighted sum of the predictions of all blocks; w_m are learned",
        MemNet.predictions,
        ("y_m = self.reconnet", "return sum("),
        "(N, 1, H, W)",
    ),
    Equation(
        "12",
        r"\mathcal{L}(\Theta) = \tfrac{\alpha}{2N} \sum_i \lVert \tilde{x}^{(i)} - y^{(i)} \rVert^2 "
        r"+ \tfrac{1-\alpha}{2MN} \sum_m \sum_i \lVert \tilde{x}^{(i)} - y_m^{(i)} \rVert^2",
        "loss of the multi-supervised network; alpha is 1 / (M + 1)",
        loss.supervised_loss,
        ("alpha =", "shares =", "errors ="),
        "a number",
    ),
)


def shapes(network: MemNet, x: Tensor) -> pd.DataFrame:
    """Every layer that a forward pass of x (N, 1, H, W) runs, in order: step, layer, kind, input and output shape.

    A layer that is used again, such as the convolutions of a recursive unit, appears again.
    """
    rows, names = [], {module: name for name, module in network.named_modules()}

    def note(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        kind = type(module).__name__.removesuffix("2d")
        kind = f"Conv {module.kernel_size[0]}x{module.kernel_size[1]}" if kind == "Conv" else kind
        rows.append((len(rows) + 1, names[module], kind, tuple(inputs[0].shape), tuple(output.shape)))

    kinds = nn.Conv2d | nn.BatchNorm2d
    hooks = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, kinds)]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return pd.DataFrame(rows, columns=["step", "layer", "kind", "input", "output"])


def receptive_fields(network: MemNet, *, block: int = 1) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """How far H^1 .. H^R of a memory block see: a table and images of the gradients that say so.

    The table has a row a state: its convolutions of 3x3 from x on, and the measured radius in pixels. A gradient is
    that of the sum over channels at the central pixel with respect to a mid-gray x. Its image (H, W) is logarithmic:
    1 is the largest absolute value, 0 a ten-thousandth of it or less. ValueError for a block that is not there.
    """
    check_block(network, block)
    recursions = len(network.blocks[0].recursive_unit.norms1)
    centre = 1 + 2 * recursions * block + 3  # three pixels more than any state sees
    x = torch.full((1, 1, 2 * centre + 1, 2 * centre + 1), 0.5, requires_grad=True)
    states = network.blocks[block - 1].recursive_unit(network.memories(x)[block - 1])
    rows, gradients = [], {}
    for r, state in enumerate(states, start=1):
        (gradient,) = torch.autograd.grad(state[0, :, centre, centre].sum(), x, retain_graph=True)
        size = gradient[0, 0].abs()
        distances = (size.nonzero() - centre).abs()
        rows.append((f"H^{r}", 1 + 2 * ((block - 1) * recursions + r), int(distances.max())))
        gradients[f"$H^{r}$"] = (1 + (size / size.max()).clamp(min=1e-4).log10() / 4).numpy()
    return pd.DataFrame(rows, columns=["state", "convolutions", "radius"]), gradients


def check_block(network: MemNet, block: int) -> None:
    """ValueError for a memory block that the network has not."""
    if not 1 <= block <= len(network.blocks):
        raise ValueError(f"the network has memory blocks 1 to {len(network.blocks)}, got {block}")


PADDED = 4  # pixels at the border of a feature map that the padding changes most


def feature_maps(memory: list[Tensor], count: int = 6) -> dict[str, np.ndarray]:
    """The `count` maps of B_0 .. B_M that vary most, each (H, W) in [0, 1], by name.

    0 and 1 are the 1st and the 99th percentile of a map's inside: at the border, where the padding is, values are
    larger.
    """
    maps = {}
    for m, state in enumerate(memory):
        images = state[0].detach()
        inside = images[:, PADDED:-PADDED, PADDED:-PADDED].flatten(1)
        low, high = torch.quantile(inside, torch.tensor([0.01, 0.99]), dim=1).view(2, -1, 1, 1)
        scaled = ((images - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
        for channel in (high - low).flatten().argsort(descending=True)[:count].tolist():
            maps[f"$B_{m}$, map {channel}"] = scaled[channel].numpy()
    return maps


def predictions(
    network: MemNet, picture: Picture, *, task: str, level: int
) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, float]]]:
    """Images (H, W) by name: original, input, y_1 .. y_M and y; and (PSNR in dB, SSIM) of all but the original."""
    reference, degraded = tasks.degrade(picture.pixels, task=task, level=level, key=picture.name)
    y, y_m = tiling.predict(network, degraded)
    return scored(reference, degraded, y, y_m, task=task, level=level)


def scored(
    reference: np.ndarray, degraded: np.ndarray, y: np.ndarray, y_m: list[np.ndarray], *, task: str, level: int
) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, float]]]:
    """What `predictions` returns, from the images (H, W) themselves."""
    restored = {f"$y_{m}$": image for m, image in enumerate(y_m, start=1)} | {"$y$": y}
    images = {"input": degraded, **restored}
    scores = {name: tasks.score(reference, image, task=task, level=level) for name, image in images.items()}
    return {"original": reference, **images}, scores


@torch.no_grad()
def gate_terms(network: MemNet, images: dict[str, np.ndarray], *, block: int) -> pd.DataFrame:
    """What a gate is: for each memory the norm of its weights, and the size of what it adds to B_m on each channel.

    A gate unit is a 1x1 convolution, so B_m is a sum with one term a memory (and the bias). `norm` is the l2 norm of
    the memory's weights; the other columns hold the root mean square of its term on each of `images` (H, W).
    """
    check_block(network, block)
    norm, relu, conv = network.blocks[block - 1].gate_unit
    sources = network.config.gate_sources(block)
    weights = conv.weight.split(network.config.channels, dim=1)
    table = pd.DataFrame({"memory": sources, "norm": [float(weight.norm()) for weight in weights]})
    for name, image in images.items():
        gate_input = relu(norm(gate_memories(network, image, block)))
        parts = gate_input.split(network.config.channels, dim=1)
        terms = [nn.functional.conv2d(part, weight) for part, weight in zip(parts, weights, strict=True)]
        table[name] = [float(term.square().mean().sqrt()) for term in terms]
    return table


def gate_memories(network: MemNet, image: np.ndarray, block: int) -> Tensor:
    """What enters gate m = `block` for a channel (H, W): all its memories, concatenated (1, L_m, H, W) (eq. 8)."""
    x = torch.from_numpy(np.asarray(image, np.float32))[None, None].contiguous(memory_format=torch.channels_last)
    memory, unit = network.memories(x)[:block], network.blocks[block - 1]
    states = dict(enumerate(unit.recursive_unit(memory[-1]), start=1))
    by_name = {f"B{i}": b for i, b in enumerate(memory)} | {f"H{r}": h for r, h in states.items()}
    return torch.cat([by_name[name] for name in network.config.gate_sources(block)], dim=1)


def untrained(blocks: int, recursions: int, channels: int = 64) -> MemNet:
    """A new network in evaluation mode, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MemNet(Config(blocks, recursions, channels)).eval()
