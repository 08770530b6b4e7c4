"""Section 4 of the paper, live: networks of other connections, small enough to train side by side in minutes.

Every network here has FENet and ReconNet of MemNet and `channels` maps; they differ in what lies between.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from memnet.network.model import PRESETS, Config, MemNet, PlainConfig, PlainNet, PreActivation, ReconNet, conv, variant
from memnet.study import size
from memnet.training.config import preset
from memnet.training.loss import supervised_loss
from memnet.training.optimiser import initialise
from memnet.training.sampler import Patches
from memnet.training.trainer import Trainer
from memnet.training.validation import ValidationSet

CHANNELS, LAYERS = 16, 12  # of 3x3, between FENet and ReconNet
MEMNET = Config(blocks=3, recursions=2, channels=CHANNELS)  # 3 x 2 x 2 = 12 layers of 3x3 too
PRESET = replace(preset("adamw"), precision="float32")


class HighwayUnit(nn.Module):
    """b = A(a) T(a) + a (1 - T(a)) (eq. 13): a sigmoid gate T, computed from the input, chooses between A and a."""

    def __init__(self, channels: int):
        super().__init__()
        self.transform = PreActivation(conv(channels, channels))
        self.gate = PreActivation(conv(channels, channels))
        nn.init.constant_(self.gate[-1].bias, -1.0)  # Srivastava et al. 2015: at first most of the input passes

    def forward(self, a: Tensor) -> Tensor:
        """a and b are (N, C, H, W)."""
        gate = self.gate(a).sigmoid()
        return self.transform(a) * gate + a * (1 - gate)


class Highway(nn.Sequential):
    """Highway units in a row."""

    def __init__(self, channels: int, layers: int):
        super().__init__(*(HighwayUnit(channels) for _ in range(layers)))

    def forward(self, state: Tensor) -> list[Tensor]:
        """[the last state] from the first; (N, C, H, W)."""
        return [super().forward(state)]


class SharedLayer(nn.Module):
    """One convolution, applied again and again, as in DRCN; each application has a batch norm and a prediction."""

    def __init__(self, channels: int, layers: int):
        super().__init__()
        self.conv = conv(channels, channels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(layers))

    def forward(self, state: Tensor) -> list[Tensor]:
        """All states, one for each application; (N, C, H, W)."""
        states = []
        for norm in self.norms:
            state = self.conv(norm(state).relu())
            states.append(state)
        return states


class DenseBlock(nn.Module):
    """A local dense block: each layer sees all layers before it and adds `growth` maps; a 1x1 convolution ends it."""

    def __init__(self, channels: int, layers: int, growth: int = 4):
        super().__init__()
        inputs = [channels + growth * number for number in range(layers + 1)]
        self.layers = nn.ModuleList(PreActivation(conv(n, growth)) for n in inputs[:-1])
        self.last = PreActivation(conv(inputs[-1], channels, size=1))

    def forward(self, state: Tensor) -> list[Tensor]:
        """[the last state] from the first; (N, C, H, W)."""
        for layer in self.layers:
            state = torch.cat([state, layer(state)], dim=1)
        return [self.last(state)]


class SmallNet(nn.Module):
    """FENet, a body that gives a list of states, and a prediction from each of its last `outputs` states (eq. 11)."""

    def __init__(self, body: nn.Module, channels: int, outputs: int = 1):
        super().__init__()
        self.fenet, self.body = PreActivation(conv(1, channels)), body
        self.reconnet = ReconNet(channels, outputs)
        self.output_weights = nn.Parameter(torch.full((outputs,), 1 / outputs))

    def predictions(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """y and its parts, of the shape of x (N, 1, H, W)."""
        y_m = self.reconnet(self.body(self.fenet(x)), x)
        return sum(w * y for w, y in zip(self.output_weights, y_m, strict=True)), y_m

    def forward(self, x: Tensor) -> Tensor:
        """y of x, both (N, 1, H, W)."""
        return self.predictions(x)[0]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: PlainNet(PlainConfig(LAYERS, CHANNELS)),
    "skip": lambda: PlainNet(PlainConfig(LAYERS, CHANNELS, skip=True)),
    "Highway": lambda: SmallNet(Highway(CHANNELS, LAYERS), CHANNELS),
    "DRCN-like": lambda: SmallNet(SharedLayer(CHANNELS, LAYERS), CHANNELS, outputs=LAYERS),
    "dense block": lambda: SmallNet(DenseBlock(CHANNELS, LAYERS), CHANNELS),
    "MemNet_NL": lambda: MemNet(variant(MEMNET, "NL")),
    "MemNet": lambda: MemNet(MEMNET),
    "MemNet, basic": lambda: MemNet(variant(MEMNET, "basic")),
}
CONNECTIONS = {  # what a layer or a gate sees of earlier states, and what decides how much of them passes
    "plain": ("the layer before", "nothing"),
    "skip": ("the layer before, and one mirror layer", "nothing: a sum"),
    "Highway": ("the layer before", "a sigmoid of the input, for each pixel and map"),
    "DRCN-like": ("the layer before", "nothing"),
    "dense block": ("all layers before", "learned weights, 3x3"),
    "MemNet_NL": ("a gate: the recursions of its block", "learned weights, 1x1"),
    "MemNet": ("a gate: the recursions of its block, and all blocks before", "learned weights, 1x1"),
    "MemNet, basic": ("as MemNet, one prediction", "learned weights, 1x1"),
}


def build(name: str) -> nn.Module:
    """A new network of NETWORKS, the same every time; ValueError for another name."""
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}: choose one of {', '.join(NETWORKS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NETWORKS[name]()


def gradient_norms(network: nn.Module, x: Tensor, clean: Tensor) -> np.ndarray:
    """The norm of the loss's gradient with respect to what each convolution puts out, from the input to the output.

    A convolution that is applied R times has R values. `x` and `clean` are (N, 1, H, W); the network is new.
    """
    network, outputs = deepcopy(network).train(), []

    def keep(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        output.retain_grad()
        outputs.append(output)

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(keep)
    supervised_loss(network, x, clean).backward()
    return np.array([float(output.grad.norm()) for output in outputs])


def train(
    network: nn.Module, patches: Patches, validation: ValidationSet, *, steps: int, batch: int = 8
) -> tuple[nn.Module, pd.DataFrame]:
    """The running average of a network's weights over a training, and the log: step, loss, PSNR gain in dB.

    By AdamW. Every network begins with a reconstruction of zero: its first output is its input. The loss is the mean
    since the last row, the gain that of the average on the validation images.
    """
    config = replace(PRESET, steps=steps, batch=batch, patch=patches.patch)
    trainer = Trainer(initialise(network, config), patches, config)
    rows, losses = [(0, np.nan, validation.psnr_gain(trainer.average))], []
    for step in range(1, steps + 1):
        losses.append(float(trainer.step()[0]))
        if step % max(1, steps // 10) == 0 or step == steps:
            rows.append((step, np.mean(losses), validation.psnr_gain(trainer.average)))
            losses = []
    return trainer.average, pd.DataFrame(rows, columns=["step", "loss", "gain"])


@torch.no_grad()
def kept(network: nn.Module, x: Tensor) -> float:
    """How much of B_0, what FENet puts out, can still be read from the last state: R^2 of a linear regression.

    1 means that a 1x1 convolution of the last state gives B_0 back, 0 that its mean is the best guess. `x` is
    (N, 1, H, W).
    """
    network, found = deepcopy(network).eval(), {}
    network.fenet.register_forward_hook(lambda module, inputs, output: found.update(first=output))
    network.reconnet.norms[-1].register_forward_hook(lambda module, inputs, output: found.update(last=inputs[0]))
    network(x)
    first, last = (found[name].movedim(1, -1).flatten(0, -2).double().numpy() for name in ("first", "last"))
    last = np.column_stack([last, np.ones(len(last))])
    residual = first - last @ np.linalg.lstsq(last, first, rcond=None)[0]
    return float(1 - residual.var() / (first - first.mean(axis=0)).var())


def summary(trained: dict[str, tuple[nn.Module, pd.DataFrame]], x: Tensor) -> pd.DataFrame:
    """One row a network of `train`: what it sees, what decides, weights, gain (dB) at the end, and what is kept."""
    rows = []
    for name, (network, log) in trained.items():
        weights = size.parameters(network)["convolution_weights"]
        rows.append((name, *CONNECTIONS[name], weights, log.gain.iloc[-1], kept(network, x)))
    return pd.DataFrame(rows, columns=["network", "a layer or gate sees", "what decides", "weights", "gain", "kept"])


def gate_costs(preset: str = "M6R6") -> pd.DataFrame:
    """Section 4's claim as counts: weights of MemNet's gates, and of 3x3 transform gates of Highway in their place."""
    config = PRESETS[preset]
    layers = size.layer_table(config)
    gates = int(layers.weights[layers.layer.str.endswith("gate")].sum())
    transform = 9 * config.channels**2
    rows = [
        (f"gates of {preset}: 1x1, one a block", gates),
        ("3x3 transform gates, one a block", config.blocks * transform),
        ("3x3 transform gates, one a residual function", config.blocks * config.recursions * transform),
    ]
    table = pd.DataFrame(rows, columns=["gates", "weights"])
    return table.assign(ratio=table.weights / int(layers.weights.sum()))
