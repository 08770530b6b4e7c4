"""What every notebook sets up first: parameters that fit, whole sentences in tables, errors in one sentence."""

import ast
from pathlib import Path

import pandas as pd
from pandas.io.formats.style import Styler

from memnet import paths
from memnet.publishing.items import IMAGES

KINDS = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "True or False"}


def setup(weights: str = "") -> None:
    """Prepare the running notebook; without IPython only the tables are.

    `weights` is a folder of networks of the reader's own, as of `paths.use_weights`. Raises ValueError for a parameter
    of another type than the notebook declares.
    """
    pd.set_option("display.max_colwidth", None)  # pandas cuts sentences at 50 characters
    shell = running_shell()
    if shell is None:
        return
    shell.set_custom_exc((ValueError, KeyboardInterrupt), one_sentence)
    shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, html_of)
    shell.display_formatter.formatters["text/html"].for_type(Styler, html_of_styled)
    shell.display_formatter.formatters["text/plain"].for_type(
        Path, lambda path, printer, cycle: printer.text(short(path))
    )
    check_parameters(shell.user_ns["In"], shell.user_ns)
    paths.use_weights(weights)


def short(path: Path) -> str:
    """A path from the root of the clone on, where it is inside: the same on every machine."""
    return str(path.relative_to(paths.ROOT) if path.is_relative_to(paths.ROOT) else path)


def html_of(table: pd.DataFrame) -> str:
    """The HTML that pandas makes of a table, with sentences and their headings aligned to the left."""
    head, body = table._repr_html_().split("<tbody>")
    left = [not pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    head = "<tr".join(aligned(row, "th", [False] * table.index.nlevels + left) for row in head.split("<tr"))
    return "<tbody>".join([head, "<tr".join(aligned(row, "td", left) for row in body.split("<tr"))])


def html_of_styled(table: Styler) -> str:
    """The same for a table with formats of its own."""
    texts = [name for name, kind in table.data.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    to_the_left = [{"selector": "th, td", "props": "text-align: left"}]
    return table.set_table_styles(dict.fromkeys(texts, to_the_left), overwrite=False)._repr_html_()


def aligned(row: str, tag: str, left: list[bool]) -> str:
    """A row of an HTML table in which the cells that `left` says are aligned to the left; others have other cells."""
    before, *cells = row.split(f"<{tag}>")
    if len(cells) != len(left):
        return row
    styles = [' style="text-align: left"' if is_left else "" for is_left in left]
    return before + "".join(f"<{tag}{style}>{cell}" for style, cell in zip(styles, cells, strict=True))


def running_shell():
    """The IPython shell of this notebook, None outside one."""
    from IPython import get_ipython

    return get_ipython()


def check_parameters(cells: list[str], values: dict) -> None:
    """ValueError for a value of another type than its parameter's, and for other `images` than there are.

    `cells` are the sources that have run: parameters are their lines NAME: TYPE = VALUE.
    """
    for name, kind in declared(cells).items():
        value = values[name]
        if type(value).__name__ != kind and not (kind == "float" and type(value) is int):
            raise ValueError(f"the parameter {name} is {KINDS[kind]}, got {value!r}: change it in the first code cell")
    if values.get("images", IMAGES[0]) not in IMAGES:
        raise ValueError(f"the parameter images is {' or '.join(IMAGES)}, got {values['images']!r}")


def declared(cells: list[str]) -> dict[str, str]:
    """The parameters that cells declare, and their types by name; cells that are no plain Python declare none."""
    found = {}
    for cell in cells:
        try:
            lines = ast.parse(cell).body
        except SyntaxError:  # magics
            continue
        for line in lines:
            if isinstance(line, ast.AnnAssign) and getattr(line.annotation, "id", None) in KINDS:
                found[line.target.id] = line.annotation.id
    return found


def one_sentence(shell, kind: type, error: BaseException, trace, tb_offset=None) -> list[str]:
    """Show an error for users as its sentence, without the traceback; a cell that fails so still fails."""
    lines = [f"{kind.__name__}: {str(error) or 'stopped'}"]
    shell._showtraceback(kind, error, lines)
    return lines
