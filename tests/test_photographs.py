"""Image files as people have them: every common kind, transparency, colour profiles, metadata, broken ones."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, __version__

from memnet.protocol import containers, images, photographs
from memnet.protocol.photographs import Photograph, read_photograph, write_photograph

NEW_PILLOW = pytest.mark.skipif(int(__version__.split(".")[0]) < 13, reason="Pillow before 13 reads it wrongly")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
HEIGHT, WIDTH = 20, 28
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
GRAY = (40 + 6 * COLUMNS + 2 * ROWS).clip(0, 255).astype(np.uint8)
RGB = np.stack([GRAY, GRAY[:, ::-1], 255 - GRAY], -1)
HOLE = (COLUMNS - 14) ** 2 + (ROWS - 10) ** 2 < 60


def png(rows, depth, colour, *chunks):
    """A PNG of WIDTH x HEIGHT by its rows in bytes."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    every = ((b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b""))
    return containers.PNG_SIGNATURE + b"".join(containers.png_chunk(*chunk) for chunk in every)


def packed(values, depth):
    """Rows of samples of a few bits each, as bytes."""
    bits = (values.astype(int)[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return [np.packbits(row.astype(np.uint8).ravel()).tobytes() for row in bits]


def tiff(bits, photometric, strip, sample=1):
    """A little-endian gray TIFF of WIDTH x HEIGHT."""
    tags = {256: WIDTH, 257: HEIGHT, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: HEIGHT, 279: len(strip)}
    tags[339] = sample
    at = 8 + 2 + 12 * len(tags) + 4
    kinds = {273: 4, 279: 4}
    body = b"".join(struct.pack("<HHII", t, kinds.get(t, 3), 1, at if t == 273 else v) for t, v in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4) + strip


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def read(tmp_path):
    """A function that reads the content of a file."""

    def read(content, **options):
        (tmp_path / "a").write_bytes(content)
        return read_photograph(tmp_path / "a", **options)

    return read


TWELVE = np.round(GRAY / 255 * 4095)
DEEP = GRAY.astype(int) * 257 - 3 * (GRAY > 100)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (tiff(12, 1, b"".join(packed(TWELVE, 12))), GRAY),
        (tiff(16, 1, DEEP.astype("<u2").tobytes()), DEEP),
        (tiff(16, 0, (65535 - DEEP).astype("<u2").tobytes()), DEEP),
        (tiff(8, 0, (255 - GRAY).tobytes()), GRAY),
        (tiff(32, 1, (GRAY / 255).astype("<f4").tobytes(), sample=3), GRAY.astype(int) * 257),
        (tiff(32, 0, (1 - GRAY / 255).astype("<f4").tobytes(), sample=3), GRAY.astype(int) * 257),
        (png([row.astype(">u2").tobytes() for row in DEEP], 16, 0), DEEP),
    ],
)
def test_deep_and_inverted_gray_levels(read, content, expected):
    pixels = read(content).pixels
    np.testing.assert_allclose(pixels, expected, atol=1)
    assert pixels.dtype == (np.uint16 if expected.max() > 255 else np.uint8)


@pytest.mark.parametrize("kind", ["png", "interlaced png", "tiff", "deflated tiff"])
def test_colours_of_16_bits_are_read_and_written_exactly(tmp_path, kind):
    values = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    if "png" in kind:
        write_photograph(tmp_path / "a.png", Photograph(values))
        content = (tmp_path / "a.png").read_bytes()
    else:
        import tifffile

        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
        content = (tmp_path / "a.tif").read_bytes()
    if kind == "interlaced png":
        pytest.importorskip("imagecodecs")
    (tmp_path / "b").write_bytes(content)
    np.testing.assert_array_equal(read_photograph(tmp_path / "b").pixels, values)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pngs_of_16_bits_are_what_pillow_reads(tmp_path, channels):
    values = np.random.default_rng(0).integers(0, 256, (9, 7, channels)).astype(np.uint16) * 257
    values = values[..., 0] if channels == 1 else values
    with Image.open(io.BytesIO(containers.png_of_16_bits(values, []))) as picture:
        found = np.asarray(picture)
    found = found if channels == 1 else found[..., [0, 3]] if channels == 2 else found
    np.testing.assert_array_equal(found if channels == 1 else found * np.uint16(257), values)


