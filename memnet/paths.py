"""The folders of the repository and of the images, and how files are written."""

import errno
import hashlib
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
OWN = CACHE / "memnet" if INSTALLED.is_dir() else DATA
WEIGHTS = Path(os.path.expanduser(os.environ.get("MEMNET_WEIGHTS") or OWN / "weights"))
RESULTS = Path(os.path.expanduser(os.environ.get("MEMNET_RESULTS") or OWN / "results"))
OWN_WEIGHTS: Path | None = None  # a folder whose networks go before those in WEIGHTS; `use_weights` sets it
TEMPORARY = ".memnet-"  # how the names of unfinished files begin


def own_folder(name: str) -> Path:
    """A folder of the reader's own: a relative path starts at the root of the clone."""
    return ROOT / os.path.expanduser(name)


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
    root = Path(os.path.expanduser(os.environ.get("MEMNET_DATA") or OWN / "images"))
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
    with temporary(path.parent, path.suffix) as partial:
        mode = partial.stat().st_mode & 0o777
        yield partial
        partial.chmod(mode)  # some writers make files for their owner alone
        sync(partial)
        os.replace(partial, path)
        with suppress(OSError):  # not every system opens folders
            sync(path.parent)


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


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file or folder: of the processes that ask for it, one at a time goes on.

    Raises BlockingIOError while another one holds it, if `wait` is False, and FileNotFoundError when it has gone since.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
            raise FileNotFoundError(errno.ENOENT, "was replaced by another file", str(path))
        yield
    finally:
        os.close(descriptor)


@contextmanager
def temporary(parent: Path, suffix: str = "", *, folder: bool = False) -> Iterator[Path]:
    """A new empty file or folder in `parent`, of a name of its own; it goes afterwards, unless it was renamed.

    It is locked meanwhile: so what killed processes left can be told from what others write, and goes at the start.
    """
    remove_leftovers(parent)
    with ExitStack() as stack:
        locked = False
        while not locked:
            path = parent / f"{TEMPORARY}{secrets.token_hex(8)}{suffix}"
            path.mkdir() if folder else path.touch(exist_ok=False)
            with suppress(FileNotFoundError):  # `remove_leftovers` of another process may come between the two
                stack.enter_context(lock(path))
                locked = True
        stack.callback(remove, path)
        yield path


@cache
def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in a folder; once a process."""
    for leftover in folder.glob(f"{TEMPORARY}*") if fcntl else ():
        with suppress(OSError), lock(leftover, wait=False):  # BlockingIOError while its process lives
            remove(leftover)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
