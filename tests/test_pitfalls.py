"""Pitfalls of the protocol: changes in PSNR, against an independent measurement of them and on made pictures."""

import numpy as np
import pytest
import torch

from memnet.network.model import Config, build
from memnet.protocol import datasets, degradations, images, metrics, tasks
from memnet.protocol.datasets import Picture
from memnet.study import pitfalls

SET5 = {  # measured with another implementation: PSNR at x2, x3, x4
    "border not shaved": (33.668, 30.396, 28.429),
    "small picture rounded": (33.652, 30.388, 28.418),
    "nothing rounded": (33.690, 30.408, 28.432),
    "cropped to a multiple of 12": (33.641, 30.372, 28.387),
    "full-range gray": (32.355, 29.081, 27.107),
}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_changes_on_set5_are_those_of_another_implementation(scale, benchmark_set):
    benchmark_set("Set5")
    table = pitfalls.changes(datasets.originals("Set5"), task="super-resolution", level=scale).set_index("pitfall")
    for pitfall, expected in SET5.items():
        assert table.psnr[pitfall] == pytest.approx(expected[scale - 2], abs=0.001)


def test_colour_jpeg_makes_live1_look_better(benchmark_set):
    benchmark_set("LIVE1")
    table = pitfalls.changes(datasets.originals("LIVE1")[:4], task="jpeg", level=10).set_index("pitfall")
    assert 0.4 < table.psnr_change["colour compressed, 4:2:0, then luma"] < 0.8


@pytest.mark.parametrize(("task", "level"), [("super-resolution", 3), ("denoising", 50), ("jpeg", 20)])
def test_the_published_way_is_the_protocol_of_evaluation(task, level):
    pictures = [Picture(p.name, p.pixels[:187, :182]) for p in datasets.originals("embedded")[:3]]
    arrays = [images.gray(p.pixels) if task == "denoising" else images.luma(p.pixels) for p in pictures]
    expected = []
    for picture, image in zip(pictures, arrays, strict=True):
        pair = tasks.degrade(image, task=task, level=level, key=picture.name)
        expected.append(tasks.score(*pair, task=task, level=level))
    table = pitfalls.changes(pictures, task=task, level=level)
    assert table.pitfall[0] == pitfalls.AS_PUBLISHED
    assert tuple(table.loc[0, ["psnr", "ssim"]]) == pytest.approx(np.mean(expected, axis=0), abs=1e-9)
    assert (table.loc[0, ["psnr_change", "ssim_change"]] == 0).all()
    assert (table.psnr_change[1:].abs() + table.ssim_change[1:].abs() > 1e-5).all()


def test_colour_costs_nothing_on_gray_images():
    image = datasets.originals("embedded")[1].pixels
    assert image.ndim == 2
    jpeg = pitfalls.changes([Picture("gray", image)], task="jpeg", level=10)
    assert (jpeg.psnr_change == 0).all()


def test_psnr_of_three_channels_is_that_of_the_whole_array():
    picture = datasets.originals("embedded")[0].pixels
    psnr, _ = pitfalls.bicubic(picture, 3, channel=pitfalls.channels)
    shaved = []
    for c in range(3):
        reference, image = tasks.degrade(picture[..., c], task="super-resolution", level=3)
        shaved.append([images.shave(images.to_float(images.to_uint8(p)), 3) for p in (reference, image)])
    error = np.mean([(a - b) ** 2 for a, b in shaved])
    assert psnr == pytest.approx(-10 * np.log10(error))


def test_torchs_default_is_another_kernel():
    ramp = np.linspace(0, 1, 40)[None].repeat(40, axis=0)
    assert metrics.psnr(degradations.imresize(ramp, 0.5), pitfalls.torch_resize(ramp, 0.5)) < 80
    np.testing.assert_allclose(
        pitfalls.pillow_resize(ramp, 0.5)[5:-5, 5:-5], degradations.imresize(ramp, 0.5)[5:-5, 5:-5], atol=1e-6
    )


def test_size_is_compared_on_what_a_network_gives():
    model = build(Config(1, 1, channels=2)).eval()
    torch.nn.init.zeros_(model.reconnet.conv.weight)
    pictures = datasets.originals("embedded")[:2]
    (row,) = pitfalls.size_change(model, pictures, sigma=25).to_dict("records")
    assert row["psnr"] == pytest.approx(20 * np.log10(255 / 25), abs=0.1)  # this network changes nothing
    assert row["psnr_change"] == pytest.approx(0, abs=0.2)
    assert abs(row["ssim_change"]) > 1e-3


def test_a_scale_that_does_not_divide_twelve_is_named():
    image = np.zeros((60, 60), np.uint8)
    with pytest.raises(ValueError, match="a multiple of 12 cannot be shrunk by 5: choose 2 to 4"):
        pitfalls.bicubic(image, 5, multiple=12)
