"""Tables 1-6: the paper's numbers beside ours, as CSV, Markdown and LaTeX. Rows in, tables out: nothing is measured."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from memnet.network.model import Config
from memnet.protocol import datasets, tasks
from memnet.publishing import printed
from memnet.study import evaluation, registry, size, store

# Table: run -> the method whose column it stands in. All but "trained longer" of tables 2 and 6 had one budget.
RUNS = {
    1: {"sr-M6R6-NL-scratch": "MemNet_NL", "sr-M6R6-NS-scratch": "MemNet_NS", "sr-M6R6-scratch": "MemNet"},
    2: {
        "sr-plain": "plain stack",
        "sr-skip": "skip connections",
        "sr-M6R6-91-basic": "MemNet (no multi-supervision; 91 images)",
        "sr-M6R6-91": "MemNet (multi-supervised; 91 images)",
        "sr-M6R6-brief": "MemNet (multi-supervised; 291 images)",
        "sr-M6R6": "MemNet (multi-supervised; 291 images), trained longer",
    },
    3: {"denoising-M6R6": "MemNet", "denoising-M6R6-scratch": "MemNet, deep from the start"},
    4: {"sr-M6R6": "MemNet", "sr-M6R6-scratch": "MemNet, deep from the start"},
    5: {"jpeg-M6R6": "MemNet", "jpeg-M6R6-scratch": "MemNet, deep from the start"},
    6: {
        "sr-M4R6": "MemNet_M4R6 (depth 54)",
        "sr-M6R6-brief": "MemNet_M6R6 (depth 80)",
        "sr-M6R8": "MemNet_M6R8 (depth 104)",
        "sr-M10R10": "MemNet_M10R10 (depth 212)",
        "sr-M6R6": "MemNet_M6R6 (depth 80), trained longer",
    },
}
INPUTS = {name: task.degraded for name, task in tasks.TASKS.items()}  # the degraded picture as a method
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
    """Table `table` (1-6) as of `comparison`, on the paper's sets, from stored rows: no picture, no time is needed."""
    runs, sets = tuple(RUNS[table]), datasets.TEST_SETS[TASKS[table]]
    return comparison(table, evaluation.summary(store.collect(runs, sets, measure=False)))


def settings(cells: pd.DataFrame, sets: tuple[str, ...] | None) -> list[tuple[str, int]]:
    """(data set, level) of each line of a table: as printed, or all its levels on the `sets` asked for."""
    printed = list(dict.fromkeys(zip(cells.dataset, cells.level, strict=True)))
    if sets is None:
        return printed
    return [(dataset, level) for dataset in sets for level in dict.fromkeys(level for _, level in printed)]


def methods(table: int, published: pd.DataFrame, ours: pd.DataFrame) -> list[tuple[str, str]]:
    """(run, method) of a line in order: the input, the paper's methods, ours that it lacks; run "" is not ours."""
    start, runs = INPUTS[TASKS[table]], RUNS[table]
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
    """Mean PSNR and SSIM of a run among `found`, over how many pictures, and what is missing, in words."""
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
    """How many pictures a data set has; None for a folder of somebody's own."""
    return len(datasets.EMBEDDED) if dataset == "embedded" else printed.PICTURES.get(dataset)


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

    On pictures that the paper does not have it is that of the comparison's first set. Raises ValueError when the
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
@dataclass(frozen=True)
class Markup:
    """How a language writes bold, underlined, a mark after a number, and plain text."""

    bold: Callable[[str], str]
    underlined: Callable[[str], str]
    mark: str
    text: Callable[[str], str]


LATEX_CHARACTERS = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    printed.MARK: r"$^\dagger$",
}
MARKDOWN = Markup("**{}**".format, "<u>{}</u>".format, printed.MARK, lambda text: text.replace("|", r"\|"))
LATEX = Markup(
    r"\textbf{{{}}}".format,
    r"\underline{{{}}}".format,
    r"$^\dagger$",
    lambda text: "".join(LATEX_CHARACTERS.get(c, c) for c in text),
)
LEGEND = "PSNR in dB / SSIM; best bold, second underlined among whole sets; difference is ours less the paper's"


