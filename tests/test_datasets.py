"""The manifest, the embedded set, data sets on disk, fetching from a server on this machine."""

import collections
import contextlib
import functools
import hashlib
import http.server
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest

from memnet import download
from memnet.paths import ROOT, images_root
from memnet.protocol import datasets, images, tasks


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A manifest of three small pictures served over HTTP, and an empty folder to fetch them into."""
    served, root = tmp_path / "served", tmp_path / "images"
    (served / "Set5").mkdir(parents=True)
    rows = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(served)) as server:
        for name in ("a_GT", "b_GT", "c_GT"):
            file = served / "Set5" / f"{name}.bmp"
            images.write_picture(file, np.full((12, 14), ord(name[0]), np.uint8))
            url = f"http://127.0.0.1:{server.server_port}/Set5/{name}.bmp"
            content = file.read_bytes()
            row = {"dataset": "Set5", "path": f"Set5/{name}.bmp", "bytes": len(content), "url": url}
            rows.append(row | {"sha256": hashlib.sha256(content).hexdigest()})
        monkeypatch.setattr("memnet.protocol.datasets.manifest", lambda: tuple(rows))
        monkeypatch.setenv("MEMNET_DATA", str(root))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"rows": rows, "root": root, "served": served}
        server.shutdown()


def handler(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

    return functools.partial(Quiet, directory=folder)


def test_manifest_names_every_image_of_the_experiments():
    counts = {name: len(datasets.entries(what.folder)) for name, what in datasets.DATASETS.items()}
    test_sets = {"S14": 14, "BSD200": 200, "Set5": 5, "Set14": 14, "BSD100": 100, "Urban100": 100}  # section 5.1
    assert test_sets.items() | {"Classic5": 5, "LIVE1": 29, "BSDS500/train": 200}.items() <= counts.items()
    assert len(datasets.manifest()) == 758
    assert all(len(row["sha256"]) == 64 and row["url"].startswith("https://") for row in datasets.manifest())


def test_every_test_and_training_set_is_a_data_set():
    sets = [*datasets.TRAINING_SETS.values(), *(task.test_sets for task in tasks.TASKS.values())]
    names = [name for part in sets for name in part]
    assert set(names) <= {*datasets.DATASETS, "embedded"}


def test_training_images_are_no_test_images_of_their_task():
    learned = {"denoising": "BSD300", "super-resolution": "291", "jpeg": "BSD300-luma"}
    for task, training_set in learned.items():
        sources = {datasets.source(name).folder for name in datasets.TRAINING_SETS[training_set]}
        assert not sources & {datasets.source(name).folder for name in tasks.task(task).test_sets}


def test_embedded_set_is_there_on_any_machine():
    pictures = datasets.pictures("embedded")
    assert len(pictures) == len(datasets.EMBEDDED) == 8
    for picture in pictures:
        assert picture.pixels.dtype == np.uint8
        assert max(picture.pixels.shape) <= datasets.EMBEDDED_SIZE <= 288
        assert not any(size % 24 for size in picture.pixels.shape)
    assert all(licence for _, licence in datasets.EMBEDDED.values())
    assert datasets.available("embedded")
    assert len(datasets.digest("embedded")) == 16


def test_missing_images_are_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path))
    assert not datasets.available("Set5")
    with pytest.raises(ValueError, match=r"Set5 has 5 missing images .*memnet data fetch Set5.*MEMNET_DATA"):
        datasets.pictures("Set5")
    with pytest.raises(ValueError, match="missing images"):
        datasets.training_images("91")
    for name in datasets.DATASETS:
        with pytest.raises(ValueError, match="run `memnet data fetch") as error:
            datasets.pictures(name)
        asked = re.search(r"`memnet data fetch ([^`]*)`", str(error.value))[1]
        assert datasets.folders([asked]) == [datasets.source(name).folder]


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown data set 'Set6'"):
        datasets.pictures("Set6")
    with pytest.raises(ValueError, match="unknown training set 'all'"):
        datasets.training_images("all")


def test_digests_tell_sets_apart_and_need_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path))
    digests = [datasets.digest(name) for name in (*tasks.task("sr").test_sets, "embedded")]
    assert len(set(digests)) == len(digests)


def test_fetch_brings_what_is_missing_and_replaces_others_only_when_asked(library):
    kept = library["root"] / "Set5" / "b_GT.bmp"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"somebody's own copy")
    default_mode = kept.stat().st_mode & 0o777
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"1 files in .* not the originals \(the first: Set5/b_GT.bmp\): .*--overwrite"
        ):
            datasets.fetch(["Set5"], progress=False)
    assert kept.read_bytes() == b"somebody's own copy"
    states = {row["path"]: row["state"] for row in datasets.check(["Set5"])}
    assert states == {"Set5/a_GT.bmp": "ok", "Set5/b_GT.bmp": "different", "Set5/c_GT.bmp": "ok"}
    assert datasets.differing("Set5") == ["Set5/b_GT.bmp"]
    assert datasets.fetch(["Set5"], overwrite=True, progress=False) == 1
    assert datasets.fetch(["Set5"], progress=False) == 0
    assert sorted(p.name for p in kept.parent.iterdir()) == ["a_GT.bmp", "b_GT.bmp", "c_GT.bmp"]
    assert datasets.digest_on_disk("Set5") == datasets.digest("Set5")
    assert {path.stat().st_mode & 0o777 for path in kept.parent.iterdir()} == {default_mode}


class Misbehaving(http.server.BaseHTTPRequestHandler):
    """A server whose answers never end, drip, break off, are HTML, are errors, or never begin: by the path's folder."""

    asked = threading.Event()  # for something that never comes

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        kind = self.path.split("/")[1]
        if kind == "404":
            return self.send_error(404)
        if kind == "busy":
            self.send_response(429)
            self.send_header("Retry-After", "86400")
            return self.end_headers()
        if kind == "silent":
            self.asked.set()
            return time.sleep(20)
        if kind == "slow-header":
            return self.drip(b"HTTP/1.1 200 OK\r\nServer: " + b"x" * 1000)
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if kind == "html" else "image/bmp")
        if kind == "short":
            self.send_header("Content-Length", "9999")
        self.end_headers()
        if kind == "dripping":
            return self.drip(b"x" * 1000)
        content = {"html": b"<html>please log in</html>", "wrong": b"x" * 222, "short": b"x" * 10, "empty": b""}
        self.wfile.write(content.get(kind, b"x" * 2**16))
        while kind == "endless":
            self.wfile.write(b"x" * 2**16)
        return None

    def drip(self, content):
        for number in range(len(content)):
            self.wfile.write(content[number : number + 1])
            self.wfile.flush()
            time.sleep(0.05)

    def handle(self):
        with contextlib.suppress(OSError):  # the client hangs up
            super().handle()


