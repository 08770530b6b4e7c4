"""Download files over HTTP: limited in size and time, checked by SHA-256, on disk whole or not at all."""

import hashlib
import logging
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tqdm import tqdm

from memnet.extras import require
from memnet.paths import atomic_write

SILENCE = 30  # seconds that a server may send nothing
SLOWEST = 20_000  # bytes a second that have to come on average, after these seconds
STALL = 180  # seconds in which one of the files that are fetched side by side has to end
LARGEST = 2**26  # bytes of a file whose size is not known
FAILURES = 3  # after so many the rest is not tried


@dataclass(frozen=True)
class File:
    """A file to download: where it goes, where it comes from, its SHA-256 and, where it is known, its size in bytes."""

    path: Path
    url: str
    sha256: str
    size: int | None = None


def download(file: File) -> None:
    """Download one file; ValueError when something else comes, or OSError when nothing does."""
    content = receive(file.url, LARGEST if file.size is None else file.size)
    if file.size not in (None, len(content)) or hashlib.sha256(content).hexdigest() != file.sha256:
        start = bytes(content[:40])
        raise ValueError(f"what came is another file: {len(content)} bytes with another SHA-256, they begin {start!r}")
    file.path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file.path) as partial:
        partial.write_bytes(content)


def receive(url: str, size: int) -> bytearray:
    """What an address answers, in memory; ValueError when it is more than `size` bytes or comes too slowly."""
    requests = require("requests", extra="fetch", purpose="fetching files")
    import urllib3

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns at every further try
    deadline, content = time.monotonic() + SILENCE + size / SLOWEST, bytearray()
    with requests.Session() as session:
        statuses = (429, 500, 502, 503, 504)  # after a second or two, not when the server says: that may be a day
        options = {"status_forcelist": statuses, "respect_retry_after_header": False}
        retries = urllib3.Retry(total=2, read=0, backoff_factor=1, **options)
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retries))
        with session.get(url, stream=True, timeout=SILENCE, headers={"Accept-Encoding": "identity"}) as answer:
            answer.raise_for_status()
            try:
                while chunk := answer.raw.read1(2**16):  # not `read`, which waits until all of these bytes are there
                    content += chunk
                    if len(content) > size:
                        raise ValueError(f"more than its {size} bytes came")
                    if time.monotonic() > deadline:
                        raise ValueError(f"{len(content)} of {size} bytes came in {SILENCE + size / SLOWEST:.0f} s")
            except urllib3.exceptions.HTTPError as error:
                raise ValueError(f"the answer broke off after {len(content)} bytes ({error})") from error
    return content


def download_all(files: Sequence[File], *, jobs: int, progress: bool) -> list[str]:
    """Download files side by side; a sentence for each that did not come, with the reason, the first FAILURES of them.

    Ctrl-C and the limits of time end it at once: what still hangs is left to threads that keep no process. Raises
    ValueError where the extra `fetch` is not installed.
    """
    require("requests", extra="fetch", purpose="fetching files")

    def attempt(file: File) -> str | None:
        try:
            download(file)
        except (OSError, ValueError) as error:  # those of requests are OSErrors
            return f"{file.path.name} from {file.url}: {error}"
        return None

    failures = []
    hidden = None if progress else True  # None: where stderr is no terminal
    with ThreadPool(jobs) as pool, tqdm(total=len(files), unit="file", desc="fetching", disable=hidden) as bar:
        results = pool.imap_unordered(attempt, files)
        for _ in files:
            try:
                failure = results.next(timeout=STALL)
            except multiprocessing.TimeoutError:
                return [*failures, f"no file ended in {STALL} s"]
            failures += [failure] if failure else []
            bar.update()
            if len(failures) >= FAILURES:
                break
    return failures
