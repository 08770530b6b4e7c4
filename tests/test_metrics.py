"""PSNR and SSIM against their formulas, written out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnet.protocol.metrics import psnr, ssim

RNG = np.random.default_rng(0)
PLANE = RNG.random((24, 19))


def ssim_by_formula(x, y, data_range):
    """Wang et al. 2004, eq. 13, with an 11x11 Gaussian window, meant over the valid region."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = x[row : row + 11, column : column + 11], y[row : row + 11, column : column + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * a**2).sum() - mean_a**2, (window * b**2).sum() - mean_b**2
            cov = (window * a * b).sum() - mean_a * mean_b
            top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
            values.append(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return np.mean(values)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_is_its_formula(data_range):
    noisy = PLANE + RNG.normal(0, 0.1, PLANE.shape)
    x, y = PLANE * data_range, noisy * data_range
    assert ssim(x, y, data_range) == pytest.approx(ssim_by_formula(x, y, data_range), abs=1e-9)


def test_psnr_is_its_formula():
    assert psnr(np.zeros((4, 4)), np.full((4, 4), 0.1)) == pytest.approx(20.0)
    assert psnr(np.zeros((4, 4)), np.full((4, 4), 25.5), data_range=255) == pytest.approx(20.0)


def test_identical_planes():
    assert psnr(PLANE, PLANE) == math.inf
    assert ssim(PLANE, PLANE) == pytest.approx(1.0)


@given(st.floats(1e-3, 0.5))
def test_a_larger_error_has_a_smaller_psnr(error):
    assert psnr(PLANE, PLANE + error) > psnr(PLANE, PLANE + 1.5 * error)


def test_nothing_is_clipped():
    assert psnr(np.ones((3, 3)), np.full((3, 3), 2.0)) == pytest.approx(0.0)


def test_shapes_that_cannot_be_compared_are_refused():
    for metric in (psnr, ssim):
        with pytest.raises(ValueError, match="one shape"):
            metric(PLANE, PLANE[1:])
        with pytest.raises(ValueError, match="one shape"):
            metric(np.zeros((12, 12, 3)), np.zeros((12, 12, 3)))
    with pytest.raises(ValueError, match="11x11"):
        ssim(PLANE[:10], PLANE[:10])


@given(st.integers(0, 2**32 - 1), st.integers(11, 20), st.integers(11, 20))
def test_types_of_one_image_have_one_psnr_and_ssim(seed, height, width):
    rng = np.random.default_rng(seed)
    pair = [rng.integers(0, 256, (height, width), dtype=np.uint8) for _ in range(2)]
    deep, floats = (
        [kind(image) for image in pair] for kind in (lambda i: i.astype(np.uint16) * 257, lambda i: i / 255)
    )
    for measure in (psnr, ssim):
        expected = measure(*floats)
        assert measure(*pair) == measure(*reversed(pair)) == pytest.approx(expected, abs=1e-9)
        assert measure(*deep) == measure(pair[0], floats[1]) == pytest.approx(expected, abs=1e-9)
        assert measure(*pair, data_range=255) == pytest.approx(expected, abs=1e-9)
    assert psnr(*floats) == pytest.approx(-10 * np.log10(np.mean((floats[0] - floats[1]) ** 2)))


def test_types_and_ranges_that_do_not_fit_are_refused():
    image = np.full((12, 12), 200, np.uint8)
    for wrong in (image.astype(int), image > 0, image.astype(float), image.astype(complex)):
        with pytest.raises(ValueError, match=r"an image is|a float image lies"):
            psnr(wrong, wrong)
    with pytest.raises(ValueError, match=r"a data_range of 1.0 does not fit uint8"):
        psnr(image, image, data_range=1.0)
