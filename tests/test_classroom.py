"""The notebooks without answers, for a class."""

import re

import nbformat

from memnet import paths
from memnet.publishing import classroom


def texts(folder):
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.ipynb")}


def test_the_classroom_has_every_notebook_and_exercise_and_no_answer(tmp_path):
    with_answers, without = texts(paths.NOTEBOOKS), texts(classroom.build(tmp_path / "class"))
    assert set(without) == set(with_answers)
    assert any("<details>" in text for text in with_answers.values())
    for name, text in without.items():
        assert "<details>" not in text, name
        assert "exercises.solution(" not in text, name  # how to print one
        assert text.count("**Exercise.**") == with_answers[name].count("**Exercise.**")
        nbformat.validate(nbformat.reads(text, as_version=4))


def test_only_the_answer_goes():
    text = "**Exercise.** Why?\n\n<details><summary>Answer</summary>\n\nBecause.\n\n</details>\n\nMore."
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": [text]},
        {"cell_type": "code", "metadata": {}, "source": ["x = 1\n", "x"]},
        {"cell_type": "markdown", "metadata": {"tags": ["teacher"]}, "source": ["The solution is ..."]},
    ]
    first, second = classroom.without_answers({"cells": cells})["cells"]
    assert first["source"] == "**Exercise.** Why?\n\nMore."
    assert second == cells[1]


def test_links_between_the_notebooks_of_a_class_lead_somewhere(tmp_path):
    folder = classroom.build(tmp_path / "class")
    linked = [link for text in texts(folder).values() for link in re.findall(r"\]\(([^)#]+)", text) if ":" not in link]
    assert len(linked) > 50
    assert not [link for link in linked if not (folder / link).exists()]
