"""Degradations against direct implementations, other libraries and the published rows that need no network."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memnet.protocol import degradations, images, tasks
from memnet.protocol.degradations import bicubic, gaussian_noise, imresize, jpeg
from memnet.protocol.tasks import degrade, score

PLANE = np.random.default_rng(0).random((24, 36))


def kernel(x):
    """Keys' cubic with a = -0.5."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def resized_row(row, scale):
    """MATLAB's imresize of a row, one pixel at a time: antialiased on shrinking, mirrored at the ends."""
    stretch, size, result = min(scale, 1), len(row), []
    for place in range(math.ceil(size * scale - 1e-9)):
        centre = (place + 0.5) / scale - 0.5
        radius = math.ceil(2 / stretch) + 1
        taps = range(math.floor(centre) - radius, math.ceil(centre) + radius + 1)
        weights = [kernel(stretch * (centre - tap)) for tap in taps]
        values = [row[tap % (2 * size) if tap % (2 * size) < size else 2 * size - 1 - tap % (2 * size)] for tap in taps]
        result.append(np.dot(weights, values) / sum(weights))
    return result


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 0.5, 0.7, 1, 2, 3, 4])
def test_imresize_is_its_formula(scale):
    rows = np.array([resized_row(column, scale) for column in PLANE.T]).T
    expected = np.array([resized_row(row, scale) for row in rows])
    np.testing.assert_allclose(imresize(PLANE, scale), expected, atol=1e-9)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_imresize_is_torchs_on_mirrored_borders(scale):
    padded = torch.from_numpy(np.pad(PLANE, 4 * scale, mode="symmetric"))[None, None]
    size = [s // scale for s in padded.shape[2:]]
    resized = torch.nn.functional.interpolate(padded, size=size, mode="bicubic", antialias=True)[0, 0].numpy()
    np.testing.assert_allclose(imresize(PLANE, 1 / scale), resized[4:-4, 4:-4], atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([0.25, 1 / 3, 0.5, 2, 3]))
def test_imresize_keeps_flat_images_flat_at_any_size(height, width, scale):
    resized = imresize(np.full((height, width), 0.3), scale)
    assert resized.shape == (math.ceil(height * scale - 1e-9), math.ceil(width * scale - 1e-9))
    np.testing.assert_allclose(resized, 0.3, atol=1e-12)


def test_bad_resizing_is_refused():
    with pytest.raises(ValueError, match="the scale is a number from"):
        imresize(PLANE, 0)
    with pytest.raises(ValueError, match="a channel is"):
        imresize(np.zeros((4, 4, 3)), 2)
    with pytest.raises(ValueError, match="no multiple of 5"):
        bicubic(PLANE, 5)
    with pytest.raises(ValueError, match=r"from 1 to .*, got 0"):
        bicubic(PLANE, 0)


def test_levels_that_make_no_sense_are_refused():
    rng = np.random.default_rng(0)
    for sigma in (-1, float("nan")):
        with pytest.raises(ValueError, match="sigma of noise is a number from 0 to 255"):
            gaussian_noise(PLANE, sigma, rng)
    for quality in (0, 101):
        with pytest.raises(ValueError, match=f"1 to 100, got {quality}"):
            jpeg(PLANE, quality)


def test_noise_has_its_sigma_and_is_not_clipped():
    noisy = gaussian_noise(np.ones((300, 300)), 50, np.random.default_rng(0))
    assert (noisy - 1).std() * 255 == pytest.approx(50, rel=0.01)
    assert noisy.max() > 1.5


def test_noise_is_seeded_by_seed_and_image():
    image = np.zeros((8, 8), np.uint8)
    options = {"task": "denoising", "level": 30}
    first = degrade(image, **options, key="a")[1]
    np.testing.assert_array_equal(first, degrade(image, **options, key="a")[1])
    assert (first != degrade(image, **options, key="b")[1]).all()
    assert (first != degrade(image, **options, key="a", seed=1)[1]).all()


def test_jpeg_rounds_its_input_and_loses_more_at_a_lower_quality():
    losses = [np.abs(jpeg(PLANE, quality) - PLANE).mean() for quality in (100, 20, 10)]
    assert losses == sorted(losses)
    assert losses[0] < 0.004
    steps = jpeg(PLANE, 10) * 255
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)


def test_super_resolution_crops_to_a_multiple():
    reference, degraded = degrade(np.zeros((25, 38), np.uint8), task="super-resolution", level=3)
    assert reference.shape == degraded.shape == (24, 36)


def test_super_resolution_is_scored_rounded_and_shaved():
    reference = np.full((30, 30), 0.5)
    image = reference + 0.4 / 255  # rounds to the same grey level
    image[:2] = 0  # is shaved
    assert score(reference, image, task="super-resolution", level=2)[0] == math.inf
    assert score(reference, image, task="jpeg", level=10)[0] < 20


def test_unknown_tasks_are_named():
    for call in (lambda: tasks.task("haze"), lambda: degrade(np.zeros((9, 9), np.uint8), task="haze", level=1)):
        with pytest.raises(ValueError, match="unknown task 'haze': choose one of denoising"):
            call()


