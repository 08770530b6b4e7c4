"""Images that show that another task is meant."""

import io

import numpy as np
import pytest
from PIL import Image

from memnet.protocol import datasets, tasks
from memnet.restoration import hints

CLEAN = [image for _, image, _ in datasets.embedded_colour()]


def noisy(image, sigma):
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def compressed(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("image", CLEAN)
def test_clean_images_give_no_hint(image):
    for task in tasks.TASKS.values():
        assert hints.hint(image, task) is None
        assert hints.hint(compressed(image, 92), task) is None


@pytest.mark.parametrize("image", CLEAN[:-1])  # the last one is a night sky, almost flat
def test_noise_and_squares_are_seen(image):
    denoising, enlarging, deblocking = tasks.TASKS.values()
    grainy, blocky = noisy(image, 25), compressed(image, 10)
    assert "--task denoising" in hints.hint(grainy, deblocking)
    assert "--task denoising" in hints.hint(grainy.astype(np.uint16) * 257, enlarging)
    assert hints.hint(grainy, denoising) is None
    assert "--task jpeg" in hints.hint(blocky, denoising)
    assert "--task jpeg" in hints.hint(blocky, enlarging)
    assert hints.hint(blocky, deblocking) is None


def test_the_sigma_of_grain_is_measured():
    flat = np.full((200, 150), 120, np.uint8)
    assert hints.grain(noisy(flat, 20)) == pytest.approx(20, rel=0.1)


def test_small_and_flat_images_give_no_hint():
    for shape in ((1, 1), (63, 300), (64, 64), (300, 65)):
        for task in tasks.TASKS.values():
            assert hints.hint(np.full(shape, 90, np.uint8), task) is None
