"""The manifest, the embedded set, data sets on disk, fetching from a server on this machine."""

import functools
import hashlib
import http.server
import os
import re
import threading
import zipfile

import numpy as np
import pytest

from memnet.paths import images_root
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


def test_manifest_names_every_picture_of_the_experiments():
    counts = {name: len(datasets.entries(what.folder)) for name, what in datasets.DATASETS.items()}
    assert (counts["Set5"], counts["Urban100"]) == (5, 100)
    assert counts["BSD200"] == counts["BSDS500/train"] == 200
    assert len(datasets.manifest()) == 758
    assert all(len(row["sha256"]) == 64 and row["url"].startswith("https://") for row in datasets.manifest())


def test_every_test_and_training_set_is_a_data_set():
    sets = [*datasets.TRAINING_SETS.values(), *(task.test_sets for task in tasks.TASKS.values())]
    names = [name for part in sets for name in part]
    assert set(names) <= set(datasets.DATASETS)


def test_training_pictures_are_no_test_pictures_of_their_task():
    learned = {"denoising": "BSD300", "super-resolution": "291", "jpeg": "BSD300-luma"}
    for task, training_set in learned.items():
        sources = {datasets.source(name).folder for name in datasets.TRAINING_SETS[training_set]}
        assert not sources & {datasets.source(name).folder for name in tasks.task(task).test_sets}


def test_embedded_set_is_there_on_any_machine():
    pictures = datasets.pictures("embedded")
    assert len(pictures) == len(datasets.EMBEDDED) == 8
    for picture in pictures:
        assert picture.plane.dtype == np.uint8
        assert max(picture.plane.shape) <= datasets.EMBEDDED_SIZE <= 288
        assert not any(size % 24 for size in picture.plane.shape)
    assert all(licence for _, licence in datasets.EMBEDDED.values())
    assert datasets.available("embedded")
    assert len(datasets.digest("embedded")) == 16


def test_missing_pictures_are_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path))
    assert not datasets.available("Set5")
    with pytest.raises(ValueError, match=r"Set5 has 5 missing pictures .*memnet data fetch Set5.*MEMNET_DATA"):
        datasets.pictures("Set5")
    with pytest.raises(ValueError, match="missing pictures"):
        datasets.training_planes("91")
    for name in datasets.DATASETS:
        with pytest.raises(ValueError, match="run `memnet data fetch") as error:
            datasets.pictures(name)
        asked = re.search(r"`memnet data fetch ([^`]*)`", str(error.value))[1]
        assert datasets.folders([asked]) == [datasets.source(name).folder]


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown data set 'Set6'"):
        datasets.pictures("Set6")
    with pytest.raises(ValueError, match="unknown training set 'all'"):
        datasets.training_planes("all")


def test_digests_tell_sets_apart_and_need_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path))
    digests = [datasets.digest(name) for name in (*tasks.task("sr").test_sets, "embedded")]
    assert len(set(digests)) == len(digests)


def test_fetch_brings_what_is_missing_and_no_more(library):
    kept = library["root"] / "Set5" / "b_GT.bmp"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"somebody's own copy")
    assert datasets.fetch(["Set5"], progress=False) == 2
    assert kept.read_bytes() == b"somebody's own copy"
    states = {row["path"]: row["state"] for row in datasets.check(["Set5"])}
    assert states == {"Set5/a_GT.bmp": "ok", "Set5/b_GT.bmp": "different", "Set5/c_GT.bmp": "ok"}
    assert datasets.fetch(["Set5"], progress=False) == 0
    assert sorted(p.name for p in kept.parent.iterdir()) == ["a_GT.bmp", "b_GT.bmp", "c_GT.bmp"]


def test_a_file_with_another_hash_does_not_come(library):
    (library["served"] / "Set5" / "a_GT.bmp").write_bytes(b"changed")
    with pytest.raises(ValueError, match=r"1 of 3 pictures did not come \(the first: Set5/a_GT.bmp.*hash"):
        datasets.fetch(["Set5"], progress=False)
    assert sorted(p.name for p in (library["root"] / "Set5").iterdir()) == ["b_GT.bmp", "c_GT.bmp"]


def test_files_of_one_folder_come_side_by_side(library, monkeypatch):
    """Each job asks whether the folder is there before any has made it, as happens on a busy machine."""
    folder, make, asked = library["root"] / "Set5", os.makedirs, threading.Barrier(len(library["rows"]), timeout=5)

    def all_at_once(path, *args, **options):
        if str(path) == str(folder):
            asked.wait()
        make(path, *args, **options)

    monkeypatch.setattr(os, "makedirs", all_at_once)
    assert datasets.fetch(["Set5"], progress=False) == len(library["rows"])


def test_offline_is_said_in_one_sentence(library, monkeypatch):
    rows = [{**row, "url": "http://127.0.0.1:9/nothing"} for row in library["rows"]]
    monkeypatch.setattr("memnet.protocol.datasets.manifest", lambda: tuple(rows))
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(ValueError, match=r"3 of 3 pictures did not come .*Run the command again"):
        datasets.fetch(["Set5"], progress=False)


def test_a_pack_gives_the_same_planes(library, tmp_path, monkeypatch, colour_picture):
    datasets.fetch(["Set5"], progress=False)
    images.write_picture(library["root"] / "Set5" / "b_GT.bmp", colour_picture)
    planes = [picture.plane for picture in datasets.pictures("Set5")]
    pack = tmp_path / "pack.zip"
    assert datasets.pack(pack, ["Set5"], progress=False) == pack.stat().st_size
    monkeypatch.setenv("MEMNET_DATA", str(pack))
    assert datasets.available("Set5")
    for packed, plane in zip(datasets.pictures("Set5"), planes, strict=True):
        np.testing.assert_array_equal(packed.plane, plane)
    with pytest.raises(ValueError, match="is a pack of pictures"):
        datasets.fetch(["Set5"], progress=False)


def test_packs_that_cannot_be(library, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="missing pictures"):
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
    np.testing.assert_array_equal(pictures[1].plane, images.luma(colour_picture))


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no picture"):
        datasets.folder(tmp_path)
    with pytest.raises(ValueError, match="no folder of pictures"):
        datasets.folder(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "shape", "first"),
    [("BSD200", (241, 161), "2018"), ("S14", (256, 256), "1"), ("BSD100", (481, 321), "3096")],
)
def test_protocol_of_the_sets_on_disk(benchmark_set, name, shape, first):
    pictures = benchmark_set(name)
    assert pictures[0].name == first
    assert sorted(pictures[0].plane.shape) == sorted(shape)
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