def to_csv(table: pd.DataFrame) -> str:
    """A table as CSV, a row a line, numbers to six decimals at most."""
    return table.round(DECIMALS).to_csv(index=False, lineterminator="\n")


def to_markdown(table: pd.DataFrame, *, best: tuple[str, ...] = ()) -> str:
    """A table as Markdown: a comparison laid out like the paper's, anything else column by column.

    In a comparison the best number of a row is bold and the second underlined; elsewhere, those of the columns `best`.
    """
    head, body, notes = laid_out(table, MARKDOWN, best)
    lines = [head, ["---"] * len(head), *body]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    return text + "".join(f"\n{note}.\n" for note in notes)


def to_latex(table: pd.DataFrame, *, best: tuple[str, ...] = ()) -> str:
    """A table as a LaTeX tabular (package booktabs), laid out as `to_markdown` does."""
    head, body, notes = laid_out(table, LATEX, best)
    lines = [" & ".join(line) + r" \\" for line in body]
    begin = [r"\begin{tabular}{" + "l" * len(head) + "}", r"\toprule", " & ".join(head) + r" \\", r"\midrule"]
    end = [r"\bottomrule", r"\end{tabular}", *(rf"\par\smallskip {LATEX.text(note)}." for note in notes)]
    return "\n".join([*begin, *lines, *end]) + "\n"


