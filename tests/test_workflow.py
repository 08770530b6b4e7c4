"""The workflow: the whole paper as a graph, a training that is killed and goes on, seeds with their spread."""

import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from memnet import paths
from memnet.protocol import datasets
from memnet.publishing.items import ITEMS
from memnet.study.registry import EXPERIMENTS

sys.path.append(str(paths.ROOT / "workflow"))
import report


def snakemake(folder, *arguments, **settings):
    """A started snakemake on this checkout, whose output goes to folder/log; settings become --config."""
    pytest.importorskip("snakemake", reason="the extra `cluster` is not installed")
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "memnet").write_text(f'#!/bin/sh\nexec {sys.executable} -m memnet.cli "$@"\n')
    (folder / "bin" / "memnet").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(paths.ROOT),
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(paths.ROOT / "workflow" / "Snakefile"), *arguments]
    command += ["--config", f"folder={folder / 'study'}", *(f"{name}={value}" for name, value in settings.items())]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)


def check_end(process, folder, seconds):
    """Wait for snakemake, which has to succeed; what is still running after so many seconds is stopped."""
    try:
        assert process.wait(timeout=seconds) == 0, (folder / "log").read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
def test_a_dry_run_lists_the_whole_paper_and_parents_come_first(tmp_path):
    check_end(snakemake(tmp_path, "--dry-run"), tmp_path, 300)
    text = (tmp_path / "log").read_text()
    counts = dict(re.findall(r"^(train|measure|item|report) +(\d+)$", text, re.MULTILINE))
    assert (int(counts["train"]), int(counts["item"])) == (len(EXPERIMENTS), len(ITEMS))
    assert int(counts["measure"]) > len(EXPERIMENTS)
    trained = re.findall(r"output: \S+/weights/(\S+)\.finished", text)
    for run in EXPERIMENTS.values():
        assert run.parent is None or trained.index(run.parent) < trained.index(run.name)


def training_process(folder, deadline=300):
    """The number of the process that trains, once it has saved a state or is underway."""
    command = ["pgrep", "-f", f"memnet.cli train .* --output {folder}/study"]
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        if found:
            return int(found[-1])
        time.sleep(0.2)
    raise AssertionError("no training started")


@pytest.mark.slow
def test_a_killed_training_goes_on_and_the_workflow_reaches_its_end(tmp_path):
    if not datasets.available("T91"):
        pytest.skip("the training images are not on disk")
    settings = {
        "runs": '["sr-plain","sr-M6R1"]',
        "items": '["network"]',
        "images": "embedded",
        "steps": 10,
        "limit": 1,
        "retries": 2,
        "parameters": "'-p batch=4 -p patch=12'",
    }
    process = snakemake(tmp_path, "--cores", "2", "--resources", "gpu=1", **settings)
    os.kill(training_process(tmp_path), signal.SIGKILL)
    check_end(process, tmp_path, 1800)
    assert "Trying to restart job" in (tmp_path / "log").read_text()
    table = pd.read_csv(tmp_path / "study" / "report.csv")
    assert set(table.run) == {"sr-plain", "sr-M6R1"}
    assert (table.seeds == 1).all()
    assert (tmp_path / "study" / "seed0" / "figures" / "embedded" / "fig1.png").is_file()
    check_end(snakemake(tmp_path, "--cores", "2", **settings), tmp_path, 300)
    assert "Nothing to be done" in (tmp_path / "log").read_text()


def test_the_report_gives_the_spread_over_seeds(tmp_path):
    files = []
    for seed, psnr in enumerate((30.0, 32.0)):
        file = tmp_path / f"seed{seed}" / "rows" / "sr-plain" / "Set5.csv"
        file.parent.mkdir(parents=True)
        row = {"run": "sr-plain", "task": "super-resolution", "dataset": "Set5", "level": 3, "psnr": psnr, "ssim": 0.9}
        pd.DataFrame([row]).to_csv(file, index=False)
        files.append(str(file))
    (line,) = report.report(files).to_dict("records")
    assert (line["seeds"], line["psnr"], line["ssim_std"]) == (2, 31.0, 0.0)
    assert line["psnr_std"] == pytest.approx(2**0.5)
