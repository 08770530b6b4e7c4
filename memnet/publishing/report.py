"""The tables of README.md, figures/REPORT.md and data/weights/README.md, written from the files.

Their numbers come from the JSON and CSV files in `figures/`, and from inside the weights.
"""

from pathlib import Path

import pandas as pd

from memnet import paths
from memnet.network import checkpoints
from memnet.protocol import datasets, tasks
from memnet.publishing import records, tables
from memnet.publishing.items import IMAGES, ITEMS, Item
from memnet.study import gates, registry, train_run

README = paths.ROOT / "README.md"
REPORT = paths.FIGURES / "REPORT.md"
NEAR = 0.15  # dB below the paper's number that count as reproduced
WEIGHTS_HEAD = """# Weights

`memnet report` writes this table from the histories inside the files (safetensors, float32). A row is a training
stage. It starts from the weights of the stage before. `gain` is the PSNR gain over the input in dB on the validation
set (crops of training images from which the network does not learn), mean over the levels of the task. For the runs
`-any` it is the mean over three levels: sigma 5, 40, 75, or quality 5, 40, 80. RUN.csv is the log of the last stage;
SHA256SUMS has the hashes of these.

`R` is the number of recursions in that stage, and `rate` the peak learning rate. `frozen` is the share of the steps,
at the end, with frozen batch-norm statistics. In these steps `patches` says how patches were drawn, and `growth` how
many times larger their edge was. `kept` says which weights were chosen. `initial model` marks a stage that brought
nothing. The stages of a run's parent are listed with the parent, unless it has been trained again since. `memnet
train RUN --continue` trains another stage.

On the H200 the number of steps was planned from the first 160 or 223 steps of a stage. The learning rate rose in
these steps as in a training of 20,000 steps. For `denoising-M6R1` it rose more slowly than with `memnet train`.

The last stage of `sr-M6R6` was planned with 27,558 steps. It was stopped after the batch-norm statistics had been
frozen. Its weights are the running average from before the freezing. Its log has the losses of single steps.

The batch-norm statistics of `jpeg-M6R1`, and of the last stage but one of `denoising-M6R6` and `jpeg-M6R6`, were
corrected after the training. The validation had changed them: one tenth came from a validation crop. The corrected
networks have the same gain to the last digit. `jpeg-M6R6` started from `jpeg-M6R1` before the correction.
"""
REPORT_HEAD = f"""# Report

`memnet report` writes this page from the files in `figures/`. It compares every item with the paper. A cell is *at or
above the paper*, *within {NEAR} dB*, or *below* (by PSNR, in dB), or it says what is missing.
"""


def write() -> list[Path]:
    """Write README's table of items, figures/REPORT.md, and the lists of weights and of logs in data/; their paths."""
    texts = {README: readme(), REPORT: report(), paths.WEIGHTS / "README.md": weights_readme()}
    texts |= {paths.DATA / "weights.csv": weights_table(), paths.WEIGHTS / "SHA256SUMS": log_sums()}
    for path, text in texts.items():
        paths.write_text(path, text)
    return list(texts)


# -------------------------------------------------------------------------------------------------------------- README
def readme() -> str:
    """README.md with its headline numbers, its claims and its list of notebooks renewed."""
    text = README.read_text(encoding="utf-8")
    parts = {"headline": headline_table(), "claims": claims_line(), "notebooks": notebooks_table()}
    for name, content in parts.items():
        begin, end = f"<!-- {name}: written by `memnet report` -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        assert found, f"README.md has no place for {name}"
        text = f"{before}{begin}\n{content}{end}{rest.partition(end)[2]}"
    return text


def summary() -> str:
    """How far the networks are trained and how their numbers compare with the paper's, a sentence a line."""
    table = registry.overview()
    done = table[table.steps != "not trained"]
    steps = sorted(int(number) for number in done.steps)
    hardware = dict.fromkeys(name.split(" (")[0] for names in done.hardware for name in names.split("; "))
    span = " to ".join(dict.fromkeys(f"{number:,}" for number in (steps[0], steps[-1])))
    lines = [
        f"{len(done)} of {len(table)} networks are trained so far, for {span} steps "
        f"({done.hours.sum():.1f} hours in all) on {', '.join(hardware)}.",
        *(
            f"Not trained yet: {', '.join(table[table.steps == 'not trained'].run)}."
            for _ in range(len(done) < len(table))
        ),
    ]
    return "\n".join([*lines, *differences_to_the_paper()]) + "\n"