def laid_out(
    table: pd.DataFrame, markup: Markup, best: tuple[str, ...]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Head, lines of cells and notes below, as text in a markup, from the numbers that stand in the CSV."""
    table = table.round(DECIMALS)
    if {"paper_psnr", "psnr", "method"} <= set(table.columns):
        return comparison_cells(table, markup)
    columns = {name: column_cells(table[name], markup, name in best) for name in table.columns}
    if "confidence" in table.columns and "psnr" in table.columns:
        marks = [markup.mark if word == "unconfirmed" else "" for word in table.confidence]
        columns["psnr"] = [cell + mark for cell, mark in zip(columns["psnr"], marks, strict=True)]
    head = [markup.text(str(name).replace("_", " ")) for name in columns]
    body = [list(cells) for cells in zip(*columns.values(), strict=True)]
    marked = any(markup.mark in cell for cells in body for cell in cells)
    return head, body, [printed.MARK_MEANS] if marked else []


def column_cells(column: pd.Series, markup: Markup, emphasised: bool) -> list[str]:
    """The cells of a column as text; the largest number bold and the second underlined if `emphasised`."""
    digits = next((d for metric, d in METRICS.items() if metric in str(column.name)), None)
    cells = [markup.text(cell_text(value, digits)) for value in column]
    return emphasise(cells, list(column), markup) if emphasised else cells


def cell_text(value, digits: int | None) -> str:
    """A value as text: numbers to `digits` decimals, or four significant ones; nothing where there is none."""
    if isinstance(value, (bool, str)) or not pd.api.types.is_number(value):
        return {True: "yes", False: "no"}.get(value, str(value))
    if pd.isna(value):
        return "–"
    if float(value).is_integer() and digits is None:
        return f"{int(value)}"
    return f"{value:.4g}" if digits is None else f"{value:z.{digits}f}"


def emphasise(cells: list[str], values: list[float], markup: Markup) -> list[str]:
    """`cells` with those of the largest of `values` bold and of the second largest underlined; NaN takes no part."""
    ranks = pd.Series(values, dtype=float).rank(method="dense", ascending=False)
    wraps = {1: markup.bold, 2: markup.underlined}
    return [wraps.get(rank, str)(cell) for cell, rank in zip(cells, ranks, strict=True)]


def comparison_cells(table: pd.DataFrame, markup: Markup) -> tuple[list[str], list[list[str]], list[str]]:
    """A comparison as the paper lays tables out: a line for each data set and level, columns for the methods.

    A method that we measured has up to three columns: the paper's number, ours and the difference. A comparison of one
    line stands upright instead: a line for each method.
    """
    lines = table.groupby(["dataset", "level"], sort=False)
    head, body = upright(table, markup) if len(lines) == 1 else ([], [])
    if not body:
        names = list(dict.fromkeys(name for method in table.method for name in column_names(method, table)))
        head = ["data set", "level", *names]
        for (dataset, _), rows in lines:
            cells = dict.fromkeys(names, "") | line_cells(rows, table, markup)
            body.append([markup.text(dataset), level_text(rows), *cells.values()])
    body = [[cell or markup.text("–") for cell in line] for line in body]
    marked = any(markup.mark in cell for line in body for cell in line)
    return [markup.text(name) for name in head], body, [LEGEND, *([printed.MARK_MEANS] if marked else [])]


def level_text(rows: pd.DataFrame) -> str:
    """The level of a line with the word that its task puts before it."""
    return f"{tasks.TASKS[TASKS[int(rows.table.iloc[0])]].prefix}{rows.level.iloc[0]}"


def upright(rows: pd.DataFrame, markup: Markup) -> tuple[list[str], list[list[str]]]:
    """Head and lines of a comparison on one data set at one level: method, paper, ours, difference."""
    cells = method_cells(rows, markup)
    head = [f"{rows.dataset.iloc[0]}, {level_text(rows)}", "paper", "ours", "difference"]
    return head, [[markup.text(method), *texts] for method, texts in cells.items()]


def column_names(method: str, table: pd.DataFrame) -> list[str]:
    """The columns of a method: one if it is the paper's or ours alone, three where both have it."""
    of_method = table[table.method == method]
    printed, ours = of_method.paper_psnr.notna().any(), (of_method.run != "").any()
    if printed and ours:
        return [f"{method}, paper", f"{method}, ours", f"{method}, difference"]
    return [f"{method}, ours" if ours else method]


def line_cells(rows: pd.DataFrame, table: pd.DataFrame, markup: Markup) -> dict[str, str]:
    """The cells of one line by the name of their column."""
    line = {}
    for method, (published, ours, change) in method_cells(rows, markup).items():
        names = column_names(method, table)
        texts = [published, ours, change] if len(names) == 3 else [ours or published]
        line |= dict(zip(names, texts, strict=True))
    return line


def method_cells(rows: pd.DataFrame, markup: Markup) -> dict[str, list[str]]:
    """The paper's numbers, ours and the difference as text by method; the best and second of each metric stand out."""
    texts = {metric: ranked(rows, metric, markup) for metric in METRICS}
    cells = {}
    for row in rows.itertuples():
        printed, ours = (joined([texts[m].get((row.method, whose)) for m in METRICS]) for whose in ("paper", "ours"))
        note = f"({row.note})" if ours and row.note else row.note
        printed, ours = (printed, f"{ours} {note}".strip()) if row.run else (printed or note, "")
        cells[row.method] = [printed, ours, joined([signed(row, metric) for metric in METRICS])]
    return cells


def ranked(rows: pd.DataFrame, metric: str, markup: Markup) -> dict[tuple[str, str], str]:
    """The text of each number of a metric in one line, by (method, paper or ours), emphasised and marked."""
    numbers, texts, marks = {}, [], []
    for row in rows.itertuples():
        for whose, value in (("paper", getattr(row, f"paper_{metric}")), ("ours", getattr(row, metric))):
            if pd.notna(value):
                numbers[row.method, whose] = value if whose == "paper" or not row.note else float("nan")
                texts.append(f"{value:.{METRICS[metric]}f}")
                marked = whose == "paper" and printed.mark(row._asdict(), metric)
                marks.append(markup.mark if marked else "")
    few = sum(pd.notna(value) for value in numbers.values()) < 3  # nothing stands out among two
    stressed = texts if few else emphasise(texts, list(numbers.values()), markup)
    return dict(zip(numbers, map("".join, zip(stressed, marks, strict=True)), strict=True))


def joined(parts: list[str | None]) -> str:
    """PSNR / SSIM, or what there is of them."""
    return " / ".join(filter(None, parts))


def signed(row: tuple, metric: str) -> str:
    """The difference of a metric with its sign, or nothing."""
    value = getattr(row, f"{metric}_difference")
    return "" if pd.isna(value) else f"{value:+z.{METRICS[metric]}f}"
