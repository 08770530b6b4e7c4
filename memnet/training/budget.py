"""What a training costs on this machine: the faster precision, and how many steps a budget holds."""

import bisect
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from torch import nn

from memnet.network.runtime import PRECISIONS
from memnet.training import distributed
from memnet.training.config import TrainingConfig
from memnet.training.cuda_graph import WARMUP_STEPS
from memnet.training.sampler import Patches
from memnet.training.soap import REFRESH_STEPS
from memnet.training.trainer import Trainer
from memnet.training.validation import CROPS, ValidationSet


@cache
def native_precision(device: torch.device | str) -> str:
    """bfloat16 where a convolution of the network is trained faster in it, by a fifth at least, else float32.

    A GPU's generation tells; a CPU is timed, since some that multiply in bfloat16 are faster in float32 all the same.
    """
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    seconds = {name: convolution_seconds(dtype) for name, dtype in PRECISIONS.items()}
    return distributed.broadcast("bfloat16" if seconds["float32"] > 1.2 * seconds["bfloat16"] else "float32")


def convolution_seconds(precision: torch.dtype, repeats: int = 20) -> float:
    """Least time on the CPU of a 3x3 convolution of 64 channels, there and back, on 8 patches of 24x24."""
    shapes = (8, 64, 24, 24), (64, 64, 3, 3)
    images, weight = (torch.ones(s).to(memory_format=torch.channels_last).requires_grad_() for s in shapes)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            output = nn.functional.conv2d(images, weight, padding=1)
        output.float().sum().backward()
        times.append(time.perf_counter() - began)
    return min(times)


@dataclass(frozen=True)
class Costs:
    """Seconds that the parts of a training take on this machine."""

    step: float  # with batch statistics
    frozen_step: float  # with frozen batch-norm statistics, on the last steps' patches
    refresh: float  # of SOAP's eigenbasis
    validation: float  # of one network on the validation set
    selection: float  # of the weights at the end

    def seconds(self, config: TrainingConfig) -> float:
        """How long a training of that configuration takes."""
        frozen = config.steps - config.freeze_step
        training = config.freeze_step * self.step + frozen * self.frozen_step
        return training + config.steps // REFRESH_STEPS * self.refresh + config.n_validations * self.validation

    def longest(self, config: TrainingConfig, seconds: float) -> TrainingConfig:
        """The configuration with as many steps as end within `seconds`, a twentieth of which is kept.

        ValueError when these are less than 10.
        """
        training = 0.95 * seconds - self.selection
        fits = partial(bisect.bisect_right, key=lambda steps: self.seconds(replace(config, steps=steps)))
        steps = 9 + fits(range(10, 10**9), training)
        if steps < 10:
            needed = (self.seconds(replace(config, steps=10)) + self.selection) / 0.95
            words = f"{max(0, seconds):.3g} s are left for training, and 10 steps take {needed:.3g} s here"
            raise ValueError(f"{words}: give more minutes, or smaller patches, batches or networks")
        return replace(config, steps=steps)


def measure(
    model: nn.Module, patches: Patches, config: TrainingConfig, validation: ValidationSet, *, eager: bool = False
) -> Costs:
    """What a training costs here, measured on a copy that is thrown away."""
    trial = Trainer(deepcopy(model), patches, replace(config, steps=1000), eager=eager)
    step = seconds_per_step(trial)
    refresh = seconds_of(lambda: trial.optimiser.refresh(REFRESH_STEPS)) if hasattr(trial.optimiser, "refresh") else 0
    validated = seconds_of(lambda: validation.psnr_gain(trial.average))
    # At the end up to four networks are validated, and one restores the crops that its output weights are solved on.
    crops = min(CROPS, len(patches.shapes))
    selection = validated * (4 + crops * len(validation.levels) / len(validation.pairs))
    frozen_step = step
    if config.frozen_bn_fraction:
        trial.freeze_statistics()
        frozen_step = seconds_per_step(trial)
    else:
        selection += 17 * step  # two passes over 25 batches, for statistics
    return Costs(step, frozen_step, refresh, validated, selection)


def seconds_per_step(trial: Trainer) -> float:
    """Median time of a trainer's next three steps, after those that warm it up."""
    for _ in range(WARMUP_STEPS + 1 if trial.captured else 1):
        trial.step()
    return float(np.median([seconds_of(trial.step) for _ in range(3)]))


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes, with what it starts on a GPU."""
    began = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
