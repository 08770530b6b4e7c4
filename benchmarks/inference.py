"""How fast images are restored, against what the machine's matrix product would need for the same multiply-adds.

python benchmarks/inference.py [--output FILE]: prints Markdown. All numbers of a run are from one machine and hour:
compare ratios, not seconds of different runs.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import device, machine, section

from memnet.network.folded import inference_form
from memnet.network.model import PRESETS, build
from memnet.network.runtime import PRECISIONS, cudnn
from memnet.restoration import tiling
from memnet.study import size

PEAK = """import sys, numpy as np, torch
from pathlib import Path
from memnet.network import memory
from memnet.network.model import PRESETS, build
from memnet.restoration import arrays
height, width = int(sys.argv[1]), int(sys.argv[2])
memory.free = lambda device: int(sys.argv[3])
model = build(PRESETS["M6R6"]).eval()
torch.nn.init.zeros_(model.reconnet.conv.weight)

def peak():
    report = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in report if line.startswith("VmHWM"))

before = peak()
picture = np.zeros((height, width, 3), np.uint8)
arrays.restore(picture, task="denoising", model=model)
print(before, peak())
"""


def against_the_limit(where: torch.device, edge: int, *, repeats: int) -> list[dict]:
    """Forms of M6R6 on edge x edge pixels: as it is written, in NCHW and channels_last, and those that are used."""
    model = build(PRESETS["M6R6"]).eval().to(where)
    x = torch.rand(1, 1, edge, edge, device=where)
    limit = size.operations(PRESETS["M6R6"], edge, edge) / size.matrix_rate(where, torch.float32)
    layouts = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
    forms, rows = {f"as written, {name}": (model, layout) for name, layout in layouts.items()}, []
    for precision, dtype in PRECISIONS.items():
        forms[f"inference form, {precision}"] = (inference_form(model, dtype), torch.channels_last)
    with torch.inference_mode(), cudnn(allow_tf32=False):
        for name, (network, layout) in forms.items():
            network.to(memory_format=layout)
            took = size.fastest(partial(network, x.contiguous(memory_format=layout)), where, repeats=repeats)
            rows.append(
                {
                    "pixels": f"{edge}x{edge}",
                    "form": name,
                    "seconds": took,
                    "times the float32 matrix product": took / limit,
                }
            )
    return rows


def against_pixels(where: torch.device, edges: tuple[int, ...]) -> list[dict]:
    """Microseconds per pixel at several sizes: they must not grow."""
    fast = inference_form(build(PRESETS["M6R6"]).eval().to(where))
    rows = []
    for edge in edges:
        took = size.fastest(partial(tiling.predict, fast, np.zeros((edge, edge))), where)
        rows.append({"pixels": edge**2, "seconds": took, "microseconds per pixel": 1e6 * took / edge**2})
    return rows


def against_depth(where: torch.device, edge: int) -> list[dict]:
    """Seconds and multiply-adds of the four depths of table 6: their ratio must stay."""
    rows = []
    for name in ("M4R6", "M6R6", "M6R8", "M10R10"):
        fast, operations = (
            inference_form(build(PRESETS[name]).eval().to(where)),
            size.operations(PRESETS[name], edge, edge),
        )
        took = size.fastest(partial(tiling.predict, fast, np.zeros((edge, edge))), where)
        rows.append(
            {
                "network": name,
                "G multiply-adds": operations / 1e9,
                "seconds": took,
                "G multiply-adds per second": operations / 1e9 / took,
            }
        )
    return rows


def peaks(sizes: tuple[tuple[int, int], ...]) -> list[dict]:
    """Peak memory (of the CPU, where Linux tells) of processes that restore colour images, 1 GiB said to be free."""
    rows = []
    for height, width in sizes:
        words = [sys.executable, "-c", PEAK, str(height), str(width), str(2**30)]
        before, peak = map(int, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
        rows.append(
            {"picture": f"{height}x{width}", "peak MiB": peak / 1024, "above an idle process": (peak - before) / 1024}
        )
    return rows


def measured(where: torch.device) -> Iterator[str]:
    """The report, part by part as it is measured."""
    rate = size.matrix_rate(where, torch.float32)
    yield f"# Inference\n\n{machine(where)}. Matrix product, float32: {2 * rate / 1e9:.0f} GFLOP/s.\n"
    yield section("Against the matrix product, 288x288", against_the_limit(where, 288, repeats=3))
    yield section("Against the matrix product, 1 megapixel", against_the_limit(where, 1000, repeats=1))
    yield section("Against pixels", against_pixels(where, (96, 192, 384, 768)))
    yield section("Against depth, 192x192", against_depth(where, 192))
    if where.type == "cpu" and Path("/proc/self/status").exists():
        yield section("Memory, 1 GiB said to be free", peaks(((500, 500), (1000, 1000), (1600, 1600))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    arguments, where = parser.parse_args(), device()
    parts = []
    for part in measured(where):
        print(part, flush=True)
        parts.append(part)
    if arguments.output:
        arguments.output.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
