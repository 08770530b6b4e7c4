"""Image files as people have them: pixels of any common kind, transparency, and the metadata that a result keeps."""

import io
import math
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from memnet.paths import atomic_write
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
MAX_PIXELS = 250_000_000  # larger images are opened when the limit is raised
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Tags of EXIF that hold for another image of the same scene: description, camera, date, author, copyright, software;
# and the directories of the exposure (0x8769) and the place (0x8825).
EXIF_KEPT = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825)
EXIF_SIZES = (0xA002, 0xA003)  # width and height, within 0x8769
WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
SOFTWARE = (b"tEXt", b"Software\0memnet")  # marks results, so that they are not taken for sources
LONGEST_SEGMENT = 65_000  # bytes of metadata that a JPEG takes
SPACES = {"CMYK": b"CMYK", "YCbCr": b"YCbr", "LAB": b"Lab "}
SWAPPED = {"B": "L", "L": "B", "N": "B"}  # which raw mode gives the low bytes where another gives the high ones
PILLOW_LIMIT = threading.Lock()


@dataclass(frozen=True)
class Photograph:
    """An image file: `pixels` uint8 or uint16, (H, W) gray or (H, W, 3) RGB, upright, and what else it holds.

    `alpha` is (H, W) of the same type, or None. `profile` is an ICC profile that fits the pixels, `dpi` dots per inch,
    `gamma` that of a PNG, `exif` and `xmp` bytes whose orientation is upright; each is None where the file has none.
    `remarks` say, in words, what a user should know.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    gamma: float | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    remarks: tuple[str, ...] = ()


def suffixes() -> list[str]:
    """The suffixes of the files that can be read, in small letters."""
    Image.init()
    return sorted(suffix for suffix, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO"))


def read_photograph(path: Path, *, max_pixels: int = MAX_PIXELS) -> Photograph:
    """The image in a file; ValueError, with the file's name and the reason, when there is none that can be read.

    Broken metadata never stops the pixels. Files that claim more than `max_pixels` pixels, or more than their bytes can
    hold, are refused before memory is taken for them.
    """
    path = Path(path) if isinstance(path, str) else path  # not those within a pack
    content = read_bytes(path)
    try:
        return decode(content, max_pixels)
    except MemoryError:
        raise
    except Exception as error:
        for simpler in containers.stripped(content):
            with suppress(Exception):
                photograph = decode(simpler, max_pixels)
                return add_remark(photograph, "its broken metadata are left out")
        raise ValueError(f"{path}: {reason_of(error, content)}") from error


def reason_of(error: Exception, content: bytes) -> str:
    """Why a file could not be decoded, in words."""
    kind = containers.kind_of(content)
    if isinstance(error, UnidentifiedImageError) and kind:
        return f"this is {kind}, which is not read: convert it to PNG, JPEG or TIFF first"
    if isinstance(error, UnidentifiedImageError):
        return f"this is no image that can be read ({', '.join(FORMATS)})"
    if isinstance(error, containers.Refused):
        return str(error)
    return f"the image is broken ({' '.join(str(error).split()) or type(error).__name__})"


def read_bytes(path: Path) -> bytes:
    """The content of a file; ValueError with its name and the reason when it cannot be read."""
    try:
        if path.is_dir():
            raise ValueError(f"{path}: this is a folder, not an image")
        if path.exists() and not path.is_file():
            raise ValueError(f"{path}: this is a device or a pipe, not a file")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{path}: there is no such file") from error
    except OSError as error:
        raise ValueError(f"{path}: the file cannot be read ({error.strerror})") from error
    if not content:
        raise ValueError(f"{path}: the file is empty")
    return content


def add_remark(photograph: Photograph, remark: str) -> Photograph:
    """The photograph with another remark."""
    return Photograph(**{**vars(photograph), "remarks": (*photograph.remarks, remark)})


def decode(content: bytes, max_pixels: int) -> Photograph:
    """The image in the bytes of a file; any error of Pillow where they are broken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with opened(content, max_pixels) as picture:
            tile = list(picture.tile)  # type: ignore[attr-defined]  # an opened file has it
            dpi = dpi_of(picture, orientation_of(picture))  # before a TIFF is turned, which Pillow does by itself
            picture.load()
            check_palette(picture)
            check_sign(picture)
            profile, remarks = picture.info.get("icc_profile"), []
            pixels, alpha = deep_pixels(picture, tile, content, max_pixels)
            if pixels is None:
                pixels, alpha, profile = eight_bit_pixels(picture, content, profile)
            if pixels.dtype == np.uint8 and is_deep(picture, tile):
                remarks.append("written with 8 bits")
            fitting = profile if profile_fits(profile, b"GRAY" if pixels.ndim == 2 else b"RGB ") else None
            if profile and not fitting:
                remarks.append("its colour profile does not fit and is left out")
            exif, remark = exif_of(picture)
            turn = orientation_of(picture)
            info = {"profile": fitting, "dpi": dpi, "gamma": gamma_of(picture), "exif": exif, "xmp": xmp_of(picture)}
            if has_more_frames(picture):
                remarks.append("first frame of several")
    pixels, alpha = (None if values is None else turned(values, turn) for values in (pixels, alpha))
    return Photograph(pixels, alpha, **info, remarks=(*remarks, *remark))


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