TRANSPARENT = {
    "1 bit": png(packed(~HOLE, 1), 1, 0, (b"tRNS", struct.pack(">H", 1))),
    "2 bits": png(packed(np.where(HOLE, GRAY // 86, 3), 2), 2, 0, (b"tRNS", struct.pack(">H", 3))),
    "4 bits": png(packed(np.where(HOLE, GRAY // 18, 15), 4), 4, 0, (b"tRNS", struct.pack(">H", 15))),
    "8 bits": png([row.tobytes() for row in np.where(HOLE, GRAY, 7)], 8, 0, (b"tRNS", struct.pack(">H", 7))),
    "16 bits": png(
        [row.astype(">u2").tobytes() for row in np.where(HOLE, DEEP, 12345)], 16, 0, (b"tRNS", struct.pack(">H", 12345))
    ),
    "RGB": png(
        [row.astype(np.uint8).tobytes() for row in np.where(HOLE[..., None], RGB, [1, 2, 3])],
        8,
        2,
        (b"tRNS", struct.pack(">3H", 1, 2, 3)),
    ),
    "RGB of 16 bits": png(
        [row.astype(">u2").tobytes() for row in np.where(HOLE[..., None], RGB.astype(int) * 257, [1000, 2000, 3000])],
        16,
        2,
        (b"tRNS", struct.pack(">3H", 1000, 2000, 3000)),
    ),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=NEW_PILLOW if kind == "1 bit" else ()) for kind in TRANSPARENT]
)
def test_a_transparent_colour_is_transparent_at_every_depth(read, kind):
    photograph = read(TRANSPARENT[kind])
    np.testing.assert_array_equal(photograph.alpha == np.iinfo(photograph.alpha.dtype).max, HOLE)
    np.testing.assert_array_equal(photograph.alpha == 0, ~HOLE)


def test_palettes_with_degrees_of_transparency(read, recwarn):
    picture = Image.fromarray(GRAY // 16)
    picture = Image.frombytes("P", picture.size, picture.tobytes())
    picture.putpalette([value for i in range(16) for value in (i * 17, 255 - i * 17, 90)])
    photograph = read(saved(picture, "PNG", transparency=bytes([0, 60, 120, 180])))
    np.testing.assert_array_equal(photograph.alpha, np.array([0, 60, 120, 180, *[255] * 12])[GRAY // 16])
    np.testing.assert_array_equal(photograph.pixels[..., 0], GRAY // 16 * 17)
    assert not list(recwarn)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "LA", "RGBA", pytest.param("YCbCr", marks=NEW_PILLOW)])
def test_every_common_mode_is_read(read, mode):
    picture = Image.fromarray(RGB).convert(mode)
    photograph = read(saved(picture, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"))
    assert photograph.pixels.shape == ((HEIGHT, WIDTH) if mode in ("1", "L", "LA") else (HEIGHT, WIDTH, 3))
    assert (photograph.alpha is not None) == (mode in ("LA", "RGBA"))
    np.testing.assert_array_equal(photograph.pixels, picture.convert("RGB" if photograph.pixels.ndim == 3 else "L"))


def test_metadata_go_from_file_to_file(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0100] = 6, "a camera", 999
    exif.get_ifd(0x8769)[0x829A] = 0.5
    xmp = b'<x:xmpmeta tiff:Orientation="6" dc:title="hello"/>'
    Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=95, dpi=(300, 150), icc_profile=SRGB, exif=exif, xmp=xmp)
    photograph = read_photograph(tmp_path / "a.jpg")
    assert photograph.pixels.shape == (WIDTH, HEIGHT, 3)
    for suffix in photographs.WRITTEN:
        assert write_photograph(tmp_path / f"b{suffix}", photograph) == ()
        with Image.open(tmp_path / f"b{suffix}") as picture:
            picture.load()
            found = picture.getexif()
            assert (found[0x010F], found.get_ifd(0x8769)[0x829A]) == ("a camera", 0.5)
            assert found.get(0x0112, 1) == 1
            assert found.get(0x0100) != 999
            assert picture.info["icc_profile"] == SRGB
            assert b"hello" in picture.info["xmp"]
            assert b"Orientation" not in picture.info["xmp"]
            if suffix != ".webp":
                assert picture.info["dpi"] == pytest.approx((150, 300), rel=0.01)


def test_the_gamma_of_a_png_is_kept(read, tmp_path):
    photograph = read(png([row.tobytes() for row in GRAY], 8, 0, (b"gAMA", struct.pack(">I", 100_000))))
    write_photograph(tmp_path / "b.png", photograph)
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.info["gamma"] == 1.0


@pytest.mark.parametrize(
    ("picture", "kind", "profile", "kept"),
    [
        (Image.fromarray(RGB), "JPEG", SRGB, True),
        (Image.fromarray(GRAY), "JPEG", SRGB, False),
        (Image.fromarray(RGB).convert("CMYK"), "JPEG", SRGB, True),
        pytest.param(Image.fromarray(RGB).convert("YCbCr"), "TIFF", SRGB, True, marks=NEW_PILLOW),
        (Image.fromarray(RGB), "JPEG", LAB, False),
        (Image.fromarray(RGB).convert("CMYK"), "JPEG", b"rubbish" * 40, False),
        (Image.fromarray(RGB), "PNG", SRGB[:400], False),
    ],
)
def test_a_profile_is_kept_if_it_fits_the_pixels(read, picture, kind, profile, kept):
    photograph = read(saved(picture, kind, icc_profile=profile, **({"quality": 95} if kind == "JPEG" else {})))
    assert photograph.profile == (profile if kept else None)
    assert ("its colour profile does not fit and is left out" in photograph.remarks) == (not kept)
    expected = GRAY if photograph.pixels.ndim == 2 else RGB
    assert np.abs(photograph.pixels.astype(int) - expected).mean() < 4


def test_lab_is_brought_to_srgb(read):
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    picture = ImageCms.applyTransform(Image.fromarray(RGB), to_lab)
    for options in ({}, {"icc_profile": LAB}):
        photograph = read(saved(picture, "TIFF", **options))
        assert np.abs(photograph.pixels.astype(int) - RGB).mean() < 3
        assert photograph.profile is None


def broken_metadata():
    rows = [row.tobytes() for row in RGB]
    physical = containers.png_chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1))
    good = png(rows, 8, 2)
    yield "checksum", good[:33] + physical[:-1] + bytes([physical[-1] ^ 1]) + good[33:], RGB
    yield "short", png(rows, 8, 2, (b"pHYs", b"\0")), RGB
    yield "exif", png(rows, 8, 2, (b"eXIf", b"\0\x08\0\2\1\x12\0\3")), RGB
    yield "text", png(rows, 8, 2, (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3 * 2**20)))), RGB
    yield "profile", png(rows, 8, 2, (b"iCCP", b"x\0\0rubbish")), RGB
    yield "transparency", png(rows, 8, 2, (b"tRNS", b"\0")), RGB
    pixels = saved(Image.fromarray(RGB), "JPEG", quality=95)
    entries = struct.pack("<HHIHH", 274, 3, 1, 6, 0) + struct.pack("<HHI4s", 256, 2, 4, b"abc\0")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    yield "jpeg", pixels[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + pixels[2:], np.rot90(RGB, -1)


@pytest.mark.parametrize(("name", "content", "expected"), list(broken_metadata()))
def test_metadata_never_stop_the_pixels(read, name, content, expected):
    pixels = read(content).pixels
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() < 4


def twelve_bit_jpeg():
    content = bytearray(saved(Image.fromarray(RGB), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 1], content[frame + 4] = 0xC1, 12
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (twelve_bit_jpeg(), "a JPEG of 12 bits"),
        (b"\0\0\0\x18ftypheic" + bytes(200), "a HEIC photograph"),
        (tiff(16, 1, bytes(2 * WIDTH * HEIGHT), sample=3), r"a TIFF with 1 sample a pixel of 16 bits \(floating point"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript file"),
        (b"8BPS" + bytes(60), "a Photoshop file"),
        (b"\xef\xbb\xbf\n<!-- drawn --><svg/>", "an SVG drawing or an HTML page"),
        (b"MM\0+" + bytes(60), "a BigTIFF"),
        (b"hello", "no image that can be read"),
    ],
)
def test_a_kind_that_is_not_read_is_named(read, content, words):
    with pytest.raises(ValueError, match=words):
        read(content)


def test_postscript_starts_no_program(tmp_path, monkeypatch):
    started = tmp_path / "started"
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {started}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    lines = ("%!PS-Adobe-3.0 EPSF-3.0", "%%BoundingBox: 0 0 9 9", "%%EndComments", "showpage", "%%EOF", "")
    (tmp_path / "a.png").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="a PostScript file"):
        read_photograph(tmp_path / "a.png")
    assert not started.exists()


def test_large_images_are_read_up_to_a_limit_that_can_be_raised(read):
    content = saved(Image.fromarray(np.zeros((50, 40), np.uint8)), "PNG")
    with pytest.raises(ValueError, match=r"claims 40x50 pixels, more pixels .* raise the limit \(--max-megapixels\)"):
        read(content, max_pixels=1999)
    assert read(content, max_pixels=2000).pixels.shape == (50, 40)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF"])
def test_headers_that_lie_are_refused_before_memory_is_taken(read, kind, monkeypatch):
    content = bytearray(saved(Image.fromarray(RGB), kind))
    size = {
        "PNG": (16, struct.pack(">II", 14000, 13000)),
        "JPEG": (content.find(b"\xff\xc0") + 5, struct.pack(">HH", 13000, 14000)),
        "BMP": (18, struct.pack("<II", 14000, 13000)),
        "GIF": (6, struct.pack("<HH", 14000, 13000)),
    }
    if kind == "TIFF":
        for tag in (256, 257):
            at = content.index(struct.pack("<HH", tag, 4 if struct.pack("<HH", tag, 4) in content else 3))
            content[at + 8 : at + 12] = struct.pack("<I", 14000)
    else:
        at, claim = size[kind]
        content[at : at + len(claim)] = claim
    if kind == "PNG":
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    monkeypatch.setattr(Image.Image, "load", None)
    with pytest.raises(ValueError, match=r"claims 14000x1.000 pixels, which its \d+ bytes do not hold"):
        read(bytes(content))


def test_a_png_of_many_bytes_that_lies_is_refused(monkeypatch, read):
    monkeypatch.setattr(containers, "LARGE", 100)
    content = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)), "PNG")
    assert read(content).pixels.shape == (60, 60)
    longer = bytearray(content)
    longer[20:24] = struct.pack(">I", 61)
    longer[29:33] = struct.pack(">I", zlib.crc32(longer[12:29]))
    with pytest.raises(ValueError, match="do not hold"):
        read(bytes(longer))


