"""The rules of the house: imports point one way, pins agree, notebooks are small, clean and hold no logic."""

import ast
import re
import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml

from memnet import paths
from memnet.publishing import records
from memnet.publishing.items import ITEMS

BASE = ("download", "paths", "extras", "checks")  # modules beside the packages, from the top down
LAYERS = ("cli", "publishing", "study", "training", "restoration", "protocol", "network", *BASE)

ORDER = {  # of the modules in each package, from the top down: a module imports only what is after it
    "publishing": "why report reproduction compare task_tables artifacts records notebooks in_notebook items "
    # teaching
    "classroom live widgets lesson_plots equations "
    # results
    "spectra_plots gate_plots result_plots plots schematics style tables printed",
    "study": "training_cost train_run seeds "
    # teaching
    "exercises code_exercises explorer walkthrough section4 "
    # results
    "pitfalls spectra gates store size analysis side_by_side evaluation registry provenance",
    "training": "loop selection budget state trainer sampler validation "
    "optimiser average loss config cuda_graph soap distributed",
    "restoration": "export files hints arrays tiling",
    "protocol": "datasets tasks degradations metrics images "
    # image files
    "photographs metadata pixels containers",
    "network": "checkpoints folded growth memory runtime model",
}
MODULES = [
    "cli",
    *(f"{package}.{name}" for package, names in ORDER.items() for name in names.split()),
    *BASE,
]
HEAVY = ("jupyterlab", "papermill", "nbclient", "requests", "matplotlib", "ipywidgets", "IPython")  # not for training
LITERALS = {"str": str, "int": int, "float": float, "bool": bool}
NOTEBOOK_FILES = sorted(paths.NOTEBOOKS.glob("*.ipynb"))


