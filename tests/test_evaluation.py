"""Rows: what they hold, and that a stale one is never taken for a fresh one."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from memnet import paths
from memnet.network import checkpoints
from memnet.network.model import Config, build
from memnet.protocol import datasets, images, tasks
from memnet.protocol.datasets import Picture
from memnet.restoration import tiling
from memnet.study import evaluation, provenance, registry, store

WHERE = {"run": "sr-M6R6", "task": "super-resolution", "dataset": "embedded", "level": 3}
ARRAYS = [np.random.default_rng(n).integers(0, 256, (24, 30), dtype=np.uint8) for n in range(3)]
PICTURES = [Picture(name, image) for name, image in zip("abc", ARRAYS, strict=True)]


@pytest.fixture
def rows_file(tmp_path, monkeypatch, model):
    """Rows go to a folder of the test's own, the embedded set is three made images, the run's weights are `model`."""
    monkeypatch.setattr("memnet.paths.RESULTS", tmp_path)
    monkeypatch.setattr(datasets, "names", lambda name: list("abc"))
    monkeypatch.setattr(datasets, "pictures", lambda name: datasets.Pictures("abc", lambda number: ARRAYS[number]))
    monkeypatch.setattr(datasets, "digest", lambda name: "images")
    monkeypatch.setattr(checkpoints, "weights_hash", lambda path: "weights")
    monkeypatch.setattr(registry, "ready", lambda run: model)
    return tmp_path / "sr-M6R6" / "embedded-3.csv"


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(Config(2, 1, channels=2)).eval()


def measure(**options):
    return store.rows("sr-M6R6", "embedded", 3, progress=False, **options)


def stored():
    return store.stored_rows("sr-M6R6", "embedded", 3)


class Median(torch.nn.Module):
    """A method of one's own without a weight."""

    def predictions(self, x):
        y = x.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4).median(dim=-1).values
        y = torch.nn.functional.pad(y, (1, 1, 1, 1), mode="replicate")
        return y, [y]


def test_a_method_needs_no_weights():
    rows = evaluation.evaluate(Median(), PICTURES, **WHERE | {"run": "median"}, progress=False)
    assert np.isfinite(rows.psnr).all()
    assert (rows.psnr != rows.input_psnr).all()


def test_rows_hold_the_scores_of_input_output_and_predictions(model):
    rows = evaluation.evaluate(model, PICTURES, **WHERE, progress=False)
    assert list(rows.columns) == [*evaluation.COLUMNS, "psnr_1", "psnr_2", "seconds"]
    reference, degraded = tasks.degrade(ARRAYS[1], task="super-resolution", level=3)
    expected = tasks.score(reference, degraded, task="super-resolution", level=3)
    assert tuple(rows.loc[1, ["input_psnr", "input_ssim"]]) == pytest.approx(expected)
    with torch.no_grad():
        _, y_m = model.predictions(torch.from_numpy(degraded).float()[None, None])
    y_1 = y_m[0][0, 0].double().numpy()
    assert rows.psnr_1[1] == pytest.approx(tasks.score(reference, y_1, task="super-resolution", level=3)[0], abs=1e-4)


def test_noise_depends_on_the_image_and_the_seed_alone(model):
    where = WHERE | {"task": "denoising", "level": 30}
    rows = evaluation.evaluate(model, PICTURES, **where, progress=False)
    again = evaluation.evaluate(model, PICTURES[::-1], **where, progress=False)
    np.testing.assert_array_equal(rows.input_psnr, again.input_psnr[::-1])
    other = evaluation.evaluate(model, PICTURES, **where, seed=1, progress=False)
    assert (rows.input_psnr != other.input_psnr).all()


def test_stored_rows_are_reused_and_missing_ones_measured(rows_file, monkeypatch, capsys):
    first = measure(limit=2)
    assert len(first) == 2
    assert "0 images reused, 2 to measure" in capsys.readouterr().err
    measured = []
    real = evaluation.evaluate_image
    monkeypatch.setattr(
        "memnet.study.evaluation.evaluate_image", lambda m, p, **o: measured.append(p.name) or real(m, p, **o)
    )
    rows = measure()
    assert measured == ["c"]
    assert list(rows.image) == ["a", "b", "c"]
    assert measure()["psnr"].tolist() == pytest.approx(rows["psnr"].tolist(), abs=1e-6)
    assert measured == ["c"]
    measure(fresh=True)
    assert measured == ["c", "a", "b", "c"]


