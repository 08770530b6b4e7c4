"""Running notebooks headless: parameters, failures, provenance and agreement, on tiny notebooks made here."""

import json
import os
import shutil
import subprocess

import nbformat
import numpy as np
import pandas as pd
import pytest

from memnet.publishing import artifacts, compare, items, reproduction
from memnet.publishing.items import Item
from memnet.study import store

PARAMETERS = """images: str = "embedded"  # which pictures
output: str = ""  # folder for the files
fresh: bool = False  # measure anew
level: int = 3  # scale factor
share: float = 0.5  # of the whole
"""
WRITES = """from pathlib import Path
folder = Path(output)
(folder / "good.csv").write_text(f"level,psnr,seconds\\n{level},{20 + share},{id(folder)}\\n")
(folder / "good.json").write_text('{"item": "good"}')
"""
FAILS = """from pathlib import Path
(Path(output) / "bad.csv").write_text("half")
raise RuntimeError("no such thing\\nand more")
"""
DIES_ONCE = """import os
from pathlib import Path
died = Path(r"{marker}")
if not died.exists():
    died.touch()
    os._exit(9)
(Path(output) / "dies.csv").write_text("psnr\\n1.0\\n")
(Path(output) / "dies.json").write_text("{{}}")
"""


def write_notebook(path, *cells):
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    book.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    book.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(book, path)


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Items good, bad, forgets and dies in a house of their own; its folder."""
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
    for name in ("NOTEBOOKS", "FIGURES"):
        monkeypatch.setattr(f"memnet.paths.{name}", tmp_path / name.lower())
    monkeypatch.setattr("memnet.publishing.notebooks.EXECUTED", tmp_path / "executed")
    return tmp_path


def line_of(name, printed):
    return next(line for line in printed.splitlines() if line.startswith(f"{name} "))


def test_an_item_is_made_from_its_notebook_and_compared_with_what_is_committed(house, capfd):
    source = (house / "notebooks" / "good.ipynb").read_bytes()
    assert reproduction.reproduce(["good"], images="embedded", parameters={"level": 4})
    folder = house / "figures" / "embedded"
    assert sorted(path.name for path in folder.iterdir()) == ["good.csv", "good.json"]
    assert pd.read_csv(folder / "good.csv").level.item() == 4
    record = json.loads((folder / "good.json").read_text())
    assert record["seconds"] > 0
    assert record["parameters"] == {"images": "embedded", "fresh": False, "level": 4, "share": 0.5}
    assert (house / "notebooks" / "good.ipynb").read_bytes() == source
    assert (house / "executed" / "embedded" / "good.ipynb").is_file()
    printed, warned = capfd.readouterr()
    assert "good.csv is new" in line_of("good", printed)
    assert "TCP" not in warned

    committed = (folder / "good.csv").read_bytes()
    assert reproduction.reproduce(["good"], images="embedded", parameters={"share": 1, "level": 4}, output=house / "my")
    assert "good.csv: psnr differs by up to 0.5" in line_of("good", capfd.readouterr().out)
    assert pd.read_csv(house / "my" / "embedded" / "good.csv").psnr.item() == 21
    assert (folder / "good.csv").read_bytes() == committed


def test_a_failing_notebook_leaves_the_last_good_files_and_the_others_go_on(house, capsys):
    folder = house / "figures" / "embedded"
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
    assert sorted(path.name for path in folder.iterdir()) == ["bad.csv", "good.csv", "good.json"]


def test_a_kernel_that_is_killed_gets_a_second_try(house):
    assert reproduction.reproduce(["dies"], images="embedded")
    assert (house / "died").exists()
    assert (house / "figures" / "embedded" / "dies.csv").exists()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"levle": 3}, "good.ipynb has no parameter 'levle': it declares images, output, fresh, level, share"),
        ({"level": "3"}, "good.ipynb: level is of type int, got '3'"),
        ({"level": True}, "level is of type int, got True"),
        ({"share": "half"}, "share is of type float, got 'half'"),
        ({"output": "here"}, "output is given by the option --output"),
        ({"images": "benchmark"}, "images is given by the option --images"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(house, parameters, message):
    with pytest.raises(ValueError, match=message):
        reproduction.reproduce(["good"], images="embedded", parameters=parameters)
    assert not (house / "figures").exists()


def test_folders_are_those_of_whoever_asks_though_notebooks_work_elsewhere(house, monkeypatch):
    monkeypatch.chdir(house)
    monkeypatch.setenv("MEMNET_DATA", "pictures")
    assert reproduction.reproduce(["good"], images="embedded", output="mine")
    assert sorted(path.name for path in (house / "mine" / "embedded").iterdir()) == ["good.csv", "good.json"]
    assert os.environ["MEMNET_DATA"] == str(house / "pictures")


def test_a_parameter_of_other_notebooks_is_refused_with_their_names(house):
    write_notebook(house / "notebooks" / "bad.ipynb", PARAMETERS + "only: int = 1  # here\n", FAILS)
    with pytest.raises(ValueError, match=r"has no parameter 'only': .* share; items that have it: bad$"):
        reproduction.reproduce(["good", "bad"], images="embedded", parameters={"only": 2})
    with pytest.raises(ValueError, match=r"no parameter 'none': it declares images.* share$"):
        reproduction.reproduce(["good"], images="embedded", parameters={"none": 2})


def test_what_cannot_be_made_is_refused_in_one_sentence(house, monkeypatch):
    with pytest.raises(ValueError, match="unknown item 'tabel1': choose some of good, bad"):
        reproduction.reproduce(["tabel1"])
    with pytest.raises(ValueError, match="embedded, benchmark or auto, got 'all'"):
        reproduction.reproduce(["good"], images="all")
    monkeypatch.setenv("MEMNET_DATA", str(house))
    with pytest.raises(ValueError, match=r"Set5.* not on disk: run `memnet data fetch`, or set MEMNET_DATA"):
        reproduction.reproduce(["good"], images="benchmark")
    (house / "file").touch()
    with pytest.raises(ValueError, match="cannot be made a folder"):
        reproduction.reproduce(["good"], images="embedded", output=house / "file")
    (house / "notebooks" / "good.ipynb").unlink()
    with pytest.raises(ValueError, match="run memnet from a checkout"):
        reproduction.reproduce(["good"], images="embedded")


def test_without_benchmark_pictures_the_embedded_ones_are_taken(tmp_path, monkeypatch):
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
        ({"more": [1, 2]}, ["t.csv has another shape than before"]),
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


def test_agreement_says_when_there_is_nothing_to_compare(tmp_path):
    item = Item("good", "good.ipynb", "", ("good",))
    assert compare.agreement(item, tmp_path, tmp_path) == ("has no numbers to compare", True)
    (tmp_path / "good.csv").write_text("psnr\n1.0\n")
    assert compare.agreement(item, tmp_path, tmp_path) == ("agrees with what is committed", True)


def test_files_are_compared_as_they_were_committed(tmp_path, monkeypatch):
    how = {"cwd": tmp_path, "check": True, "capture_output": True}
    item, made, folder = Item("good", "good.ipynb", "", ("good",)), tmp_path / "made", tmp_path / "figures"
    for path, number in ((made, "2.0"), (folder, "1.0")):
        path.mkdir()
        (path / "good.csv").write_text(f"psnr\n{number}\n")
    (made / "more.csv").write_text("psnr\n1.0\n")
    person = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for words in (("init",), ("add", "figures"), (*person, "commit", "-m", "one")):
        subprocess.run(["git", *words], **how)
    (folder / "good.csv").write_text("psnr\n2.0\n")  # a run has been here since
    monkeypatch.setattr("memnet.paths.ROOT", tmp_path)
    words = "good.csv: psnr differs by up to 1; more.csv is new"
    assert compare.agreement(item, made, folder) == (words, False)
    shutil.rmtree(tmp_path / ".git")  # a copy without git, whose commit somebody tells
    monkeypatch.setenv("MEMNET_COMMIT", "5f3fe621431a")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert compare.agreement(item, made, folder) == ("more.csv is new", True)


def test_numbers_that_differ_are_a_failure_unless_parameters_asked_for_them(house):
    assert reproduction.reproduce(["good"], images="embedded")
    assert reproduction.reproduce(["good"], images="embedded", parameters={"level": 4}, output=house / "mine")
    (house / "figures" / "embedded" / "good.csv").write_text("level,psnr,seconds\n3,99.0,1\n")
    assert not reproduction.reproduce(["good"], images="embedded")


def saved(folder):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    table = pd.DataFrame({"method": ["a"], "psnr": [1 / 3]})
    what = {"figures": {"good": figure}, "numbers": {"numbers": table}, "parameters": {"level": 3}}
    return artifacts.save(
        "good", images="embedded", output=str(folder), sets=("embedded",), runs=("sr-M10R10",), **what
    )


def test_what_is_saved_has_stable_bytes_and_says_what_made_it(house, tmp_path, monkeypatch):
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


def test_a_promised_file_that_is_not_saved_is_an_error(house):
    with pytest.raises(ValueError, match="item good promises good"):
        artifacts.save("good", images="embedded", output=str(house))
