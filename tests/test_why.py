"""Any number answers: what made a cell of a committed table."""

import hashlib
import re

import pandas as pd
import pytest

from memnet import paths
from memnet.publishing import why
from memnet.study import registry, store


def test_a_cell_names_its_weights_images_protocol_command_and_measuring():
    text = why.why("3", "S14", 30, "MemNet")
    facts = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines()}
    assert re.fullmatch(r"\d\d\.\d\d dB / 0\.\d{4}", facts["here"])
    run, weights = re.fullmatch(r"data/weights/(\S+)\.safetensors ([0-9a-f]{16})", facts["weights"]).groups()
    assert registry.experiment(run).task == "denoising"
    key, rows = store.read_rows(store.file_of(run, "S14", 30))
    assert facts["measured"].startswith(key["date"])
    assert f"{rows.psnr.mean():.2f} dB" in facts["here"]
    assert facts["images"] == f"S14 {key['images']}, 14 measured"
    assert facts["command"] == f"memnet evaluate {run} --dataset S14 --level 30"
    assert weights == key["weights"]


def test_a_run_names_its_row():
    assert why.why("4", "Set5", 3, "sr-M6R6") == why.why("4", "Set5", 3, "MemNet")


def test_a_run_of_two_rows_is_refused(tmp_path, monkeypatch):
    cells = pd.DataFrame({"dataset": "Set5", "level": 3, "method": ["a", "b"], "run": "sr-M6R6"})
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "table9.csv").write_bytes(content := cells.to_csv(index=False).encode())
    monkeypatch.setattr("memnet.paths.FIGURES", tmp_path)
    files = {"table9.csv": hashlib.sha256(content).hexdigest()[:16]}
    record = {"item": "table9", "images": "benchmark", "files": files}
    with pytest.raises(ValueError, match=r"more than one method 'sr-M6R6': it has a \(sr-M6R6\), b \(sr-M6R6\)$"):
        why.find_cell(record, "Set5", 3, "sr-M6R6")


def test_cells_without_a_network_say_so():
    assert "not measured here" in why.why("table3", "S14", 30, "EPLL")
    assert "the degraded image" in why.why("table3", "S14", 30, "Noisy")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (("9", "S14", 30, "MemNet"), "no .*table9.json"),
        (("3", "Set5", 30, "MemNet"), "nothing on Set5 at level 30: it has [^;]*S14 30[^;]*$"),
        (("3", "Set5", 3, "sr-M6R6"), "nothing on Set5 at level 3: .*; Set5, level 3, sr-M6R6 is in table2, table4"),
        (("3", "Set5", 3, "VDSR"), "; Set5, level 3, VDSR is in table2, table4"),
        (("4", "Set5", 3, "sr-M6R8"), r"no method 'sr-M6R8': it has .*MemNet \(sr-M6R6\); .* sr-M6R8 is in table6"),
        (("3", "S14", 31, "MemNet"), "nothing on S14 at level 31"),
        (("3", "S14", 30, "Memnet"), "no method 'Memnet': it has .*MemNet"),
    ],
)
def test_a_cell_that_is_not_there_is_said_with_what_there_is(cell, reason):
    with pytest.raises(ValueError, match=reason):
        why.why(*cell)


def test_a_table_that_is_not_what_its_record_says_is_refused(tmp_path, monkeypatch):
    for name in ("benchmark/table3.json", "benchmark/table3.csv", "made.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((paths.FIGURES / name).read_bytes())
    monkeypatch.setattr("memnet.paths.FIGURES", tmp_path)
    table, record, made = (tmp_path / name for name in ("benchmark/table3.csv", "benchmark/table3.json", "made.csv"))
    good = why.why("3", "S14", 30, "MemNet")
    for path, change, reason in (
        (table, ("29.", "28."), "table3.csv is not what its record says"),
        (record, ('"level": 30', '"level": 31'), "table3.json is no record of the item table3, or was changed since"),
        (made, ("table3,benchmark,", "table3,benchmark,1"), "made.csv holds no rows as memnet wrote them"),
    ):
        text = path.read_text()
        path.write_text(text.replace(*change))
        with pytest.raises(ValueError, match=reason):
            why.why("3", "S14", 30, "MemNet")
        path.write_text(text)
    assert why.why("3", "S14", 30, "MemNet") == good
