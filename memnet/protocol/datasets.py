"""Images by the name of their set: the manifest, the embedded set, fetching, checking, packing."""

import csv
import hashlib
import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from memnet import paths
from memnet.download import File, download_all
from memnet.paths import atomic_write, images_root
from memnet.protocol import degradations, images, photographs

EMBEDDED_SIZE = 192  # largest edge of an embedded image; a multiple of every scale and of the blocks of JPEG
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


MANIFEST_FORMAT = {  # what each column of the manifest matches
    "dataset": r"[\w/]+",
    "path": r"[\w ./()+-]+",
    "bytes": r"[0-9]{1,12}",
    "sha256": r"[0-9a-f]{64}",
    "url": r"https?://\S+",
}


@dataclass(frozen=True)
class Source:
    """Where a data set's channels come from: a folder of the manifest and what is made of each image."""

    folder: str
    channel: Callable[[np.ndarray], np.ndarray]


def half_gray(image: np.ndarray) -> np.ndarray:
    """Gray of the image halved in colour (RED's BSD200): uint8 (H, W, 3) to uint8 (H/2, W/2), rounded up."""
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
    "embedded": ("embedded",),  # no run's own: for a training without the benchmark images
}


@dataclass(frozen=True)
class Picture:
    """A named uint8 channel (H, W)."""

    name: str
    pixels: np.ndarray


class Pictures(Sequence):
    """Named channels that are read when they are asked for."""

    def __init__(self, names: Sequence[str], read: Callable[[int], np.ndarray]):
        self.names, self.read = list(names), read

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int | slice) -> "Picture | Pictures":
        if isinstance(index, slice):
            chosen = range(len(self))[index]
            return Pictures([self.names[i] for i in chosen], lambda i: self.read(chosen[i]))
        return Picture(self.names[index], self.read(range(len(self))[index]))

    def named(self, name: str) -> "Picture":
        """The image of that name; ValueError with all the names when there is none."""
        if name not in self.names:
            raise ValueError(f"unknown image {name!r}: choose one of {', '.join(self.names)}")
        return self[self.names.index(name)]


@cache
def manifest() -> tuple[dict, ...]:
    """Rows of data/manifest.csv: dataset, path, bytes (int), sha256 and url of every original file.

    Raises ValueError, with the file and its line, when a row is broken or its path leaves the images' folder, and when
    the file is not what SHA256SUMS beside it says.
    """
    reader = csv.DictReader(io.StringIO(paths.checked_text(paths.MANIFEST)))
    rows = tuple(check_entry(row, f"{paths.MANIFEST}, line {reader.line_num}") for row in reader)
    if not rows:
        raise ValueError(f"{paths.MANIFEST} holds no file: restore it from the repository")
    return rows


def check_entry(row: dict, where: str) -> dict:
    """A row of the manifest with its bytes as int; ValueError, which begins with `where`, when it is broken."""
    if set(row) != set(MANIFEST_FORMAT) or None in row.values():
        raise ValueError(f"{where}: a row has the columns {', '.join(MANIFEST_FORMAT)}: restore it from the repository")
    for name, pattern in MANIFEST_FORMAT.items():
        if not re.fullmatch(pattern, row[name]):
            raise ValueError(f"{where}: {row[name]!r} is no {name}: restore the file from the repository")
    if any(part in ("", ".", "..") for part in row["path"].split("/")):
        raise ValueError(f"{where}: the path {row['path']!r} leaves the images' folder: restore it from the repository")
    return {**row, "bytes": int(row["bytes"])}


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


def names(name: str) -> list[str]:
    """The names of a data set's images, in their order, whether they are on disk or not."""
    return list(EMBEDDED) if name == "embedded" else [Path(row["path"]).stem for row in entries(source(name).folder)]


def available(name: str) -> bool:
    """Whether every image of a data set can be read here."""
    return not missing(name)


def pictures(name: str) -> Pictures:
    """The channels of a data set as its protocol has them, read when asked for.

    Denoising sets are gray (BSD200 halved first), the others luma. Raises ValueError, with what is missing and where
    it may be put, when they are not on disk.
    """
    channel = images.luma if name == "embedded" else source(name).channel
    originals_of = originals(name)
    return Pictures(originals_of.names, lambda i: channel(originals_of.read(i)))


