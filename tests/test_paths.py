"""Files are written whole or not at all, under temporary names that nobody shares."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from memnet import paths


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_content_and_no_other_file(tmp_path):
    file = tmp_path / "a.txt"
    paths.write_text(file, "old")

    def stopped():
        with paths.atomic_write(file) as partial:
            partial.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert (names(tmp_path), file.read_text()) == (["a.txt"], "old")


def test_threads_do_not_mix_their_files(tmp_path):
    def write(number):
        paths.write_text(tmp_path / f"{number}.txt", f"{number} " * 20_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(60)))
    assert {path.name: set(path.read_text().split()) for path in tmp_path.iterdir()} == {
        f"{number}.txt": {str(number)} for number in range(60)
    }


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_modes_follow_the_umask_whatever_the_writer_makes(tmp_path, mask):
    before = os.umask(mask)
    try:
        with paths.atomic_write(tmp_path / "a") as partial:
            partial.chmod(0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask


def test_devices_pipes_and_folders_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(ValueError, match="is a folder, a device or a pipe"):
            paths.write_text(path, "text")
    assert names(tmp_path) == ["link", "pipe"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link").symlink_to("file")
    paths.write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"


WRITER = """import sys, pathlib, time
from memnet import paths
with paths.atomic_write(pathlib.Path(sys.argv[1]) / "a.txt") as partial:
    partial.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_what_a_kill_leaves_behind_is_removed_but_not_what_others_are_writing(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=paths.ROOT) as writer:
        writer.stdout.readline()
        paths.remove_leftovers.cache_clear()
        paths.write_text(tmp_path / "b.txt", "text")
        assert len(names(tmp_path)) == 2
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        paths.remove_leftovers.cache_clear()
        paths.write_text(tmp_path / "b.txt", "text")
    assert names(tmp_path) == ["b.txt"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_lock_is_held_by_one_and_is_of_what_is_still_there(tmp_path, kind):
    path = tmp_path / "locked"
    path.mkdir() if kind == "folder" else path.touch()
    with paths.lock(path), pytest.raises(BlockingIOError), paths.lock(path, wait=False):
        pass
    with paths.lock(path, wait=False):
        paths.remove(path)
    with pytest.raises(FileNotFoundError), paths.lock(path):
        pass


def test_a_lock_on_a_file_that_was_replaced_meanwhile_is_none(tmp_path, monkeypatch):
    path, flock = tmp_path / "locked", paths.fcntl.flock
    path.touch()

    def replaced(descriptor, operation):
        path.unlink()
        path.touch()
        flock(descriptor, operation)

    monkeypatch.setattr(paths.fcntl, "flock", replaced)
    with pytest.raises(FileNotFoundError), paths.lock(path):
        pass


def test_the_content_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(paths, "sync", lambda path: events.append(path.is_dir()))
    monkeypatch.setattr(paths.os, "replace", lambda *_: events.append("replace"))
    paths.write_text(tmp_path / "a", "text")
    assert events == [False, "replace", True]


def test_the_home_folder_is_found_in_memnet_data(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MEMNET_DATA", "~/images")
    assert paths.images_root() == tmp_path / "images"
    monkeypatch.setenv("MEMNET_DATA", "~nobody-here/images")  # then it is a name
    assert paths.images_root() == paths.Path("~nobody-here/images")


@pytest.mark.parametrize("path", [paths.MANIFEST, *sorted(paths.PAPER.glob("*.csv"))], ids=lambda path: path.name)
def test_a_digit_changed_in_a_committed_table_is_found(tmp_path, path):
    copy = tmp_path / path.name
    (tmp_path / "SHA256SUMS").write_bytes((path.parent / "SHA256SUMS").read_bytes())
    text = path.read_text(encoding="utf-8")
    for good in (text, text.replace("\n", "\r\n")):
        copy.write_bytes(good.encode())
        assert paths.checked_text(copy) == text
    digit = next(number for number, sign in enumerate(text) if sign.isdigit())
    for bad in (text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :], "", text[:-1], "\udcff" + text):
        copy.write_bytes(bad.encode(errors="surrogateescape"))
        with pytest.raises(ValueError, match=rf"{re.escape(str(copy))} .*from the repository"):
            paths.checked_text(copy)
    copy.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        paths.checked_text(copy)
