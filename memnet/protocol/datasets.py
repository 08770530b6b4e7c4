"""Pictures by the name of their set: the manifest, the embedded set, fetching, checking, packing."""

import csv
import hashlib
import io
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from memnet import paths
from memnet.extras import require
from memnet.paths import atomic_write, images_root
from memnet.protocol import degradations, images

EMBEDDED_SIZE = 192  # largest edge of an embedded picture; a multiple of every scale and of the blocks of JPEG
EMBEDDED = {
    # scikit-image's name: (upper left corner of the crop, licence as scikit-image's documentation states it)
    "astronaut": ((0, 104), "public domain (NASA)"),
    "brick": ((124, 124), "CC0 (CC0Textures)"),
    "camera": ((54, 124), "CC0 by the photographer, Lav Varshney"),
    "chelsea": ((24, 100), "CC0 by the photographer, Stefan van der Walt"),
    "coffee": ((84, 174), "CC0 by the photographer, Rachel Michetti"),
    "coins": ((20, 24), "no known copyright restrictions (Brooklyn Museum)"),
    "gravel": ((124, 124), "CC0 (CC0Textures)"),
    "rocket": ((84, 224), "public domain (SpaceX)"),
}


@dataclass(frozen=True)
class Source:
    """Where a data set's planes come from: a folder of the manifest and what is made of each picture."""

    folder: str
    plane: Callable[[np.ndarray], np.ndarray]


def half_gray(image: np.ndarray) -> np.ndarray:
    """Gray of the picture halved in colour (RED's BSD200): uint8 (H, W, 3) to uint8 (H/2, W/2), rounded up."""
    channels = image[..., None] if image.ndim == 2 else image
    halves = [degradations.imresize(images.to_float(channels[..., c]), 0.5) for c in range(channels.shape[2])]
    return images.gray(images.to_uint8(np.stack(halves, axis=-1).squeeze()))


DATASETS = {
    "S14": Source("S14", images.gray),
    "BSD200": Source("BSDS500/test", half_gray),
    "Set5": Source("Set5", images.luma),
    "Set14": Source("Set14", images.luma),
    "BSD100": Source("BSDS500/val", images.luma),
    "Urban100": Source("Urban100", images.luma),
    "Classic5": Source("Classic5", images.luma),
    "LIVE1": Source("LIVE1", images.luma),
    "T91": Source("T91", images.luma),
    "BSDS500/train": Source("BSDS500/train", images.luma),
    "BSDS500/train, gray": Source("BSDS500/train", images.gray),
    "BSDS500/val, gray": Source("BSDS500/val", images.gray),
}
TRAINING_SETS = {
    "BSD300": ("BSDS500/train, gray", "BSDS500/val, gray"),
    "BSD300-luma": ("BSDS500/train", "BSD100"),
    "291": ("T91", "BSDS500/train"),
    "91": ("T91",),
}


@dataclass(frozen=True)
class Picture:
    """A named uint8 plane (H, W)."""

    name: str
    plane: np.ndarray


class Pictures(Sequence):
    """Named planes that are read when they are asked for."""

    def __init__(self, names: Sequence[str], read: Callable[[int], np.ndarray]):
        self.names, self.read = list(names), read

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int | slice) -> "Picture | Pictures":
        if isinstance(index, slice):
            chosen = range(len(self))[index]
            return Pictures([self.names[i] for i in chosen], lambda i: self.read(chosen[i]))
        return Picture(self.names[index], self.read(range(len(self))[index]))


@cache
def manifest() -> tuple[dict, ...]:
    """Rows of data/manifest.csv: dataset, path, bytes (int), sha256 and url of every original file."""
    with paths.MANIFEST.open(newline="") as file:
        return tuple({**row, "bytes": int(row["bytes"])} for row in csv.DictReader(file))


def source(name: str) -> Source:
    """Where a set comes from; ValueError for the embedded set, and with all the names when there is none."""
    if name == "embedded":
        raise ValueError("the embedded set comes with scikit-image: there is nothing of it to check, fetch or pack")
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}: choose one of 'embedded', {', '.join(map(repr, DATASETS))}")
    return DATASETS[name]


