"""Run notebooks headless with papermill."""

import ast
import json
import tempfile
from pathlib import Path

from memnet import paths
from memnet.extras import require
from memnet.publishing.items import Item

EXECUTED = paths.ROOT / "build" / "executed"  # notebooks with their outputs, to read


def declared(notebook: Path) -> dict:
    """Names and default values in the parameters cell of a notebook; ValueError when the file is not there."""
    if not notebook.is_file():
        raise ValueError(f"{notebook} is not there: run memnet from a checkout of the whole repository")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    assert len(tagged) == 1, f"{notebook} has {len(tagged)} cells tagged parameters"
    tree = ast.parse("".join(tagged[0]["source"]))
    return {node.target.id: ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.AnnAssign)}


class NotebookFailed(Exception):
    """A notebook stopped at an error, which is told in one line."""


def execute(item: Item, parameters: dict, folder: Path) -> None:
    """Run a notebook with papermill into `folder`; NotebookFailed with the error's first line when a cell fails."""
    require("papermill", extra="lab", purpose="running notebooks")
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError

    known = declared(paths.NOTEBOOKS / item.notebook)
    folder.mkdir(parents=True, exist_ok=True)
    given = {name: value for name, value in parameters.items() if name in known}
    executed = folder / item.notebook
    try:
        try:
            run_notebook(paths.NOTEBOOKS / item.notebook, executed, given)
        except DeadKernelError:  # killed from outside, say for memory: the one failure that another try can mend
            run_notebook(paths.NOTEBOOKS / item.notebook, executed, given)
    except (RuntimeError, NoSuchKernel) as error:
        raise NotebookFailed(f"{item.notebook}, kernel: {str(error).splitlines()[0]}") from error


def run_notebook(source: Path, executed: Path, parameters: dict) -> None:
    """Run `source` in an empty working folder, its cells and outputs written to `executed`; NotebookFailed on errors.

    The kernel is this installation's python3, which has 300 s to start; its channels are encrypted where ZeroMQ can
    (ipykernel warns about plain ones in every notebook).
    """
    import papermill
    from traitlets.config import Config

    config = Config(KernelManager={"transport_encryption": "auto"})
    options = {"kernel_name": "python3", "language": "python", "start_timeout": 300, "config": config}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as empty:
        try:
            papermill.execute_notebook(str(source), str(executed), parameters, cwd=empty, **options)
        except papermill.PapermillExecutionError as error:
            where = f"cell {error.cell_index}: {error.ename}: {error.evalue}".splitlines()[0]
            raise NotebookFailed(f"{source.name}, {where} (see {executed})") from error