def differences_to_the_paper() -> list[str]:
    """The ranges of our differences to the paper, and the sets measured in part or not at all, in sentences."""
    cells = list(benchmark_tables().values())
    if not cells:
        return []
    cells = pd.concat(cells, ignore_index=True)
    ours = cells[cells.run.isin(list(registry.EXPERIMENTS))]
    brief = [number for number, runs in tables.RUNS.items() if "sr-M6R6-brief" in runs]
    groups = {"tables 3 to 5": [3, 4, 5], "table 1": [1], "the short trainings of tables 2 and 6": brief}
    parts = ours[ours.note.astype(str).str.contains("pictures")]
    found = []
    for words, numbers in groups.items():
        whole = ours[ours.table.isin(numbers)].psnr_difference.dropna()
        if len(whole):
            span = f"{whole.min():+.2f} to {whole.max():+.2f} dB from the paper's"
            near = f"{(whole >= -NEAR).sum()} of {len(whole)} cells"
            found.append(f"In {words} our PSNR is {span}; {near} are above it or within {NEAR} dB.")
    if partly := dict.fromkeys(f"{setting_of(cell)} ({cell.note})" for cell in parts.itertuples()):
        found.append(f"Measured in part: {', '.join(partly)}.")
    if missing := dict.fromkeys(setting_of(cell) for cell in ours[ours.note == "not measured"].itertuples()):
        found.append(f"Not measured with the present weights: {', '.join(missing)}.")
    return found


def benchmark_tables() -> dict[str, pd.DataFrame]:
    """The cells of tables 1 to 6 on the benchmark images, as far as they are made; ValueError for a changed one."""
    folder = paths.FIGURES / "benchmark"
    made = {name: records.read(name, folder) for name in ITEMS if name.startswith("table")}
    return {name: records.table(record, f"{name}.csv", folder) for name, record in made.items() if record}


def setting_of(cell: tuple) -> str:
    """The data set and the level of a cell, in words."""
    return f"{cell.dataset} {tasks.task(tables.TASKS[cell.table]).prefix}{cell.level}"


def notebooks_table() -> str:
    """The README's list of notebooks in Markdown: what each shows, linked to a figure or table, and its minutes."""
    lines = ["| notebook | shows | minutes |", "| --- " * 3 + "|"]
    lines += ["| " + " | ".join(notebook_line(item)) + " |" for item in sorted(ITEMS.values(), key=notebook_of)]
    return "\n".join(lines) + "\n"


def notebook_of(item: Item) -> str:
    """The notebook of an item."""
    return item.notebook


def notebook_line(item: Item) -> list[str]:
    """The cells of one item in the README's list of notebooks."""
    folder = next((images for images in reversed(IMAGES) if records.read(item.name, paths.FIGURES / images)), None)
    seconds = records.made_of(item.name, "embedded")["seconds"]
    pictures = [name for name in item.writes if folder and (paths.FIGURES / folder / f"{name}.png").exists()]
    file = f"{pictures[0]}.png" if pictures else f"{item.writes[0]}.md"
    return [
        f"[{item.notebook.removesuffix('.ipynb')}](notebooks/{item.notebook})",
        f"[{item.shows}](figures/{folder}/{file})" if folder else item.shows,
        "–" if pd.isna(seconds) else f"{max(seconds / 60, 0.1):.1f}",
    ]


HEADLINE = ((3, "S14", 30), (3, "BSD200", 50), (4, "Set5", 3), (5, "Classic5", 10), (5, "LIVE1", 10))


def headline_table() -> str:
    """Five cells of tables 3 to 5 in Markdown: PSNR in dB of the degraded images, of the paper's MemNet and of ours."""
    lines = ["| task | images | degraded | MemNet, paper | MemNet, ours |", "| --- " * 5 + "|"]
    for number, dataset, level in HEADLINE:
        cells = benchmark_tables()[f"table{number}"]
        cells = cells[(cells.dataset == dataset) & (cells.level == level)].set_index("method")
        task = tasks.task(tables.TASKS[number])
        numbers = (cells.psnr[task.degraded], cells.paper_psnr["MemNet"], cells.psnr["MemNet"])
        values = " | ".join(f"{value:.2f}" for value in numbers)
        lines.append(f"| {task.name}, {task.prefix}{level} | {dataset} | {values} |")
    return "\n".join(lines) + "\n\nMean PSNR in dB.\n"


