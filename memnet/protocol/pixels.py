"""The pixels of an image file, as deep as the file has them, gray or RGB, and its transparency."""

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from PIL import Image, ImageCms

from memnet.protocol import containers

# Only these are opened: other decoders of Pillow start programs (EPS), or read what no user calls an image.
FORMATS = (
    "PNG",
    "JPEG",
    "TIFF",
    "WEBP",
    "GIF",
    "BMP",
    "DIB",
    "PPM",
    "JPEG2000",
    "AVIF",
    "TGA",
    "QOI",
    "PCX",
    "SGI",
    "ICO",
)
SPACES = {"CMYK": b"CMYK", "YCbCr": b"YCbr", "LAB": b"Lab "}
SWAPPED = {"B": "L", "L": "B", "N": "B"}  # which raw mode gives the low bytes where another gives the high ones
PILLOW_LIMIT = threading.Lock()


def opened(content: bytes, max_pixels: int) -> Image.Image:
    """A Pillow image that is not loaded yet, when its claims are plausible."""
    with no_limit_of_pillow():
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    containers.check_claims(picture, content, max_pixels)
    return picture


@contextmanager
def no_limit_of_pillow() -> Iterator[None]:
    """Pillow's own limit of pixels, which is one number for the whole process, set aside for a moment."""
    with PILLOW_LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def decoded(
    picture: Image.Image, tile: list, content: bytes, max_pixels: int
) -> tuple[np.ndarray, np.ndarray | None, bytes | None, list[str]]:
    """Pixels, alpha, the ICC profile that fits them, and remarks, of an opened file; `tile` is what to decode of it."""
    picture.load()
    check_palette(picture)
    check_sign(picture)
    profile, remarks = picture.info.get("icc_profile"), []
    values, alpha = deep_pixels(picture, tile, content, max_pixels)
    if values is None:
        values, alpha, profile = eight_bit_pixels(picture, content, profile)
    if values.dtype == np.uint8 and is_deep(picture, tile):
        remarks.append("written with 8 bits")
    fits = profile_fits(profile, b"GRAY" if values.ndim == 2 else b"RGB ")
    if profile and not fits:
        remarks.append("its colour profile does not fit and is left out")
    return values, alpha, profile if fits else None, remarks


def check_palette(picture: Image.Image) -> None:
    """Raise ValueError when pixels of a loaded image have colours that its palette does not hold.

    Some programs write the palette of a TIFF with 8 bits in place of 16, which Pillow makes black: it is put right.
    """
    colours = getattr(picture, "tag_v2", {}).get(320)
    if picture.mode == "P" and colours and max(colours) < 256:
        picture.putpalette(np.reshape(colours, (3, -1)).T.astype(np.uint8).tobytes())
    palette = picture.getpalette() or ()
    if picture.mode == "P" and 3 * np.asarray(picture).max() >= len(palette):
        raise containers.Refused(f"the image has colours that its palette of {len(palette) // 3} does not hold")


def check_sign(picture: Image.Image) -> None:
    """Raise ValueError for a TIFF whose samples have a sign: which of them is white is not known."""
    if 2 in getattr(picture, "tag_v2", {}).get(339, ()):
        raise containers.Refused("the TIFF has signed samples, whose white is not known: convert it first")


def is_deep(picture: Image.Image, tile: list) -> bool:
    """Whether the samples of a file have more than 8 bits, by what Pillow was to decode or what the TIFF says."""
    white = [part.args[1] for part in tile if part.codec_name in ("ppm", "ppm_plain") and isinstance(part.args, tuple)]
    return max(white, default=0) > 255 or ";16" in str(tile) or max(getattr(picture, "tag_v2", {}).get(258, (8,))) > 8


