"""What the benchmarks share: the machine's own matrix rate, honest times, tables."""

import os
import platform
from pathlib import Path

import pandas as pd
import torch

from memnet import tables


def device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine(where: torch.device) -> str:
    """The machine in words."""
    if where.type == "cuda":
        return f"{torch.cuda.get_device_name(where)}, torch {torch.__version__}"
    model = platform.processor() or platform.machine()
    report = Path("/proc/cpuinfo")
    if report.exists():
        names = [line.split(":")[1].strip() for line in report.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores of {model}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def section(title: str, rows: list[dict]) -> str:
    """A titled table in Markdown."""
    return f"## {title}\n\n{tables.to_markdown(pd.DataFrame(rows))}"