def originals(name: str) -> Pictures:
    """The images of a data set as their files have them, uint8 (H, W) or (H, W, 3); ValueError as `pictures`."""
    if name == "embedded":
        crops = embedded_colour()
        return Pictures([title for title, _, _ in crops], lambda i: crops[i][1])
    what = source(name)
    absent = missing(name)
    if absent:
        raise ValueError(
            f"{name} has {len(absent)} missing images ({absent[0]} is the first): run `memnet data fetch "
            f"{what.folder}`, or put a copy there, or name the folder that holds {what.folder} in MEMNET_DATA"
        )
    root = images_root()  # once: a pack is opened here
    paths = [root / row["path"] for row in entries(what.folder)]
    return Pictures([path.stem for path in paths], lambda i: read_original(paths[i]))


def read_original(path: Path | zipfile.Path) -> np.ndarray:
    """The image of a file, or of one in a pack; ValueError, with its name, when it cannot be read."""
    if not isinstance(path, Path):
        packed_bytes(path)
    return images.read_picture(path)


def packed_bytes(path: zipfile.Path) -> bytes:
    """The content of a file in a pack; ValueError, with its name, when it cannot be read."""
    try:
        return path.read_bytes()
    except Exception as error:  # a damaged archive brings about errors of many kinds
        raise ValueError(f"{path} cannot be read, the pack is broken: make it again with `memnet data pack`") from error


def digest(name: str) -> str:
    """16 hexadecimal digits that name a data set's content; for all but the embedded set from the manifest alone."""
    if name == "embedded":
        return digest_of(f"{p.name} {hashlib.sha256(p.pixels.tobytes()).hexdigest()}" for p in pictures(name))
    return digest_of(f"{row['path']} {row['sha256']}" for row in entries(source(name).folder))


def digest_on_disk(name: str) -> str:
    """As `digest`, of the files that are on disk: the same where they are the originals, or where some are missing."""
    if name == "embedded" or not available(name):
        return digest(name)
    root = images_root()
    found = ((row["path"], original_sha256(root / row["path"])) for row in entries(source(name).folder))
    return digest_of(f"{path} {sha256}" for path, sha256 in found)


def digest_of(lines: Iterator[str]) -> str:
    """16 hexadecimal digits (SHA-256) of lines of text."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def folder(path: Path, *, channel: Callable[[np.ndarray], np.ndarray] = images.luma) -> Pictures:
    """The channels of all images of a folder, by name, with the suffix where names differ in that alone.

    Raises ValueError when there is none.
    """
    paths = picture_files(path)
    return Pictures(unique_stems(paths), lambda i: channel(images.read_picture(paths[i])))


def unique_stems(files: Sequence[Path]) -> list[str]:
    """The names of files without their suffix, and with it where they differ in that alone (or in small letters)."""
    stems = Counter(file.stem.casefold() for file in files)
    return [file.stem if stems[file.stem.casefold()] == 1 else file.name for file in files]


def picture_files(path: Path) -> list[Path]:
    """The files of a folder that are named like images, sorted; ValueError when there is none."""
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path} is no folder of images")
    suffixes = photographs.suffixes()
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    if not found:
        raise ValueError(f"{path} holds no image ({', '.join(suffixes)})")
    return found


def training_images(training_set: str) -> list[np.ndarray]:
    """The uint8 channels that a task is learned from; ValueError when they are not on disk or the name is unknown."""
    if training_set not in TRAINING_SETS:
        raise ValueError(f"unknown training set {training_set!r}: choose one of {', '.join(TRAINING_SETS)}")
    return [image.pixels for name in TRAINING_SETS[training_set] for image in pictures(name)]


@cache
def embedded_colour() -> tuple[tuple[str, np.ndarray, str], ...]:
    """(name, uint8 crop (H, W, 3) or (H, W) of at most 192x192, licence) of images inside scikit-image's package."""
    import skimage.data

    found = []
    for name, ((top, left), licence) in EMBEDDED.items():
        path = Path(skimage.data.__file__).parent / (f"{name}.jpg" if name == "rocket" else f"{name}.png")
        image = images.read_picture(path)
        found.append((name, image[top : top + EMBEDDED_SIZE, left : left + EMBEDDED_SIZE], licence))
    return tuple(found)


def folders(names: Sequence[str] = ()) -> list[str]:
    """The manifest's folders that hold these data sets, or are named; all of them when no name is given."""
    known = [what.folder for what in DATASETS.values()]
    chosen = [name if name in known else source(name).folder for name in names] or known
    return list(dict.fromkeys(chosen))