@pytest.mark.parametrize("stale", ["checkpoints.weights_hash", "datasets.digest"])
def test_rows_made_by_other_weights_or_images_are_not_found(rows_file, monkeypatch, stale):
    measure()
    assert stored() is not None
    module, name = {"checkpoints": checkpoints, "datasets": datasets}[stale.split(".")[0]], stale.split(".")[1]
    monkeypatch.setattr(module, name, lambda what: "others")
    assert stored() is None


def test_rows_of_another_protocol_are_not_found(rows_file, monkeypatch):
    measure()
    monkeypatch.setattr("memnet.study.store.PROTOCOL", store.PROTOCOL + 1)
    assert stored() is None


def test_rows_survive_a_stop_after_any_image(rows_file, monkeypatch):
    real = evaluation.evaluate_image

    def stop_at_c(m, picture, **options):
        if picture.name == "c":
            raise KeyboardInterrupt
        return real(m, picture, **options)

    monkeypatch.setattr("memnet.study.evaluation.evaluate_image", stop_at_c)
    with pytest.raises(KeyboardInterrupt):
        measure()
    key, rows = store.read_rows(rows_file)
    assert list(rows.image) == ["a", "b"]
    assert key["pictures"] == 3
    assert [p.name for p in rows_file.parent.iterdir()] == [rows_file.name]


def test_a_file_without_a_key_is_refused(rows_file):
    rows_file.parent.mkdir(parents=True)
    rows_file.write_text("run,task\n")
    with pytest.raises(ValueError, match="holds no rows as"):
        stored()


def test_summary_is_the_mean_over_images(model):
    rows = evaluation.evaluate(model, PICTURES, **WHERE, progress=False)
    summary = evaluation.summary(pd.concat([rows, rows.assign(level=4)]))
    assert summary.pictures.tolist() == [3, 3]
    assert summary.psnr[0] == pytest.approx(rows.psnr.mean())
    assert summary.gain[0] == pytest.approx((rows.psnr - rows.input_psnr).mean())


def test_restored_images_carry_their_scores(model):
    arrays, scores = evaluation.restored(model, PICTURES[0], task="jpeg", level=10)
    assert list(arrays) == ["original", "JPEG", "MemNet"]
    assert list(scores) == ["JPEG", "MemNet"]
    assert scores["JPEG"] == tasks.score(arrays["original"], arrays["JPEG"], task="jpeg", level=10)


def test_gains_are_told_by_set_and_level(model):
    rows = evaluation.gains(evaluation.evaluate(model, PICTURES, **WHERE, progress=False))
    assert set(rows["where"]) == {f"{WHERE['dataset']}, {tasks.task(WHERE['task']).prefix}{WHERE['level']}"}
    assert rows.gain.tolist() == pytest.approx((rows.psnr - rows.input_psnr).tolist())


def test_measuring_some_anew_loses_none_of_the_others(rows_file, monkeypatch):
    before = measure()
    measure(limit=1, fresh=True)
    assert list(store.read_rows(rows_file)[1].image) == ["a", "b", "c"]
    real = evaluation.evaluate_image

    def stop_at_b(m, picture, **options):
        if picture.name == "b":
            raise KeyboardInterrupt
        return real(m, picture, **options) | {"psnr": 99.0}

    monkeypatch.setattr("memnet.study.evaluation.evaluate_image", stop_at_b)
    with pytest.raises(KeyboardInterrupt):
        measure(fresh=True)
    found = store.read_rows(rows_file)[1].psnr.tolist()
    assert found == pytest.approx([99.0, *before.psnr[1:]], abs=1e-6)


