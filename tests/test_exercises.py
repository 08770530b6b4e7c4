"""The worked solutions are right by the package's own measure, and wrong answers are told from right ones."""

import numpy as np
import pytest
import torch

from memnet.publishing import reproduction
from memnet.study import exercises
from memnet.study.exercises import EXERCISES


@pytest.mark.parametrize("name", EXERCISES)
def test_the_worked_solution_is_what_the_package_measures(name):
    answer = EXERCISES[name].solution()
    assert exercises.check(name, answer) == "right"
    wrong = exercises.as_array(answer) * 1.05
    assert exercises.check(name, wrong) == f"wrong: {EXERCISES[name].hint}"


@pytest.mark.parametrize("name", EXERCISES)
def test_the_source_of_a_solution_can_be_shown(name):
    assert exercises.solution(name).startswith(f"def {name}_solution()")


def test_no_answer_is_open_and_nonsense_is_wrong():
    assert exercises.check("noise") == "open"
    assert exercises.check("noise", "twenty").startswith("wrong: a number or an array of numbers is asked for, got str")
    assert exercises.check("gate", [640, 384]) == "wrong: the answer has the shape (3,), got (2,)"
    assert exercises.check("noise", float("nan")).startswith("wrong")
    with pytest.raises(ValueError, match="unknown exercise 'nose': choose one of noise"):
        exercises.check("nose", 1)


def test_lists_arrays_and_tensors_are_answers():
    right = EXERCISES["gate"].solution()
    assert {exercises.check("gate", kind(right)) for kind in (list, np.array, torch.tensor)} == {"right"}
    assert exercises.check("reach", torch.nn.Parameter(torch.tensor(8.0))) == "right"


def test_asking_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    exercises.given_network()
    assert torch.equal(before, torch.get_rng_state())


def test_a_sheet_keeps_answers_and_fills_in_solutions_if_asked(capsys):
    sheet = exercises.Sheet()
    sheet.answer("reach", 8)
    sheet.answer("unshared", 676_992)
    sheet.answer("noise")
    assert capsys.readouterr().out.splitlines()[0] == "reach: right"
    states = dict(sheet.table()[["exercise", "state"]].itertuples(index=False))
    assert (states["reach"], states["noise"], states["norms"]) == ("right", "open", "open")
    assert states["unshared"].startswith("wrong: each of the 6 blocks")
    solved = exercises.Sheet(solved=True)
    solved.answer("noise")
    assert dict(solved.table()[["exercise", "state"]].itertuples(index=False))["noise"] == "right"


@pytest.mark.notebooks
def test_the_notebook_asks_every_question_and_its_solutions_are_right(tmp_path):
    assert reproduction.reproduce(["exercises"], images="embedded", parameters={"solved": True}, output=tmp_path)
    sheet = (tmp_path / "embedded" / "exercises.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in sheet] == list(EXERCISES)
    assert all(line.endswith(",right") for line in sheet)