def has_more_frames(picture: Image.Image) -> bool:
    """Whether an opened file holds a second frame or page that can be found."""
    try:
        picture.seek(1)
    except Exception:  # what follows the first frame may be missing or rubbish: then there is no other
        return False
    return True


def orientation_of(picture: Image.Image) -> Image.Transpose | None:
    """How an image is to be turned to be upright; None where nothing is said that can be read."""
    try:
        return TURNS.get(picture.getexif().get(ORIENTATION))
    except Exception:  # broken EXIF raises anything
        return None


def turned(values: np.ndarray, turn: Image.Transpose | None) -> np.ndarray:
    """An array (H, W) or (H, W, C) flipped and rotated as Pillow would."""
    if turn is None:
        return values
    swapped = values.swapaxes(0, 1)
    every = Image.Transpose
    return {
        every.FLIP_LEFT_RIGHT: values[:, ::-1],
        every.ROTATE_180: values[::-1, ::-1],
        every.FLIP_TOP_BOTTOM: values[::-1],
        every.TRANSPOSE: swapped,
        every.ROTATE_270: swapped[:, ::-1],
        every.TRANSVERSE: swapped[::-1, ::-1],
        every.ROTATE_90: swapped[::-1],
    }[turn]


def exif_of(picture: Image.Image) -> tuple[bytes | None, list[str]]:
    """The EXIF that holds for a restored copy: no orientation, thumbnail, sizes. And a remark where it fails."""
    try:
        found = picture.getexif()
        kept = Image.Exif()
        for tag in EXIF_KEPT:
            values = found.get_ifd(tag) if tag in (0x8769, 0x8825) else found.get(tag)
            if values not in (None, {}):
                kept[tag] = values if not isinstance(values, dict) else without(values, EXIF_SIZES)
        return (kept.tobytes() if len(kept) else None), []
    except Exception:  # broken EXIF raises anything
        return None, ["its broken EXIF is left out"]


def without(values: dict, names: Sequence) -> dict:
    """A dictionary without some of its keys."""
    return {name: value for name, value in values.items() if name not in names}


def xmp_of(picture: Image.Image) -> bytes | None:
    """The XMP of an image without its orientation."""
    xmp = picture.info.get("xmp")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    if not isinstance(xmp, bytes):
        return None
    for pattern in (rb'\s?tiff:Orientation="\d"', rb"<tiff:Orientation>\d</tiff:Orientation>"):
        xmp = re.sub(pattern, b"", xmp)
    return xmp


def dpi_of(picture: Image.Image, turn: Image.Transpose | None) -> tuple[float, float] | None:
    """Dots per inch (across, down) of the upright image, from its header or else from its EXIF."""
    try:
        across, down = map(float, header_dpi(picture) or exif_dpi(picture.getexif()))
    except Exception:  # nothing is said, or rubbish
        return None
    if not all(math.isfinite(dots) and 1 <= dots <= 100_000 for dots in (across, down)):
        return None
    quarter = turn is not None and turned(np.empty((1, 2)), turn).shape == (2, 1)
    return (down, across) if quarter else (across, down)


def header_dpi(picture: Image.Image) -> tuple[float, float] | None:
    """Dots per inch in the header of a file; None where Pillow puts a number of its own in the place of none."""
    tags = getattr(picture, "tag_v2", None)
    if (picture.format == "JPEG" and picture.info.get("jfif_unit") not in (1, 2)) or (
        tags is not None and 282 not in tags
    ):
        return None
    return picture.info.get("dpi")


