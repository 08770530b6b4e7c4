"""Run notebooks headless with papermill."""

import ast
import logging
import tempfile
from pathlib import Path

from memnet import paths
from memnet.extras import require
from memnet.publishing.items import Item


def declared(notebook: Path) -> dict:
    """Names and default values in the parameters cell of a notebook; ValueError when the file is not there."""
    papermill = require("papermill", extra="lab", purpose="running notebooks")
    if not notebook.is_file():
        raise ValueError(f"{notebook} is not there: run memnet from a checkout of the whole repository")
    parameters = papermill.inspect_notebook(literal_path(notebook))
    return {name: ast.literal_eval(parameter["default"]) for name, parameter in parameters.items()}


def literal_path(path: Path) -> str:
    """A path for papermill, which takes braces in it for parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


class NotebookFailed(Exception):
    """A notebook stopped at an error; its message is one line."""


def execute(item: Item, parameters: dict, folder: Path) -> None:
    """Run a notebook with papermill into `folder`; NotebookFailed with the error's first line when a cell fails."""
    from nbclient.exceptions import DeadKernelError

    source = paths.NOTEBOOKS / item.notebook
    known = declared(source)
    folder.mkdir(parents=True, exist_ok=True)
    given = {name: value for name, value in parameters.items() if name in known}
    try:
        try:
            run_notebook(source, folder / item.notebook, given)
        except DeadKernelError:  # killed from outside, say for memory: the one failure that another try can mend
            run_notebook(source, folder / item.notebook, given)
    except RuntimeError as error:
        raise NotebookFailed(f"{item.notebook}, kernel: {str(error).splitlines()[0]}") from error


def run_notebook(source: Path, executed: Path, parameters: dict) -> None:
    """Run `source` in an empty working folder, its cells and outputs written to `executed`; NotebookFailed on errors.

    The kernel has 300 s to start; its channels are encrypted where ZeroMQ can (ipykernel warns about plain ones in
    every notebook).
    """
    import papermill
    from traitlets.config import Config

    options = {
        "kernel_name": "python3",
        "language": "python",
        "start_timeout": 300,
        "store_widget_state": False,  # a page would fetch widgets from the network in place of the image beside them
        "kernel_manager_class": kernel_manager_class(),
        "config": Config(
            KernelManager={"transport_encryption": "auto"}, NotebookClient={"shutdown_kernel": "immediate"}
        ),
    }
    for name in ("papermill", "asyncio"):  # what they log is raised as well, or is of a kernel that Ctrl-C stopped
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as empty:
        try:
            papermill.execute_notebook(literal_path(source), literal_path(executed), parameters, cwd=empty, **options)
        except papermill.PapermillExecutionError as error:
            where = f"cell {error.cell_index}: {error.ename}: {error.evalue}".splitlines()[0]
            raise NotebookFailed(f"{source.name}, {where} (see {executed})") from error


def kernel_manager_class() -> type:
    """A manager of kernels that run with the interpreter of this process, whatever kernels are installed."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernelManager(AsyncKernelManager):
        def _kernel_spec_manager_default(self) -> KernelSpecManager:
            return KernelSpecManager(kernel_dirs=[])  # no folder to search: ipykernel's own python3 is left

    return OwnKernelManager
