"""The command line as somebody types it: what it says, what it leaves behind, its exit codes."""

import csv
import errno
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tqdm import tqdm
from typer.testing import CliRunner

from memnet import cli, paths
from memnet.network import checkpoints
from memnet.network.model import Config, build
from memnet.protocol import images
from memnet.restoration import arrays, tiling
from memnet.study import store
from memnet.training import selection


def memnet(*words):
    """Run a command; its result."""
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def refused(result, *words, code=cli.WRONG_USE):
    """Check that a command failed with one sentence on stderr that holds all of `words`."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
    assert len(result.stderr.strip().splitlines()) == (1 if code == cli.WRONG_USE else 2)


@pytest.mark.parametrize("command", [[], ["restore"], ["evaluate"], ["train"], ["reproduce"], ["data"], ["runs"]])
def test_help_teaches(command):
    result = memnet(*command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_version():
    assert memnet("--version").output.startswith("memnet ")


def test_restore_files_and_folders(tiny_runs, tmp_path, colour_picture):
    folder = tmp_path / "my pictures"
    folder.mkdir()
    images.write_picture(folder / "a.png", colour_picture)
    images.write_picture(folder / "b.png", colour_picture[..., 0])
    single = tmp_path / "c.jpg"
    images.write_picture(single, colour_picture)
    output = tmp_path / "new" / "results"
    result = memnet("restore", folder, single, "--task", "super-resolution", "--level", 2, "--output", output)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in output.iterdir()) == ["a-x2.png", "b-x2.png", "c-x2.png"]
    with Image.open(output / "a-x2.png") as picture:
        assert picture.size == (60, 80)
        assert picture.mode == "RGB"


def test_bad_files_get_a_line_each_and_the_others_go_on(tiny_runs, tmp_path, colour_picture):
    good = tmp_path / "good.png"
    images.write_picture(good, colour_picture)
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "short.png").write_bytes(good.read_bytes()[:80])
    bad = [tmp_path / name for name in ("text.png", "empty.png", "short.png", "missing.png")]
    output = tmp_path / "out"
    result = memnet("restore", *bad, good, "--task", "jpeg", "--output", output)
    assert result.exit_code == cli.SOME_FAILED
    lines = result.stderr.strip().splitlines()
    assert [path.name in line for path, line in zip(bad, lines, strict=False)] == [True] * 4
    assert lines[-1] == f"memnet: 4 of 5 failed: {', '.join(map(str, bad))}"
    assert [p.name for p in output.iterdir()] == ["good-deblocked.png"]


def bomb(path):
    """A PNG whose header claims 100,000 x 100,000 pixels."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0), b"IDAT": zlib.compress(bytes(9))}
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks.items()]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def nan_tiff(path):
    Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(path)


