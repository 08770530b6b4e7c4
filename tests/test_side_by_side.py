"""Figs. 7 to 9 and their notebooks' machinery: what is shown beside MemNet, in colour, with whose scores."""

import numpy as np
import pytest
import torch

from memnet.network.model import Config, build
from memnet.protocol import datasets, images, tasks
from memnet.publishing import task_tables
from memnet.study import registry, side_by_side
from memnet.study.registry import Example


@pytest.fixture
def tiny(monkeypatch):
    torch.manual_seed(0)
    model = build(Config(1, 1, channels=2)).eval()
    monkeypatch.setattr(registry, "ready", lambda run: model)
    return model


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("denoising", ["Noisy", "non-local means", "MemNet", "original"]),
        ("super-resolution", ["Bicubic", "unsharp mask", "plain", "skip", "MemNet", "original"]),
        ("jpeg", ["JPEG", "total variation", "MemNet", "original"]),
    ],
)
def test_methods_are_shown_in_order_and_the_classic_one_helps(tiny, task, names):
    example = registry.examples(task, "embedded")[1]
    restored, scores = side_by_side.restored(example, task=task)
    assert list(restored) == names
    assert list(scores) == names[:-1]
    degraded, classic = (scores[name][0] for name in names[:2])
    assert classic > degraded + 0.2


def test_colour_images_have_the_restored_luma_and_the_degraded_chroma(tiny):
    example = Example("embedded", "chelsea", 3)
    restored, scores = side_by_side.restored(example, task="super-resolution")
    pictures = datasets.pictures("embedded")
    picture = pictures[pictures.names.index("chelsea")]
    reference, degraded = tasks.degrade(picture.pixels, task="sr", level=3)
    assert {image.shape for image in restored.values()} == {(*reference.shape, 3)}
    change = images.rgb_to_ycbcr(restored["MemNet"]) - images.rgb_to_ycbcr(restored["Bicubic"])
    assert np.abs(change[..., 1:]).max() < 1e-6
    y = torch.from_numpy(degraded).float()[None, None]
    with torch.no_grad():
        np.testing.assert_allclose(change[..., 0], (tiny(y) - y)[0, 0].numpy(), atol=1e-4)
    assert scores["Bicubic"] == tasks.score(reference, degraded, task="sr", level=3)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_enlarged_parts_lie_in_their_images(task, benchmark_set):
    for example in registry.examples(task, "benchmark"):
        pictures = benchmark_set(example.dataset)
        image = pictures[pictures.names.index(example.image)].pixels
        if example.area:
            top, left, height, width = example.area
            assert top + height <= image.shape[0]
            assert left + width <= image.shape[1]


def test_a_task_table_has_the_files_of_its_item(tiny_runs, tmp_path):
    made = task_tables.make(5, images="embedded")
    assert list(made.figures) == ["table5_spread", "fig9a", "fig9b"]
    assert set(made.measured.method) == {"JPEG", "MemNet"}
    gains = made.gains[made.gains.level == 10].set_index("image").gain
    row = made.extremes.loc["embedded, quality 10"]
    assert (row["least"], row["most"]) == (gains.idxmin(), gains.idxmax())
    assert row["mean gain"] == pytest.approx(gains.mean(), abs=0.005)
    made.save(str(tmp_path), dataset="Classic5", level=10)
    assert {"table5.csv", "table5_rows.csv", "fig9a.png", "table5.json"} <= {path.name for path in tmp_path.iterdir()}