NO_MODEL = {  # PSNR and SSIM of the inputs, measured with an independent implementation on these files
    ("Set5", 2): (33.661, 0.9299),
    ("Set5", 3): (30.392, 0.8682),
    ("Set5", 4): (28.421, 0.8104),
    ("Set14", 2): (30.232, 0.8687),
    ("Set14", 3): (27.541, 0.7736),
    ("Set14", 4): (26.000, 0.7019),
    ("BSD100", 2): (29.558, 0.8431),
    ("BSD100", 3): (27.207, 0.7384),
    ("BSD100", 4): (25.961, 0.6674),
    ("Urban100", 2): (26.874, 0.8401),
    ("Urban100", 3): (24.458, 0.7344),
    ("Urban100", 4): (23.141, 0.6570),
    ("Classic5", 10): (27.821, 0.7595),
    ("Classic5", 20): (30.123, 0.8344),
    ("LIVE1", 10): (27.770, 0.7730),
    ("LIVE1", 20): (30.072, 0.8512),
}
SLOW = {"Urban100"}
ROWS = [
    pytest.param(*row, *values, marks=[pytest.mark.slow] if row[0] in SLOW else []) for row, values in NO_MODEL.items()
]


@pytest.mark.parametrize(("dataset", "level", "psnr", "ssim"), ROWS)
def test_rows_that_need_no_model(benchmark_set, dataset, level, psnr, ssim):
    task = "jpeg" if level >= 10 else "super-resolution"
    pairs = (degrade(picture.pixels, task=task, level=level) for picture in benchmark_set(dataset))
    means = np.mean([score(*pair, task=task, level=level) for pair in pairs], axis=0)
    assert means == pytest.approx((psnr, ssim), abs=0.002)
    assert means[1] == pytest.approx(ssim, abs=1e-4)


@pytest.mark.parametrize(("sigma", "psnr"), [(30, 18.59), (50, 14.15), (70, 11.23)])
def test_noisy_inputs_have_the_psnr_of_their_sigma(benchmark_set, sigma, psnr):
    pictures = benchmark_set("S14")
    pairs = (degrade(p.pixels, task="denoising", level=sigma, key=p.name) for p in pictures)
    assert np.mean([score(*pair, task="denoising", level=sigma)[0] for pair in pairs]) == pytest.approx(psnr, abs=0.02)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_strips_of_an_enlarged_plane_are_those_of_the_whole(scale):
    image = np.random.default_rng(0).integers(0, 256, (13, 17), dtype=np.uint8)
    whole = degradations.imresize(image, scale)
    parts = [
        degradations.enlarged_rows(image, scale, slice(top, min(top + 7, len(whole))))
        for top in range(0, len(whole), 7)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(("task", "level"), [("super-resolution", 2.5), ("jpeg", 10.5)])
def test_levels_that_are_no_whole_numbers_are_refused(task, level):
    with pytest.raises(ValueError, match="takes whole numbers as levels"):
        tasks.degrade(np.zeros((24, 24), np.uint8), task=task, level=level)
    pair = tasks.degrade(np.zeros((24, 24), np.uint8), task=task, level=float(int(level)))
    assert tasks.score(*pair, task=task, level=float(int(level)))[1] == 1


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([1 / 4, 1 / 3, 1 / 2, 0.7, 1, 1.5, 2, 3, 4]))
def test_imresize_of_any_size(height, width, scale):
    rng = np.random.default_rng([height, width])
    image, other = rng.random((2, height, width))
    large = imresize(image, scale)
    assert large.shape == (math.ceil(round(height * scale, 9)), math.ceil(round(width * scale, 9)))
    np.testing.assert_allclose(imresize(np.full_like(image, 0.3), scale), 0.3, atol=1e-12)
    np.testing.assert_allclose(imresize(2 * image - other, scale), 2 * large - imresize(other, scale), atol=1e-12)
    np.testing.assert_allclose(imresize(image.T, scale), large.T, atol=1e-12)
    if scale % 1 == 0 or (height * scale % 1 == 0 and width * scale % 1 == 0):
        np.testing.assert_allclose(imresize(image[::-1, ::-1], scale), large[::-1, ::-1], atol=1e-9)


def test_degradations_take_every_kind_of_image():
    image = np.random.default_rng(0).integers(0, 256, (24, 16), dtype=np.uint8)
    kinds = (image, image.astype(np.uint16) * 257, image / 255, (image / 255).astype(np.float32))
    calls = (
        lambda kind: jpeg(kind, 30),
        lambda kind: bicubic(kind, 2),
        lambda kind: gaussian_noise(kind, 30, np.random.default_rng(0)),
    )
    for call in calls:
        for kind in kinds[1:]:
            np.testing.assert_allclose(call(kind), call(image), atol=1e-6)
        for wrong in (image.astype(int), image.astype(float), image > 3, image * np.nan):
            with pytest.raises(ValueError, match="image"):
                call(wrong)


def test_helpers_of_one_type_refuse_the_others():
    colour = np.full((4, 4, 3), 200, np.uint8)
    for helper in (images.luma, images.gray, images.to_float):
        for wrong in (colour / 255, colour.astype(int), colour > 3):
            with pytest.raises(ValueError, match="is to be uint8"):
                helper(wrong)
    with pytest.raises(ValueError, match="floats"):
        images.to_uint8(colour)
