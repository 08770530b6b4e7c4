"""What a reader meets in a notebook: errors in one sentence, whole sentences in tables, no noise."""

import re

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from memnet.publishing import in_notebook

SETUP = "from memnet.publishing import in_notebook\nin_notebook.setup()"


def run(*sources, allow_errors=True):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (SETUP, *sources)])
    NotebookClient(book, kernel_name="python3", allow_errors=allow_errors, startup_timeout=300).execute()
    return [cell.outputs for cell in book.cells[1:]]


@pytest.mark.notebooks
def test_a_bad_parameter_is_one_sentence_and_paths_and_tables_are_whole():
    sentence = "a sentence of more than fifty characters, which pandas alone would cut in the middle"
    error, path, table = run(
        "import memnet\nmemnet.PRESETS  # another line\nfrom memnet.protocol import tasks\ntasks.task('enlarging')",
        "from memnet import paths\npaths.BUILD / 'figures'",
        f"import pandas as pd\npd.DataFrame({{'claim': [{sentence!r}]}})",
    )
    assert [output.output_type for output in error] == ["error"]
    assert error[0].traceback == [f"ValueError: {error[0].evalue}"]
    assert "enlarging" in error[0].evalue
    assert path[0].data["text/plain"] == "build/figures"
    assert f'<td style="text-align: left">{sentence}' in table[0].data["text/html"]


def test_sentences_in_tables_are_aligned_to_the_left_and_numbers_are_not():
    table = pd.DataFrame({"claim": ["<a> sentence", "b"], "psnr": [1.5, 2.0]}, index=["x", "y"])
    html, left = in_notebook.html_of(table), ' style="text-align: left"'
    assert html.count(left) == 3
    assert f"<td{left}>&lt;a&gt; sentence</td>\n      <td>1.5</td>" in html
    assert f"<th{left}>claim</th>\n      <th>psnr</th>" in html
    assert html.replace(left, "") == table._repr_html_()
    wide = pd.DataFrame([["a"] * 9])
    with pd.option_context("display.max_columns", 4):  # the others are left out
        assert in_notebook.html_of(wide) == wide._repr_html_()


def test_formatted_tables_have_their_sentences_to_the_left_too():
    table = pd.DataFrame({"claim": ["a sentence"], "psnr": [1.5]})
    html = in_notebook.html_of_styled(table.style.format(precision=1).hide())
    style, rows = html.split("</style>")
    assert re.findall(r"(t[hd])\.(col\d) \{\s*text-align: left", style) == [("th", "col0"), ("td", "col0")]
    assert ">a sentence<" in rows


@pytest.mark.notebooks
def test_a_cell_that_fails_in_one_sentence_still_stops_the_notebook():
    with pytest.raises(CellExecutionError, match="ValueError: too few"):
        run("raise ValueError('too few')", allow_errors=False)


def test_without_ipython_only_tables_are_prepared():
    before = pd.get_option("display.max_colwidth")
    try:
        in_notebook.setup()
        assert pd.get_option("display.max_colwidth") is None
    finally:
        pd.set_option("display.max_colwidth", before)


@pytest.mark.notebooks
def test_a_parameter_of_another_type_is_one_sentence():
    declared = "steps: int = 400  # length\nrate: float = 2.0  # peak"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in (declared, "steps = '400'", SETUP)])
    NotebookClient(book, kernel_name="python3", allow_errors=True, startup_timeout=300).execute()
    (error,) = book.cells[2].outputs
    assert error.traceback == [
        "ValueError: the parameter steps is a whole number, got '400': change it in the first code cell"
    ]


def test_parameters_of_their_types_pass_and_magics_declare_none():
    cells = ["", "%matplotlib inline", "n: int = 3  # images\nx: float = 0.5  # share", "n = 4"]
    assert in_notebook.declared(cells) == {"n": "int", "x": "float"}
    in_notebook.check_parameters(cells, {"n": 4, "x": 2})
    with pytest.raises(ValueError, match="images is embedded or benchmark, got 'mine'"):
        in_notebook.check_parameters([], {"images": "mine"})
    with pytest.raises(ValueError, match="the parameter n is a whole number, got True"):
        in_notebook.check_parameters(cells, {"n": True, "x": 2.0})