def entries(folder: str) -> list[dict]:
    """The manifest's rows of a folder (a data set's, or all of it), numbers in names in their order.

    Raises ValueError with all the folders when the manifest has none of that name.
    """
    rows = [row for row in manifest() if row["path"].startswith(f"{folder}/")]
    if not rows:
        folders = sorted({row["path"].rpartition("/")[0] for row in manifest()})
        raise ValueError(f"unknown set of files {folder!r}: choose one of {', '.join(folders)}")
    return sorted(rows, key=lambda row: (len(Path(row["path"]).stem), row["path"]))


def missing(name: str) -> list[Path]:
    """Files of a data set that are not on disk."""
    if name == "embedded":
        return []
    root = images_root()
    return [root / row["path"] for row in entries(source(name).folder) if not (root / row["path"]).is_file()]


def available(name: str) -> bool:
    """Whether every picture of a data set can be read here."""
    return not missing(name)


def pictures(name: str) -> Pictures:
    """The planes of a data set as its protocol has them, read when asked for.

    Denoising sets are gray (BSD200 halved first), the others luma. Raises ValueError, with what is missing and where
    it may be put, when they are not on disk.
    """
    plane = images.luma if name == "embedded" else source(name).plane
    originals_of = originals(name)
    return Pictures(originals_of.names, lambda i: plane(originals_of.read(i)))


def originals(name: str) -> Pictures:
    """The pictures of a data set as their files have them, uint8 (H, W) or (H, W, 3); ValueError as `pictures`."""
    if name == "embedded":
        crops = embedded_colour()
        return Pictures([title for title, _, _ in crops], lambda i: crops[i][1])
    what = source(name)
    absent = missing(name)
    if absent:
        raise ValueError(
            f"{name} has {len(absent)} missing pictures ({absent[0]} is the first): run `memnet data fetch "
            f"{what.folder}`, or put a copy there, or name the folder that holds {what.folder} in MEMNET_DATA"
        )
    root = images_root()  # once: a pack is opened here
    paths = [root / row["path"] for row in entries(what.folder)]
    return Pictures([path.stem for path in paths], lambda i: images.read_picture(paths[i]))


def digest(name: str) -> str:
    """16 hexadecimal digits that name a data set's content; for all but the embedded set from the manifest alone."""
    if name == "embedded":
        return digest_of(f"{p.name} {hashlib.sha256(p.plane.tobytes()).hexdigest()}" for p in pictures(name))
    return digest_of(f"{row['path']} {row['sha256']}" for row in entries(source(name).folder))


def digest_of(lines: Iterator[str]) -> str:
    """16 hexadecimal digits (SHA-256) of lines of text."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def folder(path: Path, *, plane: Callable[[np.ndarray], np.ndarray] = images.luma) -> Pictures:
    """The planes of all pictures of a folder, by name, with the suffix where names differ in that alone.

    Raises ValueError when there is none.
    """
    paths = picture_files(path)
    return Pictures(names_of(paths), lambda i: plane(images.read_picture(paths[i])))


def names_of(files: Sequence[Path]) -> list[str]:
    """The names of files without their suffix, and with it where they differ in that alone (or in small letters)."""
    stems = Counter(file.stem.casefold() for file in files)
    return [file.stem if stems[file.stem.casefold()] == 1 else file.name for file in files]


def picture_files(path: Path) -> list[Path]:
    """The files of a folder that are named like pictures, sorted; ValueError when there is none."""
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path} is no folder of pictures")
    suffixes = {".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"}
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    if not found:
        raise ValueError(f"{path} holds no picture ({', '.join(sorted(suffixes))})")
    return found


def training_planes(training_set: str) -> list[np.ndarray]:
    """The uint8 planes that a task is learned from; ValueError when they are not on disk or the name is unknown."""
    if training_set not in TRAINING_SETS:
        raise ValueError(f"unknown training set {training_set!r}: choose one of {', '.join(TRAINING_SETS)}")
    return [picture.plane for name in TRAINING_SETS[training_set] for picture in pictures(name)]


@cache
def embedded_colour() -> tuple[tuple[str, np.ndarray, str], ...]:
    """(name, uint8 crop (H, W, 3) or (H, W) of at most 192x192, licence) of pictures inside scikit-image's package."""
    import skimage.data

    found = []
    for name, ((top, left), licence) in EMBEDDED.items():
        path = Path(skimage.data.__file__).parent / (f"{name}.jpg" if name == "rocket" else f"{name}.png")
        image = images.read_picture(path)
        found.append((name, image[top : top + EMBEDDED_SIZE, left : left + EMBEDDED_SIZE], licence))
    return tuple(found)


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folders(names: Sequence[str] = ()) -> list[str]:
    """The manifest's folders that hold these data sets, or are named; all of them when no name is given."""
    known = [what.folder for what in DATASETS.values()]
    chosen = [name if name in known else source(name).folder for name in names] or known
    return list(dict.fromkeys(chosen))


