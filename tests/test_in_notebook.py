"""What a reader meets in a notebook: errors in one sentence, whole sentences in tables, no noise."""

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
        "from pathlib import Path\nPath('build') / 'figures'",
        f"import pandas as pd\npd.DataFrame({{'claim': [{sentence!r}]}})",
    )
    assert [output.output_type for output in error] == ["error"]
    assert error[0].traceback == [f"ValueError: {error[0].evalue}"]
    assert "enlarging" in error[0].evalue
    assert path[0].data["text/plain"] == "build/figures"
    assert sentence in table[0].data["text/html"]


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
