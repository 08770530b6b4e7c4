"""Running notebooks headless: parameters, failures, provenance and agreement, on tiny notebooks made here."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import numpy as np
import pandas as pd
import pytest

from memnet import paths
from memnet.publishing import artifacts, compare, items, records, reproduction
from memnet.publishing.items import IMAGES, ITEMS, Item
from memnet.study import provenance, store

PARAMETERS = """images: str = "embedded"  # which pictures
output: str = ""  # folder for the files
fresh: bool = False  # measure again
level: int = 3  # scale factor
share: float = 0.5  # of the whole
"""
WRITES = """from pathlib import Path
from memnet.publishing import records
folder = Path(output)
(folder / "good.csv").write_text(f"level,psnr,seconds\\n{level},{20 + share},{id(folder)}\\n")
record = {"item": "good", "files": {"good.csv": ""}, "parameters": {}, "rows": [], "commit": "abc", "images": images}
records.write(record, folder)
"""
FAILS = """from pathlib import Path
(Path(output) / "bad.csv").write_text("half")
raise RuntimeError("no such thing\\nand more")
"""
DIES_ONCE = """import os
from pathlib import Path
from memnet.publishing import records
died = Path(r"{marker}")
if not died.exists():
    died.touch()
    os._exit(9)
(Path(output) / "dies.csv").write_text("psnr\\n1.0\\n")
record = {{"item": "dies", "files": {{}}, "parameters": {{}}, "rows": [], "commit": "abc", "images": images}}
records.write(record, Path(output))
"""


def write_notebook(path, *cells):
    book = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}}
    )
    book.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    book.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(book, path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Items good, bad, forgets and dies in a project of their own; its folder."""
    (tmp_path / "notebooks").mkdir()
    cells = {
        "good": WRITES,
        "bad": FAILS,
        "forgets": WRITES,
        "dies": DIES_ONCE.format(marker=tmp_path / "died"),
    }
    for name, cell in cells.items():
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", PARAMETERS, cell)
    items = {name: Item(name, f"{name}.ipynb", f"what is {name}", (name,)) for name in cells}
    monkeypatch.setattr("memnet.publishing.items.ITEMS", items)
    for name in ("NOTEBOOKS", "FIGURES", "BUILD"):
        monkeypatch.setattr(f"memnet.paths.{name}", tmp_path / name.lower())
    return tmp_path


def line_of(name, printed):
    return next(line for line in printed.splitlines() if line.startswith(f"{name} "))


@pytest.fixture
def committed(project):
    """The item good in figures/, as its defaults make it."""
    assert reproduction.reproduce(["good"], images="embedded", update=True)
    return project / "figures" / "embedded"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_an_item_is_made_in_build_and_agrees_with_what_is_committed(project, committed, capfd):
    source, before = (project / "notebooks" / "good.ipynb").read_bytes(), contents_of(project / "figures")
    assert reproduction.reproduce(["good"], images="embedded")
    folder = project / "build" / "figures" / "embedded"
    assert names_in(folder) == ["good.csv", "good.json"]
    record = json.loads((folder / "good.json").read_text())
    assert record["seconds"] > 0
    assert record["commit"] == "abc"
    assert record["parameters"] == {"images": "embedded", "fresh": False, "level": 3, "share": 0.5}
    printed, warned = capfd.readouterr()
    assert line_of("good", printed).endswith("agrees with what is committed")
    assert "TCP" not in warned
    executed = project / "build" / "executed" / "embedded"
    assert f"files: {folder}\nexecuted notebooks, to read: {executed}\n" in printed
    assert names_in(executed) == ["good.ipynb"]
    assert (project / "notebooks" / "good.ipynb").read_bytes() == source
    assert contents_of(project / "figures") == before


