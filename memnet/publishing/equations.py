"""The equations of the paper beside the lines of the package that compute them, as a table for a notebook."""

from collections.abc import Sequence
from html import escape

from memnet.study.walkthrough import Equation

CELL = "text-align: left; vertical-align: top; white-space: normal"
CODE = "min-width: 36ch; background: none; white-space: pre-wrap; word-break: normal"  # lines break between words


class EquationTable:
    """Equations with three columns: equation and meaning, source, shape; HTML in a notebook, text elsewhere."""

    def __init__(self, equations: Sequence[Equation]):
        self.equations = tuple(equations)

    def _repr_html_(self) -> str:
        titles = ("", "equation", "in memnet", "shape of the left side")
        head = "".join(f'<th style="{CELL}">{title}</th>' for title in titles)
        return f"<table><tr>{head}</tr>{''.join(map(html_row, self.equations))}</table>"

    def __repr__(self) -> str:
        return "\n\n".join(f"({e.number}) {e.meaning}: {e.shape}\n{e.source}" for e in self.equations)


def html_row(equation: Equation) -> str:
    """One row of the table; the mathematics is left to the page's MathJax."""
    cells = (
        f"({equation.number})",
        f"${equation.latex}$<br>{escape(equation.meaning)}",
        f'<pre style="{CODE}">{escape(equation.source)}</pre><small>{escape(equation.function.__qualname__)}</small>',
        escape(equation.shape),
    )
    return f"<tr>{''.join(f'<td style={CELL!r}>{cell}</td>' for cell in cells)}</tr>"