def test_rows_that_were_there_keep_how_they_were_made(rows_file, monkeypatch):
    for limit, commit in ((1, "old"), (2, "old"), (3, "new")):
        monkeypatch.setattr(provenance, "commit", lambda commit=commit: commit)
        measure(limit=limit)
        key = store.read_rows(rows_file)[0]
        assert [made["commit"] for made in store.provenances(key)] == ["new", "old"][limit < 3 :]
    monkeypatch.setattr(provenance, "commit", lambda: "newest")
    measure(fresh=True, limit=2)
    ways = store.provenances(store.read_rows(rows_file)[0])
    assert [made["commit"] for made in ways] == ["newest", "new", "old"]
    measure(fresh=True)
    assert len(store.provenances(store.read_rows(rows_file)[0])) == 1


def test_a_disk_that_is_full_leaves_the_rows_as_they_were(rows_file, monkeypatch):
    measure(limit=2)
    before, write = rows_file.read_text(), type(rows_file).write_bytes

    def half(path, content):
        write(path, content[: len(content) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(type(rows_file), "write_bytes", half)
    with pytest.raises(OSError, match="no space left"):
        measure()
    assert rows_file.read_text() == before
    assert [path.name for path in rows_file.parent.iterdir()] == [rows_file.name]


def test_a_limit_is_one_image_at_least(rows_file):
    with pytest.raises(ValueError, match="1 image or more, got 0"):
        measure(limit=0)


def test_a_method_of_ones_own_can_be_turned_and_cut(model):
    one = {"task": "jpeg", "level": 10}
    whole = evaluation.evaluate_image(Median(), PICTURES[0], **one)
    turned = evaluation.evaluate_image(Median(), PICTURES[0], **one, ensemble=True)
    assert turned["psnr"] == pytest.approx(whole["psnr"])  # a median is the same in all orientations
    seams = evaluation.evaluate_image(Median(), PICTURES[0], **one, tile="paper")
    assert seams["psnr"] == pytest.approx(whole["psnr"])
    with pytest.raises(ValueError, match="give an overlap"):
        evaluation.evaluate_image(Median(), PICTURES[0], **one, tile=16)


@pytest.fixture
def photographs(tmp_path):
    """A folder of two pictures whose names differ in their suffix alone."""
    for number, name in enumerate(("a.png", "a.bmp")):
        images.write_picture(tmp_path / name, np.random.default_rng(number).integers(0, 256, (40, 36), np.uint8))
    return tmp_path


def test_a_folder_of_large_images_is_measured_in_tiles(photographs, model, monkeypatch):
    how = {"run": "mine", "task": "denoising", "level": 30, "progress": False}
    whole, _ = evaluation.folder_rows(model, photographs, **how)
    predict, shapes = tiling.predict, []
    monkeypatch.setattr("memnet.restoration.tiling.largest_edge", lambda net: 20)
    monkeypatch.setattr(
        tiling, "predict", lambda net, part, **more: shapes.append(part.shape) or predict(net, part, **more)
    )
    cut, wrong = evaluation.folder_rows(model, photographs, **how)
    assert max(map(max, shapes)) <= 20
    assert (list(cut.columns), wrong) == (evaluation.COLUMNS, [])
    np.testing.assert_allclose(cut.psnr, whole.psnr, atol=1e-4)
    assert list(cut.image) == ["a.bmp", "a.png"]
    assert cut.input_psnr.nunique() == 2  # of different noise too


def test_a_image_that_is_too_large_gets_a_line_and_the_others_go_on(photographs, model, monkeypatch):
    real = tiling.predict

    def predict(net, image, **options):
        if not refused:
            refused.append(image)
            torch.empty(10**15)
        return real(net, image, **options)

    refused = []
    monkeypatch.setattr("memnet.restoration.tiling.predict", predict)
    rows, wrong = evaluation.folder_rows(model, photographs, run="mine", task="jpeg", level=10, progress=False)
    assert list(rows.image) == ["a.png"]
    assert wrong == [f"{photographs / 'a.bmp'}: there is not enough memory: give a smaller tile"]


TWO_WRITERS = """
import sys
from memnet.study import evaluation, provenance, registry, store
from tests.test_evaluation import ROW
store.paths.RESULTS = store.Path(sys.argv[1])
how = {"key": {"weights": "w", "images": "i", "protocol": 1}, "made": {"commit": sys.argv[2]}}
for name in sys.argv[3:]:
    row = ROW.assign(image=name)
    store.add_rows(store.file_of("jpeg-M6R1", "d", 3), row, **how, measured={name}, order=list("abcdefghij"))
"""
ROW = pd.DataFrame({"run": ["r"], "dataset": "d", "level": 3, "image": "a", "psnr": 30.0})


@pytest.mark.slow
def test_two_processes_that_add_rows_to_one_file_lose_none(tmp_path):
    command = [sys.executable, "-c", TWO_WRITERS, tmp_path]
    writers = [subprocess.Popen([*command, *names], cwd=paths.ROOT) for names in ("1acegi", "2bdfhj")]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    key, rows = store.read_rows(tmp_path / "jpeg-M6R1" / "d-3.csv")
    assert "".join(rows["image"]) == "abcdefghij"
    assert {made["commit"] for made in store.provenances(key)} == {"1", "2"}


def test_rows_that_were_changed_or_have_no_hash_are_refused(rows_file):
    measure()
    good = rows_file.read_text()
    first, _, text = good.partition("\n")
    damaged = ["", "[]\n", "null\n", "# {}", "# 1\n" + text, "# " + "[" * 10**5, good[:-20], good.replace("a", "b", 1)]
    damaged += [
        good.replace('"protocol": 1', '"protocol": 2'),
        first.replace('"sha256": "', '"sha256": "0') + "\n" + text,
    ]
    damaged += [good.replace("sha256", "sha257")]
    for content in damaged:
        rows_file.write_text(content)
        with pytest.raises(ValueError, match=r"embedded-3\.csv holds no rows as .* remove it"):
            store.read_rows(rows_file)


def test_committed_rows_carry_a_hash():
    files = list((paths.DATA / "results").glob("*/[!e]*.csv"))
    assert len(files) > 80
    assert all(store.read_rows(path)[0] for path in files)


@pytest.fixture
def other_images(tmp_path, monkeypatch):
    """MEMNET_DATA names a folder whose Classic5 are small images of noise; rows go to a folder of their own."""
    monkeypatch.setenv("MEMNET_DATA", str(tmp_path / "images"))
    monkeypatch.setattr("memnet.paths.RESULTS", tmp_path / "results")
    for number, row in enumerate(datasets.entries("Classic5")):
        noise = np.random.default_rng(number).integers(0, 256, (24, 24), np.uint8)
        (tmp_path / "images" / "Classic5").mkdir(parents=True, exist_ok=True)
        images.write_picture(tmp_path / "images" / row["path"], noise)
    return tmp_path


def test_rows_of_other_images_are_not_stored_as_those_of_the_originals(tiny_runs, other_images, capsys):
    assert len(store.rows("jpeg-M6R6", "Classic5", 10, limit=2, progress=False)) == 2
    assert "rows are not stored: 5 of 5 images in" in capsys.readouterr().err
    assert not (other_images / "results").exists()
    assert datasets.digest_on_disk("Classic5") != datasets.digest("Classic5")


def test_stored_rows_are_not_taken_for_those_of_other_images(tiny_runs, other_images, monkeypatch, capsys):
    with monkeypatch.context() as patch:  # as if these were the originals
        patch.setattr(datasets, "differing", lambda name: [])
        before = store.rows("jpeg-M6R6", "Classic5", 10, progress=False)
    assert store.stored_rows("jpeg-M6R6", "Classic5", 10).equals(before)
    capsys.readouterr()
    store.rows("jpeg-M6R6", "Classic5", 10, progress=False)
    assert "0 images reused, 5 to measure" in capsys.readouterr().err


def test_a_folder_of_results_that_may_not_be_written_is_said(tiny_runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert len(store.rows("jpeg-M6R6", "embedded", 10, limit=1, progress=False)) == 1
    assert f"rows are not stored: {tmp_path / 'results'} may not be written" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_stored_rows_do_where_nothing_may_be_written(rows_file, monkeypatch, capsys):
    def kind():
        return store.image_rows(
            "kind", "sr-M6R6", "embedded", 3, lambda model, image, **_: ROW.assign(image=image.name)
        )

    before = measure(), kind()
    capsys.readouterr()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    for one, other in zip(before, (measure(), kind()), strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert capsys.readouterr().err == ""
