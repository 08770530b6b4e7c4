"""Gather the sources of the site in one folder: executed notebooks, pages, networks, what the pages load."""

import re
import shutil
import sys
from pathlib import Path

import nbformat

from memnet import paths
from memnet.cli import export
from memnet.protocol import tasks
from memnet.study import registry

HERE = Path(__file__).resolve().parent
PAGES = ("README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml")
FOLDERS = ("docs", "figures", "benchmarks", "binder")
MATHJAX = "mathjax/es5"
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
EQUATION = re.compile(r"^(\$\$.*?)\\quad \((\d+)(?:\\text\{-\}(\d+))?\)\$\$$", re.MULTILINE)
BADGE = re.compile(r"!\[(\w+)\]\(https://[^)]+\)")
REFERENCE = re.compile(r"(?<![\w\[])eqs?\. (\d+)(?:-(\d+))?")


def prepare(executed: Path, npm: Path, source: Path) -> None:
    """Replace the folder `source` by what is made from the notebooks in `executed` and the npm packages in `npm`.

    Raises ValueError where a notebook of notebooks/ has not been executed.
    """
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("prepare.py", "package.json", "__pycache__"))
    copy_pages(source)
    copy_notebooks(executed, source / "notebooks")
    write_api(source / "api")
    shutil.copytree(npm / MATHJAX, source / "_static" / "mathjax")
    (source / "_static" / "ort").mkdir()
    for name in RUNTIME:
        shutil.copy(npm / "onnxruntime-web" / "dist" / name, source / "_static" / "ort")
    for task in tasks.TASKS:
        export(registry.run_for(task, None), source / "_static" / "networks" / f"{task}.onnx")


def copy_pages(source: Path) -> None:
    """Copy the pages of the repository, in its folders, so that their links to each other hold."""
    for name in filter(lambda name: (paths.ROOT / name).is_file(), PAGES):
        shutil.copy(paths.ROOT / name, source)
    (source / "README.md").write_text(
        without_badges((source / "README.md").read_text(encoding="utf-8")), encoding="utf-8"
    )
    for name in FOLDERS:
        shutil.copytree(paths.ROOT / name, source / name, ignore=shutil.ignore_patterns("*.json"))
    (source / "data" / "weights").mkdir(parents=True)
    for name in ("README.md", "manifest.csv", "weights.csv", "weights/README.md"):
        shutil.copy(paths.DATA / name, source / "data" / name)


def without_badges(text: str) -> str:
    """Markdown whose badges, images of other servers, are plain links."""
    return BADGE.sub(r"\1", text)


def copy_notebooks(executed: Path, target: Path) -> None:
    """Copy executed notebooks as pages: equations numbered, without injected parameters and the state of widgets."""
    target.mkdir()
    books = {path.name: nbformat.read(executed / path.name, as_version=4) for path in sources(executed)}
    numbers = {number for book in books.values() for number in equations(book)}
    linked = set()
    for name, book in books.items():
        book.cells = [cell for cell in book.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
        book.metadata.pop("widgets", None)
        for cell in book.cells:
            if cell.cell_type == "markdown":
                cell.source = with_references(with_numbers(cell.source, linked), numbers)
            else:
                cell.outputs = [output for output in cell.outputs if not names_temporary_folder(output)]
        nbformat.write(book, target / name)


def names_temporary_folder(output: nbformat.NotebookNode) -> bool:
    """Whether an output is only the folder, gone since, in which the notebook worked."""
    return f"/{paths.TEMPORARY}" in output.get("data", {}).get("text/plain", "")


def sources(executed: Path) -> list[Path]:
    """The notebooks of the repository; ValueError where one has not been executed, or not to its end."""
    notebooks = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
    missing = [path.name for path in notebooks if not complete(executed / path.name)]
    if missing:
        command = "`memnet reproduce --images embedded`"
        raise ValueError(f"{executed} lacks {', '.join(missing)}, or an error ended them: run {command} first")
    return notebooks


def complete(path: Path) -> bool:
    """Whether a notebook is there and no cell of it ended with an error."""
    if not path.is_file():
        return False
    cells = nbformat.read(path, as_version=4).cells
    return all(output.output_type != "error" for cell in cells for output in cell.get("outputs", []))


def equations(book: nbformat.NotebookNode) -> set[int]:
    """The paper's numbers of the equations in a notebook."""
    text = "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    ranges = (range(int(m[2]), int(m[3] or m[2]) + 1) for m in EQUATION.finditer(text))
    return {number for numbers in ranges for number in numbers}


def with_numbers(text: str, linked: set[int]) -> str:
    """Markdown with the paper's equation numbers as tags, and a target for links where a number appears first."""

    def tagged(match: re.Match) -> str:
        numbers = [n for n in range(int(match[2]), int(match[3] or match[2]) + 1) if n not in linked]
        linked.update(numbers)
        targets = "".join(f"(eq-{number})=\n" for number in numbers)
        span = f"{match[2]}-{match[3]}" if match[3] else match[2]
        return f"\n{targets}{match[1]}\\tag{{{span}}}$$\n"

    return EQUATION.sub(tagged, text)


def with_references(text: str, numbers: set[int]) -> str:
    """Markdown whose `eq. N` and `eqs. N-M` are links where equation N is on the site."""
    return REFERENCE.sub(lambda m: f"[{m[0]}](#eq-{m[1]})" if int(m[1]) in numbers else m[0], text)


def write_api(folder: Path) -> None:
    """One page for the public names and one for each sub-package, from the docstrings."""
    folder.mkdir()
    pages = sorted(path.parent.name for path in paths.PACKAGE.glob("*/__init__.py"))
    public = "memnet\n======\n\n.. automodule:: memnet\n   :members:\n   :imported-members:\n\n"
    toctree = ".. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {page}\n" for page in pages)
    (folder / "index.rst").write_text(public + toctree)
    for page in pages:
        modules = [f"memnet.{page}.{path.stem}" for path in sorted((paths.PACKAGE / page).glob("[a-z]*.py"))]
        parts = [f"{name}\n{'-' * len(name)}\n\n.. automodule:: {name}\n   :members:\n\n" for name in modules]
        (folder / f"{page}.rst").write_text(f"memnet.{page}\n{'=' * (len(page) + 7)}\n\n" + "".join(parts))


if __name__ == "__main__":
    try:
        prepare(*map(Path, sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"site: {error}")