BAD = {
    "text.png": (lambda path: path.write_text("hello"), "no image that can be read"),
    "zero.png": (lambda path: path.write_bytes(b""), "empty"),
    "folder.png": (lambda path: path.mkdir(), "holds no image"),
    "bomb.png": (bomb, "more pixels than are opened"),
    "nan.tiff": (nan_tiff, "not finite"),
    "gone.png": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_bad_file_is_named_with_the_reason(tiny_runs, tmp_path, colour_picture, name):
    make, reason = BAD[name]
    make(tmp_path / name)
    good = tmp_path / "schöne Bilder 東京.png"
    images.write_picture(good, colour_picture)
    result = memnet("restore", tmp_path / name, good, "--task", "denoising", "--output", tmp_path / "o")
    refused(result, name, reason, "1 of 2 failed", code=cli.SOME_FAILED)
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["schöne Bilder 東京-denoised.png"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000)])
def test_the_smallest_and_the_narrowest(tiny_runs, tmp_path, shape):
    images.write_picture(tmp_path / "a.png", np.full(shape, 90, np.uint8))
    words = ("restore", tmp_path / "a.png", "--task", "super-resolution", "--level", 3, "--output", tmp_path)
    assert memnet(*words).exit_code == 0
    assert images.read_picture(tmp_path / "a-x3.png").shape == (3 * shape[0], 3 * shape[1])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_takes_nothing_loses_nothing(tiny_runs, tmp_path, colour_picture, monkeypatch, number):
    for name in "ab":
        images.write_picture(tmp_path / f"{name}.png", colour_picture)
    words = ("restore", tmp_path / "a.png", tmp_path / "b.png", "--task", "jpeg", "--output", tmp_path, "--overwrite")
    assert memnet(*words).exit_code == 0
    before = {path: path.read_bytes() for path in tmp_path.glob("*.png")}
    write, written = Path.write_bytes, []

    def refuse(path, content):
        written.append(path)
        if len(written) == 2:
            write(path, content[: len(content) // 2])
            raise OSError(number, os.strerror(number))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    refused(memnet(*words), "b.png", os.strerror(number), "1 of 2 failed", code=cli.SOME_FAILED)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


def test_a_result_never_replaces_what_is_to_be_restored(tiny_runs, tmp_path, colour_picture):
    for name in ("a", "a-denoised"):
        images.write_picture(tmp_path / f"{name}.png", colour_picture)
    before = (tmp_path / "a-denoised.png").read_bytes()
    words = ("restore", tmp_path, "--task", "denoising", "--output", tmp_path, "--overwrite")
    refused(memnet(*words), "a.png: its result would replace", "1 of 2 failed", code=cli.SOME_FAILED)
    assert (tmp_path / "a-denoised.png").read_bytes() == before
    assert (tmp_path / "a-denoised-denoised.png").exists()


def test_whatever_one_image_brings_about_the_others_go_on(tiny_runs, tmp_path, colour_picture, monkeypatch):
    for name in "ab":
        images.write_picture(tmp_path / f"{name}.png", colour_picture)
    restore, seen = arrays.restore, []

    def fail_first(*arguments, **options):
        seen.append(1)
        if len(seen) == 1:
            raise RuntimeError("of a kind that\nnobody thought of")
        return restore(*arguments, **options)

    monkeypatch.setattr("memnet.restoration.arrays.restore", fail_first)
    result = memnet("restore", tmp_path, "--task", "jpeg", "--output", tmp_path / "o")
    refused(result, "a.png: RuntimeError: of a kind that nobody thought of", "1 of 2 failed", code=cli.SOME_FAILED)
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["b-deblocked.png"]


def test_a_name_that_is_too_long_and_one_that_is_just_not(tiny_runs, tmp_path, colour_picture):
    for name in ("n" * 251, "m" * 240, "z"):
        images.write_picture(tmp_path / f"{name}.png", colour_picture)
    result = memnet("restore", tmp_path, "--task", "jpeg", "--output", tmp_path / "o")
    refused(result, os.strerror(errno.ENAMETOOLONG), "1 of 3 failed", code=cli.SOME_FAILED)
    assert {path.name[0] for path in (tmp_path / "o").iterdir()} == {"m", "z"}


def test_what_may_not_be_read_is_said_and_the_others_go_on(tiny_runs, tmp_path, colour_picture, monkeypatch):
    images.write_picture(tmp_path / "good.png", colour_picture)
    locked = tmp_path / "locked.png"
    locked.write_bytes(b"secret")
    os.mkfifo(tmp_path / "pipe.png")
    read = Path.read_bytes

    def deny(path):
        if path == locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", deny)
    result = memnet("restore", tmp_path, "--task", "jpeg", "--output", tmp_path / "o")
    assert result.exit_code == cli.SOME_FAILED
    assert [line.rpartition("/")[2] for line in result.stderr.splitlines()] == [
        "locked.png: the file cannot be read (Permission denied)",
        "pipe.png: this is a device or a pipe, not a file",
        "pipe.png",
    ]
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["good-deblocked.png"]


def test_tiles_and_overlap_can_be_chosen(tiny_runs, tmp_path, colour_picture, monkeypatch):
    images.write_picture(tmp_path / "a.png", colour_picture[..., 0])
    restore_channel, given = tiling.restore_channel, []

    def watched(model, image, **how):
        given.append((how["tile"], how.get("overlap")))
        return restore_channel(model, image, **how)

    monkeypatch.setattr("memnet.restoration.tiling.restore_channel", watched)
    for number, words in enumerate(((), ("--tile", 16), ("--tile", 16, "--overlap", 30), ("--tile", "paper"))):
        asked = ("restore", tmp_path / "a.png", "--task", "jpeg", "--output", tmp_path / f"{number}", *words)
        assert memnet(*asked).exit_code == 0
    made = {path.read_bytes() for path in tmp_path.glob("*/a-deblocked.png")}
    assert len(made) == 1
    memnet("evaluate", "jpeg-M6R6", "--images", tmp_path, "--level", 10, "--tile", 16)
    memnet("evaluate", "jpeg-M6R6", "--dataset", "embedded", "--limit", 1, "--level", 10, "--tile", "paper")
    assert given == [(None, None), (16, None), (16, 30), ("paper", None), (16, None), ("paper", None)]
    refused(memnet("restore", tmp_path / "a.png", "--task", "jpeg", "--output", tmp_path, "--tile", "0"), "a tile is")


def test_an_ensemble_can_be_asked_for(tiny_runs, tmp_path, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    for words in ((), ("--ensemble",)):
        asked = ("restore", tmp_path / "a.png", "--task", "jpeg", "--output", tmp_path / f"{len(words)}", *words)
        assert memnet(*asked).exit_code == 0
        asked = ("evaluate", "jpeg-M6R6", "--dataset", "embedded", "--level", 10, "--limit", 1, *words)
        assert memnet(*asked, "--csv", tmp_path / f"{len(words)}.csv").exit_code == 0
    made = [images.read_picture(tmp_path / f"{number}" / "a-deblocked.png") for number in range(2)]
    assert not np.array_equal(*made)
    once, ensemble = (pd.read_csv(tmp_path / f"{number}.csv") for number in range(2))
    assert once.input_psnr.equals(ensemble.input_psnr)
    assert not once.psnr.equals(ensemble.psnr)
    stored = store.read_rows(*(tmp_path / "results").rglob("*.csv"))[1]
    np.testing.assert_allclose(stored.psnr, once.psnr, atol=1e-6)
    assert memnet("evaluate", "jpeg-M6R6", "--images", tmp_path, "--level", 10, "--ensemble").exit_code == 0


def test_results_are_not_replaced_unless_asked(tiny_runs, tmp_path, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    words = ("restore", tmp_path / "a.png", "--task", "denoising", "--output", tmp_path)
    assert memnet(*words).exit_code == 0
    before = (tmp_path / "a-denoised.png").read_bytes()
    refused(memnet(*words), "is there already", "--overwrite", code=cli.SOME_FAILED)
    assert (tmp_path / "a-denoised.png").read_bytes() == before
    assert memnet(*words, "--overwrite").exit_code == 0


def test_one_image_may_be_given_the_name_of_its_result(tiny_runs, tmp_path, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    words = ("restore", tmp_path / "a.png", "--task", "jpeg", "--output")
    assert memnet(*words, tmp_path / "new" / "b.jpg").exit_code == 0
    with Image.open(tmp_path / "new" / "b.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (30, 40))
    images.write_picture(tmp_path / "c.png", colour_picture)
    refused(memnet("restore", tmp_path, "--task", "jpeg", "--output", tmp_path / "b.jpg"), "the name of one file")
    refused(memnet(*words, tmp_path / "a.png"), "its result would replace", "1 of 1 failed", code=cli.SOME_FAILED)


def test_a_comparison_shows_before_and_after(tiny_runs, tmp_path, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    words = ("restore", tmp_path, "--task", "super-resolution", "--level", 2, "--output", tmp_path, "--compare")
    assert memnet(*words).exit_code == 0
    both = images.read_picture(tmp_path / "a-x2-compare.png")
    assert both.shape == (80, 2 * 60 + 4, 3)
    np.testing.assert_array_equal(both[:, 64:], images.read_picture(tmp_path / "a-x2.png"))
    assert np.abs(both[::2, :60:2].astype(int) - colour_picture).mean() < np.abs(both[::2, :60:2]).mean() / 2
    assert memnet(*words, "--overwrite").exit_code == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["a-x2-compare.png", "a-x2.png", "a.png"]


def test_strength_0_gives_the_input(tiny_runs, tmp_path, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    words = ("restore", tmp_path / "a.png", "--task", "denoising", "--output", tmp_path, "--strength")
    assert memnet(*words, 0).exit_code == 0
    np.testing.assert_array_equal(images.read_picture(tmp_path / "a-denoised.png"), colour_picture)
    assert memnet(*words, 2).exit_code == cli.WRONG_USE


def test_several_images_end_in_a_table_and_a_list_of_what_failed(tiny_runs, tmp_path, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    (tmp_path / "b.png").write_text("rubbish")
    result = memnet("restore", tmp_path, "--task", "jpeg", "--output", tmp_path / "o")
    *_, head, first, second = result.stdout.splitlines()
    assert head.split() == ["image", "size", "seconds", "result"]
    assert first.split()[0::3] == [str(tmp_path / "a.png"), "a-deblocked.png"]
    assert second.split()[0::2] == [str(tmp_path / "b.png"), "failed"]
    assert result.stderr.splitlines()[-1] == f"memnet: 1 of 2 failed: {tmp_path / 'b.png'}"


def test_a_folder_says_what_it_leaves_out(tiny_runs, tmp_path, colour_picture):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.jfif", "c.tga", ".hidden"):
        Image.fromarray(colour_picture).save(
            folder / name, "JPEG" if name == "b.jfif" else None if "." in name[1:] else "PNG"
        )
    (folder / "notes.txt").write_text("text")
    result = memnet("restore", folder, "--task", "jpeg", "--output", tmp_path / "o")
    assert result.exit_code == 0
    assert result.stderr == f"memnet: {folder}: 1 left out, no images by their names: notes.txt\n"
    assert len(list((tmp_path / "o").iterdir())) == 3


def test_results_beside_the_images_are_not_restored_again(tiny_runs, tmp_path, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    words = ("restore", tmp_path, "--task", "jpeg", "--output", tmp_path, "--overwrite")
    for _ in range(3):
        result = memnet(*words)
        assert result.exit_code == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["a-deblocked.png", "a.png"]
    assert "a-deblocked.png: left out, this is a result" in result.stderr


def test_the_home_folder_is_meant_by_a_tilde(tiny_runs, tmp_path, colour_picture, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    images.write_picture(tmp_path / "a.png", colour_picture)
    assert memnet("restore", "~/a.png", "--task", "jpeg", "--output=~/new").exit_code == 0
    assert (tmp_path / "new" / "a-deblocked.png").exists()
    assert cli.at_home(Path("~nobody-of-that-name/x")) == Path("~nobody-of-that-name/x")


def streams(folder, redirection, **environment):
    """The exit code of a restoration of two files from a shell with some streams closed."""
    command = f'"$@" {redirection}'
    words = (
        "restore",
        folder / "a.png",
        folder / "日本.png",
        "--task",
        "jpeg",
        "--strength",
        0.5,
        "--output",
        folder / "o",
    )
    words = ["sh", "-c", command, "sh", sys.executable, "-m", "memnet.cli", *map(str, words)]
    return subprocess.run(words, env={**os.environ, **environment}, cwd=paths.ROOT, check=False, capture_output=True)


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "| true", ""])
def test_what_nobody_can_read_is_no_failure(tmp_path, colour_picture, redirection):
    for name in ("a", "日本"):
        images.write_picture(tmp_path / f"{name}.png", colour_picture[:12, :12])
    result = streams(tmp_path, redirection, PYTHONIOENCODING="latin-1")
    assert (result.returncode, result.stderr) == (0, b"")
    assert len(list((tmp_path / "o").iterdir())) == 2


def test_bars_and_warnings_need_no_stderr(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    cli.main(version=False)
    tqdm([1], disable=False).close()
    for name in ("stdout", "stderr"):
        getattr(sys, name).close()


def test_wrong_use_of_restore_does_nothing(tiny_runs, tmp_path, colour_picture):
    picture, output = tmp_path / "a.png", tmp_path / "out"
    images.write_picture(picture, colour_picture)
    ask = ("restore", picture, "--output", output, "--task")
    refused(memnet(*ask, "haze"), "'haze'", "denoising, super-resolution, jpeg")
    refused(memnet(*ask, "super-resolution"), "scale (--level) of 2, 3 or 4")
    refused(memnet(*ask, "denoising", "--level", 30), "takes no scale or --level")
    refused(memnet(*ask, "super-resolution", "--level", 9), "got 9")
    refused(memnet(*ask, "jpeg", "--run", "nothing"), "unknown run 'nothing'")
    refused(memnet(*ask, "jpeg", "--run", "sr-M6R6"), "sr-M6R6", "not for jpeg")
    refused(memnet("restore", tmp_path / "out2", picture, "--task", "jpeg", "--output", picture), "a.png")
    assert not output.exists()


def test_an_empty_folder_is_said(tiny_runs, tmp_path):
    (tmp_path / "empty").mkdir()
    result = memnet("restore", tmp_path / "empty", "--task", "jpeg", "--output", tmp_path / "o")
    refused(result, "holds no image", "1 of 1 failed", code=cli.SOME_FAILED)


def test_evaluate_in_tiles_keeps_no_rows(tiny_runs, tmp_path):
    asked = ("evaluate", "jpeg-M6R6", "--dataset", "embedded", "--level", 10, "--limit", 2)
    csv_of = {tile: tmp_path / f"{tile}.csv" for tile in ("paper", "64")}
    for tile, file in csv_of.items():
        assert memnet(*asked, "--tile", tile, "--csv", file).exit_code == 0
    assert not (tmp_path / "results").exists()
    assert memnet(*asked, "--csv", tmp_path / "whole.csv").exit_code == 0
    assert csv_of["64"].read_text() == (tmp_path / "whole.csv").read_text()
    refused(memnet(*asked, "--tile", "small"), "'paper' or a number of pixels", "'small'")


def test_evaluate_a_folder(tiny_runs, tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    for name in "ab":
        image = np.random.default_rng(ord(name)).integers(0, 256, (24, 24), dtype=np.uint8)
        images.write_picture(folder / f"{name}.png", image)
    file = tmp_path / "rows" / "rows.csv"
    result = memnet("evaluate", "sr-M6R6", "--images", folder, "--level", 2, "--csv", file)
    assert result.exit_code == 0, result.output
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["run", "task", "dataset", "level", "image", "psnr", "ssim", "input_psnr", "input_ssim"]
    assert [row["image"] for row in rows] == ["a", "b"]
    assert {(row["run"], row["dataset"], row["level"]) for row in rows} == {("sr-M6R6", "clean", "2")}


def test_evaluate_goes_on_without_images_that_cannot_be_measured(tiny_runs, tmp_path):
    folder, file = tmp_path / "clean", tmp_path / "rows.csv"
    folder.mkdir()
    (folder / "a.png").write_text("no picture")
    for name, edge in (("b", 1), ("c", 24), ("d", 9)):
        images.write_picture(folder / f"{name}.png", np.full((edge, edge), 90, np.uint8))
    asked = ("evaluate", "sr-M6R6", "--images", folder, "--level", 2, "--csv", file)
    result = memnet(*asked)
    assert result.exit_code == cli.SOME_FAILED
    said = result.stderr.strip().splitlines()
    for line, words in zip(said, ("a.png: this is no image", "b: an image of 1x1 ", "d: SSIM needs"), strict=True):
        assert f"{folder}/{words}" in line
    assert [line.split(",")[4] for line in file.read_text().splitlines()] == ["image", "c"]
    (folder / "c.png").unlink()
    refused(memnet(*asked), "no image of", "could be measured", "a.png")


def test_wrong_use_of_evaluate(tiny_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path))
    refused(memnet("evaluate", "nothing", "--dataset", "Set5"), "unknown run 'nothing'", "sr-M6R6")
    refused(memnet("evaluate", "sr-M6R6"), "--images FOLDER or --dataset NAME")
    refused(memnet("evaluate", "sr-M6R6", "--images", tmp_path / "none"), "none is no folder")
    refused(memnet("evaluate", "sr-M6R6", "--dataset", "Set6"), "unknown data set 'Set6'")
    refused(memnet("evaluate", "sr-M6R6", "--dataset", "Set5", "--level", 0), "from 2 to 8, got 0")
    refused(memnet("evaluate", "sr-M6R6", "--dataset", "Set5"), "missing images", "MEMNET_DATA")
    refused(memnet("evaluate", "sr-M10R10", "--dataset", "embedded"), "no weights", "memnet train sr-M10R10")
    refused(memnet("evaluate", "sr-M6R6", "--dataset", "embedded", "--csv", tmp_path), "--csv", "is a folder")


def test_wrong_use_of_train(tiny_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path / "none"))
    output = tmp_path / "out"
    refused(memnet("train", "nothing", "--output", output), "unknown run 'nothing'")
    refused(memnet("train", "sr-M6R6", "nothing", "--output", output), "unknown run 'nothing'")
    refused(memnet("train", "sr-plain", "--output", output), "missing images")
    refused(memnet("train", "sr-M6R6", "--resume", "--continue", "--output", output), "give one of them")
    refused(memnet("train", "sr-M6R6", "--continue", "--output", output), "train sr-M6R6 first")
    refused(memnet("train", "sr-M6R6"), "exists", "--overwrite")
    refused(memnet("train", "sr-M6R6", "--minutes", "inf", "--output", output), "--minutes", "inf")
    refused(memnet("train", "sr-M6R6", "--minutes", "nan", "--output", output), "--minutes", "nan")
    refused(memnet("train", "sr-M6R6", "--minutes", "-1", "--output", output), "--minutes", "-1")
    refused(memnet("train", "sr-M6R6", "--preset", "best", "--output", output), "unknown preset 'best'")
    refused(memnet("train", "sr-M6R6", "-p", "learning_rate=1e300", "--output", output), "1e+300")
    assert not output.exists()


def test_runs_are_listed_in_80_columns_also_where_one_is_broken(tiny_runs):
    (tiny_runs / "jpeg-M6R6.safetensors").write_text("half a download")
    result = memnet("runs")
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert result.exit_code == 0
    assert "not trained" in lines["sr-M10R10"]
    assert "table 4" in lines["sr-M6R6"] or "tables" in lines["sr-M6R6"]
    assert "jpeg-M6R6.safetensors cannot be read" in lines["jpeg-M6R6"]
    assert max(len(line) for line in lines.values() if "broken" not in line) <= 80


def test_data_list_and_check(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path))
    listed = memnet("data", "list")
    assert listed.exit_code == 0
    assert "5 missing" in listed.output
    checked = memnet("data", "check", "Set5")
    assert checked.exit_code == cli.SOME_FAILED
    assert checked.output.strip().endswith("5 missing")
    refused(memnet("data", "check", "Set6"), "unknown data set 'Set6'")
    refused(memnet("data", "check", "embedded"), "comes with scikit-image")


def test_wrong_use_of_reproduce(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path))
    output = tmp_path / "out"
    refused(memnet("reproduce", "table9", "--output", output), "unknown item 'table9'")
    refused(memnet("reproduce", "fig4", "-p", "levle=4", "--output", output), "levle", "level")
    refused(memnet("reproduce", "fig4", "-p", "level=four", "--output", output), "level is of type int")
    refused(memnet("reproduce", "fig4", "-p", "level", "--output", output), "NAME=VALUE")
    refused(memnet("reproduce", "--images", "benchmark", "--output", output), "not on disk", "memnet data fetch")
    assert not output.exists()


def test_items_are_listed():
    result = memnet("reproduce", "--list")
    assert result.exit_code == 0
    assert "fig. 4" in result.output


@pytest.mark.parametrize(
    ("gains", "message"),
    [
        ([0.5], "PSNR gain on the validation set: +0.500 dB"),
        ([0.5, 0.75], "PSNR gain on the validation set: +0.750 dB, +0.500 dB before this stage"),
        ([0.5, 0.5], "+0.500 dB before this stage; it gained nothing, the weights are the initial ones"),
    ],
)
def test_a_trained_run_says_its_gain_and_whether_a_stage_was_worth_it(tmp_path, gains, message):
    kept = "average" if len(set(gains)) == len(gains) else selection.INITIAL_MODEL
    stages = [{"psnr_gain": gain, "weights": kept} for gain in gains]
    checkpoints.save(tmp_path / "x.safetensors", build(Config(1, 1, channels=2)), history={"stages": stages})
    assert cli.gain_of(tmp_path / "x.safetensors").endswith(message)


def test_what_the_system_refuses_is_one_sentence(tiny_runs, tmp_path):
    file = tmp_path / f"{'x' * 300}.csv"
    words = ("evaluate", "jpeg-M6R6", "--dataset", "embedded", "--level", 10, "--limit", 1)
    result = memnet(*words, "--csv", file)
    assert result.exit_code == cli.WRONG_USE
    assert result.stderr.splitlines()[-1] == f"memnet: {file}: {os.strerror(errno.ENAMETOOLONG)}"


def test_an_output_that_leads_in_a_circle_is_refused(tiny_runs, tmp_path, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    for name in ("loop", "loop.png"):
        (tmp_path / name).symlink_to(tmp_path / name)
    words = ("restore", tmp_path / "a.png", "--task", "jpeg", "--output")
    refused(memnet(*words, tmp_path / "loop"), "loop cannot be made a folder")
    refused(memnet(*words, tmp_path / "loop.png"), "leads in a circle", code=cli.SOME_FAILED)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["data", "list"], ["--help"], ["restore", "--help"]])
def test_an_output_that_takes_nothing_is_named(words):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "memnet.cli", *words]
        done = subprocess.run(command, cwd=paths.ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == cli.WRONG_USE
    assert done.stderr.splitlines()[0] == "memnet: the output or a file: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--tile", "²"),
        ("--tile", "٣"),
        ("--tile", "9" * 5000),
        ("--max-megapixels", "inf"),
        ("--max-megapixels", "1e99"),
    ],
)
def test_numbers_beyond_all_bounds_are_refused(tiny_runs, tmp_path, colour_picture, option, value):
    images.write_picture(tmp_path / "a.png", colour_picture)
    result = memnet("restore", tmp_path / "a.png", "--task", "jpeg", "--output", tmp_path / "o", option, value)
    refused(result, option.strip("-").split("-")[-1])
    assert len(result.stderr) < 300
