"""Every item of the paper, re-made from its notebook on the embedded set as `memnet reproduce` does it."""

import hashlib
import json

import numpy as np
import pytest

from memnet import paths
from memnet.protocol import images
from memnet.publishing import reproduction
from memnet.publishing.items import ITEMS
from memnet.study import evaluation, registry, store

LARGEST = 2.5e6  # bytes of a picture that is committed: nine panels at 300 dpi have two million

pytestmark = pytest.mark.notebooks


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("figures")


@pytest.mark.parametrize("name", ITEMS)
def test_item_is_made_and_agrees_with_the_committed_files(name, output, capfd):
    committed = {path.name for path in (paths.FIGURES / "embedded").glob("*")}
    made = reproduction.reproduce([name], images="embedded", output=output)
    line = next(line for line in capfd.readouterr().out.splitlines() if line.startswith(f"{name} "))
    assert made, line
    record = json.loads((output / "embedded" / f"{name}.json").read_text())
    endings = {file.split(".")[0]: file for file in record["files"]}
    assert set(ITEMS[name].writes) <= set(endings)
    for file, digest in record["files"].items():
        content = (output / "embedded" / file).read_bytes()
        assert hashlib.sha256(content).hexdigest()[:16] == digest
        assert file in committed, f"{file} is not committed in figures/embedded: run `memnet reproduce {name} --update`"
        if file.endswith(".png"):
            check_picture(output / "embedded" / file)
    assert "agrees" in line or "no numbers" in line, line


def check_picture(path):
    """A picture has something on it, a white border, and a size that can be committed."""
    image = images.luma(images.read_picture(path))
    white = image.max()
    assert image.std() > 1
    assert (image[[0, -1]] == white).mean() > 0.9
    assert path.stat().st_size < LARGEST


SMALL = [
    ("denoising", "S14", 30, "1"),
    ("super-resolution", "Set5", 3, "butterfly_GT"),
    ("jpeg", "Classic5", 10, "lena"),
]


@pytest.mark.parametrize(("task", "dataset", "level", "name"), SMALL)
def test_committed_rows_are_what_the_committed_weights_give(benchmark_set, task, dataset, level, name):
    pictures, run = benchmark_set(dataset), registry.main_run(task)
    stored = store.stored_rows(run, dataset, level)
    assert stored is not None, (
        f"no rows of {run}'s weights in data/results: `memnet evaluate {run} --dataset {dataset}`"
    )
    picture = pictures[pictures.names.index(name)]
    what = {"run": run, "task": task, "dataset": dataset, "level": level, "progress": False}
    row = evaluation.evaluate(registry.load(run), [picture], **what)
    columns = ["psnr", "ssim", "input_psnr", "input_ssim"]
    assert np.allclose(row[columns], stored.loc[stored.image == name, columns], atol=0.002)
