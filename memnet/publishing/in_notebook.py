"""What every notebook sets up first: whole sentences in tables, errors in one sentence, paths as text."""

from pathlib import Path

import pandas as pd


def setup() -> None:
    """Prepare the running notebook; without IPython only the tables are."""
    pd.set_option("display.max_colwidth", None)  # pandas cuts sentences at 50 characters
    shell = running_shell()
    if shell is None:
        return
    shell.set_custom_exc((ValueError,), one_sentence)
    shell.display_formatter.formatters["text/plain"].for_type(
        Path, lambda path, printer, cycle: printer.text(str(path))
    )


def running_shell():
    """The IPython shell of this notebook, None outside one."""
    from IPython import get_ipython

    return get_ipython()


def one_sentence(shell, kind: type, error: BaseException, trace, tb_offset=None) -> list[str]:
    """Show an error for users as its sentence, without the traceback; a cell that fails so still fails."""
    lines = [f"{kind.__name__}: {error}"]
    shell._showtraceback(kind, error, lines)
    return lines