def contents_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_an_update_writes_what_is_committed_without_what_changes_at_every_run(project, committed):
    first = (committed / "good.json").read_bytes()
    assert not {"seconds", "commit"} & set(json.loads(first))
    (committed / "good.csv").write_text("level,psnr,seconds\n3,99.0,1\n")
    assert reproduction.reproduce(["good"], images="embedded", update=True)
    assert pd.read_csv(committed / "good.csv").psnr.item() == 20.5
    assert (committed / "good.json").read_bytes() == first
    made = records.made()
    assert made[["item", "images", "commit"]].values.tolist() == [["good", "embedded", "abc"]]
    for options in ({"output": project / "mine"}, {"parameters": {"level": 2}}):
        with pytest.raises(ValueError, match="--update writes what the notebooks' own parameters give"):
            reproduction.reproduce(["good"], images="embedded", update=True, **options)


@pytest.mark.slow
def test_other_parameters_are_not_compared_and_said(project, committed, capsys):
    options = {"images": "embedded", "output": project / "my"}
    assert reproduction.reproduce(["good"], parameters={"level": 4, "share": 0.5}, **options)
    assert line_of("good", capsys.readouterr().out).endswith("not compared: level=4, committed 3")
    assert pd.read_csv(project / "my" / "embedded" / "good.csv").level.item() == 4
    assert names_in(project / "my" / "executed" / "embedded") == ["good.ipynb"]
    assert reproduction.reproduce(["good"], parameters={"level": 3}, **options)
    assert "agrees with what is committed" in line_of("good", capsys.readouterr().out)


@pytest.mark.slow
def test_what_is_not_committed_does_not_agree(project, capsys):
    assert not reproduction.reproduce(["good"], images="embedded")
    assert line_of("good", capsys.readouterr().out).endswith("is not committed")


@pytest.mark.slow
def test_a_failing_notebook_leaves_the_last_good_files_and_the_others_go_on(project, committed, capsys):
    folder = project / "build" / "figures" / "embedded"
    folder.mkdir(parents=True)
    (folder / "bad.csv").write_text("good\n")
    assert not reproduction.reproduce(["bad", "forgets", "good"], images="embedded")
    printed = capsys.readouterr().out
    assert "failed" in line_of("bad", printed)
    assert "bad.ipynb, cell" in line_of("bad", printed)
    assert "RuntimeError: no such thing (see" in line_of("bad", printed)
    assert "forgets.ipynb did not write forgets, forgets.json" in line_of("forgets", printed)
    assert "made" in line_of("good", printed)
    assert (folder / "bad.csv").read_text() == "good\n"
    assert names_in(folder) == ["bad.csv", "good.csv", "good.json"]


@pytest.mark.slow
def test_a_kernel_that_is_killed_gets_a_second_try(project):
    assert reproduction.reproduce(["dies"], images="embedded", update=True)
    assert (project / "died").exists()
    assert (project / "figures" / "embedded" / "dies.csv").exists()


@pytest.mark.slow
def test_notebooks_run_with_the_interpreter_of_reproduce_whatever_kernels_there_are(project, committed, monkeypatch):
    spec = {"argv": ["/nonexistent/python"], "display_name": "Python 3", "language": "python"}
    (project / "kernels" / "python3").mkdir(parents=True)
    (project / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(project))
    assert reproduction.reproduce(["good"], images="embedded")


@pytest.mark.slow
def test_braces_in_a_path_are_no_parameters(project, committed, monkeypatch):
    shutil.copytree(project / "notebooks", project / "{thesis}")
    monkeypatch.setattr("memnet.paths.NOTEBOOKS", project / "{thesis}")
    assert reproduction.reproduce(["good"], images="embedded", output=project / "{my} {0}")
    assert names_in(project / "{my} {0}" / "embedded") == ["good.csv", "good.json"]


