"""Tables 3 to 5 and figs. 7 to 9 alike: the rows of a task, the table, the spread over images, the images."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from memnet.protocol import tasks
from memnet.publishing import artifacts, result_plots, tables
from memnet.publishing.schematics import Drawing
from memnet.study import analysis, evaluation, registry, side_by_side, store


@dataclass(frozen=True)
class TaskTable:
    """What a notebook of tables 3 to 5 shows: `rows` of images, the comparison `table` and `figures` by file name."""

    number: int
    images: str
    rows: pd.DataFrame
    table: pd.DataFrame
    figures: dict[str, Drawing]

    @property
    def gains(self) -> pd.DataFrame:
        """Rows of the main network: evaluation's columns, `gain` over the input (dB), `where` (set and level)."""
        return evaluation.gains(self.rows[self.rows.run == registry.main_run(tables.TASKS[self.number])])

    @property
    def extremes(self) -> pd.DataFrame:
        """Of the main network on each set at each level: mean gain (dB), the images that gain least and most."""
        groups = self.gains.groupby("where", sort=False)
        least, most = (
            self.gains.loc[index].set_index("where") for index in (groups.gain.idxmin(), groups.gain.idxmax())
        )
        parts = {"mean gain": groups.gain.mean(), "least": least.image, "least gain": least.gain}
        return pd.DataFrame(parts | {"most": most.image, "most gain": most.gain}).round(2)

    @property
    def measured(self) -> pd.DataFrame:
        """The table without the methods that we did not measure."""
        shown = ["dataset", "level", "method", "paper_psnr", "psnr", "psnr_difference", "paper_ssim", "ssim", "note"]
        return self.table.loc[self.table.run != "", shown].round(4)

    def save(self, output: str, *, dataset: str, level: int) -> Path:
        """Write the item's files (`artifacts.save`); its headline is MemNet's PSNR on `dataset` at `level`."""
        name = f"table{self.number}"
        return artifacts.save(
            name,
            images=self.images,
            output=output,
            figures=self.figures,
            runs=tuple(tables.RUNS[self.number]),
            sets=registry.sets_of(tables.TASKS[self.number], self.images),
            rows=self.rows,
            numbers={name: self.table, f"{name}_rows": self.rows.drop(columns="seconds")},
            headline=tables.headline(self.table, dataset=dataset, level=level, method="MemNet"),
        )


def make(number: int, *, images: str, measure: bool = False, fresh: bool = False) -> TaskTable:
    """Table `number` (3-5) and its figure on benchmark or embedded `images`.

    The embedded set is measured for the main network alone. On benchmark images stored rows are taken; `measure` adds
    what is missing, and `fresh` measures all again.
    """
    task, embedded = tables.TASKS[number], images == "embedded"
    runs, sets = tuple(tables.RUNS[number]), registry.sets_of(task, images)
    rows = store.collect(runs[:1] if embedded else runs, sets, measure=measure or embedded, fresh=fresh)
    table = tables.comparison(number, evaluation.summary(rows), sets=sets)
    spread = result_plots.spread(evaluation.gains(rows[rows.run == runs[0]]), by="where")
    return TaskTable(number, images, rows, table, {f"table{number}_spread": spread, **qualitative(number, images)})


def qualitative(number: int, images: str) -> dict[str, Drawing]:
    """Figs. 7a, 7b, ... of table 3, and so on: one for each example of the task."""
    task, figures = tasks.task(tables.TASKS[number]), {}
    for letter, example in zip("abc", registry.examples(task.name, images), strict=False):
        restored, scores = side_by_side.restored(example, task=task.name)
        area = example.area or analysis.detail_box(restored["original"])
        title = f"image {example.image} of {example.dataset}, {task.prefix}{example.level}"
        figures[f"fig{number + 4}{letter}"] = result_plots.qualitative(restored, area=area, scores=scores, title=title)
    return figures
