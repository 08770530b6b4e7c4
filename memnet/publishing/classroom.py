"""The notebooks for a class: as they are, but without the answers below the exercises."""

import json
import re
from pathlib import Path

from memnet import paths

ANSWER = re.compile(r"\n*<details><summary>Answer</summary>.*?</details>\n*", re.DOTALL)


def without_answers(book: dict) -> dict:
    """A copy of a notebook (its JSON) without folded answers and without the cells for teachers."""
    cells = [
        {**cell, "source": ANSWER.sub("\n\n", "".join(cell["source"])).strip() if is_text(cell) else cell["source"]}
        for cell in book["cells"]
        if "teacher" not in cell["metadata"].get("tags", ())
    ]
    return {**book, "cells": cells}


def is_text(cell: dict) -> bool:
    """Whether a cell is markdown."""
    return cell["cell_type"] == "markdown"


def build(folder: Path = paths.BUILD / "classroom") -> Path:
    """Write all notebooks without answers into a folder; where."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        book = without_answers(json.loads(path.read_text(encoding="utf-8")))
        text = json.dumps(book, indent=1, ensure_ascii=False)
        paths.write_text(folder / path.name, f"{text}\n")
    return folder


if __name__ == "__main__":
    print(f"notebooks without answers: {build()}")