def test_a_kill_while_files_are_moved_leaves_no_record_beside_mixed_files(project, tmp_path):
    item, staging, target = Item("good", "good.ipynb", "", ("good",)), tmp_path / "staging", tmp_path / "target"
    for folder in (staging, target):
        folder.mkdir()
        for name in ("good.csv", "good.json", "good.png"):
            (folder / name).write_text(folder.name)
    script = (
        "import os, pathlib, sys\nfrom memnet.publishing import items, reproduction\n"
        "replace, moved = pathlib.Path.replace, []\n"
        "def killed(path, other):\n    moved.append(replace(path, other))\n    os._exit(9)\n"
        "pathlib.Path.replace = killed\n"
        "reproduction.move_over(items.Item('good', '', '', ()), *map(pathlib.Path, sys.argv[1:]))\n"
    )
    subprocess.run([sys.executable, "-c", script, staging, target], check=False)
    assert [path.read_text() for path in sorted(target.iterdir())] == ["staging", "target"]
    assert names_in(target) == ["good.csv", "good.png"]
    reproduction.move_over(item, staging, target)
    assert {path.read_text() for path in target.iterdir()} == {"staging"}
    assert names_in(target) == ["good.csv", "good.json", "good.png"]


@pytest.mark.slow
def test_ctrl_c_ends_with_one_line(tmp_path):
    command = [sys.executable, "-m", "memnet.cli", "reproduce", "training", "--images", "embedded"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, "--output", tmp_path / "out"], cwd=paths.ROOT, stdout=log, stderr=log)
        while "1/" not in (tmp_path / "log").read_text().partition("Executing")[2]:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    printed = (tmp_path / "log").read_text()
    assert printed.splitlines()[-1] == "memnet: stopped; the items that were made before are complete"
    assert "Traceback" not in printed
    assert "died" not in printed
    assert names_in(tmp_path / "out" / "embedded") == []


@pytest.mark.slow
def test_what_a_kill_left_behind_goes_at_the_next_start(project, committed):
    folder = project / "build" / "figures" / "embedded"
    (folder / ".memnet-of-a-killed-run").mkdir(parents=True)
    with paths.temporary(folder, folder=True) as living:
        assert not (folder / ".memnet-of-a-killed-run").exists()
        assert reproduction.reproduce(["good"], images="embedded")
        assert living.exists()
    assert names_in(folder) == ["good.csv", "good.json"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"levle": 3}, "good.ipynb has no parameter 'levle': it declares images, output, fresh, level, share"),
        ({"level": "3"}, "good.ipynb: level is of type int, got '3'"),
        ({"level": True}, "level is of type int, got True"),
        ({"level": 7}, "level is one of 2, 3, 4, got 7"),
        ({"level": 99}, "the scale of super-resolution is a number from 2 to 8, got 99"),
        ({"share": "half"}, "share is of type float, got 'half'"),
        ({"output": "here"}, "output is given by the option --output"),
        ({"images": "benchmark"}, "images is given by the option --images"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(project, parameters, message):
    with pytest.raises(ValueError, match=message):
        reproduction.reproduce(["good"], images="embedded", parameters=parameters)
    assert not (project / "build").exists()


@pytest.mark.slow
def test_folders_are_those_of_whoever_asks_though_notebooks_work_elsewhere(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("MEMNET_DATA", "pictures")
    reproduction.reproduce(["good"], images="embedded", output="mine")
    assert names_in(project / "mine" / "embedded") == ["good.csv", "good.json"]
    assert os.environ["MEMNET_DATA"] == str(project / "pictures")


def test_a_parameter_of_other_notebooks_is_refused_with_their_names(project):
    write_notebook(project / "notebooks" / "bad.ipynb", PARAMETERS + "only: int = 1  # here\n", FAILS)
    with pytest.raises(ValueError, match=r"has no parameter 'only': .* share; items that have it: bad$"):
        reproduction.reproduce(["good", "bad"], images="embedded", parameters={"only": 2})
    with pytest.raises(ValueError, match=r"no parameter 'none': it declares images.* share$"):
        reproduction.reproduce(["good"], images="embedded", parameters={"none": 2})


def test_what_cannot_be_made_is_refused_in_one_sentence(project, monkeypatch):
    with pytest.raises(ValueError, match="unknown item 'tabel1': choose some of good, bad"):
        reproduction.reproduce(["tabel1"])
    with pytest.raises(ValueError, match="embedded, benchmark or auto, got 'all'"):
        reproduction.reproduce(["good"], images="all")
    monkeypatch.setenv("MEMNET_DATA", str(project))
    with pytest.raises(ValueError, match=r"Set5.* not on disk: run `memnet data fetch`, or set MEMNET_DATA"):
        reproduction.reproduce(["good"], images="benchmark")
    (project / "file").touch()
    with pytest.raises(ValueError, match="cannot be made a folder"):
        reproduction.reproduce(["good"], images="embedded", output=project / "file")
    (project / "notebooks" / "good.ipynb").unlink()
    with pytest.raises(ValueError, match="run memnet from a checkout"):
        reproduction.reproduce(["good"], images="embedded")


@pytest.mark.slow
def test_what_shows_the_embedded_set_alone_does_so_beside_benchmark_images(project, monkeypatch, capsys):
    monkeypatch.setitem(items.ITEMS, "forgets", dataclasses.replace(items.ITEMS["good"], images=("embedded",)))
    monkeypatch.setattr("memnet.protocol.datasets.available", lambda name: True)
    reproduction.reproduce(["good", "forgets"], images="auto")
    made = {kind: json.loads((project / "build" / "figures" / kind / "good.json").read_text()) for kind in IMAGES}
    assert {kind: record["images"] for kind, record in made.items()} == {kind: kind for kind in IMAGES}
    printed = capsys.readouterr().out
    assert [f"{kind} images, compared with {project / 'figures' / kind}" in printed for kind in IMAGES] == [True, True]


def test_every_item_is_committed_for_the_images_that_it_shows():
    for item in ITEMS.values():
        for kind in IMAGES:
            assert (paths.FIGURES / kind / f"{item.name}.json").is_file() == (kind in item.images), item.name


def test_without_benchmark_images_the_embedded_ones_are_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path))
    assert reproduction.resolve_images("auto") == "embedded"


