"""Reading, writing, colour spaces and borders."""

import os
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.color import rgb2ycbcr

from memnet.protocol import images


def test_luma_is_bt601_studio_swing():
    ends = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_array_equal(images.luma(ends)[0], [16, 235, 81, 145, 41])
    picture = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(images.luma(picture), np.round(rgb2ycbcr(picture)[..., 0]))


def test_gray_is_within_a_level_of_pillows(colour_picture):
    ours = images.gray(colour_picture).astype(int)
    pillow = np.asarray(Image.fromarray(colour_picture).convert("L")).astype(int)
    assert np.abs(ours - pillow).max() <= 1
    assert (ours == pillow).mean() > 0.99
    np.testing.assert_array_equal(images.gray(np.full((2, 2, 3), 255, np.uint8)), 255)


def test_a_gray_image_is_its_own_luma_and_gray():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert images.luma(image) is image
    assert images.gray(image) is image


def test_luma_is_that_of_scikit_image_and_changes_rgb_alike(colour_picture):
    rgb = images.to_float(colour_picture)
    ycbcr = images.rgb_to_ycbcr(rgb)
    change = images.rgb_to_ycbcr(rgb + images.YCBCR_TO_RGB[0] * 0.1) - ycbcr
    np.testing.assert_allclose(change, np.broadcast_to([0.1, 0, 0], change.shape), atol=1e-12)
    np.testing.assert_allclose(images.rgb_to_ycbcr(rgb) * 255, rgb2ycbcr(colour_picture), atol=1e-9)


@given(st.integers(0, 255))
def test_bytes_and_floats_invert_each_other(value):
    assert images.to_uint8(images.to_float(np.array([value], np.uint8)))[0] == value


def test_floats_are_rounded_and_clipped():
    np.testing.assert_array_equal(images.to_uint8(np.array([-1.0, 0.4 / 255, 0.6 / 255, 2.0])), [0, 0, 1, 255])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_images_come_back_as_they_were(tmp_path, colour_picture, suffix):
    for number, picture in enumerate((colour_picture, colour_picture[..., 0])):
        path = tmp_path / f"{number}{suffix}"
        images.write_picture(path, picture)
        np.testing.assert_array_equal(images.read_picture(path), picture)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failed_write_leaves_the_old_file(tmp_path, colour_picture):
    path = tmp_path / "a.png"
    images.write_picture(path, colour_picture)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        images.write_picture(path, np.zeros((2, 2), np.uint8), compress_level="no number")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def bad_files(folder):
    """Files that are no pictures, and what is said of them."""
    picture = folder / "whole.png"
    images.write_picture(picture, np.zeros((40, 40), np.uint8) + np.arange(40, dtype=np.uint8))
    (folder / "truncated.png").write_bytes(picture.read_bytes()[:60])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("hello")
    (folder / "folder.png").mkdir()
    bomb = bytearray(picture.read_bytes())
    bomb[16:24] = (100_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (folder / "bomb.png").write_bytes(bytes(bomb))
    return {
        "missing.png": "no such file",
        "truncated.png": "broken|do not hold",  # Pillow 11 reads the size before it finds the end
        "empty.png": "empty",
        "text.png": "no image",
        "folder.png": "folder",
        "bomb.png": "more pixels than are opened",
    }


def test_bad_files_are_named_with_the_reason(tmp_path):
    for name, reason in bad_files(tmp_path).items():
        with pytest.raises(ValueError, match=reason) as error:
            images.read_picture(tmp_path / name)
        assert name in str(error.value)


def test_deep_gray_levels_come_as_8_bits_and_gray_with_alpha_as_gray(tmp_path):
    deep = np.array([[0, 257, 30000, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(images.read_picture(tmp_path / "deep.png"), [[0, 1, 117, 255]])
    Image.fromarray(np.array([[[7, 255], [9, 0]]], np.uint8), "LA").save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(images.read_picture(tmp_path / "alpha.png"), [[7, 9]])


def test_borders():
    image = np.arange(30).reshape(5, 6)
    np.testing.assert_array_equal(images.shave(image, 2), image[2:3, 2:4])
    np.testing.assert_array_equal(images.crop_to_multiple(image, 4), image[:4, :4])
    with pytest.raises(ValueError, match="nothing left"):
        images.shave(image, 3)
    with pytest.raises(ValueError, match="smaller than the scale 7"):
        images.crop_to_multiple(image, 7)
    with pytest.raises(ValueError, match=r"the scale is a whole number from 1 to .*, got 0"):
        images.crop_to_multiple(image, 0)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".tif", ".webp", ".bmp"])
def test_a_file_that_is_cut_anywhere_gives_a_image_or_a_sentence(tmp_path, suffix):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6
    more = {"save_all": True, "append_images": [picture.rotate(180)]} if suffix in (".gif", ".tif", ".webp") else {}
    more |= {"exif": exif} if suffix in (".png", ".jpg", ".tif", ".webp") else {}
    picture.save(tmp_path / f"whole{suffix}", **more)
    content, cut, broken = (tmp_path / f"whole{suffix}").read_bytes(), tmp_path / f"cut{suffix}", 0
    for length in np.linspace(1, len(content) - 1, 60).astype(int):
        cut.write_bytes(content[:length])
        try:
            assert images.read_picture(cut).shape[:2] in ((20, 30), (30, 20))
        except ValueError as error:  # anything else fails the test
            broken += str(error).startswith(str(cut))
    assert broken > 5


def test_written_files_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        images.write_picture(tmp_path / "a.png", np.zeros((4, 5), np.uint8))
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640
