"""The worked solutions are right by the package's own measure, and wrong answers are told from right ones."""

import numpy as np
import pytest
import torch

from memnet.publishing import reproduction
from memnet.study import code_exercises, exercises
from memnet.study.code_exercises import CODE_EXERCISES
from memnet.study.exercises import EXERCISES

NUMBERS = [name for name in EXERCISES if name not in CODE_EXERCISES]


@pytest.mark.parametrize("name", NUMBERS)
def test_the_worked_solution_is_what_the_package_measures(name):
    answer = EXERCISES[name].solution()
    assert exercises.check(name, answer) == "right"
    wrong = exercises.as_array(answer) * 1.05
    assert exercises.check(name, wrong) == f"wrong: {EXERCISES[name].hint}"


@pytest.mark.parametrize("name", NUMBERS)
def test_answers_rounded_to_two_decimals_are_right(name):
    assert exercises.check(name, np.round(exercises.as_array(EXERCISES[name].solution()), 2)) == "right"


@pytest.mark.parametrize("name", CODE_EXERCISES)
def test_a_function_is_compared_with_the_package_and_common_mistakes_have_hints(name):
    exercise = CODE_EXERCISES[name]
    assert exercises.check(name, exercise.solution) == "right"
    for hint, mistake in exercise.mistakes:
        assert exercises.check(name, mistake) == f"wrong: {hint}"
    other = lambda *arguments: code_exercises.numbers(exercise.solution(*arguments)) + 0.1  # noqa: E731
    assert exercises.check(name, other) == f"wrong: {exercise.hint}"


def test_a_function_that_cannot_be_compared_gets_one_sentence():
    sentences = [
        exercises.check("loss", answer)
        for answer in ("alpha", lambda y: y, lambda *a: None, lambda *a: "small", lambda *a: torch.ones(3))
    ]
    assert sentences[0] == "wrong: a function is asked for, got str"
    assert sentences[1].startswith("wrong: the function raises TypeError: ")
    assert sentences[2] == sentences[3] == code_exercises.NO_NUMBERS
    assert sentences[4] == "wrong: the result has the shape (), got (3,)"


@pytest.mark.parametrize("name", EXERCISES)
def test_the_source_of_a_solution_can_be_shown(name):
    expected = f"def {name}(" if name in CODE_EXERCISES else f"def {name}_solution()"
    assert exercises.solution(name).startswith(expected)


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
    assert exercises.check("radius", torch.nn.Parameter(torch.tensor(8.0))) == "right"


def test_asking_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    exercises.given_network()
    assert torch.equal(before, torch.get_rng_state())


def test_a_sheet_keeps_answers_and_fills_in_solutions_if_asked(capsys):
    sheet = exercises.Sheet()
    sheet.answer("radius", 8)
    sheet.answer("unshared", 676_992)
    sheet.answer("noise")
    sheet.answer("loss")
    right, _, number, function = capsys.readouterr().out.splitlines()
    assert right == "radius: right"
    assert number == "noise: open: put your answer in the place of None and run this cell again"
    assert function == "loss: open: put the name of your function in the place of None and run this cell again"
    states = dict(sheet.table()[["exercise", "state"]].itertuples(index=False))
    assert (states["radius"], states["noise"], states["norms"]) == ("right", "open", "open")
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
