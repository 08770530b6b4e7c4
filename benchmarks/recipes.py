"""What further steps of training bring, setting by setting: each from a run's weights, gains on held-back pictures.

python benchmarks/recipes.py [--run RUN] [--steps N] [--seeds N] [--output FILE]: prints Markdown, all from one run.

Every setting sees about as many pixels and ends its cosine at its last step. The gain is that over the input picture,
in dB, mean over levels and over central crops of training pictures that were held back.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from common import CROP, crops_of, device, machine, patches_of, publish, section

from memnet import checkpoints, experiments, training
from memnet.patches import HeldBack

SETTINGS = {  # name: what differs from 8 patches of 24x24 at a peak of 8e-4, norms settled, drawn by their error
    "by error": {},
    "evenly": {"by_error": False},
    "evenly, statistics of every batch": {"by_error": False, "settle": 0.0},
    "by error, half the rate": {"peak": 4e-4},
    "by error, twice the rate": {"peak": 1.6e-3},
    "by error, Muon": {"recipe": "muon"},
    "by error, SOAP": {"recipe": "soap"},
    "by error, 2 patches of 48x48": {"batch": 2, "patch": 48},
    "by error, 2 patches of 48x48, SOAP": {"batch": 2, "patch": 48, "recipe": "soap"},
    "by error, 18 patches of 16x16": {"batch": 18, "patch": 16},
}


def trained(run: str, steps: int, seed: int, crops: HeldBack, **differs) -> dict[str, float]:
    """Gains of the better of the network and its average after `steps` more, and the spread of the loss."""
    model, _ = checkpoints.load(experiments.weights_path(run))
    how = {"recipe": "short", "batch": 8, "patch": 24, "peak": 8e-4, "settle": 1.0, "by_error": True} | differs
    plan = training.Plan(steps=steps, seed=seed, precision=training.native_precision(crops.inputs.device), **how)
    trainer = training.Trainer(model, patches_of(run, plan.patch, crops.inputs.device), plan)
    losses = np.array([float(trainer.step()[0]) for _ in range(steps)])
    gain = max(crops.gain(trainer.model), crops.gain(trainer.average))
    return {"gain": gain, "spread of the loss": losses.std() / losses.mean()}


def compared(run: str, steps: int, seeds: int) -> list[dict]:
    """One row for each setting: the gain that it ends with, mean over seeds, and the change from what it began with."""
    crops = crops_of(run, device())
    before = crops.gain(experiments.load(run).to(device()))
    rows = []
    for name, differs in SETTINGS.items():
        found = [trained(run, steps, 100 + seed, crops, **differs) for seed in range(seeds)]
        mean = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
        rows.append({"setting": name, "gain": mean["gain"], "change": mean["gain"] - before})
        changes = [one["gain"] - before for one in found]
        rows[-1] |= {"from": min(changes), "to": max(changes), "spread of the loss": mean["spread of the loss"]}
        print(f"{name}: {rows[-1]['change']:+.4f} dB", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="jpeg-M6R6", help="whose weights to begin from")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2, help="how often each setting is tried, on other patches")
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    asked = parser.parse_args()
    weights = checkpoints.weights_hash(experiments.weights_path(asked.run))
    how = f"{asked.run} (`{weights}`), {asked.steps} more steps, {asked.seeds} seeds, crops of {CROP}x{CROP}"
    head = f"# Recipes\n\n{machine(device())}. {how}. Gain in dB on held-back training pictures.\n"
    publish("\n".join([head, section("Further training", compared(asked.run, asked.steps, asked.seeds))]), asked.output)


if __name__ == "__main__":
    main()
