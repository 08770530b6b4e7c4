"""One rule for all public functions: an argument is taken rightly, or refused with a ValueError of one sentence."""

import math

import numpy as np
import pytest
import torch

import memnet
from memnet.network.model import Config, build
from memnet.protocol import images
from memnet.restoration import tiling

ONE_SENTENCE = r"^[^\n]+$"
GRAY = np.random.default_rng(0).integers(0, 256, (20, 24)).astype(np.uint8)
FLOATS = GRAY / 255
NETWORK = build(Config(2, 2, channels=4)).eval()
OF_ONE_IMAGE = {
    "restore": lambda image: memnet.restore(image, task="denoising", model=NETWORK),
    "bicubic": lambda image: memnet.bicubic(image, 2),
    "gaussian_noise": lambda image: memnet.gaussian_noise(image, 30, np.random.default_rng(0)),
    "jpeg": lambda image: memnet.jpeg(image, 10),
    "psnr": lambda image: memnet.psnr(FLOATS[::-1], image),
    "ssim": lambda image: memnet.ssim(FLOATS[::-1], image),
}
IN_ANY_UNIT = {
    "imresize": lambda image: memnet.imresize(image, 0.5),
    "spectral_density": memnet.spectral_density,
}
OF_FLOATS = {
    "predict": lambda image: tiling.predict(NETWORK, image)[0],
    "restore_channel": lambda image: tiling.restore_channel(NETWORK, image),
}
OF_UINT8 = {
    "degrade": lambda image: memnet.degrade(image, task="denoising", level=30)[1],
    "luma": images.luma,
    "gray": images.gray,
}
EVERY = OF_ONE_IMAGE | IN_ANY_UNIT | OF_FLOATS | OF_UINT8
NO_IMAGES = {
    "None": None,
    "list": GRAY.tolist(),
    "tensor": torch.from_numpy(FLOATS),
    "masked": np.ma.masked_greater(FLOATS, 0.5),
    "masked uint8": np.ma.masked_greater(GRAY, 128),
    "NaN": np.where(GRAY > 250, math.nan, FLOATS),
    "infinite": np.where(GRAY > 250, math.inf, FLOATS),
    "complex": FLOATS + 0j,
    "objects": FLOATS.astype(object),
    "texts": FLOATS.astype(str),
    "bool": GRAY > 128,
    "dates": np.zeros((4, 4), "M8[s]"),
    "records": np.zeros((4, 4), dtype=[("a", "f4")]),
}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_no_image_is_refused(name, kind):
    with pytest.raises(ValueError, match=ONE_SENTENCE):
        EVERY[name](NO_IMAGES[kind])


@pytest.mark.parametrize("name", sorted(EVERY.keys() - {"luma", "gray", "gaussian_noise", "restore"}))
@pytest.mark.parametrize("shape", [(), (24,), (0, 5), (5, 0), (5, 5, 0), (5, 5, 1), (20, 24, 4), (3, 20, 24)])
def test_what_is_no_channel_is_refused(name, shape):
    with pytest.raises(ValueError, match=ONE_SENTENCE):
        EVERY[name](np.zeros(shape, np.uint8 if name in OF_UINT8 else float))


def views(image):
    """The same pixels in other memory."""
    read_only = image.copy()
    read_only.flags.writeable = False
    return {
        "negative strides": image[::-1, ::-1].copy()[::-1, ::-1],
        "by columns": np.asfortranarray(image),
        "every second": image.repeat(2, axis=1)[:, ::2],
        "read-only": read_only,
        "other bytes": image.astype(image.dtype.newbyteorder()),
    }


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", views(FLOATS))
def test_the_memory_of_an_image_does_not_matter(name, kind):
    image = GRAY if name in OF_UINT8 else FLOATS
    result = np.asarray(EVERY[name](views(image)[kind]), float)
    np.testing.assert_allclose(result, np.asarray(EVERY[name](image), float), rtol=1e-6, atol=1e-6)


NUMBERS = {
    "sigma": lambda value: memnet.gaussian_noise(FLOATS, value, np.random.default_rng(0)),
    "quality": lambda value: memnet.jpeg(FLOATS, value),
    "scale": lambda value: memnet.bicubic(FLOATS, value),
    "factor": lambda value: memnet.imresize(FLOATS, value),
    "strength": lambda value: memnet.restore(FLOATS, task="jpeg", model=NETWORK, strength=value),
    "restored scale": lambda value: memnet.restore(FLOATS, task="sr", model=NETWORK, scale=value),
    "tile": lambda value: tiling.restore_channel(NETWORK, FLOATS, tile=value),
    "overlap": lambda value: tiling.restore_channel(NETWORK, FLOATS, tile=8, overlap=value),
    "level of sr": lambda value: memnet.degrade(GRAY, task="sr", level=value),
    "level of jpeg": lambda value: memnet.degrade(GRAY, task="jpeg", level=value),
    "level of denoising": lambda value: memnet.degrade(GRAY, task="denoising", level=value),
    "seed": lambda value: memnet.degrade(GRAY, task="denoising", level=30, seed=value),
    "psnr's range": lambda value: memnet.psnr(FLOATS, FLOATS, value),
    "ssim's range": lambda value: memnet.ssim(FLOATS, FLOATS, value),
    "circles": lambda value: memnet.spectral_density(FLOATS, circles=value),
    "border": lambda value: images.shave(FLOATS, value),
    "multiple": lambda value: images.crop_to_multiple(FLOATS, value),
    "blocks": lambda value: Config(value, 2),
    "channels": lambda value: Config(2, 2, channels=value),
}
NO_NUMBERS = [math.nan, math.inf, -1, "2", True, [2], 1e300, 10**400, 2 + 0j, np.array([2, 2])]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_in_range_is_refused(name, value):
    with pytest.raises(ValueError, match=ONE_SENTENCE):
        NUMBERS[name](value)


def test_numbers_of_numpy_are_numbers():
    for number in (np.int64(2), np.uint8(2)):
        for name in NUMBERS.keys() - {"strength", "factor"}:
            NUMBERS[name](number)
    np.testing.assert_array_equal(NUMBERS["factor"](np.float32(0.5)), NUMBERS["factor"](0.5))


def test_other_arguments_of_a_wrong_kind_are_refused():
    for call in (
        lambda: memnet.restore(FLOATS, task="jpeg", model=lambda x: x),
        lambda: memnet.restore(FLOATS, task=None, model=NETWORK),
        lambda: memnet.gaussian_noise(FLOATS, 30, 0),
        lambda: memnet.degrade(GRAY, task="denoising", level=30, key=3),
        lambda: memnet.spectral_density(FLOATS, window=["hann"]),
        lambda: memnet.load(["sr-M6R6"]),
        lambda: memnet.load(None),
    ):
        with pytest.raises(ValueError, match=ONE_SENTENCE):
            call()
