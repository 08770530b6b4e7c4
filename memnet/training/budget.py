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
from memnet.training.config import Plan
from memnet.training.cuda_graph import STEPS_BEFORE_RECORDING
from memnet.training.sampler import Patches
from memnet.training.soap import REFRESHED_EVERY
from memnet.training.trainer import Trainer
from memnet.training.validation import CROPS, HeldBack


@cache
def native_precision(device: torch.device | str) -> str:
    """bfloat16 where a convolution of the network is learnt faster in it, by a fifth at least, else float32.

    A GPU's generation tells; a CPU is timed, since some that multiply in bfloat16 are faster in float32 all the same.
    """
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    seconds = {name: convolution_seconds(dtype) for name, dtype in PRECISIONS.items()}
    return distributed.agreed("bfloat16" if seconds["float32"] > 1.2 * seconds["bfloat16"] else "float32")


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

    def seconds(self, plan: Plan) -> float:
        """How long a training of that plan takes."""
        frozen = plan.steps - plan.settles_at
        training = plan.settles_at * self.step + frozen * self.frozen_step
        return training + plan.steps // REFRESHED_EVERY * self.refresh + plan.n_validations * self.validation

    def longest(self, plan: Plan, seconds: float) -> Plan:
        """The plan with as many steps as end within `seconds`, a twentieth of which is kept.

        ValueError when these are less than 10.
        """
        training = 0.95 * seconds - self.selection
        fits = partial(bisect.bisect_right, key=lambda steps: self.seconds(replace(plan, steps=steps)))
        steps = 9 + fits(range(10, 10**9), training)
        if steps < 10:
            needed = (self.seconds(replace(plan, steps=10)) + self.selection) / 0.95
            words = f"{max(0, seconds):.3g} s are left for training, and 10 steps take {needed:.3g} s here"
            raise ValueError(f"{words}: give more --minutes, or smaller patches, batches or networks")
        return replace(plan, steps=steps)


def measure(model: nn.Module, patches: Patches, plan: Plan, validation: HeldBack, **fast: bool | None) -> Costs:
    """What a training costs here, measured on a copy that is thrown away; `fast` are `compiled` and `recorded`."""
    trial = Trainer(deepcopy(model), patches, replace(plan, steps=1000), **fast)
    step = seconds_per_step(trial)
    refresh = seconds_of(lambda: trial.optimiser.refresh(REFRESHED_EVERY)) if hasattr(trial.optimiser, "refresh") else 0
    looked = seconds_of(lambda: validation.gain(trial.average))
    # At the end up to four networks are validated, and one restores the crops that its output weights are solved on.
    selection = looked * (4 + CROPS * len(validation.levels) / len(validation.pairs))
    frozen_step = step
    if plan.settle:
        trial.settle()
        frozen_step = seconds_per_step(trial)
    else:
        selection += 17 * step  # two passes over 25 batches, for statistics
    return Costs(step, frozen_step, refresh, looked, selection)


def seconds_per_step(trial: Trainer, steps: int = 3) -> float:
    """Median time of a trainer's next steps, after those that warm it up."""
    for _ in range(STEPS_BEFORE_RECORDING + 1 if trial.recorded else 1):
        trial.step()
    return float(np.median([seconds_of(trial.step) for _ in range(steps)]))


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes, with what it starts on a GPU."""
    began = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
