"""How much memory is free on a device, and what happens when it is not enough."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import torch

UNKNOWN_MEMORY = 2 * 2**30  # bytes that are taken to be free where the system does not say
GROUP_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
GROUP_V2 = ("memory.max", "memory.current", "inactive_file")


def free(device: torch.device) -> int:
    """Bytes that are free on a device; UNKNOWN_MEMORY where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    report = Path("/proc/meminfo")
    if not report.exists():
        return UNKNOWN_MEMORY
    lines = dict(line.split(":", 1) for line in report.read_text().splitlines())
    groups = Path("/proc/self/cgroup")
    limits = left_in_groups(Path("/sys/fs/cgroup"), groups.read_text()) if groups.exists() else []
    return min([int(lines["MemAvailable"].split()[0]) * 1024, *limits])


def left_in_groups(root: Path, membership: str) -> list[int]:
    """Bytes left of each limit on the control groups of a process: containers, Slurm jobs, systemd units.

    `root` is where control groups of version 2 or 1 are mounted, `membership` the content of /proc/self/cgroup. A limit
    may be set on the group itself or on any group around it. Files in the cache that are not in use count as free.
    """
    left = []
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, names = (root / "memory", GROUP_V1) if controllers else (root, GROUP_V2)
        group = PurePosixPath(path.lstrip("/"))
        for folder in (mount / part for part in (group, *group.parents)):
            left += left_in_group(folder, *names)
    return left


def left_in_group(folder: Path, limit: str, used: str, unused: str) -> list[int]:
    """Bytes left of the limit of one control group; nothing where it has none or says nothing."""
    try:
        most = (folder / limit).read_text().strip()
        if most == "max":
            return []
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return [max(int(most) - int((folder / used).read_text()) + int(stat.get(unused, 0)), 0)]
    except OSError:
        return []


def check(bytes_needed: int) -> None:
    """Raise MemoryError when the processor has less free memory than an image itself will need."""
    there = free(torch.device("cpu"))
    if bytes_needed > there:
        needed, there = (f"{number / 2**30:.1f} GiB" for number in (bytes_needed, there))
        raise MemoryError(f"the image itself needs {needed} of memory, and {there} are free")


@contextmanager
def errors() -> Iterator[None]:
    """Make torch's complaints of too little memory MemoryError, as numpy's are."""
    try:
        yield
    except RuntimeError as error:  # torch has a class of its own for this on a GPU alone
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise MemoryError from error
        raise