def deep_pixels(
    picture: Image.Image, tile: list, content: bytes, max_pixels: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Pixels and alpha of a loaded image of more than 8 bits, uint16 from 16 bits on; None and None for any other."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        key = picture.info.get("transparency")
        alpha = None if key is None else np.where(values == key, 0, 65535).astype(np.uint16)
        levels = scaled_gray(picture, values)
        return (levels, alpha) if bits_of(picture) >= 16 else (np.round(levels / 257.0).astype(np.uint8), alpha)
    if "'LA;16B'" in str(tile):  # Pillow gives these as RGBA: their 4 bytes a pixel as they are
        values = decoded_again(content, max_pixels, [part._replace(args="RGBA") for part in tile]).view(">u2")
        return values[..., 0].astype(np.uint16), values[..., 1].astype(np.uint16)
    raw = [part for part in re.findall(r"'(\w+;16[BLN])'", str(tile)) if part.split(";")[0] in (picture.mode, "RGBX")]
    if not raw or len(raw) != len(tile) or picture.mode not in ("RGB", "RGBA"):
        return None, None
    low = decoded_again(content, max_pixels, [part._replace(args=with_low_bytes(part.args)) for part in tile])
    values = np.asarray(picture).astype(np.uint16) << 8 | low
    key = picture.info.get("transparency")
    if picture.mode == "RGB" and key is not None:
        return values, np.where((values == key).all(axis=2), 0, 65535).astype(np.uint16)
    return values[..., :3], values[..., 3] if picture.mode == "RGBA" else None


def decoded_again(content: bytes, max_pixels: int, tile: list) -> np.ndarray:
    """The pixels of a file decoded with other arguments for Pillow's decoder."""
    with opened(content, max_pixels) as picture:
        picture.tile = tile  # type: ignore[attr-defined]  # an opened file has it
        picture.load()
        return np.array(picture)


def with_low_bytes(args: str | tuple) -> str | tuple:
    """Arguments of Pillow's decoder with a raw mode of the other byte order: it takes the other byte of each value."""
    if isinstance(args, tuple):
        return (with_low_bytes(args[0]), *args[1:])
    return args[:-1] + SWAPPED[args[-1]]


def scaled_gray(picture: Image.Image, values: np.ndarray) -> np.ndarray:
    """Deep gray levels as uint16: floats from [0, 1], integers from [0, 65535] or what the bits of a TIFF say."""
    if not np.isfinite(values).all():
        raise containers.Refused("the image holds values that are not finite (NaN or infinity)")
    top = 1 if picture.mode == "F" else min(2 ** bits_of(picture), 65536) - 1
    if values.min() < 0 or values.max() > top:
        raise containers.Refused(f"the image has gray levels outside [0, {top}] ({values.min():g} to {values.max():g})")
    values = values if top == 65535 else np.round(values * (65535 / top))
    values = values.astype(np.uint16)
    inverted = getattr(picture, "tag_v2", {}).get(262) == 0  # white is zero, which Pillow does not mind at 16 bits
    return 65535 - values if inverted else values


def bits_of(picture: Image.Image) -> int:
    """Bits a sample of a deep gray image: what a TIFF says, 16 for other files."""
    return getattr(picture, "tag_v2", {}).get(258, (16,))[0]


def eight_bit_pixels(
    picture: Image.Image, content: bytes, profile: bytes | None
) -> tuple[np.ndarray, np.ndarray | None, bytes | None]:
    """uint8 pixels and alpha of a loaded image, and the profile that holds for these pixels."""
    if picture.mode in ("La", "RGBa"):
        picture = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode])
    elif picture.mode in ("P", "PA") and (picture.mode == "PA" or "transparency" in picture.info):
        picture = picture.convert("RGBA")
    alpha = alpha_of(picture, content)
    picture, profile = to_rgb_or_gray(picture, profile)
    return np.asarray(picture), alpha, profile


def alpha_of(picture: Image.Image, content: bytes) -> np.ndarray | None:
    """The transparency (H, W) of a loaded image of 8 bits, uint8, or None."""
    if picture.mode in ("LA", "RGBA"):
        return np.asarray(picture.getchannel("A"))
    key = picture.info.get("transparency")
    values = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    if isinstance(key, int) and values.ndim == 2:
        depth = content[24] if picture.format == "PNG" else 8
        level = key if depth in (1, 8) else (key % 2**depth) * (255 // (2**depth - 1))
        return np.where(values == level, 0, 255).astype(np.uint8)
    if isinstance(key, tuple) and values.ndim == 3 and len(key) == values.shape[2]:
        return np.where((values == key).all(axis=2), 0, 255).astype(np.uint8)
    return None


def to_rgb_or_gray(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """An image in mode L or RGB, and the profile that holds for that: other colours are brought to sRGB by theirs."""
    if picture.mode in SPACES and profile_fits(profile, SPACES[picture.mode]):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        with suppress(ImageCms.PyCMSError):  # a profile without what the conversion needs
            return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"), None
    if picture.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, lab, rgb, outputMode="RGB"), profile
    return picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB"), profile


def profile_fits(profile: bytes | None, space: bytes) -> bool:
    """Whether this is an ICC profile that can be read, of that colour space."""
    if not profile or profile[16:20] != space or int.from_bytes(profile[:4], "big") > len(profile):
        return False
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except Exception:  # rubbish brings about OSError and others
        return False
    return True
