"""How new networks should start: one budget of seconds, start by start, gains on held-back pictures.

python benchmarks/starts.py [--run RUN] [--seconds N] [--seeds N] [--output FILE]: prints Markdown, all from one run.

The time of a step is measured and the cosine planned to end with the seconds. The gain is that over the input picture,
in dB, mean over levels and over central crops of training pictures that were held back.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from common import CROP, crops_of, device, machine, patches_of, publish, section
from torch import nn

from memnet import experiments, training
from memnet.deepening import added_norms, deepened
from memnet.model import build
from memnet.patches import HeldBack, Patches

STARTS = {  # name: recipe, scale and shift of FENet's batch norm, R in the first part of the seconds if not the run's
    "FENet at scale 1, shift 0": ("short", 1.0, 0.0, None),
    "FENet at scale 1/3, shift 1": ("short", 1 / 3, 1.0, None),
    "the same, one recursion first": ("short", 1 / 3, 1.0, 1),
    "scale 1/3, shift 1, by Muon": ("muon", 1 / 3, 1.0, None),
    "scale 1/3, shift 1, by SOAP": ("soap", 1 / 3, 1.0, None),
    "the same, one recursion first, by SOAP": ("soap", 1 / 3, 1.0, 1),
}
FIRST = 0.6  # the share of the seconds for one recursion


def cycle(
    model: nn.Module, patches: Patches, crops: HeldBack, seconds: float, seed: int, recipe: str
) -> tuple[nn.Module, dict]:
    """The better of network and average after so many seconds, and what they were: gain, steps, seconds."""
    plan = training.Plan(recipe, 10, 8, 24, seed, training.native_precision(patches.device), settle=0.25, by_error=True)
    steps = int(seconds / training.seconds_per_step(model, patches, plan))
    trainer, begin = training.Trainer(model, patches, replace(plan, steps=max(10, steps))), time.monotonic()
    for _ in range(trainer.plan.steps):
        trainer.step()
    took = time.monotonic() - begin
    gain, model = max(((crops.gain(m), m) for m in (trainer.model, trainer.average)), key=lambda pair: pair[0])
    return model, {"gain": gain, "steps": trainer.plan.steps, "seconds": took}


def begun(run: str, seconds: float, seed: int, recipe: str, scale: float, shift: float, first: int | None) -> dict:
    """What a new network gains after so many seconds from such a start."""
    what, patches, crops = experiments.experiment(run), patches_of(run, 24, device()), crops_of(run, device())
    torch.manual_seed(seed)
    model = training.initialise(build(experiments.with_recursions(what, first)), recipe).to(device())
    nn.init.constant_(model.fenet[0].weight, scale)
    nn.init.constant_(model.fenet[0].bias, shift)
    if not first:
        return cycle(model, patches, crops, seconds, seed, recipe)[1]
    model, before = cycle(model, patches, crops, FIRST * seconds, seed, recipe)
    deeper = deepened(model, what.config.recursions)
    added = added_norms(model, deeper)
    model = training.renew_statistics(deeper, patches, batches=25, batch=8, seed=seed, norms=added)
    _, after = cycle(model, patches, crops, seconds - before["seconds"], seed + 1, recipe)
    return {
        "gain": after["gain"],
        "steps": f"{before['steps']} + {after['steps']}",
        "seconds": before["seconds"] + after["seconds"],
    }


def compared(run: str, seconds: float, seeds: int) -> list[dict]:
    """One row for each start: the gain after so many seconds, mean over seeds, and what the first seed took."""
    rows = []
    for name, how in STARTS.items():
        found = [begun(run, seconds, seed, *how) for seed in range(seeds)]
        gains = [one["gain"] for one in found]
        rows.append({"start": name, "gain": float(np.mean(gains)), "from": min(gains), "to": max(gains)})
        rows[-1] |= {"steps": found[0]["steps"], "seconds": round(found[0]["seconds"])}
        print(f"{name}: {rows[-1]['gain']:+.4f} dB", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="sr-M6R6", help="whose network and pictures to take")
    parser.add_argument("--seconds", type=float, default=300, help="budget of each training")
    parser.add_argument("--seeds", type=int, default=2, help="how often each start is tried")
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    asked = parser.parse_args()
    how = f"{asked.run}, {asked.seconds:g} s each, seeds: {asked.seeds}"
    head = f"# Starts\n\n{machine(device())}. {how}. Gain in dB on held-back crops of {CROP}x{CROP}.\n"
    publish("\n".join([head, section("From nothing", compared(asked.run, asked.seconds, asked.seeds))]), asked.output)


if __name__ == "__main__":
    main()
