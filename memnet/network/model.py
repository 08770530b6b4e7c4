"""MemNet (Tai et al., ICCV 2017) in reading order, from the leaf to the root.

Shapes are (N, C, H, W). A *memory block* is a recursive unit followed by a gate unit; what the recursive unit puts
out is the *short-term memory*, what the earlier blocks put out is the *long-term memory*.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from memnet import checks


@dataclass(frozen=True)
class Config:
    """A MemNet: M `blocks` of R `recursions` at C `channels` (section 3); the defaults are the paper's choices.

    `long_term=False` drops B_0 .. B_{m-1} from every gate (MemNet_NL of table 1), `short_term=False` keeps only the
    last recursion H^R in it (MemNet_NS), `multi_supervised=False` is the basic network of fig. 2. Raises ValueError
    for fewer than one block, recursion or channel.
    """

    blocks: int
    recursions: int
    channels: int = 64
    long_term: bool = True
    short_term: bool = True
    multi_supervised: bool = True

    def __post_init__(self):
        for name in ("blocks", "recursions", "channels"):
            value = checks.number(name, getattr(self, name), 1, 1000, whole=True)
            object.__setattr__(self, name, value)  # a number of Python, which JSON takes

    def gate_sources(self, block: int) -> list[str]:
        """Names of the memories that feed the gate of block m = `block` (from 1), in the order of its weights."""
        long = [f"B{i}" for i in range(block)] if self.long_term else []
        first = 1 if self.short_term else self.recursions
        return long + [f"H{r}" for r in range(first, self.recursions + 1)]

    @property
    def longest_path(self) -> int:
        """Convolutions on the longest way from x to y: the network's depth as the paper counts it."""
        return 2 + self.blocks * (2 * self.recursions + 1)

    @property
    def receptive_field_radius(self) -> int:
        """How many pixels away the input still matters to an output pixel: one for every 3x3 convolution."""
        return 2 + self.blocks * 2 * self.recursions


@dataclass(frozen=True)
class PlainConfig:
    """A network without memory blocks, for fig. 1 and table 2: `layers` convolutions between FENet and ReconNet.

    `skip=False` is the plain structure (fig. 1a); `skip=True` adds, to what layer l puts out, what its mirror layer
    put in (fig. 1b): every convolution then sees one earlier state and no more, the restricted long-term memory.
    """

    layers: int = 18
    channels: int = 64
    skip: bool = False

    def __post_init__(self):
        for name in ("layers", "channels"):
            value = checks.number(name, getattr(self, name), 1, 1000, whole=True)
            object.__setattr__(self, name, value)  # a number of Python, which JSON takes

    @property
    def longest_path(self) -> int:
        """Convolutions on the longest way from x to y."""
        return 2 + self.layers

    @property
    def receptive_field_radius(self) -> int:
        """How many pixels away the input still matters to an output pixel."""
        return 2 + self.layers


PRESETS = {
    # name: configuration          convolution weights, layers on the longest path (table 6, section 5.2)
    "M4R6": Config(4, 6),  #            435,328    54
    "M6R6": Config(6, 6),  #            676,992    80, the paper's 677 K
    "M6R8": Config(6, 8),  #            726,144   104
    "M10R10": Config(10, 10),  #      1,373,312   212
    "plain": PlainConfig(),  #          664,704    20
    "skip": PlainConfig(skip=True),  #  664,704    20
}
VARIANTS = {
    "NL": {"long_term": False},
    "NS": {"short_term": False},
    "basic": {"multi_supervised": False},
}


def preset(name: str) -> Config | PlainConfig:
    """The configuration of that name in PRESETS; ValueError with all the names when there is none."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def variant(config: Config, name: str) -> Config:
    """The ablation `name` of VARIANTS (NL, NS or basic) of a configuration; ValueError when there is none."""
    if name not in VARIANTS:
        raise ValueError(f"unknown ablation {name!r}: choose one of {', '.join(VARIANTS)}")
    return replace(config, **VARIANTS[name])


class PreActivation(nn.Sequential):
    """Batch norm, ReLU, convolution: the layer from which everything here is built (section 3.2)."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__(nn.BatchNorm2d(conv.in_channels), nn.ReLU(), conv)

    def forward(self, v: Tensor) -> Tensor:
        """v (N, C, H, W) normalised, rectified and convolved."""
        norm, relu, conv = self
        return conv(relu(norm(v)))