def claims_line() -> str:
    """What our networks say of the paper's claims on table 1, figs. 4 and 5, from the committed tables."""
    folder = paths.FIGURES / "benchmark"
    claims, observations, order = (
        records.table(records.read(item, folder), f"{name}.csv", folder)
        for item, name in (("fig4", "claims"), ("fig5", "observations"), ("table1", "order_by_seed"))
    )
    claims = claims[(claims.dataset == "BSD100") & (claims.window == "hann")].sort_values("number")
    fig4 = ", ".join(f"{row.number} {row.verdict}" for row in claims.itertuples())
    norms = gates.support(observations).query("networks == 'from scratch'").set_index("observation")["norm"]
    fig5 = ", ".join(f"{number} in {count}" for number, count in norms.items())
    papers = ~order.worse.str.contains(",")  # not NL with 17 channels
    order = order[papers & (order.verdict == "supported")].groupby(["better", "worse"], sort=False)["level"]
    scales = order.agg(lambda levels: ", ".join(f"x{level}" for level in levels))
    table1 = "; ".join(f"{better} over {worse} at {levels}" for (better, worse), levels in scales.items())
    return (
        f"Which claims hold with our networks? [Fig. 4](figures/benchmark/claims.md): claim {fig4}. "
        f"[Fig. 5](figures/benchmark/observations.md): observation {fig5} networks. "
        f"[Table 1](figures/benchmark/order_by_seed.md), by eight seeds: {table1}.\n"
    )


# -------------------------------------------------------------------------------------------------------------- REPORT
def report() -> str:
    """figures/REPORT.md: each table cell by cell, the claims with their verdicts, what made every item."""
    parts = [REPORT_HEAD, summary(), tables.to_markdown(overview())]
    for item in ITEMS.values():
        folder = paths.FIGURES / "benchmark"
        record = records.read(item.name, folder) or records.read(item.name, folder := paths.FIGURES / "embedded")
        if record is None:
            parts.append(f"## {item.name}: {item.shows}\n\nNot made.\n")
        else:
            parts.append(section(item, record, folder))
    return "\n".join(parts)


def section(item: Item, record: dict, folder: Path) -> str:
    """One item of the report: its numbers, then what made them."""
    parts = [f"## {item.name}: {item.shows}\n"]
    for file in (name for name in record["files"] if name.endswith(".csv")):
        table = records.table(record, file, folder)
        if "paper_psnr" in table:
            parts.append(tables.to_markdown(cells_of(table)))
        elif len(table) <= 40:
            parts.append(f"{file.removesuffix('.csv')}:\n\n{tables.to_markdown(table)}")
    return "\n".join([*parts, made_by(record)])


def made_by(record: dict) -> str:
    """What made an item, in sentences."""
    made = records.made_of(record["item"], record["images"])
    weights = ", ".join(f"{run} `{digest}`" for run, digest in record["weights"].items()) or "none"
    sets = ", ".join(f"{name} `{digest}`" for name, digest in record["pictures"].items()) or "none"
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    files = ", ".join(f"[{name}]({record['images']}/{name})" for name in record["files"])
    rows = ", ".join(dict.fromkeys(f"{row['date']} on {row['device']}" for row in record.get("rows", [])))
    measured = f"Rows measured {rows}. " if rows else ""
    title, *numbers = record.get("headline") or ("", None, None)
    both = zip(("paper", "ours"), numbers, strict=True)
    values = ", ".join(f"{who} {number:.2f}" for who, number in both if number is not None)
    headline = f"{title}: {values}.\n\n" if title else ""
    return headline + (
        f"Made from notebooks/{record['notebook']} on the {record['images']} images in {made['seconds']:.0f} s. "
        f"Weights: {weights}. Pictures: {sets}. Protocol {record['protocol']}; {versions}; "
        f"commit {made['commit']}. {measured}\n\n"
        f"Files: {files}.\n"
    )


