"""How fast a network is trained, against a plain eager float32 loop over the same network and the matrix product.

python benchmarks/training.py [--batch N] [--patch P] [--output FILE]: prints Markdown, all from one run. A step's time
is the mean over as many steps as SOAP takes from one set of axes to the next.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import device, machine, section

from memnet.network.model import PRESETS, MemNet, build
from memnet.network.runtime import PRECISIONS, cudnn
from memnet.study import size
from memnet.training import budget
from memnet.training.config import TrainingConfig
from memnet.training.loss import supervised_loss
from memnet.training.sampler import Patches
from memnet.training.soap import REFRESH_STEPS
from memnet.training.trainer import Trainer

WARM = 5  # steps on a GPU before any is timed: they compile, choose kernels and capture the graph
TOGETHER = REFRESH_STEPS  # steps that are timed as one


def loops_on(where: torch.device, batch: int) -> dict[str, tuple[TrainingConfig, bool]]:
    """The loops of `memnet train` by name: their configuration, and whether a step runs eagerly."""
    native = budget.native_precision(where)
    soap = TrainingConfig(steps=1000, precision=native, frozen_bn_fraction=0.0)
    adamw = replace(soap, optimiser="AdamW", learning_rate=2e-3)
    growth = 1 if batch % 4 else 2
    loops = {f"eager, AdamW, {native}": (adamw, True)} if where.type == "cuda" else {}
    for precision in dict.fromkeys((native,) if where.type == "cuda" else ("float32", native)):
        loops[f"memnet train --preset adamw, {precision}"] = replace(adamw, precision=precision), False
    loops[f"memnet train, {native}"] = soap, False
    frozen = replace(soap, frozen_bn_fraction=1.0, patch_growth=growth, batch=batch)
    return loops | {f"memnet train, frozen statistics, {native}": (frozen, False)}


def plain_step(model: MemNet, batch: int, patch: int, where: torch.device):
    """The loop that anybody would write first: float32, NCHW, one loss, Adam."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x, clean = (torch.rand(batch, 1, patch, patch, device=where) for _ in range(2))

    @cudnn(allow_tf32=False)
    def step() -> None:
        loss = supervised_loss(model, x, clean)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimiser.step()

    return step


def repeated(step: Callable[[], object]) -> None:
    """As many steps as SOAP takes from one refresh to the next."""
    for _ in range(TOGETHER):
        step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = device()
    parser.add_argument("--batch", type=int, default=64 if where.type == "cuda" else 8)
    parser.add_argument("--patch", type=int, default=31 if where.type == "cuda" else 24)
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    asked = parser.parse_args()
    images = [np.random.default_rng(i).integers(0, 256, (120, 120), dtype=np.uint8) for i in range(4)]
    patches = Patches(images, task="super-resolution", patch=asked.patch, device=where)
    torch.manual_seed(0)
    steps = {
        "plain eager loop, float32": (
            plain_step(build(PRESETS["M6R6"]).to(where), asked.batch, asked.patch, where),
            "float32",
        )
    }
    for name, (config, eager) in loops_on(where, asked.batch).items():
        config = replace(config, batch=asked.batch, patch=asked.patch)
        steps[name] = (Trainer(build(PRESETS["M6R6"]), patches, config, eager=eager).step, config.precision)
    rates = {name: size.matrix_rate(where, dtype) for name, dtype in PRECISIONS.items()}
    said = ", ".join(f"{name} {2 * rate / 1e12:.2f}" for name, rate in rates.items())
    work = f"M6R6, {asked.batch} patches of {asked.patch}x{asked.patch}"
    head = f"# Training\n\n{machine(where)}. Matrix product in TFLOP/s: {said}. {work}.\n"
    print(head, flush=True)
    rows, plain = [], None
    for name, (step, precision) in steps.items():
        for _ in range(WARM if where.type == "cuda" else 0):
            step()
        took = size.fastest(partial(repeated, step), where, repeats=4 if where.type == "cuda" else 1) / TOGETHER
        plain = plain or took
        print(f"{name}: {1000 * took:.4g} ms", file=sys.stderr, flush=True)
        flops = 3 * size.operations(PRESETS["M6R6"], asked.patch, asked.patch) * asked.batch / took
        rows.append({"loop": name, "milliseconds": 1000 * took, "images per second": asked.batch / took})
        rows[-1] |= {
            "TFLOP/s": 2 * flops / 1e12,
            "share of the matrix rate": flops / rates[precision],
            "times the plain loop": plain / took,
        }
        if asked.output:  # what is measured stays, whatever comes
            asked.output.write_text("\n".join([head, section("A step", rows)]), encoding="utf-8")
    print(section("A step", rows))


if __name__ == "__main__":
    main()
