"""Where things lie: the folders of the repository and of the pictures."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "figures"
DATA = ROOT / "data"
MANIFEST = DATA / "manifest.csv"
PAPER = DATA / "paper"
WEIGHTS = DATA / "weights"
RESULTS = DATA / "results"


def images_root() -> Path | zipfile.Path:
    """Where benchmark pictures are: MEMNET_DATA (a folder, or a file of `memnet data pack`), or else data/images.

    Raises ValueError when MEMNET_DATA names a file of another kind.
    """
    root = Path(os.environ.get("MEMNET_DATA") or DATA / "images")
    if not root.is_file():
        return root
    if not zipfile.is_zipfile(root):
        raise ValueError(f"MEMNET_DATA names {root}, which is neither a folder nor a file of `memnet data pack`")
    return zipfile.Path(root)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file that is to appear at `path` whole or not at all: it takes that name when all went well."""
    partial = path.with_name(f".memnet-{os.getpid()}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
