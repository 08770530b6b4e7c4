"""How a network is trained: every setting of a training, its presets, and its learning rate step by step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import get_args

from memnet import checks

OPTIMISERS = ("SOAP", "AdamW", "SGD")
PRECISIONS = ("float32", "bfloat16", "auto")
PAPER_EPOCH = 26917  # batches of 64 in the paper's 1,722,688 patches (section 5.1)


def one_of(name: str, value: str, known: Sequence[str]) -> None:
    """ValueError unless a value is one of those that are known."""
    if value not in known:
        raise ValueError(f"unknown {name} {str(value)[:80]!r}: choose one of {', '.join(known)}")


@dataclass(frozen=True)
class TrainingConfig:
    """Every setting of a training; what the history in a file of weights stores, and a resumed training must equal.

    The defaults are better than the paper's settings at every budget that was tried, all of them far below its own.
    """

    optimiser: str = "SOAP"
    learning_rate: float = 4e-3  # peak
    schedule: str = "cosine"  # to 0 after a warm-up; or staircase: a tenth every 20 epochs
    weight_decay: float = 1e-4
    gradient_clip: float = 0.1  # of the gradients' global norm; with SGD divided by the learning rate
    steps: int = 20_000
    batch: int = 64  # patches
    patch: int = 31  # edge in pixels
    stride: int = 1  # of the grid of patch positions, in pixels
    seed: int = 0  # of new weights and of the patches; `train_run` adds the number of earlier stages
    precision: str = "float32"  # of the convolutions, or auto: what `train_run` finds faster; all else is float32
    zero_reconstruction: bool = True  # whether the first output is the input
    input_norm_gamma: float = 1 / 3  # of FENet's batch norm at first: with beta 1 its ReLU hides hardly a pixel
    input_norm_beta: float = 1.0
    frozen_bn_fraction: float = 0.25  # of the steps, the last ones: batch norms keep their statistics
    importance_sampling: bool = True  # in these steps: patches by how wrong their inputs are
    patch_growth: int = 2  # times the edge of the patches in these steps; as many pixels in all
    recursions: int | None = None  # R in this training, if fewer than the run's
    training_set: str | None = None  # other images to learn from than the run's
    sync_bn: bool = True  # on several processes: batch norms over the whole batch

    def __post_init__(self):
        one_of("optimiser", self.optimiser, OPTIMISERS)
        one_of("schedule", self.schedule, ("cosine", "staircase"))
        one_of("precision", self.precision, PRECISIONS)
        checks.number("steps", self.steps, 10, 10**9, whole=True)
        checks.number("batch", self.batch, 1, 10**6, whole=True)
        checks.number("patch", self.patch, 1, 10**4, whole=True)
        checks.number("stride", self.stride, 1, 10**4, whole=True)
        checks.number("seed", self.seed, 0, 2**62, whole=True)
        checks.number("learning_rate", self.learning_rate, 1e-12, 100)
        checks.number("weight_decay", self.weight_decay, 0, 1)
        checks.number("gradient_clip", self.gradient_clip, 1e-12, 1e6)
        checks.number("input_norm_gamma", self.input_norm_gamma, -100, 100)
        checks.number("input_norm_beta", self.input_norm_beta, -100, 100)
        checks.number("frozen_bn_fraction", self.frozen_bn_fraction, 0, 1)
        checks.number("patch_growth", self.patch_growth, 1, 100, whole=True)
        if self.frozen_bn_fraction and self.batch % self.patch_growth**2:
            words = f"{self.batch} patches do not have the pixels of patches of {self.patch_growth} times the edge"
            raise ValueError(f"{words}: choose a batch that is a multiple of {self.patch_growth**2}, or patch_growth=1")

    @property
    def warmup(self) -> int:
        """Steps over which the learning rate rises to its peak."""
        return min(1000, math.ceil(self.steps / 10))

    @property
    def n_validations(self) -> int:
        """How often the PSNR gain is measured: each time costs about 15 steps."""
        return min(12, self.steps // 25 + 1)

    @property
    def freeze_step(self) -> int:
        """The first step (from 0) with frozen batch-norm statistics; `steps` if there is none."""
        return self.steps - round(self.frozen_bn_fraction * self.steps)

    def rate(self, step: int) -> float:
        """Learning rate of step `step` (from 0): warm-up and cosine, or the paper's staircase."""
        if self.schedule == "staircase":
            return self.learning_rate * 0.1 ** (step // (20 * PAPER_EPOCH))
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        share = (step - self.warmup) / (self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


SOAP = TrainingConfig(precision="auto")
PRESETS = {
    "soap": SOAP,
    "adamw": replace(SOAP, optimiser="AdamW", learning_rate=2e-3),
    "paper": replace(  # section 5.1 as printed
        SOAP,
        optimiser="SGD",
        learning_rate=0.1,
        schedule="staircase",
        gradient_clip=0.01,
        stride=21,
        precision="float32",
        zero_reconstruction=False,
        input_norm_gamma=1.0,
        input_norm_beta=0.0,
        frozen_bn_fraction=0.0,
        importance_sampling=False,
        patch_growth=1,
    ),
}


def preset(name: str) -> TrainingConfig:
    """The configuration of that name in PRESETS; ValueError with all the names when there is none."""
    one_of("preset", name, PRESETS)
    return PRESETS[name]


def parse(settings: Sequence[str]) -> dict[str, object]:
    """Settings NAME=VALUE of the command line as fields of a TrainingConfig; ValueError for what it has not."""
    kinds, parsed = {field.name: field.type for field in fields(TrainingConfig)}, {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign:
            raise ValueError(f"a setting is NAME=VALUE, got {setting[:80]!r}")
        one_of("setting", name, kinds)
        kind = get_args(kinds[name])[0] if isinstance(kinds[name], UnionType) else kinds[name]
        try:
            parsed[name] = {"true": True, "false": False}[value.lower()] if kind is bool else kind(value)
        except (KeyError, ValueError) as error:
            expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
            raise ValueError(f"{name} is {expected}, got {value[:80]!r}") from error
    return parsed
