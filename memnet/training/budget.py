"""What a training step costs here: the faster precision, and seconds a step."""

import time
from copy import deepcopy
from functools import cache

import numpy as np
import torch
from torch import nn

from memnet.network.runtime import PRECISIONS
from memnet.training import distributed
from memnet.training.config import Plan
from memnet.training.cuda_graph import STEPS_BEFORE_RECORDING
from memnet.training.sampler import Patches
from memnet.training.trainer import Trainer


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


def seconds_per_step(model: nn.Module, patches: Patches, plan: Plan, *, steps: int = 4, **fast: bool | None) -> float:
    """Median time of a step, measured on a copy that is thrown away; `fast` are `compiled` and `recorded`."""
    trial = Trainer(deepcopy(model), patches, plan, **fast)
    times = []
    for _ in range(STEPS_BEFORE_RECORDING + 1 + steps):
        begin = time.perf_counter()
        float(trial.step()[0])
        times.append(time.perf_counter() - begin)
    return float(np.median(times[STEPS_BEFORE_RECORDING + 1 :]))