def imported_modules(source):
    """Dotted names of memnet's modules that a source imports, anywhere in it; __version__ is the package's own."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "memnet":
            here = node.module.removeprefix("memnet").removeprefix(".")
            inside = [f"{here}.{alias.name}".removeprefix(".") for alias in node.names]
            names += [name if name in MODULES else here for name in inside if name != "__version__"]
        elif isinstance(node, ast.Import):
            names += [alias.name.removeprefix("memnet.") for alias in node.names if alias.name.startswith("memnet")]
    return names


def source_of(module):
    return (paths.ROOT / "memnet" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


def test_every_module_has_its_place():
    package = paths.ROOT / "memnet"
    found = {".".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.py")}
    assert {name for name in found if not name.endswith("__init__")} == set(MODULES)
    assert {name.split(".")[0] for name in MODULES} == set(LAYERS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module):
    below = MODULES[MODULES.index(module) + 1 :]
    layers = LAYERS[LAYERS.index(module.split(".")[0]) :]
    upwards = [name for name in imported_modules(source_of(module)) if name not in below]
    assert not upwards, f"{module} imports {', '.join(upwards)}, which is not below it"
    assert {name.split(".")[0] for name in imported_modules(source_of(module))} <= set(layers)


def test_the_network_knows_neither_images_nor_data():
    for module in MODULES:
        if module.startswith(("network.", "protocol.")):
            outside = {name.split(".")[0] for name in imported_modules(source_of(module))}
            assert outside <= {module.split(".")[0], *BASE}, module


def test_an_import_that_points_upwards_would_be_found():
    source = (
        "from memnet import __version__\nfrom memnet.protocol import metrics\ndef f():\n    import memnet.cli\n"
        "    from memnet.study.registry import load\n"
    )
    assert imported_modules(source) == ["protocol.metrics", "cli", "study.registry"]


def test_training_and_evaluation_need_neither_jupyter_nor_matplotlib():
    code = f"import sys\nsys.modules.update(dict.fromkeys({HEAVY}))\n"
    code += "import memnet.cli, memnet.study.train_run, memnet.study.store\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.ROOT, check=False)
    assert done.returncode == 0, done.stderr


SILENT = """import random, numpy as np, torch
states = lambda: (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())
before = states()
import memnet, memnet.cli, memnet.publishing.reproduction, memnet.training.loop
assert states() == before
"""


def test_importing_memnet_seeds_and_prints_nothing():
    done = subprocess.run([sys.executable, "-c", SILENT], capture_output=True, text=True, cwd=paths.ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_commands_that_the_readme_names_are_there(project):
    from memnet import __version__, paths

    targets = set(re.findall(r"^([a-z-]+):", (paths.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set()
    for file in ("README.md", ".ci/run", "Makefile"):
        text = (paths.ROOT / file).read_text(encoding="utf-8")
        named |= set(re.findall(r"(?:^|`|echo \")make ([a-z-]+)", text, re.MULTILINE))
    assert {"reproduce", "test", "lab"} <= named <= targets
    assert "--constraint constraints.txt" in (paths.ROOT / "Makefile").read_text(encoding="utf-8")
    assert project["version"] == __version__


def test_the_citation_is_of_the_paper(project):
    citation = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = citation["preferred-citation"]
    assert paper["title"] == "MemNet: A Persistent Memory Network for Image Restoration"
    assert [author["family-names"] for author in paper["authors"]] == ["Tai", "Yang", "Liu", "Xu"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


def test_every_notebook_is_an_item_and_every_item_a_notebook():
    assert [path.name for path in NOTEBOOK_FILES] == sorted(item.notebook for item in ITEMS.values())


def code_of(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


notebooks = pytest.mark.parametrize("path", NOTEBOOK_FILES, ids=lambda path: path.stem)


@notebooks
def test_notebooks_are_committed_clean(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3"
    assert book.cells[0].cell_type == "markdown"
    assert book.cells[0].source.startswith("# ")
    assert all(not cell.outputs and cell.execution_count is None for cell in code_of(path))


TEACHING = {"14_exercises": 16}  # code cells: one an exercise


@notebooks
def test_notebooks_are_small(path):
    cells = code_of(path)
    assert len(cells) <= TEACHING.get(path.stem, 12)
    assert {cell.id: n for cell in cells if (n := len(list(filter(str.strip, cell.source.splitlines())))) > 15} == {}


@notebooks
def test_parameters_are_typed_literals_with_comments(path):
    tagged = [cell for cell in code_of(path) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    found = {}
    for line in tagged[0].source.splitlines():
        (node,) = ast.parse(line).body
        assert isinstance(node, ast.AnnAssign), f"{line!r} is not NAME: TYPE = LITERAL"
        assert type(node.value) is ast.Constant or isinstance(node.value, ast.UnaryOp), line
        assert type(ast.literal_eval(node.value)) is LITERALS[node.annotation.id], line
        assert re.search(r"  # \S", line), f"{line!r} has no comment"
        found[node.target.id] = ast.literal_eval(node.value)
    assert {"images": "embedded", "output": ""}.items() <= found.items()
    read = (node for cell in code_of(path) for node in ast.walk(ast.parse(cell.source)))
    assert set(found) <= {node.id for node in read if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def stored_names(cell):
    """The names that a cell assigns to, by statements and by loops, not inside of comprehensions."""
    tree = ast.parse(cell.source)
    inner = {
        id(name)
        for comprehension in ast.walk(tree)
        if isinstance(comprehension, ast.comprehension)
        for name in ast.walk(comprehension.target)
    }
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in inner)
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


@notebooks
def test_no_cell_assigns_to_a_parameter(path):
    cells = code_of(path)
    (parameters,) = [stored_names(cell) for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    others = [cell for cell in cells if "parameters" not in cell.metadata.get("tags", [])]
    assert {cell.id: lost for cell in others if (lost := stored_names(cell) & parameters)} == {}


@notebooks
def test_notebooks_say_what_one_learns_and_needs_and_how_long_it_takes(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    for words in ("**You learn** ", "**You should know** ", "**Minutes:** ", "**Paper:** [", "ICCV_2017_paper.html)"):
        assert words in "\n".join(cells[:2]), f"{path.name} does not say: {words}"
    assert "**Summary.** " in "\n".join(cells[-2:])


def test_notebooks_take_no_more_minutes_than_they_say():
    made = records.made().query("images == 'embedded'").set_index("item")
    for item in ITEMS.values():
        cells = nbformat.read(paths.NOTEBOOKS / item.notebook, as_version=4).cells[:2]
        text = "\n".join(cell.source for cell in cells)
        said = int(re.search(r"\*\*Minutes:\*\* (\d+)", text)[1])
        assert made.seconds.get(item.name, 0) <= 2 * 60 * said, f"{item.name} says {said} minutes"


def links_of(path):
    """Where the last cell of a notebook leads: {"Previous": file, "Next": file}."""
    text = nbformat.read(path, as_version=4).cells[-1].source
    return dict(re.findall(r"(Previous|Next): \[[^]]+\]\(([^)]+)\)", text))


def test_previous_and_next_lead_through_all_notebooks():
    links = {path.name: links_of(path) for path in NOTEBOOK_FILES}
    way = ["01_start.ipynb"]
    while "Next" in links[way[-1]] and len(way) <= len(links):
        following = links[way[-1]]["Next"]
        assert links[following]["Previous"] == way[-1]
        way.append(following)
    assert sorted(way) == sorted(links)


@notebooks
def test_links_of_notebooks_stay_among_the_notebooks(path):
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    targets = re.findall(r"\[[^]]+\]\(([^)#\s]+)\)", text)
    lost = [t for t in targets if (not t.startswith("https://") and not (path.parent / t).is_file()) or ".." in t]
    assert not lost, f"{path.name} links to {', '.join(lost)}, which JupyterLab does not find"


@notebooks
def test_notebooks_set_themselves_up(path):
    assert any(re.search(r"in_notebook\.setup\((weights)?\)", cell.source) for cell in code_of(path))


def loops_over_images(source):
    """Whether a source has a for statement whose iterable speaks of pictures."""
    loops = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.For))
    return any(re.search(r"pictures|images|images", ast.unparse(loop.iter)) for loop in loops)


@notebooks
def test_notebooks_define_no_class_and_no_function_and_loop_over_no_images(path):
    for cell in code_of(path):
        kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
        assert not kinds & {ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef}, cell.source
        assert not loops_over_images(cell.source), cell.source
    assert loops_over_images("for p in datasets.pictures('Set5'):\n    p")


def test_every_module_is_there_after_importing_the_package_alone():
    asked = ", ".join(f"memnet.{module.split('.')[-1]}" for module in MODULES)
    code = f"import memnet; {asked}; memnet.gates.gate_norms; print(hasattr(memnet, 'cellar'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.ROOT, check=True)
    assert done.stdout.strip() == "False"