def test_parameters_of_the_command_line_are_literals_or_text():
    pairs = ["a=3", "b=1e-4", "c=true", "d=False", "e=Set5", "f=x=y", "g='7'", "h=", "i=[1, 2]"]
    expected = {"a": 3, "b": 1e-4, "c": True, "d": False, "e": "Set5", "f": "x=y", "g": "7", "h": "", "i": [1, 2]}
    assert reproduction.parse_parameters(pairs) == expected
    for wrong in ("level", "=3", "a b=3"):
        with pytest.raises(ValueError, match="NAME=VALUE"):
            reproduction.parse_parameters([wrong])


OLD = {
    "method": ["a", "b"],
    "psnr": [30.0, np.inf],
    "ssim": [0.9, np.nan],
    "pictures": [5, 676992],
    "seconds": [1.0, 2],
    "share": [0.001, 0.001],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"psnr": [30.009, np.inf], "ssim": [0.9004, np.nan], "seconds": [9.0, 7]}, []),
        ({"psnr": [30.02, np.inf]}, ["t.csv: psnr differs by up to 0.02"]),
        ({"psnr": [30.0, 40.0]}, ["t.csv: psnr differs by up to inf"]),
        ({"ssim": [0.901, np.nan]}, ["t.csv: ssim differs by up to 0.001"]),
        ({"ssim": [0.9, 0.8]}, ["t.csv: ssim is missing in one of the two in 1 of 2 rows"]),
        ({"pictures": [5, 676991]}, ["t.csv: pictures differs in 1 of 2 rows"]),
        ({"method": ["a", None]}, ["t.csv: method differs in 1 of 2 rows"]),
        ({"more": [1, 2]}, ["t.csv differs in its rows or columns"]),
        ({"share": [0.002, 0.001]}, ["t.csv: share differs by up to 0.001"]),
        ({"share": [0.0010001, 0.001]}, []),
    ],
)
def test_tables_agree_within_the_tolerance_of_each_column(change, words):
    assert compare.differences(pd.DataFrame(OLD | change), pd.DataFrame(OLD), {}, "t.csv") == words


