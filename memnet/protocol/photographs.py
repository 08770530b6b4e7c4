"""Read and write image files as people have them, with the metadata that a result keeps."""

import io
import struct
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from memnet.paths import atomic_write
from memnet.protocol import containers, metadata, pixels

MAX_PIXELS = 250_000_000  # larger images are opened when the limit is raised
WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
SOFTWARE = (b"tEXt", b"Software\0memnet")  # marks results, so that they are not taken for sources
LONGEST_SEGMENT = 65_000  # bytes of metadata that a JPEG takes


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
    return sorted(suffix for suffix, name in Image.registered_extensions().items() if name in (*pixels.FORMATS, "MPO"))


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
                found = decode(simpler, max_pixels)
                return replace(found, remarks=(*found.remarks, "its broken metadata are left out"))
        raise ValueError(f"{path}: {reason_of(error, content)}") from error


def reason_of(error: Exception, content: bytes) -> str:
    """Why a file could not be decoded, in words."""
    kind = containers.kind_of(content)
    if isinstance(error, UnidentifiedImageError) and kind:
        return f"this is {kind}, which is not read: convert it to PNG, JPEG or TIFF first"
    if isinstance(error, UnidentifiedImageError):
        return f"this is no image that can be read ({', '.join(pixels.FORMATS)})"
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


def decode(content: bytes, max_pixels: int) -> Photograph:
    """The image in the bytes of a file; any error of Pillow where they are broken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pixels.opened(content, max_pixels) as picture:
            tile = list(picture.tile)  # type: ignore[attr-defined]  # an opened file has it; gone once pixels are read
            dpi = metadata.dpi_of(picture, metadata.orientation_of(picture))  # Pillow turns a TIFF when it reads pixels
            values, alpha, profile, remarks = pixels.decoded(picture, tile, content, max_pixels)
            exif, broken = metadata.exif_of(picture)
            gamma, xmp = metadata.gamma_of(picture), metadata.xmp_of(picture)
            orientation = metadata.orientation_of(picture)
            more = ["first frame of several"] if metadata.has_more_frames(picture) else []
    values, alpha = (None if v is None else metadata.upright(v, orientation) for v in (values, alpha))
    return Photograph(values, alpha, profile, dpi, gamma, exif, xmp, remarks=(*remarks, *more, *broken))


def write_photograph(path: Path, photograph: Photograph) -> tuple[str, ...]:
    """Write an image with its metadata, whole or not at all, in the format that the suffix says; remarks in words.

    PNG keeps 16 bits and everything else, WebP (lossless) and TIFF 8 bits, JPEG (quality 95) 8 bits without alpha.
    """
    kind, remarks = WRITTEN[path.suffix.lower()], ()
    values, alpha = photograph.pixels, photograph.alpha
    if kind == "JPEG" and alpha is not None:
        values, alpha, remarks = on_white(values, alpha), None, ("transparency laid on white",)
    values = values if alpha is None else np.dstack([values, alpha])
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
    return options | metadata.without(texts, too_long), remarks


def written_by_us(path: Path) -> bool:
    """Whether a file is a PNG that `write_photograph` made."""
    try:
        with path.open("rb") as file:
            return containers.png_chunk(*SOFTWARE) in file.read(200)
    except OSError:
        return False
