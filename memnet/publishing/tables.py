"""Tables 1-6: the paper's numbers beside ours, as CSV, Markdown and LaTeX. Rows in, tables out: nothing is measured."""

import re

import pandas as pd

from memnet.network.model import Config
from memnet.protocol import datasets, tasks
from memnet.publishing import printed
from memnet.study import evaluation, registry, size, store

# Table: run -> the method whose column it is in. All but "trained longer" of tables 2 and 6 had one budget.
RUNS = {
    1: {"sr-M6R6-NL-scratch": "MemNet_NL", "sr-M6R6-NS-scratch": "MemNet_NS", "sr-M6R6-scratch": "MemNet"},
    2: {
        "sr-plain": "plain stack",
        "sr-skip": "skip connections",
        "sr-M6R6-91-basic": "MemNet (no multi-supervision; 91 images)",
        "sr-M6R6-91": "MemNet (multi-supervised; 91 images)",
        "sr-M6R6-brief": "MemNet (multi-supervised; 291 images)",
        "sr-M6R6": "MemNet (multi-supervised; 291 images), grown and trained longer",
    },
    3: {"denoising-M6R6": "MemNet"},
    4: {"sr-M6R6": "MemNet"},
    5: {"jpeg-M6R6": "MemNet"},
    6: {
        "sr-M4R6": "MemNet_M4R6 (depth 54)",
        "sr-M6R6-brief": "MemNet_M6R6 (depth 80)",
        "sr-M6R8": "MemNet_M6R8 (depth 104)",
        "sr-M10R10": "MemNet_M10R10 (depth 212)",
        "sr-M6R6": "MemNet_M6R6 (depth 80), grown and trained longer",
    },
}
TASKS = {1: "super-resolution", 2: "super-resolution", 3: "denoising", 4: "super-resolution", 5: "jpeg"}
TASKS[6] = TASKS[1]
METRICS = {"psnr": 2, "ssim": 4}  # digits as printed
DECIMALS = 6  # in a CSV