def test_live_training_is_compared_with_tolerances_of_its_own():
    tolerances = dict(items.ITEMS["training"].tolerances)
    old = pd.DataFrame({"step": [20, 40], "loss": [0.0348, 0.0125], "norm": [0.19, 0.09], "gain": [1.68, 6.43]})
    near = old.assign(loss=old.loss + 2e-5, norm=old.norm + 0.03, gain=old.gain + 0.02)
    assert compare.differences(near, old, tolerances, "t.csv") == []
    for column, change in (("loss", 2e-4), ("norm", 0.2), ("gain", 0.1), ("step", 1)):
        assert compare.differences(old.assign(**{column: old[column] + change}), old, tolerances, "t.csv"), column


def test_a_column_without_a_finite_number_is_compared_too():
    old, new = pd.Series([np.inf, np.nan], name="decay"), pd.Series([1.0, np.nan], name="decay")
    assert compare.difference(new, old, {}) == "differs by up to inf"


def lay_out(folder, number, *, files=("good.csv",), parameters=None):
    """A folder with the item good: its record and its tables, which hold one number."""
    folder.mkdir()
    record = {"item": "good", "files": dict.fromkeys(files, ""), "parameters": parameters or {}}
    records.write(record, folder)
    for name in files:
        (folder / name).write_text(f"psnr\n{number}\n")
    return folder


GOOD = Item("good", "good.ipynb", "", ("good",))


@pytest.mark.parametrize(
    ("made", "before", "expected"),
    [
        ((), (), ("has no numbers to compare", True)),
        (("good.csv",), ("good.csv",), ("agrees with what is committed", True)),
        (("good.csv", "more.csv"), ("good.csv",), ("more.csv is not committed", False)),
        (("good.csv",), ("good.csv", "more.csv"), ("more.csv is committed, but was not made", False)),
    ],
)
def test_a_table_on_one_side_alone_is_a_difference(tmp_path, made, before, expected):
    folders = lay_out(tmp_path / "made", 1.0, files=made), lay_out(tmp_path / "before", 1.0, files=before)
    assert compare.agreement(GOOD, *folders, {}) == expected


PERSON = ("-c", "user.name=a", "-c", "user.email=a@b.c")


def git(folder, *words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *PERSON, *words], cwd=folder, check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.strip()


def test_files_are_compared_as_they_were_committed(tmp_path, monkeypatch):
    made, folder = lay_out(tmp_path / "made", 2.0), lay_out(tmp_path / "figures", 1.0)
    for words in (("init",), ("add", "figures"), ("commit", "-m", "one")):
        git(tmp_path, *words)
    (folder / "good.csv").write_text("psnr\n2.0\n")  # a run has been here since
    monkeypatch.setattr("memnet.paths.ROOT", tmp_path)
    assert compare.agreement(GOOD, made, folder, {}) == ("good.csv: psnr differs by up to 1", False)
    shutil.rmtree(tmp_path / ".git")  # a copy without git, whose commit is given
    monkeypatch.setenv("MEMNET_COMMIT", "5f3fe621431a")
    assert compare.agreement(GOOD, made, folder, {}) == ("agrees with what is committed", True)


@pytest.mark.parametrize("foreign", ["folder", "GIT_DIR", "broken"])
def test_a_foreign_repository_says_nothing_about_this_project(tmp_path, monkeypatch, foreign):
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "thesis")
    root = tmp_path / "memnet-main"
    root.mkdir()
    if foreign == "broken":
        (root / ".git").mkdir()  # which git takes for no repository, and would search upwards
    if foreign == "GIT_DIR":
        monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setattr("memnet.paths.ROOT", root)
    made, folder = lay_out(tmp_path / "made", 2.0), lay_out(root / "figures", 1.0)
    assert provenance.commit() is None
    assert compare.agreement(GOOD, made, folder, {}) == ("good.csv: psnr differs by up to 1", False)
    if foreign == "folder":
        git(root, "init")
        git(root, "commit", "--allow-empty", "-m", "own")
        assert git(root, "rev-parse", "--short=12", "HEAD") == provenance.commit()


