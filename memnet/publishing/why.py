"""Where a number of tables 1-6 comes from: weights, images, protocol, commit, command, measuring."""

import pandas as pd

from memnet import paths
from memnet.publishing import records
from memnet.study import store

CONFIDENCE = {  # of data/paper/paper.csv
    "confirmed": " (another publication prints the same)",
    "consistent": " (consistent with what else is known)",
    "unconfirmed": " (no other publication found)",
}


def why(table: str, dataset: str, level: int, method: str) -> str:
    """What made the cell of a committed table, a line for each fact.

    `table` is 3 or table3; `method` is as the table names it, or the run of that row. Raises ValueError for no such
    cell, with what the table has and which other tables have the cell.
    """
    name = f"table{table.removeprefix('table')}"
    images = "embedded" if dataset == "embedded" else "benchmark"
    record, made = records.read(name, paths.FIGURES / images), records.made_of(name, images)
    if record is None:
        raise ValueError(f"there is no {paths.FIGURES / images / name}.json: tables are table1 to table6")
    cell = find_cell(record, dataset, level, method)
    facts = {
        "cell": f"{name}, {dataset}, level {level}, {cell.method}",
        "paper": numbers(cell.paper_psnr, cell.paper_ssim) + CONFIDENCE.get(cell.confidence, ""),
        "here": numbers(cell.psnr, cell.ssim) + (f" ({cell.note})" if isinstance(cell.note, str) else ""),
        "images": f"{dataset} {record['pictures'].get(dataset, '')}, {cell.pictures} measured",
        "protocol": f"{record['protocol']} (data/README.md)",
        **facts_of_run(cell, record),
        "table": f"figures/{images}/{name}.csv by notebooks/{record['notebook']}, commit {made['commit']}",
    }
    return "\n".join(f"{title:9} {fact}" for title, fact in facts.items())


def find_cell(record: dict, dataset: str, level: int, method: str) -> pd.Series:
    """A row of a committed table by its record; ValueError as `why`."""
    name, folder = record["item"], paths.FIGURES / record["images"]
    cells = records.table(record, f"{name}.csv", folder)
    found = rows_of(cells, dataset, level, method)
    if len(found) == 1:
        return found.iloc[0]
    there = cells[(cells["dataset"] == dataset) & (cells["level"] == level)]
    if there.empty:
        places = ", ".join(f"{dataset} {level}" for dataset, level in cells.groupby(["dataset", "level"]).groups)
        message = f"{name} has nothing on {dataset} at level {level}: it has {places}"
    else:
        rows = zip(there["method"], there["run"], strict=True)
        methods = ", ".join(f"{method} ({run})" if isinstance(run, str) else method for method, run in rows)
        message = f"{name} has {'no' if found.empty else 'more than one'} method {method!r}: it has {methods}"
    others = [path for path in sorted(folder.glob("table?.csv")) if path.stem != name]
    having = [path.stem for path in others if len(rows_of(pd.read_csv(path), dataset, level, method)) == 1]
    raise ValueError(message + (f"; {dataset}, level {level}, {method} is in {', '.join(having)}" if having else ""))


def rows_of(cells: pd.DataFrame, dataset: str, level: int, method: str) -> pd.DataFrame:
    """The cells of a table with that data set and level, and with that method; else with the run of that name."""
    there = cells[(cells["dataset"] == dataset) & (cells["level"] == level)]
    named = there[there["method"] == method]
    return there[there["run"] == method] if named.empty else named


def numbers(psnr: float, ssim: float) -> str:
    """PSNR and SSIM as text; a missing one is a dash."""
    return f"{'-' if pd.isna(psnr) else f'{psnr:.2f} dB'} / {'-' if pd.isna(ssim) else f'{ssim:.4f}'}"


def facts_of_run(cell: pd.Series, record: dict) -> dict[str, str]:
    """Weights, rows and command of a cell that is measured here; that there are none, of any other."""
    if not isinstance(cell.run, str):
        return {"source": "data/paper/paper.csv: printed in the paper, not measured here"}
    if cell.run == "input":
        return {"weights": "none: this is the degraded image"}
    weights = f"data/weights/{cell.run}.safetensors {record['weights'].get(cell.run, '(not trained)')}"
    facts = {"weights": weights, "trained": "data/weights/README.md has every stage of its training"}
    for row in record["rows"]:
        if (row["run"], row["dataset"], row["level"]) == (cell.run, cell.dataset, cell.level) and "date" in row:
            file = store.file_of(cell.run, cell.dataset, cell.level).name
            facts["rows"] = f"data/results/{cell.run}/{file}, commit {row['commit']}"
            facts["measured"] = f"{row['date']} on {row['device']}, torch {row['torch']}"
    facts["command"] = f"memnet evaluate {cell.run} --dataset {cell.dataset} --level {cell.level}"
    return facts
