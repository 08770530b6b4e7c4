"""What the benchmarks share: the machine's own matrix rate, honest times, tables."""

from pathlib import Path

import pandas as pd
import torch

from memnet.protocol import datasets
from memnet.publishing import tables
from memnet.study import provenance, registry
from memnet.training.sampler import Patches
from memnet.training.validation import ValidationSet, split

CROP = 168  # edge of the validation crops here; larger than those of a training, so that few pixels are near a border


def device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine(where: torch.device) -> str:
    """The machine and torch in words."""
    return f"{provenance.hardware(where)}, torch {torch.__version__}"


def section(title: str, rows: list[dict]) -> str:
    """A titled table in Markdown."""
    return f"## {title}\n\n{tables.to_markdown(pd.DataFrame(rows))}"


def publish(text: str, output: Path | None) -> None:
    """Print a report, and write it to a file where one is asked for."""
    print(text)
    if output:
        output.write_text(text, encoding="utf-8")


def patches_of(run: str, patch: int, where: torch.device) -> Patches:
    """What a run learns from."""
    what = registry.experiment(run)
    return Patches(split(datasets.training_images(what.training_set))[0], task=what.task, patch=patch, device=where)


def crops_of(run: str, where: torch.device) -> ValidationSet:
    """Central crops of the validation images of a run."""
    what = registry.experiment(run)
    held = [p for p in split(datasets.training_images(what.training_set))[1] if min(p.shape) >= CROP]
    return ValidationSet(held, task=what.task, device=where, size=CROP)
