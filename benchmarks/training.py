"""How fast a network is trained, against a plain eager float32 loop over the same network and the matrix product.

python benchmarks/training.py [--batch N] [--patch P] [--output FILE]: prints Markdown, all from one run.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from common import device, machine, publish, section

from memnet import PRESETS, analysis, training
from memnet.inference import cudnn
from memnet.model import MemNet, build
from memnet.patches import Patches

GPU_LOOPS = {
    "neither recorded nor compiled": {"recorded": False, "compiled": False},
    "recorded, not compiled": {"recorded": True, "compiled": False},
    "compiled, not recorded": {"recorded": False, "compiled": True},
}


def plain_step(model: MemNet, batch: int, patch: int, where: torch.device):
    """The loop that anybody would write first: float32, NCHW, one loss, Adam."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x, clean = (torch.rand(batch, 1, patch, patch, device=where) for _ in range(2))

    @cudnn(allow_tf32=False)
    def step() -> None:
        loss = training.supervised_loss(model, x, clean)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimiser.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = device()
    parser.add_argument("--batch", type=int, default=64 if where.type == "cuda" else 8)
    parser.add_argument("--patch", type=int, default=31 if where.type == "cuda" else 24)
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    asked = parser.parse_args()
    planes = [np.random.default_rng(i).integers(0, 256, (120, 120), dtype=np.uint8) for i in range(4)]
    patches = Patches(planes, task="super-resolution", patch=asked.patch, device=where)
    torch.manual_seed(0)
    steps = {
        "plain eager loop, float32": (
            plain_step(build(PRESETS["M6R6"]).to(where), asked.batch, asked.patch, where),
            "float32",
        )
    }
    native = training.native_precision(where)
    loops = {
        f"memnet train --recipe short, {precision}": (precision, {}) for precision in dict.fromkeys(("float32", native))
    }
    if where.type == "cuda":
        for words, how in GPU_LOOPS.items():
            loops[f"{words}, {native}"] = (native, how)
    for name, (precision, how) in loops.items():
        plan = training.Plan("short", 1000, asked.batch, asked.patch, precision=precision)
        steps[name] = (training.Trainer(build(PRESETS["M6R6"]), patches, plan, **how).step, precision)
    rates = {name: analysis.matrix_rate(where, dtype) for name, dtype in training.PRECISIONS.items()}
    rows, plain = [], None
    for name, (step, precision) in steps.items():
        took = analysis.fastest(step, where, repeats=20 if where.type == "cuda" else 4)
        plain = plain or took
        print(f"{name}: {1000 * took:.4g} ms", file=sys.stderr, flush=True)
        flops = 3 * analysis.operations(PRESETS["M6R6"], asked.patch, asked.patch) * asked.batch / took
        rows.append({"loop": name, "milliseconds": 1000 * took, "images per second": asked.batch / took})
        rows[-1] |= {
            "TFLOP/s": 2 * flops / 1e12,
            "share of the matrix rate": flops / rates[precision],
            "times the plain loop": plain / took,
        }
    said = ", ".join(f"{name} {2 * rate / 1e12:.2f}" for name, rate in rates.items())
    work = f"M6R6, {asked.batch} patches of {asked.patch}x{asked.patch}"
    head = f"# Training\n\n{machine(where)}. Matrix product in TFLOP/s: {said}. {work}.\n"
    publish("\n".join([head, section("A step", rows)]), asked.output)


if __name__ == "__main__":
    main()
