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
    if named := os.environ.get("MEMNET_COMMIT"):
        return named
    number = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "memnet", "notebooks")
    return f"{number}-dirty" if number and changed else number


def git(*words: str) -> str | None:
    """What git answers about the repository whose top folder is ROOT; None without one, or without git.

    A repository around ROOT and the variables GIT_* of the caller are not asked.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_CEILING_DIRECTORIES"] = str(paths.ROOT.parent)  # git searches no folder from this one upwards
    command = ["git", "-C", str(paths.ROOT), *words]
    try:
        done = subprocess.run(command, capture_output=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode(errors="replace").replace("\r\n", "\n").strip() or None


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
