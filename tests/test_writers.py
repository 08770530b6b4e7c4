"""Every writer of the project: a full disk leaves the file as it was, and of what two write at once one is whole."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from memnet import cli, paths
from memnet.network import checkpoints
from memnet.network.model import Config, build
from memnet.protocol import datasets, images, photographs
from memnet.publishing import artifacts, records
from memnet.study import store
from memnet.training import loop

resource = pytest.importorskip("resource")  # not there on Windows
TABLE = pd.DataFrame({"run": ["a"] * 400, "image": [str(number) for number in range(400)], "psnr": 30.0})


def pixels(variant):
    return np.random.default_rng(variant).integers(0, 256, (40, 40), np.uint8)


def write_weights(folder, variant):
    torch.manual_seed(variant)
    checkpoints.save(folder / "a.safetensors", build(Config(1, 1, channels=2)), history={"stages": [variant]})


def write_pack(folder, variant):
    """A pack of one image."""
    (folder / f"{variant}" / "Set5").mkdir(parents=True, exist_ok=True)
    images.write_picture(folder / f"{variant}" / "Set5" / "a.png", pixels(variant))
    rows = [{"path": "Set5/a.png", "sha256": "0" * 64}]
    with (
        mock.patch.object(datasets, "manifest", return_value=rows),
        mock.patch.object(datasets, "images_root", return_value=folder / f"{variant}"),
    ):
        datasets.pack(folder / "a.zip", ["Set5"], progress=False)


def write_figure(folder, variant):
    figure = Figure()
    figure.subplots().plot(pixels(variant)[0])
    artifacts.write_figure(folder / "a", figure)


WRITERS = {
    "text": lambda folder, variant: paths.write_text(folder / "a.txt", f"{variant} " * 5000),
    "weights": write_weights,
    "rows": lambda folder, variant: store.write_rows(folder / "a.csv", TABLE.assign(psnr=variant), {"seed": variant}),
    "csv": lambda folder, variant: cli.write_csv(folder / "a.csv", TABLE.assign(psnr=variant)),
    "photograph": lambda folder, variant: photographs.write_photograph(
        folder / "a.png", photographs.Photograph(pixels(variant))
    ),
    "picture": lambda folder, variant: images.write_picture(folder / "a.png", pixels(variant)),
    "pack": write_pack,
    "figure": write_figure,
    "table": lambda folder, variant: artifacts.write_table(folder / "a", TABLE.assign(psnr=variant)),
    "record": lambda folder, variant: records.write({"item": "a", "files": {"x": str(variant) * 9000}}, folder),
    "log": lambda folder, _: loop.Log(folder / "a.csv", []),
    "state": lambda folder, variant: checkpoints.save_state(
        folder / "a.state", {"x": torch.full((2000,), float(variant))}, {"step": variant}
    ),
}
ALONE = ("state", "log")  # for which `only_training` lets one process in


def written(folder):
    """The content of all files in a folder, by their names; of weights, whose header has no order, their hash."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.suffix != ".safetensors"
        else checkpoints.weights_hash(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


@contextmanager
def full_disk():
    """Inside it no file of this process may grow beyond ten bytes, as on a full disk; pytest writes its own outside."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_what_was_there(tmp_path, name):
    WRITERS[name](tmp_path, 0)
    before = written(tmp_path)
    with full_disk(), pytest.raises((ValueError, OSError), match=r"(?i)too large|kept"):
        WRITERS[name](tmp_path, 0 if name == "pack" else 1)
    assert written(tmp_path) == before


@pytest.mark.slow
def test_of_two_writers_files_it_is_one_whole(tmp_path):
    names = [name for name in WRITERS if name not in ALONE]
    expected = {}
    for variant in (0, 1):
        for name in names:
            folder = tmp_path / str(variant) / name
            folder.mkdir(parents=True)
            WRITERS[name](folder, variant)
            expected[variant, name] = written(folder)
    together = tmp_path / "together"
    writers = [subprocess.Popen([sys.executable, __file__, together, str(variant)]) for variant in (0, 1)]
    assert [writer.wait(timeout=200) for writer in writers] == [0, 0]
    for path in [*together.glob("*/ready?"), *together.glob("*/done?")]:
        path.unlink()
    for name in names:
        for file, content in written(together / name).items():
            assert content in [expected[variant, name].get(file) for variant in (0, 1)], f"{name}: {file}"
        assert written(together / name).keys() <= expected[0, name].keys() | expected[1, name].keys()


def main():
    """Write one variant of all files in a folder again and again for seconds, at the same time as another process."""
    folder, variant = Path(sys.argv[1]), int(sys.argv[2])
    for name in (name for name in WRITERS if name not in ALONE):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"ready{variant}").touch()
        begin = time.monotonic()
        while not (folder / name / f"ready{1 - variant}").exists() and time.monotonic() - begin < 100:
            time.sleep(0.001)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            WRITERS[name](folder / name, variant)
        (folder / name / f"done{variant}").touch()
        while not (folder / name / f"done{1 - variant}").exists() and time.monotonic() - begin < 100:
            time.sleep(0.001)


if __name__ == "__main__":
    main()