def check(names: Sequence[str] = ()) -> list[dict]:
    """Every file of these data sets (all by default) with its state: ok, missing, or different from the manifest's."""
    root, states = images_root(), []
    for folder_name in folders(names):
        for row in entries(folder_name):
            path = root / row["path"]
            state = "missing" if not path.is_file() else "ok" if sha256(path) == row["sha256"] else "different"
            states.append({"folder": folder_name, "path": row["path"], "state": state})
    return states


def pack(file: Path, names: Sequence[str] = (), *, progress: bool = True) -> int:
    """Put the pictures of these data sets (all by default) into one file that MEMNET_DATA may name; its bytes.

    For machines that get few and small files: JPEG originals as they are, of the others the plane that their protocol
    uses, as PNG. Raises ValueError when pictures are missing or the file cannot be written.
    """
    chosen = {source(name).folder: name for name in names or DATASETS}
    for name in chosen.values():
        pictures(name)  # says what is missing
    rows = [(row, name) for folder_name, name in chosen.items() for row in entries(folder_name)]
    root = images_root()
    try:
        with atomic_write(file) as partial, zipfile.ZipFile(partial, "w") as archive:
            for row, name in tqdm(rows, unit="picture", desc="packing", disable=not progress):
                archive.writestr(row["path"], small_bytes(root / row["path"], source(name)))
    except OSError as error:
        raise ValueError(f"{file} cannot be written ({error.strerror})") from error
    return file.stat().st_size


def small_bytes(path: Path, what: Source) -> bytes:
    """A picture's file if it is a JPEG, otherwise the plane that its protocol uses, as PNG."""
    if path.suffix == ".jpg":
        return path.read_bytes()
    content = io.BytesIO()
    Image.fromarray(what.plane(images.read_picture(path))).save(content, "PNG", optimize=True)
    return content.getvalue()


def fetch(names: Sequence[str] = (), *, jobs: int = 8, progress: bool = True) -> int:
    """Download the missing files of these data sets (all by default) into the pictures' folder; how many came.

    Every file is checked by its SHA-256 and appears whole or not at all, so a fetch that is stopped goes on where it
    was. Raises ValueError, with the first reason and what to do, when some did not come.
    """
    root = images_root()
    if not isinstance(root, Path):
        raise ValueError(f"{root} is a pack of pictures: let MEMNET_DATA name a folder to fetch into")
    rows = [row for name in folders(names) for row in entries(name) if not (root / row["path"]).exists()]
    given_up, failures = threading.Event(), []

    def download(row: dict) -> None:
        if not given_up.is_set():
            try:
                download_file(row, root)
            except (OSError, ValueError) as error:
                failures.append(f"{row['path']} from {row['url']}: {error}")
                if len(failures) >= 3:
                    given_up.set()

    with ThreadPoolExecutor(jobs) as pool:
        done = pool.map(download, rows)
        for _ in tqdm(done, total=len(rows), unit="file", desc="fetching", disable=not progress):
            pass
    left = [row for row in rows if not (root / row["path"]).exists()]
    if left:
        raise ValueError(
            f"{len(left)} of {len(rows)} pictures did not come (the first: {failures[0]}). Run the command again when "
            f"the network is there, or put copies under {root} by the paths of data/manifest.csv"
        )
    return len(rows)


def download_file(row: dict, root: Path) -> None:
    """Fetch one file of the manifest with three tries; OSError or ValueError when it does not come as it should."""
    pooch = require("pooch", extra="fetch", purpose="fetching files")
    pooch.get_logger().setLevel("ERROR")
    target = root / row["path"]
    target.parent.mkdir(parents=True, exist_ok=True)  # pooch asks and then makes it, which jobs side by side trip over
    known = {row["path"]: f"sha256:{row['sha256']}"}
    store = pooch.create(root, "", registry=known, urls={row["path"]: row["url"]}, retry_if_failed=2)
    store.fetch(row["path"], downloader=pooch.HTTPDownloader(timeout=30))
    assert target.is_file()
