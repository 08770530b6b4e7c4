"""What the benchmarks share: the machine's own matrix rate, honest times, tables."""

import pandas as pd
import torch

from memnet import evaluation, tables


def device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine(where: torch.device) -> str:
    """The machine and torch in words."""
    return f"{evaluation.hardware(where)}, torch {torch.__version__}"


def section(title: str, rows: list[dict]) -> str:
    """A titled table in Markdown."""
    return f"## {title}\n\n{tables.to_markdown(pd.DataFrame(rows))}"