def comparison(table: int, measured: pd.DataFrame, *, sets: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Table `table` (1-6) of the paper beside what was measured: one row for each data set, level and method.

    `measured` are rows of `evaluation.summary`, of any runs: those of the task that the paper does not have become
    methods of their own. `sets` are the data sets to show, by default the paper's; on others (embedded) the paper
    has no numbers. Columns: table, dataset, level, method, run, then paper_psnr, paper_ssim, psnr, ssim,
    psnr_difference, ssim_difference (ours less the paper's, of whole sets only), pictures, confidence, remark, and in
    `note` what is missing, in words. Raises ValueError for another table.
    """
    if table not in RUNS:
        raise ValueError(f"the paper's tables are 1 to 6, got {table!r}")
    cells = printed.tables().query("table == @table")
    wanted = settings(cells, sets)
    ours = measured if len(measured) else pd.DataFrame(columns=["run", "task", "dataset", "level"])
    there = pd.Series(list(zip(ours.dataset, ours.level, strict=True)), index=ours.index, dtype=object)
    ours = ours[there.isin(wanted) & (ours.task == TASKS[table])]
    rows = []
    for dataset, level in wanted:
        here = cells[(cells.dataset == dataset) & (cells.level == level)]
        found = ours[(ours.dataset == dataset) & (ours.level == level)]
        for run, method in methods(table, here, ours):
            place = {"table": table, "dataset": dataset, "level": level, "method": method, "run": run}
            rows.append(place | row_of(here[here.method == method], run, found))
    return pd.DataFrame(rows)


def committed(table: int) -> pd.DataFrame:
    """Table `table` (1-6) as of `comparison`, on the paper's sets, from stored rows: no image, no time is needed."""
    runs, sets = tuple(RUNS[table]), tasks.task(TASKS[table]).test_sets
    return comparison(table, evaluation.summary(store.collect(runs, sets, measure=False)))


def settings(cells: pd.DataFrame, sets: tuple[str, ...] | None) -> list[tuple[str, int]]:
    """(data set, level) of each line of a table: as printed, or all its levels on the `sets` asked for."""
    printed = list(dict.fromkeys(zip(cells.dataset, cells.level, strict=True)))
    if sets is None:
        return printed
    return [(dataset, level) for dataset in sets for level in dict.fromkeys(level for _, level in printed)]


def methods(table: int, published: pd.DataFrame, ours: pd.DataFrame) -> list[tuple[str, str]]:
    """(run, method) of a line in order: the input, the paper's methods, ours that it lacks; run "" is not ours."""
    start, runs = tasks.task(TASKS[table]).degraded, RUNS[table]
    run_of = {method: run for run, method in runs.items()}
    names = [name for name in published.method if name != start]
    columns = [("input", start)] if len(ours) or start in set(published.method) else []
    columns += [(run_of.get(name, ""), name) for name in names]
    columns += [(run, name) for run, name in runs.items() if name not in names]
    return columns + [(run, run) for run in dict.fromkeys(ours.run) if run not in registry.EXPERIMENTS]


def row_of(published: pd.DataFrame, run: str, found: pd.DataFrame) -> dict:
    """The numbers of one method on one set at one level: the paper's, ours, the difference, what is missing."""
    cell = published.iloc[0].to_dict() if len(published) else {}
    row = {f"paper_{metric}": cell.get(metric, float("nan")) for metric in METRICS}
    measured, pictures, note = measurement(run, found)
    complete = not note
    row |= measured
    for metric in METRICS:
        row[f"{metric}_difference"] = measured[metric] - row[f"paper_{metric}"] if complete else float("nan")
    if not note and not run and pd.isna(row["paper_psnr"]):
        note = "blank in the paper"
    return row | {
        "pictures": pictures,
        "confidence": cell.get("confidence", ""),
        "remark": cell.get("remark", ""),
        "note": note,
    }


def measurement(run: str, found: pd.DataFrame) -> tuple[dict[str, float], int, str]:
    """Mean PSNR and SSIM of a run among `found`, over how many images, and what is missing, in words."""
    nothing = dict.fromkeys(METRICS, float("nan"))
    if not run:
        return nothing, 0, ""
    rows = found if run == "input" else found[found.run == run]
    if rows.empty:
        untrained = run in registry.EXPERIMENTS and not registry.trained(run)
        return nothing, 0, "not trained" if untrained else "not measured"
    row = rows.loc[rows.pictures.idxmax()]
    prefix = "input_" if run == "input" else ""
    size = set_size(row.dataset)
    note = f"{row.pictures} of {size} pictures" if size and row.pictures < size else ""
    return {metric: float(row[prefix + metric]) for metric in METRICS}, int(row.pictures), note


def set_size(dataset: str) -> int | None:
    """How many images a data set has; None for a folder of somebody's own."""
    return len(datasets.names(dataset)) if dataset in ("embedded", *datasets.DATASETS) else None


def networks(measured: pd.DataFrame) -> pd.DataFrame:
    """Table 2 with all its attributes, one row a network: the paper's six, then ours on Set5 at x3.

    Columns: network, origin (paper or ours), depth, filters, parameters_k (convolution weights in thousands),
    training_images, multi_supervised, psnr, confidence, note.
    """
    cells = comparison(2, measured)
    rows = [printed_network(i, cell) for i, cell in enumerate(cells[cells.paper_psnr.notna()].itertuples())]
    rows += [our_network(cell) for cell in cells[~cells.run.isin(["", "input"])].itertuples()]
    columns = ["network", "origin", "depth", "filters", "parameters_k", "training_images", "multi_supervised"]
    return pd.DataFrame(rows, columns=[*columns, "psnr", "confidence", "note"])


def our_network(cell: tuple) -> list:
    """The row of `networks` for a run; its attributes are unknown (NaN) where the run is none of ours."""
    facts = [float("nan")] * 5
    if cell.run in registry.EXPERIMENTS:
        what = registry.experiment(cell.run)
        config, multi = what.config, isinstance(what.config, Config) and what.config.multi_supervised
        thousands = size.parameters(config)["convolution_weights"] / 1000
        facts = [config.longest_path, config.channels, thousands, int(what.training_set), multi]
    return [cell.method, "ours", *facts, cell.psnr, "", cell.note]


def printed_network(column: int, cell: tuple) -> list:
    """The row of `networks` for a column of table 2 as printed."""
    facts = printed.networks()
    name = cell.method.split(" (")[0]
    of_name = facts[facts.method == name].set_index("attribute").value
    images = ", ".join(facts[facts.attribute == "training images"].value).split(", ")
    multi = re.findall("Yes|No", facts[facts.attribute == "multi-supervision"].value.item())
    size = [int(of_name["depth"]), int(of_name["filters"]), float(of_name["parameters"].rstrip("K"))]
    return [
        cell.method,
        "paper",
        *size,
        int(images[column]),
        multi[column] == "Yes",
        cell.paper_psnr,
        cell.confidence,
        "",
    ]


def fig6_points(rows: pd.DataFrame, config: Config, seconds: dict[int, float] | None = None) -> pd.DataFrame:
    """The points of fig. 6: method, parameters_k, psnr, seconds, origin; the paper's, then ours from block 3 on.

    `rows` are tidy rows of one run on Set5 at x3 with psnr_1 .. psnr_M of its intermediate predictions, `config` is the
    run's, and `seconds` says how long the network up to block m takes for 288x288 pixels (NaN where it does not).
    """
    ours = size.growth(config)
    ours = ours[[m > 2 and f"psnr_{m}" in rows for m in ours.block]]
    points = {
        "method": [f"MemNet_M{m}" for m in ours.block],
        "parameters_k": ours.parameters_k,
        "psnr": [rows[f"psnr_{m}"].mean() for m in ours.block],
        "seconds": [(seconds or {}).get(m, float("nan")) for m in ours.block],
    }
    both = [printed.fig6().assign(origin="paper"), pd.DataFrame(points).assign(origin="ours")]
    return pd.concat([part for part in both if len(part)], ignore_index=True)


def headline(table: pd.DataFrame, *, dataset: str, level: int, method: str) -> tuple[str, float | None, float | None]:
    """The number that stands for a comparison: what it is, the paper's PSNR and ours (dB; None where there is none).

    On images that the paper does not have it is that of the comparison's first set. Raises ValueError when the
    method is not in the comparison at that level.
    """
    shown = dataset if dataset in set(table.dataset) else table.dataset.iloc[0]
    cell = table[(table.dataset == shown) & (table.level == level) & (table.method == method)]
    if cell.empty:
        raise ValueError(f"{method} at {level} on {shown} is not in this table")
    numbers = [None if pd.isna(value) else round(float(value), 4) for value in cell.iloc[0][["paper_psnr", "psnr"]]]
    prefix = tasks.task(TASKS[int(table.table.iloc[0])]).prefix
    what = f"{shown} {prefix}{level}"
    return (f"{what}, {note}" if (note := cell.iloc[0]["note"]) else what), *numbers


# -------------------------------------------------------------------------------------------------------------- writing
SOURCES = ["paper", "ours", "difference"]
LEGEND = "PSNR in dB / SSIM; the best PSNR among whole sets is bold; the difference is ours less the paper's"


def to_csv(table: pd.DataFrame) -> str:
    """A table as CSV, a row a line, numbers to six decimals at most."""
    return table.round(DECIMALS).to_csv(index=False, lineterminator="\n")


def to_markdown(table: pd.DataFrame) -> str:
    """A table as Markdown: a comparison laid out like the paper's, any other table column by column."""
    text, best, notes = laid_out(table)
    text = text.map(lambda cell: cell.replace("|", r"\|"))
    lines = [text.columns, ["---"] * len(text.columns), *text.where(~best, "**" + text + "**").to_numpy()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "".join(f"\n{note}.\n" for note in notes)


def to_latex(table: pd.DataFrame) -> str:
    """A table as a LaTeX tabular (UTF-8, package booktabs), laid out as `to_markdown` does."""
    text, best, notes = laid_out(table)
    weights = best.map({True: "font-weight: bold", False: ""}.get)
    styler = text.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    latex = styler.apply(lambda _: weights, axis=None).to_latex(hrules=True, convert_css=True)
    return latex + "".join(f"\\par\\smallskip {note}.\n".replace("_", r"\_") for note in notes)


def laid_out(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The cells of a table as text, which of them are bold, and the notes below it."""
    table = table.round(DECIMALS)
    if {"paper_psnr", "psnr", "method"} <= set(table.columns):
        return laid_out_comparison(table)
    text = {str(name).replace("_", " "): [cell_text(value, str(name)) for value in table[name]] for name in table}
    return (text := pd.DataFrame(text)), text.isna(), []


def cell_text(value, column: str) -> str:
    """A value as text: PSNR and SSIM as printed, other numbers to four digits, a dash where there is none."""
    digits = next((digits for metric, digits in METRICS.items() if metric in column), None)
    if isinstance(value, (bool, str)) or not pd.api.types.is_number(value):
        return {True: "yes", False: "no"}.get(value, str(value))
    if pd.isna(value):
        return "–"
    if digits is None:
        return f"{int(value)}" if float(value).is_integer() else f"{value:.4g}"
    return f"{value:z.{digits}f}"


def laid_out_comparison(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """`laid_out` of a comparison: a line for each data set and level; paper, ours and difference of each method.

    A comparison of one line stands upright: a line for each method.
    """
    prefix = tasks.task(TASKS[int(table.table.iloc[0])]).prefix
    lines = (table.dataset + f", {prefix}" + table.level.astype(str)).rename("set")
    index = pd.MultiIndex.from_arrays([lines, table.method])
    text = pd.DataFrame([texts(row) for row in table.itertuples()], index=index, columns=SOURCES)
    psnr = {"paper": table.paper_psnr, "ours": table.psnr.where(table.note == ""), "difference": float("nan")}
    best = best_of_line(pd.DataFrame(psnr).set_axis(index).round(METRICS["psnr"]))
    marked = text.map(lambda cell: printed.MARK in cell).any(axis=None)
    notes = [LEGEND, *networks_behind(table), *([printed.MARK_MEANS] if marked else [])]
    if lines.nunique() == 1:
        shown = [part.droplevel("set").rename_axis(lines.iloc[0]).reset_index() for part in (text, best)]
    else:
        both = [part.unstack("method", fill_value=part.iloc[0, 0] * 0) for part in (text, best)]
        columns = [(s, m) for m in table.method.unique() for s in SOURCES if (both[0][s, m] != "").any()]
        names = [m if ("ours", m) not in columns else f"{m}, {s}" for s, m in columns]
        shown = [part.loc[lines.unique(), columns].set_axis(names, axis=1).reset_index() for part in both]
    bold = shown[1].map(lambda cell: cell is True)
    return shown[0].replace("", "–"), bold, notes


def texts(row: tuple) -> list[str]:
    """The paper's numbers, ours and the difference of one row of a comparison, and what is missing, as text."""
    marks = {metric: printed.mark(row._asdict(), metric) for metric in METRICS}
    paper, ours, difference = (
        " / ".join(
            f"{value:{sign}.{digits}f}{marks[metric] if name == 'paper_{}' else ''}"
            for metric, digits in METRICS.items()
            if pd.notna(value := getattr(row, name.format(metric)))
        )
        for name, sign in (("paper_{}", ""), ("{}", ""), ("{}_difference", "+z"))
    )
    if row.run:
        return [paper, f"{ours} ({row.note})" if ours and row.note else ours or row.note, difference]
    return [paper or row.note, "", ""]


def best_of_line(psnr: pd.DataFrame) -> pd.DataFrame:
    """Which numbers are the largest of their line; none where a line has fewer than three."""
    lines = psnr.groupby("set")
    enough = lines.transform("count").sum(axis=1) > 2
    return psnr.eq(lines.transform("max").max(axis=1).where(enough), axis=0)


def networks_behind(table: pd.DataFrame) -> list[str]:
    """One sentence that names the run behind each of our columns, and says from which network a run was grown."""
    runs = [(method, run) for method, run in dict(zip(table.method, table.run, strict=True)).items()]
    runs = [(method, registry.experiment(run)) for method, run in runs if run in registry.EXPERIMENTS]
    behind = [
        f"{method} is {run.name}, {f'grown from {run.parent}' if run.parent else 'from scratch'}"
        for method, run in runs
    ]
    return [f"Ours: {'; '.join(behind)}"] if behind else []
