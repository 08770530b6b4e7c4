"""Tables: the paper's numbers beside ours, what is missing in words, and the markup."""

import io

import pandas as pd
import pytest

from memnet.network.model import PRESETS, Config
from memnet.publishing import printed, tables
from memnet.study import evaluation


def rows(run="sr-M6R6", task="super-resolution", dataset="Set5", level=3, pictures=5, psnr=33.95, ssim=0.9240):
    """Tidy rows with the given means, the input 3 dB below."""
    off = [(i - (pictures - 1) / 2) / 10 for i in range(pictures)]
    table = pd.DataFrame({"image": [f"{i}" for i in range(pictures)], "psnr": psnr, "ssim": ssim})
    table["psnr"] += off
    head = {"run": run, "task": task, "dataset": dataset, "level": level}
    return table.assign(**head, input_psnr=table.psnr - 3, input_ssim=ssim - 0.1)


def summary(*parts):
    return evaluation.summary(pd.concat(parts)) if parts else pd.DataFrame()


@pytest.fixture(autouse=True)
def _trained(monkeypatch):
    monkeypatch.setattr("memnet.study.registry.trained", lambda run: run != "sr-M6R6-NS-scratch")


def cell(table, **where):
    found = table[(table[list(where)] == pd.Series(where)).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize(("table", "cells"), [(1, 9), (2, 6), (3, 42), (4, 96), (5, 20), (6, 4)])
def test_every_printed_cell_is_there_without_any_measurement(table, cells):
    found = tables.comparison(table, summary())
    assert found.paper_psnr.notna().sum() == cells - (4 if table == 4 else 0)
    assert found.psnr.isna().all()
    ours = found[(found.run != "") & (found.run != "input")]
    assert set(ours.note) <= {"not measured", "not trained"}
    assert len(ours)


def test_ours_is_beside_the_papers_with_the_difference():
    found = cell(tables.comparison(1, summary(rows("sr-M6R6-scratch"))), run="sr-M6R6-scratch", level=3)
    assert found.to_dict() | {"method": "MemNet", "paper_psnr": 34.09, "pictures": 5, "note": ""} == found.to_dict()
    assert found.psnr_difference == pytest.approx(33.95 - 34.09)
    assert found.ssim_difference == pytest.approx(0.9240 - 0.9248)


def test_what_is_missing_is_said_in_words():
    found = tables.comparison(1, summary(rows("sr-M6R6-scratch")))
    assert cell(found, run="sr-M6R6-scratch", level=2).note == "not measured"
    assert cell(found, run="sr-M6R6-NS-scratch", level=3).note == "not trained"
    blank = cell(tables.comparison(4, summary()), dataset="Set14", level=3, method="LapSRN")
    assert blank.note == "blank in the paper"


def test_a_part_of_a_set_has_no_difference_and_no_rank():
    part = summary(rows("sr-M6R6", dataset="BSD100", pictures=12, psnr=40.0))
    found = cell(tables.comparison(4, part), dataset="BSD100", level=3, method="MemNet")
    assert (found.note, found.pictures) == ("12 of 100 pictures", 12)
    assert pd.isna(found.psnr_difference)
    text = tables.to_markdown(tables.comparison(4, part))
    assert "| 40.00 / 0.9240 (12 of 100 pictures) |" in text
    assert "MemNet, difference" not in text
    assert "**28.96 / 0.8001**" in text


def test_the_input_is_a_method():
    found = cell(tables.comparison(4, summary(rows())), dataset="Set5", level=3, method="Bicubic")
    assert (found.run, found.paper_psnr) == ("input", 30.39)
    assert found.psnr == pytest.approx(30.95)


def test_a_method_of_ones_own_becomes_a_column_and_other_tasks_do_not():
    own = summary(rows(), rows(run="mine", psnr=35), rows(run="other", task="jpeg"))
    found = tables.comparison(6, own)
    assert list(found.method)[-1] == "mine"
    assert "other" not in set(found.run)
    assert "| mine | – | **35.00 / 0.9240** | – |" in tables.to_markdown(found)


def test_other_sets_have_no_printed_numbers():
    run = next(iter(tables.RUNS[3]))
    found = tables.comparison(3, summary(rows(run, "denoising", "embedded", 30, 8)), sets=("embedded",))
    assert found.paper_psnr.isna().all()
    assert list(found.level.unique()) == [30, 50, 70]
    assert cell(found, level=30, method="MemNet").note == ""
    assert cell(found, level=50, method="MemNet").note == "not measured"
    part = summary(rows(run, "denoising", "embedded", 30, 2))
    found = tables.comparison(3, part, sets=("embedded",))
    assert cell(found, level=30, method="MemNet").note == "2 of 8 pictures"


def test_there_are_six_tables():
    with pytest.raises(ValueError, match="1 to 6, got 7"):
        tables.comparison(7, summary())


def test_best_is_bold_and_unconfirmed_is_marked():
    text = tables.to_markdown(tables.comparison(1, summary(rows("sr-M6R6-scratch", psnr=34.5))))
    line = next(line for line in text.splitlines() if line.startswith("| Set5, x3 |"))
    assert "**34.50 / 0.9240**" in line
    assert "| 34.09 / 0.9248 |" in line
    assert f"33.96{printed.MARK} / 0.9235{printed.MARK}" in line
    assert "+0.41 / -0.0008" in line
    assert printed.MARK_MEANS in text


def test_the_networks_behind_a_table_are_named():
    text = tables.to_markdown(tables.comparison(4, summary(rows())))
    assert "MemNet is sr-M6R6, grown from sr-M6R1." in text
    text = tables.to_markdown(tables.comparison(1, summary(rows("sr-M6R6-scratch"))))
    assert "MemNet is sr-M6R6-scratch, from scratch" in text
    assert "Ours:" not in tables.to_markdown(tables.comparison(4, summary()).query("run == ''"))


def test_one_line_is_a_table_of_methods():
    text = tables.to_markdown(tables.comparison(6, summary(rows(run="sr-M6R6-brief"))))
    assert text.startswith("| Set5, x3 | paper | ours | difference |")
    assert "| MemNet_M6R6 (depth 80) | 34.09 | 33.95 / 0.9240 | -0.14 |" in text


def test_latex_is_escaped_and_has_as_many_cells_as_columns():
    text = tables.to_latex(tables.comparison(1, summary(rows("sr-M6R6-scratch"))))
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    columns = text.split("{tabular}{")[1].split("}")[0]
    assert {line.count(" & ") + 1 for line in lines} == {len(columns)}
    assert r"MemNet\_NL, paper" in text
    assert r"\bfseries 34.09 / 0.9248" in text
    assert printed.MARK in text


def test_csv_has_the_numbers_of_the_table():
    found = tables.comparison(1, summary(rows("sr-M6R6-scratch")))
    back = pd.read_csv(io.StringIO(tables.to_csv(found)))
    assert list(back.columns) == list(found.columns)
    assert back.psnr.dropna().tolist() == pytest.approx(found.psnr.dropna().tolist())


def test_networks_join_what_is_printed_and_what_is_ours():
    found = tables.networks(summary(rows(run="sr-M6R6-brief"), rows(run="mine", psnr=35)))
    assert found.origin.tolist() == ["paper"] * 6 + ["ours"] * 7
    published = cell(found, network="MemNet (no multi-supervision; 91 images)", origin="paper")
    facts = ["depth", "filters", "parameters_k", "training_images", "multi_supervised"]
    assert published[facts].tolist() == [80, 64, 677, 91, False]
    own = cell(found, network="MemNet (multi-supervised; 291 images)", origin="ours")
    assert own[facts].tolist() == [80, 64, 676.992, 291, True]
    plain = cell(found, network="plain stack")
    assert plain[facts].tolist() == [20, 64, 664.704, 291, False]
    assert "| mine | ours | – | – | – | – | – | 35.00 |" in tables.to_markdown(found)


def test_any_table_can_be_written():
    table = pd.DataFrame({"a_b": [1, 2.5, float("nan")], "name": ["x|y", "50 %", "_"], "yes": [True, False, True]})
    assert tables.to_markdown(table).splitlines()[0] == "| a b | name | yes |"
    assert r"| 1 | x\|y | yes |" in tables.to_markdown(table)
    assert r"2.5 & 50 \% & no \\" in tables.to_latex(table)
    assert r"– & \_ & yes \\" in tables.to_latex(table)
    assert r"a b & name & yes \\" in tables.to_latex(table)


def test_points_of_fig_6():
    measured = rows().assign(**{f"psnr_{m}": 30.0 + m for m in range(1, 7)})
    points = tables.fig6_points(measured, PRESETS["M6R6"], {6: 1.5})
    ours = points[points.origin == "ours"]
    assert ours.method.tolist() == ["MemNet_M3", "MemNet_M4", "MemNet_M5", "MemNet_M6"]
    assert ours.psnr.tolist() == [33, 34, 35, 36]
    assert ours.seconds.tolist()[-1] == 1.5
    assert ours.seconds.isna().sum() == 3
    assert len(tables.fig6_points(rows(), Config(2, 1))) == 6


def test_the_committed_table_is_made_of_stored_rows_alone(monkeypatch):
    sizes = {"Set5": 5, "Set14": 14}

    def stored(run, name, level):
        return rows(run, dataset=name, pictures=sizes[name]) if level == 3 and name in sizes else None

    monkeypatch.setattr("memnet.study.store.stored_rows", stored)
    monkeypatch.setattr("memnet.study.store.rows", None)  # nothing may be measured
    found = tables.committed(4)
    assert cell(found, method="MemNet", dataset="Set14", level=3).pictures == 14
    assert cell(found, method="MemNet", dataset="Set5", level=2).note == "not measured"