def exif_dpi(exif: Image.Exif) -> tuple[float, float]:
    """Dots per inch as EXIF has them; KeyError where it has none, or numbers without a unit."""
    unit = {2: 1, 3: 2.54}[exif.get(296, 2)]  # 1 stands for no unit
    return float(exif[282]) * unit, float(exif[283]) * unit


def gamma_of(picture: Image.Image) -> float | None:
    """The gamma that a PNG says, if it makes sense."""
    gamma = picture.info.get("gamma")
    return gamma if isinstance(gamma, float) and 0.01 < gamma < 100 else None


def write_photograph(path: Path, photograph: Photograph) -> tuple[str, ...]:
    """Write an image with its metadata, whole or not at all, in the format that the suffix says; remarks in words.

    PNG keeps 16 bits and everything else, WebP (lossless) and TIFF 8 bits, JPEG (quality 95) 8 bits without alpha.
    """
    kind, remarks = WRITTEN[path.suffix.lower()], ()
    pixels, alpha = photograph.pixels, photograph.alpha
    if kind == "JPEG" and alpha is not None:
        pixels, alpha, remarks = on_white(pixels, alpha), None, ("transparency laid on white",)
    values = pixels if alpha is None else np.dstack([pixels, alpha])
    if kind == "PNG":
        content = png_of(values, png_metadata(photograph))
    else:
        if values.dtype == np.uint16:
            values, remarks = np.round(values / 257.0).astype(np.uint8), (*remarks, "written with 8 bits")
        options, more = metadata_options(kind, photograph)
        file, remarks = io.BytesIO(), (*remarks, *more)
        Image.fromarray(values).save(file, kind, **options)
        content = file.getvalue()
    with atomic_write(path) as partial:
        partial.write_bytes(content)
    return remarks


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What is seen of an image before a white ground, in its type."""
    top = float(np.iinfo(pixels.dtype).max)
    share = alpha / top if pixels.ndim == 2 else alpha[..., None] / top
    return np.round(pixels * share + top * (1 - share)).astype(pixels.dtype)


def png_of(values: np.ndarray, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of pixels (H, W) or (H, W, C), uint8 or uint16, with further chunks behind its header."""
    if values.dtype == np.uint16:
        return containers.png_of_16_bits(values, chunks)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    content, header = file.getvalue(), len(containers.PNG_SIGNATURE) + 25
    return content[:header] + b"".join(containers.png_chunk(*chunk) for chunk in chunks) + content[header:]


def png_metadata(photograph: Photograph) -> list[tuple[bytes, bytes]]:
    """Chunks of a PNG that hold the metadata of an image."""
    chunks = [SOFTWARE]
    if photograph.gamma:
        chunks.append((b"gAMA", struct.pack(">I", round(photograph.gamma * 100_000))))
    if photograph.profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(photograph.profile)))
    if photograph.dpi:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(dots / 0.0254) for dots in photograph.dpi), 1)))
    if photograph.exif:
        chunks.append((b"eXIf", photograph.exif.removeprefix(b"Exif\0\0")))
    if photograph.xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + photograph.xmp))
    return chunks


def metadata_options(kind: str, photograph: Photograph) -> tuple[dict, list[str]]:
    """Options of Pillow's save that write metadata in a JPEG, TIFF or WebP, and remarks about what does not fit."""
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}.get(kind, {})
    options |= {"icc_profile": photograph.profile} if photograph.profile else {}
    options |= {"dpi": photograph.dpi} if photograph.dpi and kind != "WEBP" else {}
    texts = {name: value for name in ("exif", "xmp") if (value := getattr(photograph, name))}
    if kind == "TIFF":  # the same directory holds both
        options["exif"] = Image.Exif()
        options["exif"].load(texts.get("exif", b""))
        options["exif"][700] = texts.get("xmp", b"")
        return options, []
    too_long = [name for name in texts if kind == "JPEG" and len(texts[name]) > LONGEST_SEGMENT]
    remarks = [f"its {name.upper()} does not fit and is left out" for name in too_long]
    return options | without(texts, too_long), remarks


def written_by_us(path: Path) -> bool:
    """Whether a file is a PNG that `write_photograph` made."""
    try:
        with path.open("rb") as file:
            return containers.png_chunk(*SOFTWARE) in file.read(200)
    except OSError:
        return False
