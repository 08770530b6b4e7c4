"""What is installed: ranges, locked versions, the wheel outside a checkout, weights that are fetched."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from memnet import extras, paths
from memnet.protocol import datasets, images
from memnet.study import registry, train_run

PROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def required():
    """The requirements of the base and of all extras, but for the extras of memnet itself."""
    lines = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != "memnet"]


def locked(file="constraints.txt"):
    """The version of each package in a file of constraints."""
    lines = (paths.ROOT / file).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_locked_versions_are_in_the_ranges():
    versions = locked()
    for requirement in required():
        assert requirement.specifier.contains(versions[requirement.name]), requirement
    assert versions["torch"] == "2.13.0"


def test_the_oldest_versions_are_the_lower_ends_of_the_ranges():
    oldest = locked("constraints-oldest.txt")
    ranges = {requirement.name: requirement.specifier for requirement in map(Requirement, PROJECT["dependencies"])}
    assert list(oldest) == list(ranges)
    for name, version in oldest.items():
        (lower,) = [limit.version for limit in ranges[name] if limit.operator == ">="]
        assert Version(lower) == Version(version), name
    table = (paths.ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
    for name, version in oldest.items():
        assert f"| {name} | {version} | {locked()[name]} |" in table


def test_every_mention_of_the_repository_has_the_address_of_the_project():
    address = PROJECT["urls"]["Repository"]
    name = address.removeprefix("https://github.com/")
    texts = {
        file: (paths.ROOT / file).read_text(encoding="utf-8")
        for file in ("README.md", "CITATION.cff", "docs/installation.md", "binder/colab.ipynb")
    }
    for file, text in texts.items():
        assert address in text, file
        assert set(re.findall(r"[\w.-]+/memnet-reproduced(?![\w-])", text)) == {name}, file
    assert f"https://mybinder.org/v2/gh/{name}/" in texts["README.md"]
    assert f"https://colab.research.google.com/github/{name}/blob/main/binder/colab.ipynb" in texts["README.md"]


def test_the_first_cell_for_colab_touches_neither_torch_nor_numpy():
    book = nbformat.read(paths.ROOT / "binder" / "colab.ipynb", as_version=4)
    cell = next(cell.source for cell in book.cells if cell.cell_type == "code")
    assert "%pip install --quiet --no-deps --editable memnet-reproduced" in cell
    assert f"```ipython\n{cell}\n```" in (paths.ROOT / "docs" / "installation.md").read_text(encoding="utf-8")


def test_every_dependency_has_a_lower_and_an_upper_bound_and_is_named_once():
    names = [requirement.name for requirement in required()]
    assert len(set(names)) == len(names)
    for requirement in required():
        assert "==" in str(requirement) or re.fullmatch(r"<[\d.]+,>=[\d.]+", str(requirement.specifier)), requirement
    assert PROJECT["requires-python"] == ">=3.11"


def test_the_base_needs_no_jupyter_and_no_network():
    base = {Requirement(line).name for line in PROJECT["dependencies"]}
    expected = "torch numpy scipy scikit-image pandas matplotlib pillow safetensors tqdm typer"
    assert base == set(expected.split())
    assert {"lab", "fetch", "export", "cluster", "site", "dev"} == set(EXTRAS)


def test_conda_binder_and_docker_install_the_locked_versions():
    conda = yaml.safe_load((paths.ROOT / "environment.yml").read_text(encoding="utf-8"))
    *packages, pip = conda["dependencies"]
    assert conda["channels"] == ["conda-forge"]
    assert pip["pip"] == ["-c constraints.txt", "-e .[dev]"]
    assert packages == ["python=3.12", "pip"]
    binder = (paths.ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert {"--constraint ../constraints.txt", "--editable .[lab]"} <= set(binder)
    assert (paths.ROOT / "binder" / "runtime.txt").read_text(encoding="utf-8").strip() == "python-3.12"
    assert "make setup TORCH=" in (paths.ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_jupyterlab_starts_without_a_question_after_every_installation():
    override = json.loads((paths.ROOT / "binder" / "overrides.json").read_text(encoding="utf-8"))
    (plugin, settings), *more = override.items()
    assert not more
    name, key = plugin.split(":")
    schema = Path(sys.prefix) / "share" / "jupyter" / "lab" / "schemas" / name / f"{key}.json"
    known = json.loads(schema.read_text(encoding="utf-8"))["properties"]["fetchNews"]["oneOf"]
    assert settings == {"fetchNews": "false"}
    assert {"const": "false", "title": "Never"} in known
    target = "share/jupyter/lab/settings"
    for file in ("Makefile", "binder/postBuild"):
        text = (paths.ROOT / file).read_text(encoding="utf-8")
        assert "binder/overrides.json" in text, file
        assert target in text, file
    assert os.access(paths.ROOT / "binder" / "postBuild", os.X_OK)


def test_a_missing_extra_is_named():
    with pytest.raises(ValueError, match=r"drawing needs not_there_at_all: run `pip install 'memnet\[lab\]'`"):
        extras.require("not_there_at_all", extra="lab", purpose="drawing")
    assert extras.require("numpy", extra="lab", purpose="drawing") is np


def test_a_fetch_without_the_extra_is_one_sentence_before_any_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(ValueError, match=r"^fetching files needs requests: run `pip install 'memnet\[fetch\]'`$"):
        datasets.fetch(["Set5"], progress=False)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no /proc")
def test_a_weights_folder_that_takes_no_files_is_named(weights_table, server, monkeypatch):
    address, file = server
    weights_table("sr-M6R1", datasets.sha256(file), address)
    monkeypatch.setattr("memnet.paths.WEIGHTS", Path("/proc/weights"))  # read-only for every user
    with pytest.raises(ValueError, match=r"^/proc/weights takes no weights \(.*\): name a folder .* MEMNET_WEIGHTS$"):
        registry.load("sr-M6R1")
    with pytest.raises(ValueError, match=r"^/proc/weights takes no weights \(.*\): name a folder .* MEMNET_WEIGHTS$"):
        train_run.train_run("sr-plain", progress=False)


@pytest.fixture
def weights_table(tmp_path, monkeypatch):
    """A function that writes data/weights.csv with one run; weights are looked for in an empty folder."""
    monkeypatch.setattr("memnet.paths.DATA", tmp_path)
    monkeypatch.setattr("memnet.paths.WEIGHTS", tmp_path / "weights")

    def write(run, sha256, address):
        (tmp_path / "weights.csv").write_text(f"run,sha256,address\n{run},{sha256},{address}\n")

    return write


@pytest.fixture
def server(tmp_path):
    """The address of a server of tiny weights for the run sr-M6R1, and the file that it serves."""
    from memnet.network import checkpoints
    from memnet.network.model import Config, build

    file = tmp_path / "served" / "sr-M6R1.safetensors"
    checkpoints.save(file, build(Config(1, 1, channels=4)), history={"run": "sr-M6R1", "stages": []})
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(file.parent))
    handler.log_message = lambda *words: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}/{file.name}", file
        served.shutdown()


def test_weights_are_fetched_by_their_hash(weights_table, server):
    address, file = server
    weights_table("sr-M6R1", datasets.sha256(file), address)
    assert registry.load("sr-M6R1").config.channels == 4
    assert registry.weights_path("sr-M6R1").read_bytes() == file.read_bytes()


def test_fetched_weights_of_another_hash_are_refused(weights_table, server):
    address, _ = server
    weights_table("sr-M6R1", "0" * 64, address)
    with pytest.raises(ValueError, match="another SHA-256"):
        registry.load("sr-M6R1")
    assert not registry.trained("sr-M6R1")


@pytest.mark.parametrize(("run", "address"), [("sr-M6R1", ""), ("sr-plain", "http://127.0.0.1/")])
def test_weights_without_an_address_get_one_sentence(weights_table, run, address):
    weights_table("sr-M6R1", "0" * 64, address)
    with pytest.raises(ValueError, match=f"{run} has no weights at .*memnet train {run}.*MEMNET_WEIGHTS"):
        registry.load(run)


def copy_of_the_source(folder):
    """What a wheel is built from, copied: nothing that an earlier build left in the checkout gets in."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(paths.ROOT / name, folder)
    shutil.copytree(paths.ROOT / "memnet", folder / "memnet", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(paths.ROOT / "data", folder / "data", ignore=shutil.ignore_patterns("images", "results", "*.state"))
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A function that runs commands of a clean environment, outside the checkout, with the wheel installed.

    All other packages are those of the environment that runs the tests.
    """
    folder = tmp_path_factory.mktemp("installed")
    source = copy_of_the_source(tmp_path_factory.mktemp("source"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MEMNET_", "PYTHON"))}
    clean |= {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=False, cwd=folder, env=clean)
    pip = [sys.executable, "-m", "pip"]
    wheel = run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)])
    assert wheel.returncode == 0, wheel.stderr
    assert run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")]).returncode == 0
    bin_folder = folder / "venv" / "bin"
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    (file,) = folder.glob("*.whl")
    done = run([*pip, "--python", str(bin_folder / "python"), "install", "--no-deps", str(file)])
    assert done.returncode == 0, done.stderr

    def command(name, *arguments, **environment):
        return run([str(bin_folder / name), *map(str, arguments)], env=clean | environment)

    return command


@pytest.mark.slow
def test_the_wheel_lies_outside_the_checkout_and_its_ranges_are_met(installed):
    done = installed("python", "-c", "import memnet.paths; print(memnet.paths.DATA)")
    assert done.stdout.strip().endswith("site-packages/memnet/data"), done
    assert not done.stdout.startswith(str(paths.ROOT))
    done = installed("python", "-m", "pip", "check")
    assert done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("memnet ")] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "more", "size"), [("denoising", (), 24), ("jpeg", (), 24), ("super-resolution", ("--level", 2), 48)]
)
def test_the_wheel_restores(installed, tmp_path, task, more, size):
    images.write_picture(tmp_path / "small.png", np.tile(np.arange(24, dtype=np.uint8) * 9, (24, 1)))
    done = installed("memnet", "restore", tmp_path / "small.png", "--task", task, "--output", tmp_path / "out", *more)
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "out").iterdir()
    assert images.read_picture(file).shape == (size, size)


@pytest.mark.slow
def test_the_wheel_loads_and_evaluates(installed):
    code = "import memnet; print(memnet.load('sr-M6R6').config.longest_path)"
    assert installed("python", "-c", code).stdout.strip() == "80"
    folder = installed("python", "-c", "import memnet.paths; print(memnet.paths.RESULTS)").stdout.strip()
    arguments = ("evaluate", "sr-M6R6", "--dataset", "embedded", "--level", 4, "--limit", 1)
    done = installed("memnet", *arguments)
    assert "1 to measure" in done.stderr, done.stderr
    assert "to measure" not in installed("memnet", *arguments).stderr
    assert "site-packages" not in folder
    assert os.path.isfile(f"{folder}/sr-M6R6/embedded-4.csv")


@pytest.mark.slow
def test_the_wheel_finds_other_networks_through_memnet_weights(installed, tmp_path):
    code = "import memnet; print(memnet.load('sr-plain').config.layers)"
    done = installed("memnet", "evaluate", "sr-plain", "--dataset", "embedded")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "MEMNET_WEIGHTS" in done.stderr
    assert installed("python", "-c", code, MEMNET_WEIGHTS=str(paths.ROOT / "data" / "weights")).stdout.strip() == "18"


@pytest.mark.slow
def test_the_wheel_trains_into_the_users_folder(installed):
    done = installed("memnet", "train", "sr-plain", "--steps", 20, MEMNET_DATA="/nowhere")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "memnet data fetch" in done.stderr


@pytest.mark.parametrize(
    "page", ["CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in paths.ROOT.glob("docs/*.md"))]
)
def test_the_links_of_a_page_lead_somewhere(page):
    file = paths.ROOT / page
    links = re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8"))
    assert [link for link in links if not (file.parent / link).exists()] == []