@pytest.mark.parametrize("program", ["#!/bin/sh\necho 5f3fe62\nexit 1\n", "rubbish"])
def test_a_git_that_fails_says_nothing(tmp_path, monkeypatch, program):
    (tmp_path / "git").write_text(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    for mode in (0o644, 0o755):
        (tmp_path / "git").chmod(mode)
        assert provenance.commit() is None


@pytest.mark.slow
def test_numbers_that_differ_are_a_failure(project, committed):
    (committed / "good.csv").write_text("level,psnr,seconds\n3,99.0,1\n")
    assert not reproduction.reproduce(["good"], images="embedded")


def test_a_broken_record_is_named(tmp_path):
    for text in ("", "[]", "null", '{"item": "other"}', '{"item": "good", "files": [], "parameters": {}}'):
        (tmp_path / "good.json").write_text(text)
        with pytest.raises(ValueError, match=r"good\.json is no record of the item good, or was changed"):
            records.read("good", tmp_path)


def saved(folder):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    table = pd.DataFrame({"method": ["a"], "psnr": [1 / 3]})
    what = {"figures": {"good": figure}, "numbers": {"numbers": table}, "parameters": {"level": 3}}
    return artifacts.save(
        "good", images="embedded", output=str(folder), sets=("embedded",), runs=("sr-M10R10",), **what
    )


def test_what_is_saved_has_stable_bytes_and_says_what_made_it(project, tmp_path, monkeypatch):
    from memnet.protocol import datasets

    monkeypatch.setattr("memnet.study.registry.trained", lambda run: False)
    first, second = saved(tmp_path / "first"), saved(tmp_path / "second")
    names = ["good.json", "good.pdf", "good.png", "numbers.csv", "numbers.md", "numbers.tex"]
    assert sorted(path.name for path in first.iterdir()) == names
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    record = json.loads((first / "good.json").read_text())
    assert record["pictures"] == {"embedded": datasets.digest("embedded")}
    assert record["not_trained"] == ["sr-M10R10"]
    assert record["parameters"] == {"level": 3}
    assert set(record["files"]) == set(names) - {"good.json"}
    assert {"commit", "versions", "protocol", "weights"} <= set(record)
    assert (first / "numbers.csv").read_text() == "method,psnr\na,0.333333\n"


def test_provenance_says_when_and_on_what_rows_were_measured(monkeypatch, tmp_path):
    rows = pd.DataFrame({"run": "jpeg-M6R6", "dataset": "LIVE1", "level": 20, "image": ["a", "b", "c"], "psnr": 30.0})
    path = tmp_path / "rows.csv"
    store.write_rows(path, rows, {"device": "2 CPU cores", "torch": "2.13.0", "date": "2026-11-25", "weights": "1"})
    monkeypatch.setattr(
        "memnet.study.store.file_of", lambda *names: path if names == ("jpeg-M6R6", "LIVE1", 20) else None
    )
    made = {"device": "2 CPU cores", "torch": "2.13.0", "date": "2026-11-25", "commit": None}
    expected = {"run": "jpeg-M6R6", "dataset": "LIVE1", "level": 20, "pictures": 2, **made}
    assert artifacts.rows_behind(rows[:2]) == [expected]


def test_a_promised_file_that_is_not_saved_is_an_error(project):
    with pytest.raises(ValueError, match="item good promises good"):
        artifacts.save("good", images="embedded", output=str(project))


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 5000, "-" * 100_000 + "1", "1" + "+1" * 50_000, "\0"])
def test_parameters_of_a_thousand_signs_are_texts(text):
    assert reproduction.parse_parameters([f"level={text}"]) == {"level": text}
