"""README, REPORT and the list of weights say what the files say."""

import hashlib
import re
import subprocess

import pandas as pd
import pytest

from memnet import paths
from memnet.publishing import records, report, tables
from memnet.publishing.items import ITEMS


@pytest.mark.parametrize(
    ("path", "made"),
    [
        (report.README, report.readme),
        (report.REPORT, report.report),
        (paths.WEIGHTS / "README.md", report.weights_readme),
        (paths.DATA / "weights.csv", report.weights_table),
        (paths.WEIGHTS / "SHA256SUMS", report.log_sums),
    ],
    ids=["README", "REPORT", "weights", "addresses", "logs"],
)
def test_what_is_committed_is_what_the_files_give(path, made):
    words = ["git", "diff", "--quiet", "HEAD", "--", "figures"]
    if subprocess.run(words, cwd=paths.ROOT, capture_output=True, check=False).returncode == 1:
        pytest.skip("figures/ is not as committed: `memnet reproduce` made it again")
    assert path.read_text(encoding="utf-8") == made(), "run `memnet report`"


def test_every_link_of_the_report_leads_somewhere():
    text = report.REPORT.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    assert [link for link in links if not (paths.FIGURES / link).is_file()] == []


def comparison(psnr, paper_psnr=30.0, note="", table=4):
    row = {
        "table": table,
        "dataset": "Set5",
        "level": 3,
        "method": "MemNet",
        "run": "sr-M6R6",
        "paper_psnr": paper_psnr,
        "psnr": psnr,
    }
    row |= {"psnr_difference": float("nan") if note else psnr - paper_psnr, "paper_ssim": 0.9, "ssim": 0.9}
    return pd.DataFrame([row | {"note": note}, row | {"method": "VDSR", "run": None, "note": None}])


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"psnr": 30.1}, "at or above the paper"),
        ({"psnr": 29.996}, "at or above the paper"),
        ({"psnr": 29.9}, "within 0.15 dB"),
        ({"psnr": 29.8}, "below"),
        ({"psnr": 29.8, "note": "3 of 5 pictures"}, "3 of 5 pictures"),
        ({"psnr": float("nan"), "note": "not trained"}, "not trained"),
        ({"psnr": 30.0, "paper_psnr": float("nan")}, "not in the paper"),
    ],
)
def test_verdicts(cell, words):
    cells = report.cells_of(comparison(**cell))
    assert cells.method.tolist() == ["MemNet"]
    assert cells.verdict.tolist() == [words]


def write_table(cells):
    """A table on the benchmark images with its record, in paths.FIGURES."""
    folder, name = paths.FIGURES / "benchmark", f"table{cells.table[0]}"
    folder.mkdir(exist_ok=True)
    text = tables.to_csv(cells)
    paths.write_text(folder / f"{name}.csv", text)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    records.write({"item": name, "files": {f"{name}.csv": digest}}, folder)


def test_the_overview_counts_cells(monkeypatch, tmp_path):
    monkeypatch.setattr("memnet.paths.FIGURES", tmp_path)
    alone = comparison(29.9, paper_psnr=float("nan"), table=2)
    missing = comparison(29.9, note="3 of 5 pictures", table=5)
    for cells in (comparison(29.9), alone, missing):
        write_table(cells)
    found = report.overview().set_index("table")
    counts = found[["our cells", "measured on whole sets", "in the paper too", "within 0.15 dB"]]
    assert counts.loc["table4"].tolist() == [1, 1, 1, 1]
    assert counts.loc["table2"].tolist() == [1, 1, 0, 0]
    assert counts.loc["table5"].tolist() == [1, 0, 0, 0]
    assert found["mean psnr difference"]["table4"] == pytest.approx(-0.1)


def test_the_summary_is_that_of_the_weights_and_of_whole_sets(monkeypatch, tmp_path):
    table = pd.DataFrame(
        {
            "run": ["sr-M6R6", "jpeg-M6R6", "sr-M6R8"],
            "steps": [6000, 500, "not trained"],
            "hours": [1.5, 0.25, ""],
            "hardware": ["2 CPU cores (x86_64), 1 threads; NVIDIA H200", "NVIDIA H200", ""],
        }
    )
    monkeypatch.setattr(report.registry, "overview", lambda: table)
    monkeypatch.setattr("memnet.paths.FIGURES", tmp_path)
    words = "2 of 3 networks are trained so far, for 500 to 6,000 steps (1.8 hours in all) on 2 CPU cores, NVIDIA H200."
    assert report.summary() == f"{words}\nNot trained yet: sr-M6R8.\n"
    part = comparison(29.0, note="3 of 5 pictures", table=5)
    none = comparison(float("nan"), note="not measured", table=2)
    for cells in (comparison(29.9, table=1), comparison(30.2), comparison(27.9, table=6), part, none):
        write_table(cells)
    assert report.summary().splitlines()[2:] == [
        "In tables 3 to 5 our PSNR is +0.20 to +0.20 dB from the paper's; 1 of 1 cells are above it or within 0.15 dB.",
        "In table 1 our PSNR is -0.10 to -0.10 dB from the paper's; 1 of 1 cells are above it or within 0.15 dB.",
        "In the short trainings of tables 2 and 6 our PSNR is -2.10 to -2.10 dB from the paper's; 0 of 1 cells are "
        "above it or within 0.15 dB.",
        "Measured in part: Set5 quality 3 (3 of 5 pictures).",
        "Not measured with the present weights: Set5 x3.",
    ]


def test_an_item_that_was_not_made_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("memnet.paths.FIGURES", tmp_path)
    assert report.report().count("Not made.") == len(ITEMS)


def test_the_numbers_of_the_readme_are_those_of_the_tables():
    lines = report.headline_table().splitlines()
    assert len(lines) == 2 + len(report.HEADLINE) + 2
    for line, (number, dataset, level) in zip(lines[2:], report.HEADLINE, strict=False):
        table = pd.read_csv(paths.FIGURES / "benchmark" / f"table{number}.csv")
        cell = table[(table.dataset == dataset) & (table.level == level) & (table.method == "MemNet")]
        assert line.endswith(f"| {cell.paper_psnr.item():.2f} | {cell.psnr.item():.2f} |")
        assert line in report.README.read_text(encoding="utf-8")


def test_the_claims_of_the_readme_are_those_of_the_tables():
    line = report.claims_line()
    claims = pd.read_csv(paths.FIGURES / "benchmark" / "claims.csv").query("dataset == 'BSD100' and window == 'hann'")
    assert len(claims) == 4
    assert all(f"{row.number} {row.verdict}" in line for row in claims.itertuples())
    assert re.search(r"observation 1 in \d of 3, 2 in \d of 3, 3a in \d of 3, 3b in \d of 3 networks", line)
    assert line in report.README.read_text(encoding="utf-8")


def test_the_readme_is_short():
    assert len(report.README.read_text(encoding="utf-8").split()) <= 1200
