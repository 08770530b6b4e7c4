"""The printed numbers: complete, looked up by cell, and marked where nobody else prints them."""

import pytest

from memnet.protocol import tasks
from memnet.publishing import printed


def test_every_table_is_complete():
    cells = printed.tables()
    assert cells.groupby("table").size().to_dict() == {1: 9, 2: 6, 3: 42, 4: 96, 5: 20, 6: 4}
    assert not cells.duplicated(["table", "dataset", "level", "method"]).any()
    assert set(cells.confidence) == {"confirmed", "consistent", "unconfirmed"}
    assert cells.psnr.dropna().between(20, 40).all()
    assert cells.ssim.dropna().between(0.5, 1).all()
    assert set(cells.dataset) == {name for task in tasks.TASKS.values() for name in task.test_sets}


def test_the_same_number_is_printed_in_tables_1_2_4_and_6():
    names = {1: "MemNet", 2: "MemNet (multi-supervised; 291 images)", 4: "MemNet", 6: "MemNet_M6R6 (depth 80)"}
    cells = [printed.printed(table, dataset="Set5", level=3, method=name).psnr for table, name in names.items()]
    assert cells == [34.09] * 4


def test_memnet_is_the_best_of_every_printed_row():
    cells = printed.tables().query("table in (3, 4, 5)")
    best = cells.loc[cells.groupby(["table", "dataset", "level"]).psnr.idxmax()]
    assert set(best.method) == {"MemNet"}


def test_a_cell_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="table 3 has no 'VDSR' on S14 at level 30"):
        printed.printed(3, dataset="S14", level=30, method="VDSR")
    with pytest.raises(ValueError, match="tables are 1 to 6"):
        printed.printed(7, dataset="S14", level=30, method="MemNet")


def test_unconfirmed_cells_are_marked():
    assert printed.mark(printed.printed(3, dataset="S14", level=30, method="MemNet")) == printed.MARK
    confirmed = printed.printed(3, dataset="BSD200", level=30, method="MemNet")
    assert printed.mark(confirmed) == printed.mark(confirmed, "ssim") == ""
    half = printed.tables().query("remark == 'confirmed_psnr_only'").iloc[0]
    assert (printed.mark(half), printed.mark(half, "ssim")) == ("", printed.MARK)


def test_callers_cannot_change_what_is_kept():
    cells = printed.tables()
    cells["psnr"] = 0
    assert printed.tables().psnr.max() > 30


def test_fig6_and_table_2_agree_with_table_1():
    points = printed.fig6().set_index("method")
    assert points.loc["MemNet_M6", "psnr"] == 34.09
    assert len(points) == 6
    networks = printed.networks().set_index(["method", "attribute"]).value
    assert networks["MemNet", "depth"] == "80"
    assert networks["MemNet", "parameters"] == "677K"
