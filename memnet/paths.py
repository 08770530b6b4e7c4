"""Where things lie: the folders of the repository and of the pictures."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "figures"
DATA = ROOT / "data"
MANIFEST = DATA / "manifest.csv"
PAPER = DATA / "paper"
WEIGHTS = DATA / "weights"
RESULTS = DATA / "results"


def images_root() -> Path:
    """The folder where benchmark pictures are looked for: MEMNET_DATA, or data/images."""
    return Path(os.environ.get("MEMNET_DATA") or DATA / "images")