REASONS = {
    "404": "404",
    "busy": "too many 429 error responses",
    "html": "what came is another file: 26 bytes .* begin b'<html>",
    "wrong": "what came is another file",
    "empty": "what came is another file: 0 bytes",
    "short": "broke off after 10 bytes|what came is another file",
    "endless": "more than its [0-9]+ bytes came",
    "dripping": "bytes came in",
    "silent": "timed out|Read timed",
    "slow-header": "no file ended in 3 s",
}


@pytest.mark.parametrize("kind", REASONS)
def test_a_server_that_misbehaves_is_given_up_and_leaves_nothing(library, monkeypatch, kind):
    for name, value in (("SILENCE", 1), ("SLOWEST", 1e6), ("STALL", 3)):
        monkeypatch.setattr(download, name, value)
    monkeypatch.setattr("time.sleep", lambda seconds, sleep=time.sleep: sleep(min(seconds, 20)))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{kind}/a.bmp"
        rows = tuple({**row, "url": url} for row in library["rows"][:1])
        monkeypatch.setattr("memnet.protocol.datasets.manifest", lambda: rows)
        begin = time.monotonic()
        with pytest.raises(ValueError, match=REASONS[kind]):
            datasets.fetch(["Set5"], progress=False)
        assert time.monotonic() - begin < 30
        server.shutdown()
    assert [path for path in library["root"].rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_ctrl_c_stops_a_fetch_at_once_and_leaves_nothing(library, tmp_path):
    """In a process of its own, from a server that is silent."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        lines = ["dataset,path,bytes,sha256,url"]
        for row in library["rows"]:
            lines.append(f"Set5,{row['path']},222,{row['sha256']},http://127.0.0.1:{server.server_port}/silent/a.bmp")
        with_sum(tmp_path / "manifest.csv", "\n".join(lines) + "\n")
        script = (
            "import sys, pathlib, signal\nfrom memnet import cli, paths\npaths.MANIFEST = pathlib.Path(sys.argv[1])\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell lets what it runs behind ignore it
            "cli.app(['data', 'fetch', 'Set5'])"
        )
        command = [sys.executable, "-c", script, tmp_path / "manifest.csv"]
        Misbehaving.asked.clear()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            assert Misbehaving.asked.wait(timeout=120)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=18)  # before the silence ends
        finally:
            process.kill()
            server.shutdown()
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("memnet: stopped")
    assert "Traceback" not in errors
    assert [path for path in library["root"].rglob("*") if path.is_file()] == []


def with_sum(path, text):
    """Write a text, and SHA256SUMS beside it."""
    path.write_text(text)
    (path.parent / "SHA256SUMS").write_text(f"{hashlib.sha256(text.encode()).hexdigest()}  {path.name}\n")


GOOD = "Set5,Set5/a.bmp,222," + "0" * 64 + ",https://example.org/a.bmp"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (GOOD.replace("Set5/a.bmp", "Set5/../../a.bmp"), "leaves the images' folder"),
        (GOOD.replace("Set5/a.bmp", "/etc/passwd"), "leaves the images' folder"),
        (GOOD.replace("Set5/a.bmp", "Set5\\a.bmp"), "is no path"),
        (GOOD.replace("222", "-1"), "'-1' is no bytes"),
        (GOOD.replace("222", "many"), "'many' is no bytes"),
        (GOOD.replace("0" * 64, "0" * 63), "is no sha256"),
        (GOOD.replace("https://", "file:///"), "is no url"),
        (GOOD.replace(",222", ""), "a row has the columns"),
        (GOOD + ",more", "a row has the columns"),
        ("", "holds no file"),
    ],
)
def test_a_manifest_that_is_broken_or_leaves_the_folder_is_named(tmp_path, monkeypatch, line, reason):
    monkeypatch.setattr("memnet.paths.MANIFEST", tmp_path / "manifest.csv")
    with_sum(tmp_path / "manifest.csv", f"dataset,path,bytes,sha256,url\n{line}\n")
    with pytest.raises(ValueError, match=reason) as error:
        datasets.manifest.__wrapped__()
    assert str(tmp_path / "manifest.csv") in str(error.value)


def test_a_file_with_another_hash_does_not_come(library):
    (library["served"] / "Set5" / "a_GT.bmp").write_bytes(b"changed")
    with pytest.raises(ValueError, match=r"1 of 3 files did not come \(the first: a_GT.bmp .*another SHA-256"):
        datasets.fetch(["Set5"], progress=False)
    assert sorted(p.name for p in (library["root"] / "Set5").iterdir()) == ["b_GT.bmp", "c_GT.bmp"]


def test_offline_is_said_in_one_sentence(library, monkeypatch):
    rows = [{**row, "url": "http://127.0.0.1:9/nothing"} for row in library["rows"]]
    monkeypatch.setattr("memnet.protocol.datasets.manifest", lambda: tuple(rows))
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(ValueError, match=r"3 of 3 files did not come .*Run the command again"):
        datasets.fetch(["Set5"], progress=False)


def test_a_pack_gives_the_same_planes(library, tmp_path, monkeypatch, colour_picture):
    datasets.fetch(["Set5"], progress=False)
    images.write_picture(library["root"] / "Set5" / "b_GT.bmp", colour_picture)
    arrays = [picture.pixels for picture in datasets.pictures("Set5")]
    pack = tmp_path / "pack.zip"
    assert datasets.pack(pack, ["Set5"], progress=False) == pack.stat().st_size
    monkeypatch.setenv("MEMNET_DATA", str(pack))
    assert datasets.available("Set5")
    for packed, image in zip(datasets.pictures("Set5"), arrays, strict=True):
        np.testing.assert_array_equal(packed.pixels, image)
    with pytest.raises(ValueError, match="is a pack of images"):
        datasets.fetch(["Set5"], progress=False)
    assert datasets.differing("Set5") == ["Set5/b_GT.bmp"]  # of which the pack was made
    with zipfile.ZipFile(pack) as archive:
        entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(pack, "w") as archive:
        for entry, _ in entries:
            archive.writestr(entry, entries[0][1])
    assert len(datasets.differing("Set5")) == 2  # somebody has put another image there


def outcome_of_reading(name, good):
    """What becomes of reading a set: refused with the file's name, the same images as `good`, or wrong ones."""
    try:
        found = [picture.pixels for picture in datasets.pictures(name)]
    except ValueError as error:
        return "refused" if "pack.zip" in str(error) or name in str(error) else "wrong"
    return "same" if all(np.array_equal(a, b) for a, b in zip(found, good, strict=True)) else "wrong"


def test_a_broken_pack_is_named(library, tmp_path, monkeypatch):
    datasets.fetch(["Set5"], progress=False)
    pack = tmp_path / "pack.zip"
    datasets.pack(pack, ["Set5"], progress=False)
    content, rng = pack.read_bytes(), np.random.default_rng(0)
    monkeypatch.setenv("MEMNET_DATA", str(pack))
    good = [picture.pixels for picture in datasets.pictures("Set5")]
    outcomes = collections.Counter()
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        pack.write_bytes(damaged if rng.random() < 0.8 else damaged[: rng.integers(len(content))])
        outcomes[outcome_of_reading("Set5", good)] += 1
    assert outcomes["wrong"] == 0
    assert outcomes["refused"] > 50


def test_packs_that_cannot_be(library, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="missing images"):
        datasets.pack(tmp_path / "pack.zip", ["Set5"], progress=False)
    datasets.fetch(["Set5"], progress=False)
    with pytest.raises(ValueError, match="cannot be written"):
        datasets.pack(tmp_path / "none" / "pack.zip", ["Set5"], progress=False)
    (tmp_path / "text").write_text("hello")
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path / "text"))
    with pytest.raises(ValueError, match="neither a folder nor"):
        datasets.pictures("Set5")


