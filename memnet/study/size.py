"""How large and how fast a network is: parameters, layers, multiply-adds, seconds."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from memnet.network.folded import inference_form
from memnet.network.model import Config, PlainConfig, build
from memnet.network.runtime import device_for
from memnet.restoration import tiling


def parameters(network: Config | PlainConfig | nn.Module) -> dict[str, int]:
    """How many numbers a network learns: convolution_weights (the paper's count), biases, norms, output_weights, total.

    `norms` are the batch norms' scales and shifts, `output_weights` the w_m of eq. 11.
    """
    if not isinstance(network, nn.Module):
        with torch.device("meta"):  # shapes only
            network = build(network)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    counts = {
        "convolution_weights": sum(layer.weight.numel() for layer in convolutions),
        "biases": sum(layer.bias.numel() for layer in convolutions),
        "norms": sum(norm.weight.numel() + norm.bias.numel() for norm in norms),
        "output_weights": network.output_weights.numel() if hasattr(network, "output_weights") else 0,
    }
    return counts | {"total": sum(counts.values())}


def layer_table(config: Config | PlainConfig) -> pd.DataFrame:
    """One row a convolution, from x to y: where it is, its kernel, maps in and out, and how often a pass applies it.

    `weights`, `biases` and `norms` (of the batch norms before it) are learned numbers; `operations` are multiply-adds
    for each pixel of the image, over all its applications.
    """
    rows = memnet_layers(config) if isinstance(config, Config) else plain_layers(config)
    table = pd.DataFrame(rows, columns=["layer", "equation", "kernel", "inputs", "outputs", "applied", "norm_sets"])
    table["weights"] = table.kernel**2 * table.inputs * table.outputs
    table["biases"] = table.outputs
    table["norms"] = 2 * table.inputs * table.norm_sets
    table["operations"] = table.weights * table.applied
    return table.drop(columns="norm_sets")


def memnet_layers(config: Config) -> list[tuple]:
    """(layer, equation, kernel, inputs, outputs, times applied, sets of norms) of a MemNet's convolutions, in order."""
    c, r = config.channels, config.recursions
    outputs = config.blocks if config.multi_supervised else 1
    rows = [("FENet", "1", 3, 1, c, 1, 1)]
    for m in range(1, config.blocks + 1):
        rows.append((f"block {m}, W1", "6", 3, c, c, r, r))
        rows.append((f"block {m}, W2", "6", 3, c, c, r, r))
        rows.append((f"block {m}, gate", "9", 1, c * len(config.gate_sources(m)), c, 1, 1))
    return [*rows, ("ReconNet", "11" if config.multi_supervised else "3", 3, c, 1, outputs, outputs)]


def plain_layers(config: PlainConfig) -> list[tuple]:
    """The same of a network of fig. 1 (a) or (b)."""
    c = config.channels
    middle = [(f"layer {i}", "", 3, c, c, 1, 1) for i in range(1, config.layers + 1)]
    return [("FENet", "1", 3, 1, c, 1, 1), *middle, ("ReconNet", "3", 3, c, 1, 1, 1)]


def operations(config: Config | PlainConfig, height: int, width: int) -> int:
    """Multiply-adds of all convolutions in one pass over an image of height x width pixels, padding included."""
    return int(layer_table(config).operations.sum()) * height * width


def visible_luma(network: nn.Module) -> tuple[float, float]:
    """The lumas between which FENet lets a pixel through, in grey levels; what lies outside, its ReLU makes zero.

    FENet normalises and rectifies the image itself, one channel, before its convolution (eq. 1), so that a scale that
    is not zero leaves one end open: it is infinite.
    """
    norm = network.fenet[0]
    learnt = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    scale, shift, mean, variance = (float(tensor.detach()) for tensor in learnt)
    edge = 255 * (mean - shift / scale * (variance + norm.eps) ** 0.5)
    return (edge, np.inf) if scale > 0 else (-np.inf, edge)


def growth(config: Config) -> pd.DataFrame:
    """What each prediction y_m costs: the network up to block m by its `parameters_k` and `operations` per pixel.

    These are the abscissae of fig. 6: thousands of convolution weights of the same network with m blocks.
    """
    shorter = {m: replace(config, blocks=m) for m in range(1, config.blocks + 1)}
    return pd.DataFrame(
        {
            "block": list(shorter),
            "parameters_k": [parameters(c)["convolution_weights"] / 1000 for c in shorter.values()],
            "operations": [operations(c, 1, 1) for c in shorter.values()],
        }
    )


def seconds(
    config: Config | PlainConfig, *, height: int = 288, width: int = 288, repeats: int = 3, device: str = "cpu"
) -> float:
    """The shortest of `repeats` times that an untrained network of `config` takes for one image on `device`."""
    model = inference_form(build(config).eval().to(device_for(device)))
    image = np.random.default_rng(0).random((height, width))
    return fastest(lambda: tiling.predict(model, image), device, repeats=repeats)


def fastest(work: Callable[[], object], device: torch.device | str = "cpu", *, repeats: int = 3) -> float:
    """The shortest of `repeats` times in seconds that `work` takes on `device`, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def wait(device: torch.device | str) -> None:
    """Wait until a GPU has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """Multiply-adds per second of a machine's own product of two square matrices: what can be had at most.

    Their edge is 2048, and 8192 on a GPU: there a smaller product is over before it has been waited for.
    """
    size = 8192 if torch.device(device).type == "cuda" else 2048
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return size**3 / fastest(lambda: one @ other, device, repeats=10)