def check(names: Sequence[str] = ()) -> list[dict]:
    """The manifest's rows of these data sets (all by default) with folder and state: ok, missing, or different."""
    root = images_root()
    return [
        {**row, "folder": folder_name, "state": state_of(root / row["path"], row["sha256"])}
        for folder_name in folders(names)
        for row in entries(folder_name)
    ]


def state_of(path: Path | zipfile.Path, sha256: str) -> str:
    """Whether a file is ok, missing, or different from the original with that SHA-256."""
    if not path.is_file():
        return "missing"
    return "ok" if original_sha256(path) == sha256 else "different"


def original_sha256(path: Path | zipfile.Path) -> str:
    """SHA-256 of a file; in a pack, of the file that it was made from, or "" if it is not as it was packed."""
    if isinstance(path, Path):
        return sha256(path)
    original, _, packed = path.root.getinfo(path.at).comment.decode(errors="replace").partition(" ")
    return original if packed == hashlib.sha256(packed_bytes(path)).hexdigest() else ""


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differing(name: str) -> list[str]:
    """The files of a data set on disk that are not the manifest's; none of the embedded set."""
    if name == "embedded":
        return []
    return [row["path"] for row in check([source(name).folder]) if row["state"] == "different"]


def pack(file: Path, names: Sequence[str] = (), *, progress: bool = True) -> int:
    """Put the images of these data sets (all by default) into one file that MEMNET_DATA may name; its bytes.

    For machines that get few and small files: JPEG originals as they are, of the others the channel that their protocol
    uses, as PNG. Raises ValueError when images are missing or the file cannot be written.
    """
    chosen = {source(name).folder: name for name in names or DATASETS}
    for name in chosen.values():
        pictures(name)  # says what is missing
    rows = [(row, name) for folder_name, name in chosen.items() for row in entries(folder_name)]
    root = images_root()
    try:
        with atomic_write(file) as partial, zipfile.ZipFile(partial, "w") as archive:
            for row, name in tqdm(rows, unit="image", desc="packing", disable=None if progress else True):
                entry = zipfile.ZipInfo(row["path"])
                content = small_bytes(root / row["path"], source(name))
                sums = original_sha256(root / row["path"]), hashlib.sha256(content).hexdigest()
                entry.comment = " ".join(sums).encode()
                archive.writestr(entry, content)
    except OSError as error:
        raise ValueError(f"{file} cannot be written ({error.strerror})") from error
    return file.stat().st_size


def small_bytes(path: Path, what: Source) -> bytes:
    """An image's file if it is a JPEG, otherwise the channel that its protocol uses, as PNG."""
    if path.suffix == ".jpg":
        return path.read_bytes()
    content = io.BytesIO()
    Image.fromarray(what.channel(images.read_picture(path))).save(content, "PNG", optimize=True)
    return content.getvalue()


def fetch(names: Sequence[str] = (), *, jobs: int = 8, overwrite: bool = False, progress: bool = True) -> int:
    """Download the missing files of these data sets (all by default) into the images' folder; how many came.

    With `overwrite` also those that differ from the manifest. Every file is checked by its SHA-256 and appears whole or
    not at all, so a fetch that is stopped goes on where it was. Raises ValueError, with the first reason and what to
    do, when some did not come, or when files that differ are there.
    """
    root = images_root()
    if not isinstance(root, Path):
        raise ValueError(f"{root} is a pack of images: let MEMNET_DATA name a folder to fetch into")
    states = check(names)
    replaced = ("missing", "different") if overwrite else ("missing",)
    rows = [row for row in states if row["state"] in replaced]
    files = [File(root / row["path"], row["url"], row["sha256"], row["bytes"]) for row in rows]
    failures = download_all(files, jobs=jobs, progress=progress)
    if failures:
        left = sum(row["state"] in replaced for row in check(names))
        raise ValueError(
            f"{left} of {len(rows)} files did not come (the first: {failures[0]}). Run the command again when the "
            f"network is there, or put copies under {root} by the paths of data/manifest.csv"
        )
    different = [row["path"] for row in states if row["state"] not in ("ok", *replaced)]
    if different:
        raise ValueError(
            f"{len(different)} files in {root} are not the originals (the first: {different[0]}): they are kept, "
            "--overwrite replaces them"
        )
    return len(rows)