def test_a_folder_of_ones_own(tmp_path, colour_picture):
    images.write_picture(tmp_path / "b.png", colour_picture)
    images.write_picture(tmp_path / "a.png", colour_picture[..., 0])
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = datasets.folder(tmp_path)
    assert [p.name for p in pictures] == ["a", "b"]
    np.testing.assert_array_equal(pictures[1].pixels, images.luma(colour_picture))


def test_folders_without_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no image"):
        datasets.folder(tmp_path)
    with pytest.raises(ValueError, match="no folder of images"):
        datasets.folder(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "shape", "first"),
    [("BSD200", (241, 161), "2018"), ("S14", (256, 256), "1"), ("BSD100", (481, 321), "3096")],
)
def test_protocol_of_the_sets_on_disk(benchmark_set, name, shape, first):
    pictures = benchmark_set(name)
    assert pictures[0].name == first
    assert sorted(pictures[0].pixels.shape) == sorted(shape)
    assert images_root().is_dir()


def test_a_pack_is_opened_once_for_a_set(tmp_path, monkeypatch):
    rows = [{"path": f"Set5/{name}.png"} for name in "abc"]
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for row in rows:
            archive.writestr(row["path"], b"")
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path / "some.zip"))
    monkeypatch.setattr("memnet.protocol.datasets.entries", lambda folder: rows)
    root, opened = images_root, []
    monkeypatch.setattr(datasets, "images_root", lambda: opened.append(root()) or opened[-1])
    assert datasets.originals("Set5").names == ["a", "b", "c"]
    assert len(opened) == 2  # to see whether all are there, and to read them
