"""Rows: what they hold, and that a stale one is never taken for a fresh one."""

import numpy as np
import pandas as pd
import pytest
import torch

from memnet import datasets, degradations, evaluation
from memnet.datasets import Picture
from memnet.model import Config, build

WHERE = {"run": "sr-M6R6", "task": "super-resolution", "dataset": "embedded", "level": 3}
PLANES = [np.random.default_rng(n).integers(0, 256, (24, 30), dtype=np.uint8) for n in range(3)]
PICTURES = [Picture(name, plane) for name, plane in zip("abc", PLANES, strict=True)]


class Three(list):
    """Three made pictures with the names that a data set has."""

    names = tuple("abc")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Rows go to a folder of the test's own, the embedded set is three made pictures."""
    monkeypatch.setattr(evaluation, "RESULTS", tmp_path)
    monkeypatch.setattr(datasets, "pictures", lambda name: Three(PICTURES))
    monkeypatch.setattr(datasets, "digest", lambda name: "pictures")
    return tmp_path / "sr-M6R6" / "embedded-3.csv"


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(Config(2, 1, channels=2)).eval()


def measure(model, **options):
    return evaluation.measure(model, **WHERE, weights="weights", progress=False, **options)


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
    reference, degraded = degradations.degrade(PLANES[1], task="super-resolution", level=3)
    expected = degradations.score(reference, degraded, task="super-resolution", level=3)
    assert tuple(rows.loc[1, ["input_psnr", "input_ssim"]]) == pytest.approx(expected)
    with torch.no_grad():
        _, y_m = model.predictions(torch.from_numpy(degraded).float()[None, None])
    y_1 = y_m[0][0, 0].double().numpy()
    assert rows.psnr_1[1] == pytest.approx(
        degradations.score(reference, y_1, task="super-resolution", level=3)[0], abs=1e-4
    )


def test_noise_depends_on_the_picture_and_the_seed_alone(model):
    where = WHERE | {"task": "denoising", "level": 30}
    rows = evaluation.evaluate(model, PICTURES, **where, progress=False)
    again = evaluation.evaluate(model, PICTURES[::-1], **where, progress=False)
    np.testing.assert_array_equal(rows.input_psnr, again.input_psnr[::-1])
    other = evaluation.evaluate(model, PICTURES, **where, seed=1, progress=False)
    assert (rows.input_psnr != other.input_psnr).all()


def test_stored_rows_are_reused_and_missing_ones_measured(store, model, monkeypatch, capsys):
    first = measure(model, limit=2)
    assert len(first) == 2
    assert "0 rows reused, 2 to measure" in capsys.readouterr().err
    measured = []
    real = evaluation.evaluate_picture
    monkeypatch.setattr(evaluation, "evaluate_picture", lambda m, p, **o: measured.append(p.name) or real(m, p, **o))
    rows = measure(model)
    assert measured == ["c"]
    assert list(rows.image) == ["a", "b", "c"]
    assert measure(model)["psnr"].tolist() == pytest.approx(rows["psnr"].tolist(), abs=1e-6)
    assert measured == ["c"]
    measure(model, fresh=True)
    assert measured == ["c", "a", "b", "c"]


@pytest.mark.parametrize("stale", [{"weights": "others"}, {"images": "others"}, {"seed": 1}])
def test_rows_made_by_anything_else_are_not_found(store, model, stale):
    measure(model)
    key = {"weights": "weights", "images": "pictures", "seed": 0}
    assert evaluation.stored("sr-M6R6", "embedded", 3, **key) is not None
    assert evaluation.stored("sr-M6R6", "embedded", 3, **key | stale) is None


def test_rows_of_another_protocol_are_not_found(store, model, monkeypatch):
    measure(model)
    monkeypatch.setattr(evaluation, "PROTOCOL", evaluation.PROTOCOL + 1)
    assert evaluation.stored("sr-M6R6", "embedded", 3, weights="weights", images="pictures") is None


def test_rows_survive_a_stop_after_any_picture(store, model, monkeypatch):
    real = evaluation.evaluate_picture

    def stop_at_c(m, picture, **options):
        if picture.name == "c":
            raise KeyboardInterrupt
        return real(m, picture, **options)

    monkeypatch.setattr(evaluation, "evaluate_picture", stop_at_c)
    with pytest.raises(KeyboardInterrupt):
        measure(model)
    key, rows = evaluation.read_rows(store)
    assert list(rows.image) == ["a", "b"]
    assert key["pictures"] == 3
    assert [p.name for p in store.parent.iterdir()] == [store.name]


def test_a_file_without_a_key_is_refused(store):
    store.parent.mkdir(parents=True)
    store.write_text("run,task\n")
    with pytest.raises(ValueError, match="no rows with a key"):
        evaluation.stored("sr-M6R6", "embedded", 3, weights="w", images="p")


def test_summary_is_the_mean_over_pictures(model):
    rows = evaluation.evaluate(model, PICTURES, **WHERE, progress=False)
    summary = evaluation.summary(pd.concat([rows, rows.assign(level=4)]))
    assert summary.pictures.tolist() == [3, 3]
    assert summary.psnr[0] == pytest.approx(rows.psnr.mean())
    assert summary.gain[0] == pytest.approx((rows.psnr - rows.input_psnr).mean())


def test_planes_to_look_at_carry_their_scores(model):
    planes, scores = evaluation.look_at(model, PICTURES[0], task="jpeg", level=10)
    assert list(planes) == ["original", "JPEG", "MemNet"]
    assert list(scores) == ["JPEG", "MemNet"]
    assert scores["JPEG"] == degradations.score(planes["original"], planes["JPEG"], task="jpeg", level=10)


def test_gains_are_told_by_set_and_level(model):
    rows = evaluation.gains(evaluation.evaluate(model, PICTURES, **WHERE, progress=False))
    assert set(rows["where"]) == {f"{WHERE['dataset']}, {degradations.task(WHERE['task']).prefix}{WHERE['level']}"}
    assert rows.gain.tolist() == pytest.approx((rows.psnr - rows.input_psnr).tolist())