def conv(inputs: int, outputs: int, size: int = 3) -> nn.Conv2d:
    """A `size` x `size` convolution that keeps H and W, with bias and He (MSRA) initialisation."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    if not layer.weight.is_meta:  # else there are no values, and torch would load its compiler to draw none
        nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    return layer


class RecursiveUnit(nn.Module):
    """H^r = H^{r-1} + W2 relu(bn_b^r(W1 relu(bn_a^r(H^{r-1})))), r = 1 .. R (eqs. 5-7).

    The two convolutions are one pair for all R recursions; every recursion has its own two batch norms.
    """

    def __init__(self, channels: int, recursions: int):
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)
        self.norms1 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(recursions))
        self.norms2 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(recursions))

    def forward(self, state: Tensor) -> list[Tensor]:
        """From H^0 (N, C, H, W), the R states [H^1 .. H^R] of the same shape."""
        states = []
        for norm1, norm2 in zip(self.norms1, self.norms2, strict=True):
            residual = self.conv1(norm1(state).relu())
            state = state + self.conv2(norm2(residual).relu())
            states.append(state)
        return states


class MemoryBlock(nn.Module):
    """B_m = gate([B_0 .. B_{m-1}, H^1 .. H^R]) (eqs. 8-10): a recursive unit and a 1x1 gate over all memories."""

    def __init__(self, config: Config, block: int):
        super().__init__()
        self.long_term, self.short_term = config.long_term, config.short_term
        self.recursive_unit = RecursiveUnit(config.channels, config.recursions)
        inputs = len(config.gate_sources(block)) * config.channels
        self.gate_unit = PreActivation(conv(inputs, config.channels, size=1))

    def forward(self, memory: list[Tensor]) -> Tensor:
        """From the long-term memory [B_0 .. B_{m-1}], B_m; all (N, C, H, W)."""
        states = self.recursive_unit(memory[-1])
        long = memory if self.long_term else []
        short = states if self.short_term else states[-1:]
        return self.gate_unit(torch.cat([*long, *short], dim=1))


class ReconNet(nn.Module):
    """Predictions y_m = conv(relu(bn_m(B_m))) + x (eqs. 3, 11): one convolution for all, a batch norm for each."""

    def __init__(self, channels: int, outputs: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(outputs))
        self.conv = conv(channels, 1)

    def forward(self, memory: list[Tensor], x: Tensor) -> list[Tensor]:
        """From `outputs` memories (N, C, H, W) and the input image (N, 1, H, W), as many predictions like x."""
        return [self.conv(norm(b).relu()) + x for norm, b in zip(self.norms, memory, strict=True)]


class MemNet(nn.Module):
    """The network of figs. 2 and 3: feature extraction, M memory blocks, reconstruction.

    Multi-supervised, every block has a prediction y_m and y = sum_m w_m y_m with learned weights w_m (eq. 11);
    basic, y = y_M (eq. 3). `model(x)` is y and `model.predictions(x)` is (y, [y_1 .. y_M]), all (N, 1, H, W) like x,
    which is one channel in [0, 1] of any size; ValueError for another shape.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.fenet = PreActivation(conv(1, config.channels))
        self.blocks = nn.ModuleList(MemoryBlock(config, m) for m in range(1, config.blocks + 1))
        outputs = config.blocks if config.multi_supervised else 1
        self.reconnet = ReconNet(config.channels, outputs)
        self.output_weights = nn.Parameter(torch.full((outputs,), 1 / outputs))

    def memories(self, x: Tensor) -> list[Tensor]:
        """[B_0 .. B_M] (N, C, H, W) of the input image x (N, 1, H, W) (eqs. 1, 2)."""
        memory = [self.fenet(x)]
        for block in self.blocks:
            memory.append(block(memory))
        return memory

    def predictions(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """y and [y_1 .. y_M] (eq. 11; the basic network has [y] alone), all of the shape of x (N, 1, H, W)."""
        check_input(x)
        supervised = self.memories(x)[-len(self.reconnet.norms) :]
        y_m = self.reconnet(supervised, x)
        if not self.config.multi_supervised:
            return y_m[0], y_m
        return sum(w * y for w, y in zip(self.output_weights, y_m, strict=True)), y_m

    def forward(self, x: Tensor) -> Tensor:
        """The restored image y of x; both (N, 1, H, W), luma in [0, 1], any H and W from 1."""
        return self.predictions(x)[0]


class PlainNet(nn.Module):
    """The networks that MemNet is compared with in fig. 1: pre-activated convolutions, plain or with skips."""

    def __init__(self, config: PlainConfig):
        super().__init__()
        self.config = config
        self.fenet = PreActivation(conv(1, config.channels))
        layers = (PreActivation(conv(config.channels, config.channels)) for _ in range(config.layers))
        self.layers = nn.ModuleList(layers)
        self.reconnet = ReconNet(config.channels, 1)

    def predictions(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """y and [y], of the shape of x (N, 1, H, W): this network is supervised once."""
        check_input(x)
        state, half, earlier = self.fenet(x), len(self.layers) // 2, []
        for number, layer in enumerate(self.layers):
            if number < half:
                earlier.append(state)
            state = layer(state)
            if self.config.skip and number >= len(self.layers) - half:
                state = state + earlier.pop()
        y = self.reconnet([state], x)
        return y[0], y

    def forward(self, x: Tensor) -> Tensor:
        """The restored image y of x; both (N, 1, H, W), luma in [0, 1], any H and W from 1."""
        return self.predictions(x)[0]


def build(config: Config | PlainConfig) -> MemNet | PlainNet:
    """The untrained network of a configuration."""
    return MemNet(config) if isinstance(config, Config) else PlainNet(config)


def without_values(config: Config | PlainConfig) -> MemNet | PlainNet:
    """The network of a configuration with memory for its weights but no values: no random number is drawn for them."""
    with torch.device("meta"):
        return build(config).to_empty(device="cpu")


def check_input(x: Tensor) -> None:
    """Raise ValueError unless x is (N, 1, H, W) with at least one pixel."""
    if x.ndim != 4 or x.shape[1] != 1 or 0 in x.shape:
        raise ValueError(f"the network takes images of shape (N, 1, H, W) with H, W >= 1, got {tuple(x.shape)}")