def test_white_behind_transparency_in_a_jpeg(tmp_path):
    alpha = np.where(HOLE, 255, 0).astype(np.uint8)
    assert write_photograph(tmp_path / "a.jpg", Photograph(GRAY, alpha)) == ("transparency laid on white",)
    pixels = images.read_picture(tmp_path / "a.jpg")
    assert pixels[0, 0] > 250
    assert abs(int(pixels[10, 14]) - GRAY[10, 14]) < 12


def test_results_are_known_by_a_mark(tmp_path):
    for name, values in (("a.png", GRAY), ("b.png", RGB.astype(np.uint16))):
        write_photograph(tmp_path / name, Photograph(values))
        assert photographs.written_by_us(tmp_path / name)
    Image.fromarray(GRAY).save(tmp_path / "c.png")
    assert not photographs.written_by_us(tmp_path / "c.png")


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 3, 4]), st.sampled_from([np.uint8, np.uint16]))
def test_any_image_comes_back_as_it_was_written(tmp_path_factory, height, width, channels, dtype):
    rng = np.random.default_rng([height, width])
    values = rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype, endpoint=True)
    pixels = values[..., :3] if channels > 2 else values[..., 0]
    alpha = values[..., -1] if channels in (2, 4) else None
    path = tmp_path_factory.getbasetemp() / "any.png"
    write_photograph(path, Photograph(pixels, alpha))
    found = read_photograph(path)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert (found.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(found.alpha, alpha)


def test_a_png_that_ends_early_or_lacks_colours_is_refused(read):
    rows = [row.tobytes() for row in GRAY // 16]
    palette = bytes(range(0, 240, 5))  # 16 colours
    assert read(png(rows, 8, 3, (b"PLTE", palette))).pixels.shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ValueError, match="bytes do not hold"):
        read(png(rows[:10], 8, 0))
    damaged = bytearray(png(rows, 8, 0))
    damaged[-30] ^= 1
    with pytest.raises(ValueError, match="wrong checksum"):
        read(bytes(damaged))
    for chunks, colours in (([(b"PLTE", palette[:12])], 4), ([], 0)):
        with pytest.raises(ValueError, match=f"its palette of {colours} does not hold"):
            read(png(rows, 8, 3, *chunks))


def test_a_tiff_palette_of_8_bits_is_no_black_image(read):
    indexed = Image.fromarray(RGB).quantize(16)
    colours = np.zeros((3, 256), int)
    colours[:, :16] = np.reshape(indexed.getpalette()[:48], (16, 3)).T
    for scale in (257, 1):  # as the standard says, and as some programs write it
        content = saved(indexed, "TIFF", tiffinfo={320: tuple((colours * scale).ravel().tolist())})
        np.testing.assert_array_equal(read(content).pixels, np.asarray(indexed.convert("RGB")))


def test_signed_gray_levels_are_refused(read):
    with pytest.raises(ValueError, match="signed samples"):
        read(tiff(16, 1, (DEEP // 2).astype("<i2").tobytes(), sample=2))
    with pytest.raises(ValueError, match="signed samples"):
        read(tiff(8, 1, GRAY.tobytes(), sample=2))


def test_fewer_bits_than_the_file_has_are_said(read):
    deep = RGB.astype(">u2") * 257
    assert read(b"P6\n28 20\n65535\n" + deep.astype(">u2").tobytes()).remarks == ("written with 8 bits",)
    assert read(b"P6\n28 20\n255\n" + RGB.tobytes()).remarks == ()
    assert read(b"P1\n2 1\n0 1\n").remarks == ()


def test_no_dots_per_inch_are_made_up(read):
    image, exif = Image.fromarray(RGB), Image.Exif()
    exif[0x010F] = "camera"
    assert read(saved(image, "JPEG", exif=exif)).dpi is None
    assert read(saved(image, "TIFF")).dpi is None
    unitless = {282: 200.0, 283: 100.0, 296: 1}
    assert read(saved(image, "TIFF", tiffinfo=unitless)).dpi is None
    exif[0x0112] = 6
    for kind in ("JPEG", "TIFF", "PNG"):
        assert read(saved(image, kind, dpi=(200, 100))).dpi == pytest.approx((200, 100), abs=0.02)
        turned = read(saved(image, kind, dpi=(200, 100), exif=exif))
        assert (turned.pixels.shape, turned.dpi) == ((WIDTH, HEIGHT, 3), pytest.approx((100, 200), abs=0.02))
