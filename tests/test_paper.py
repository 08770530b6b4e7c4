"""The printed numbers: complete, looked up by cell, and marked where nobody else prints them."""

import pytest

from memnet import paper


def test_every_table_is_complete():
    cells = paper.tables()
    assert cells.groupby("table").size().to_dict() == {1: 9, 2: 6, 3: 42, 4: 96, 5: 20, 6: 4}
    assert not cells.duplicated(["table", "dataset", "level", "method"]).any()
    assert set(cells.confidence) == {"confirmed", "consistent", "unconfirmed"}
    assert cells.psnr.dropna().between(20, 40).all()
    assert cells.ssim.dropna().between(0.5, 1).all()
    assert set(cells.dataset) == set(paper.PICTURES)


def test_the_same_number_is_printed_in_tables_1_2_4_and_6():
    names = {1: "MemNet", 2: "MemNet (multi-supervised; 291 images)", 4: "MemNet", 6: "MemNet_M6R6 (depth 80)"}
    cells = [paper.printed(table, dataset="Set5", level=3, method=name).psnr for table, name in names.items()]
    assert cells == [34.09] * 4


def test_memnet_is_the_best_of_every_printed_row():
    cells = paper.tables().query("table in (3, 4, 5)")
    best = cells.loc[cells.groupby(["table", "dataset", "level"]).psnr.idxmax()]
    assert set(best.method) == {"MemNet"}


def test_a_cell_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="table 3 has no 'VDSR' on S14 at level 30"):
        paper.printed(3, dataset="S14", level=30, method="VDSR")
    with pytest.raises(ValueError, match="tables are 1 to 6"):
        paper.printed(7, dataset="S14", level=30, method="MemNet")


def test_unconfirmed_cells_are_marked():
    assert paper.mark(paper.printed(3, dataset="S14", level=30, method="MemNet")) == paper.MARK
    confirmed = paper.printed(3, dataset="BSD200", level=30, method="MemNet")
    assert paper.mark(confirmed) == paper.mark(confirmed, "ssim") == ""
    half = paper.tables().query("remark == 'confirmed_psnr_only'").iloc[0]
    assert (paper.mark(half), paper.mark(half, "ssim")) == ("", paper.MARK)


def test_callers_cannot_change_what_is_kept():
    cells = paper.tables()
    cells["psnr"] = 0
    assert paper.tables().psnr.max() > 30


def test_fig6_and_table_2_agree_with_table_1():
    points = paper.fig6().set_index("method")
    assert points.loc["MemNet_M6", "psnr"] == 34.09
    assert len(points) == 6
    networks = paper.networks().set_index(["method", "attribute"]).value
    assert networks["MemNet", "depth"] == "80"
    assert networks["MemNet", "parameters"] == "677K"
