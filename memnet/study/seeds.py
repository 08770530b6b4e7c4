"""Table 1 from several seeds: small networks trained alike, and their differences from seed to seed."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from memnet import paths
from memnet.network.model import PRESETS, Config, build, variant
from memnet.protocol import datasets
from memnet.study import analysis, evaluation, size, store
from memnet.training.config import TrainingConfig
from memnet.training.optimiser import initialise
from memnet.training.sampler import Patches
from memnet.training.trainer import Trainer
from memnet.training.validation import split

TASK, TRAINING_SET, TEST_SET = "super-resolution", "291", "Set5"
SMALL = replace(PRESETS["M6R6"], channels=16)
NETWORKS = {
    "MemNet": SMALL,
    "MemNet_NL": variant(SMALL, "NL"),
    "MemNet_NS": variant(SMALL, "NS"),
    "MemNet_NL, 17 channels": replace(variant(SMALL, "NL"), channels=17),  # as many weights as MemNet has
}
TRAINING = TrainingConfig(steps=600, batch=8, patch=24, importance_sampling=False, patch_growth=1)
FILE = paths.RESULTS / "ablation-seeds.csv"
RETRAINED = paths.ROOT / "build" / "ablation-seeds.csv"


def rows(seeds: int = 0) -> tuple[dict, pd.DataFrame]:
    """What made the rows of the small networks, and the rows: network, seed, weights, level, psnr (dB, on Set5).

    The committed ones; or, with `seeds` of 1 or more, those of networks trained now with so many seeds, which takes
    about a minute of one core a network. They are kept in build/, and a training that was stopped goes on there.
    Raises ValueError for a number of seeds below 0.
    """
    if seeds < 0:
        raise ValueError(f"seeds are 1 or more to train, 0 for stored rows, got {seeds}")
    return store.read_rows(retrain(RETRAINED, range(seeds)) if seeds else FILE)


def retrain(
    path: Path, seeds: Sequence[int], *, networks: dict[str, Config] = NETWORKS, training: TrainingConfig = TRAINING
) -> Path:
    """Train the networks with each seed in turn and write their rows to `path`, each when it is measured.

    Networks of one seed see the same patches in the same order. Rows that `path` has already are kept if they were
    made in the same way; ValueError otherwise, and where images are not on disk.
    """
    key = {"training": asdict(training), "training_set": TRAINING_SET, "dataset": TEST_SET}
    key |= {"images": datasets.digest(TEST_SET)}
    key |= {"protocol": store.PROTOCOL, **store.environment(build(SMALL))}
    made, found = earlier(path, key)
    patches = None
    for seed in seeds:
        for name, config in networks.items():
            if ((found.network == name) & (found.seed == seed)).any():
                continue
            if patches is None:
                learn, _ = split(datasets.training_images(TRAINING_SET))
                patches = Patches(learn, task=TASK, patch=training.patch)
            network = trained(config, patches, replace(training, seed=seed))
            found = pd.concat([found, measured(network, name=name, seed=seed)], ignore_index=True)
            store.write_rows(path, found, made)
    return path


def earlier(path: Path, key: dict) -> tuple[dict, pd.DataFrame]:
    """Key and rows that `path` has, or `key` and none; ValueError where another training or other images made them."""
    if not path.exists():
        return key, pd.DataFrame(columns=["network", "seed", "weights", "level", "psnr"])
    made, found = store.read_rows(path)
    same = ("training", "training_set", "dataset", "images", "protocol")
    if differs := [name for name in same if made.get(name) != key[name]]:
        raise ValueError(f"{path} has rows of another {', '.join(differs)}: remove it to train again")
    return made, found


def trained(config: Config, patches: Patches, training: TrainingConfig) -> nn.Module:
    """A new network after the steps of `training`: the moving average of its weights, in evaluation mode."""
    torch.manual_seed(training.seed)
    trainer = Trainer(initialise(build(config), training), patches, training)
    while trainer.step_number < training.steps:
        trainer.step()
    return trainer.average


def measured(network: nn.Module, *, name: str, seed: int) -> pd.DataFrame:
    """Rows of a network: its mean PSNR (dB) over the images of the test set at each scale."""
    images = datasets.pictures(TEST_SET)
    found = [
        evaluation.evaluate(network, images, run=name, task=TASK, dataset=TEST_SET, level=level, progress=False)
        for level in (2, 3, 4)
    ]
    means = pd.concat(found).groupby("level", as_index=False).psnr.mean()
    weights = size.parameters(network)["convolution_weights"]
    return means.assign(network=name, seed=seed, weights=weights)[["network", "seed", "weights", "level", "psnr"]]


def order(rows: pd.DataFrame) -> pd.DataFrame:
    """The paper's order NL < NS < MemNet from the rows of several seeds: a row for each pair of networks and scale.

    Columns: better, worse (by the paper), level, seeds, decibels (the mean of the differences of PSNR between networks
    of one seed), low and high (its 95 % interval over seeds, Student's t) and verdict (see `analysis.verdict`).
    """
    pairs = [("MemNet", "MemNet_NL"), ("MemNet", "MemNet_NS"), ("MemNet_NS", "MemNet_NL")]
    pairs += [("MemNet", name) for name in rows.network.unique() if name.startswith("MemNet_NL,")]
    table, found = rows.pivot(index=["level", "seed"], columns="network", values="psnr"), []
    for better, worse in pairs:
        for level, differences in (table[better] - table[worse]).dropna().groupby("level"):
            mean, low, high = analysis.interval(differences.to_numpy())
            found.append((better, worse, level, len(differences), mean, low, high, analysis.verdict(low, high)))
    columns = ["better", "worse", "level", "seeds", "decibels", "low", "high", "verdict"]
    return pd.DataFrame(found, columns=columns)
