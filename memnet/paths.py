"""The folders of the repository and of the images, and how files are written."""

import hashlib
import os
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: files have no such locks there, and what a kill leaves behind stays
    fcntl = None

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "figures"
BUILD = ROOT / "build"
INSTALLED = PACKAGE / "data"  # the part of data/ that a wheel holds; not there in a checkout
DATA = INSTALLED if INSTALLED.is_dir() else ROOT / "data"
MANIFEST = DATA / "manifest.csv"
PAPER = DATA / "paper"
# What is fetched, trained or measured: in a checkout into data/, with an installed package into the user's cache.
OWN = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memnet" if INSTALLED.is_dir() else DATA
WEIGHTS = Path(os.environ.get("MEMNET_WEIGHTS") or OWN / "weights").expanduser()
RESULTS = Path(os.environ.get("MEMNET_RESULTS") or OWN / "results").expanduser()
OWN_WEIGHTS: Path | None = None  # a folder whose networks go before those in WEIGHTS; `use_weights` sets it
TEMPORARY = ".memnet-"  # how the names of unfinished files begin


def own_folder(name: str) -> Path:
    """A folder of the reader's own: a relative path starts at the root of the clone."""
    return ROOT / Path(name).expanduser()


def use_weights(folder: str) -> None:
    """Take networks from `own_folder`, where it has them, from now on; rows of these go to its folder results.

    "" stands for the project's networks alone. Raises ValueError where there is no such folder.
    """
    global OWN_WEIGHTS
    own = own_folder(folder) if folder else None
    if own and not own.is_dir():
        raise ValueError(f"there is no folder {own} with weights: 18_train makes one")
    OWN_WEIGHTS = own


def images_root() -> Path | zipfile.Path:
    """Where benchmark images are: MEMNET_DATA (a folder, or a file of `memnet data pack`), or else OWN/images.

    Raises ValueError when MEMNET_DATA names a file of another kind.
    """
    root = Path(os.environ.get("MEMNET_DATA") or OWN / "images").expanduser()
    if not root.is_file():
        return root
    try:
        return zipfile.Path(root)
    except Exception as error:  # a damaged archive brings about errors of many kinds
        raise ValueError(
            f"MEMNET_DATA names {root}, which is neither a folder nor a whole file of `memnet data pack` ({error})"
        ) from error


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary file to write to, which takes the name `path` when all went well, and goes when not.

    It lies in the same folder under a name of its own, so writers side by side cannot mix their files. It is on the
    disk before it is renamed, so a power cut leaves the old content or the new one. Its mode follows the umask. A link
    is followed. Raises ValueError when `path` is a folder, a device, a pipe or a link that leads in a circle, and
    OSError when it cannot be written.
    """
    path = Path(os.path.realpath(path))
    if path.is_symlink():
        raise ValueError(f"{path} is a link that leads in a circle: give another name")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a folder, a device or a pipe: give the name of a file to write")
    remove_leftovers(path.parent)
    descriptor, partial = locked_file(path)
    try:
        mode = os.fstat(descriptor).st_mode & 0o777
        yield partial
        partial.chmod(mode)  # some writers make files for their owner alone
        sync(partial)
        os.close(descriptor)
        descriptor = None
        os.replace(partial, path)
        with suppress(OSError):  # not every system opens folders
            sync(path.parent)
    finally:
        if descriptor is not None:
            os.close(descriptor)
        partial.unlink(missing_ok=True)


def checked_text(path: Path) -> str:
    """The text of a file that SHA256SUMS, beside it, names; ValueError unless it is what that says.

    The sum is over the text with line ends of one character, so that checkouts on Windows have it too. A file that is
    changed on purpose gets a new line there: `sha256sum *.csv > SHA256SUMS`.
    """
    try:
        text = path.read_text(encoding="utf-8")
        lines = (path.parent / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}): restore it from the repository") from error
    if f"{hashlib.sha256(text.encode()).hexdigest()}  {path.name}" not in lines:
        raise ValueError(f"{path} is not what SHA256SUMS beside it says: restore both from the repository")
    return text


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8 by `atomic_write`, with its line ends as they are."""
    with atomic_write(path) as partial:
        partial.write_bytes(text.encode())


def locked_file(path: Path) -> tuple[int, Path]:
    """A new empty file in the folder of `path`, of its suffix, locked while its descriptor is open."""
    while True:
        partial = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix}")
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if partial.exists():  # `remove_leftovers` of another process may have come between the two
            return descriptor, partial
        os.close(descriptor)


@cache
def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder; once a process."""
    if not fcntl:
        return
    for leftover in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError), leftover.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError while its writer lives
            leftover.unlink()


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder: of the processes that ask for it, one at a time goes on."""
    descriptor = lock_folder(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def lock_folder(folder: Path, *, wait: bool = True) -> int:
    """A descriptor that holds a folder's lock until it is closed; BlockingIOError if it is held and `wait` is False."""
    if not fcntl:
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder inside `parent`, which is gone afterwards; those that killed processes left go at the start."""
    for leftover in parent.glob(f"{TEMPORARY}*/") if fcntl else ():
        with suppress(OSError):  # BlockingIOError while its process lives
            os.close(lock_folder(leftover, wait=False))
            shutil.rmtree(leftover)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=parent))
        descriptor = lock_folder(folder)
        if folder.exists():  # another process may have come between the two
            break
        os.close(descriptor)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
