"""What made a result: the commit of the source and the processor."""

import os
import platform
import subprocess
from pathlib import Path

import torch

from memnet import paths


def commit() -> str | None:
    """The source's commit, marked where package or notebooks were changed since; None outside a checkout.

    MEMNET_COMMIT says it for a copy without git.
    """
    if told := os.environ.get("MEMNET_COMMIT"):
        return told
    number = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "memnet", "notebooks")
    return f"{number}-dirty" if number and changed else number


def git(*words: str) -> str | None:
    """What git says of this checkout; None where there is none, or no git."""
    command = ["git", "-C", str(paths.ROOT), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def hardware(device: torch.device) -> str:
    """The processor in words: a GPU's name, or the CPU's with its cores and the threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    report, model = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if report.exists():  # on Linux, where `platform` knows the architecture alone
        names = [line.partition(":")[2].strip() for line in report.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores, threads = os.cpu_count(), torch.get_num_threads()
    return f"{cores} CPU cores ({model}), {threads} thread{'s' * (threads != 1)}"
