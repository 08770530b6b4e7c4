"""What the benchmarks share: the machine's own matrix rate, honest times, tables."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from memnet import tables


def device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait(where: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def seconds(work: Callable[[], object], where: torch.device, *, repeats: int = 3) -> float:
    """The shortest of `repeats` times that `work` takes, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        wait(where)
        begin = time.perf_counter()
        work()
        wait(where)
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def matrix_rate(where: torch.device, dtype: torch.dtype, size: int = 2048) -> float:
    """Multiply-adds per second of this machine's matrix product of two `size` x `size` matrices."""
    a, b = (torch.randn(size, size, device=where).to(dtype) for _ in range(2))
    return size**3 / seconds(lambda: a @ b, where, repeats=10)


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