def cells_of(table: pd.DataFrame) -> pd.DataFrame:
    """A comparison's cells that are ours, one a row, each with its verdict; first those of the degraded images."""
    ours = table[table.run.notna() & ((table.run != "input") | table.psnr.notna())]
    ours = ours.sort_values("run", key=lambda run: run != "input", kind="stable")
    columns = ["dataset", "level", "method", "paper_psnr", "psnr", "psnr_difference", "paper_ssim", "ssim"]
    shown = ours[columns].rename(columns={"psnr": "our psnr", "ssim": "our ssim", "psnr_difference": "psnr difference"})
    return shown.assign(verdict=[verdict(row) for row in ours.itertuples()])


def verdict(cell: tuple) -> str:
    """How a number of ours compares with the paper's; where one of them is missing, which."""
    note = cell.note if isinstance(cell.note, str) else ""
    if note:
        return note
    if pd.isna(cell.paper_psnr):
        return "not in the paper"
    if round(cell.psnr_difference, 2) >= 0:
        return "at or above the paper"
    return f"within {NEAR} dB" if cell.psnr_difference >= -NEAR else "below"


def overview() -> pd.DataFrame:
    """Each table in one row: how many cells are ours to fill, how many are measured whole, and how they compare."""
    rows = []
    for name, cells in benchmark_tables().items():
        ours = cells[cells.run.notna() & (cells.run != "input")]
        cells = cells_of(ours)
        cells["missing"] = ours.note.notna()
        words, whole = cells.verdict, ~cells.missing
        row = {"table": name, "our cells": len(cells), "measured on whole sets": int(whole.sum())}
        row |= {"in the paper too": int((whole & cells["paper_psnr"].notna()).sum())}
        row |= {title: int((words == title).sum()) for title in ("at or above the paper", f"within {NEAR} dB", "below")}
        rows.append(row | {"mean psnr difference": cells["psnr difference"].mean()})
    return pd.DataFrame(rows)


# ------------------------------------------------------------------------------------------------------------- weights
def weights_readme() -> str:
    """data/weights/README.md: what each run got, from the histories inside the weights."""
    rows = [line for run in registry.EXPERIMENTS if registry.trained(run) for line in stages_of(run)]
    untrained = ", ".join(run for run in registry.EXPERIMENTS if not registry.trained(run)) or "none"
    return f"{WEIGHTS_HEAD}\n{tables.to_markdown(pd.DataFrame(rows))}\nRuns without weights: {untrained}.\n"


def weights_table() -> str:
    """data/weights.csv: run, sha256 of its weights' file, and the address to fetch it from, kept as it is there."""
    path = paths.DATA / "weights.csv"
    addresses = pd.read_csv(path, index_col="run", keep_default_na=False).address if path.is_file() else {}
    runs = filter(registry.trained, registry.EXPERIMENTS)
    rows = [
        {"run": run, "sha256": datasets.sha256(registry.weights_path(run)), "address": addresses.get(run, "")}
        for run in runs
    ]
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def log_sums() -> str:
    """data/weights/SHA256SUMS: what the logs of the trainings are, for `sha256sum --check`."""
    return "".join(f"{datasets.sha256(path)}  {path.name}\n" for path in sorted(paths.WEIGHTS.glob("*.csv")))


def stages_of(run: str) -> list[dict]:
    """One row for each training stage behind a run's weights that does not stand in its parent's rows."""
    stages = checkpoints.history(registry.weights_path(run))["stages"]
    parent, listed = registry.experiment(run).parent, []
    if parent and registry.trained(parent):
        _, listed = train_run.parent_network(parent, registry.weights_path(parent))
    listed = listed if stages[: len(listed)] == listed else []
    recursions = getattr(registry.experiment(run).config, "recursions", "")
    rows = []
    for number, stage in enumerate(stages[len(listed) :], start=1 + len(listed)):
        frozen = stage["frozen_bn_fraction"]
        sampled = "by importance" if frozen and stage["importance_sampling"] else "uniformly"
        rows.append(
            {
                "run": run,
                "stage": number,
                "optimiser": stage["optimiser"],
                "steps": stage["steps"],
                "R": stage["recursions"] or recursions,
                "batch": f"{stage['batch']} of {stage['patch']}x{stage['patch']}",
                "rate": stage["learning_rate"],
                "frozen": frozen,
                "patches": sampled,
                "growth": stage["patch_growth"] if frozen else 1,
                **{name: stage[name] for name in ("seed", "precision", "seconds", "images_per_second")},
                "gain": round(stage["psnr_gain"], 2),
                "kept": stage["weights"],
                **{name: stage[name] for name in ("hardware", "commit", "date")},
            }
        )
    return rows
