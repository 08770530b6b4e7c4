"""Image files as bytes: what kind they are, what their headers claim, and how to get rid of their metadata."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, TiffImagePlugin

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # what decides the pixels of a PNG
PNG_COLOURS = (b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs")  # and what is small and useful beside them
KINDS = (  # offset, signature, name: of files that are known and not read
    (4, b"ftypheic", "a HEIC photograph"),
    (4, b"ftypheix", "a HEIC photograph"),
    (4, b"ftyphevc", "a HEIC photograph"),
    (4, b"ftypmif1", "a HEIF photograph"),
    (4, b"ftypmsf1", "a HEIF photograph"),
    (4, b"ftypcrx", "a raw photograph (CR3)"),
    (4, b"ftyp", "a video or an image of the MP4 family"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (0, b"\xff\xd8\xff", "a JPEG of an unusual kind"),
    (0, b"II\xbc", "a JPEG XR image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript file (EPS)"),
    (0, b"%PDF", "a PDF file"),
    (0, b"v/1\x01", "an OpenEXR image"),
    (0, b"#?R", "a Radiance image (HDR)"),
    (0, b"SIMPLE  =", "a FITS image"),
    (128, b"DICM", "a DICOM image"),
    (0, b"FUJIFILM", "a raw photograph (RAF)"),
    (0, b"IIRO", "a raw photograph (ORF)"),
    (0, b"IIU\0", "a raw photograph (RW2)"),
    (8, b"CR\x02", "a raw photograph (CR2)"),
    (0, b"BPG\xfb", "a BPG image"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"icns", "an icon of macOS"),
    (0, b"\xd7\xcd\xc6\x9a", "a WMF drawing"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"MM\0+", "a BigTIFF of an unusual kind"),
)
LARGE = 16_000_000  # pixels from which on any header is checked before memory is taken for what it claims
PIXELS_PER_BYTE = {"raw": 8, "zip": 8256, "libtiff": 8256, "gif": 2730}  # the most that a codec can do; others: 512


class Refused(ValueError):
    """Why a file is not opened, in words."""


def kind_of(content: bytes) -> str | None:
    """What kind of file this is, in words, if it is one that people have and that is not read."""
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0"):
        return tiff_kind(content)
    if content[:100].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "an SVG drawing or an HTML page"
    if (precision := jpeg_precision(content)) not in (None, 8):
        return f"a JPEG of {precision} bits"
    found = (name for offset, signature, name in KINDS if content[offset:].startswith(signature))
    return next(found, None)


def tiff_kind(content: bytes) -> str:
    """The kind of a TIFF, in words, as far as its first directory can be read."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
        file = io.BytesIO(content)
        file.seek(tags.next)
        with warnings.catch_warnings(action="ignore"):
            tags.load(file)
        samples, bits, form = tags.get(277, 1), tags.get(258, (1,))[0], tags.get(339, (1,))[0]
    except Exception:  # the directory is rubbish
        return "a TIFF of an unusual kind"
    form = {2: " (signed)", 3: " (floating point)"}.get(form, "")
    return f"a TIFF with {samples} sample{'s' * (samples > 1)} a pixel of {bits} bits{form}"


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of each segment of a JPEG before its pixels."""
    at = 2
    while content[:2] == b"\xff\xd8" and at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        end = at + 2 + struct.unpack_from(">H", content, at + 2)[0]
        yield content[at + 1], at, end
        at = end


def jpeg_precision(content: bytes) -> int | None:
    """Bits a sample of a JPEG, or None."""
    frames = (begin for marker, begin, _ in jpeg_segments(content) if marker in range(0xC0, 0xC4))
    begin = next(frames, None)
    return None if begin is None or begin + 4 >= len(content) else content[begin + 4]


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Name, whole bytes, and whether the checksum is right, of each chunk of a PNG."""
    at = len(PNG_SIGNATURE)
    while content.startswith(PNG_SIGNATURE) and at + 12 <= len(content):
        end = at + 12 + struct.unpack_from(">I", content, at)[0]
        chunk = content[at:end]
        yield chunk[4:8], chunk, zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        at = end


def stripped(content: bytes) -> Iterator[bytes]:
    """A PNG or JPEG without broken or large metadata, then without all of it; nothing for other files."""
    if content.startswith(PNG_SIGNATURE):
        for kept in (PNG_PIXELS + PNG_COLOURS, PNG_PIXELS, (*PNG_PIXELS[:2], *PNG_PIXELS[3:])):  # at last no tRNS
            chunks = png_chunks(content)
            good = (chunk for name, chunk, right in chunks if name in kept and (right or not name[0] & 0x20))
            yield PNG_SIGNATURE + b"".join(good)
    elif content.startswith(b"\xff\xd8"):
        segments = list(jpeg_segments(content))
        kept = [
            content[begin:end]
            for marker, begin, end in segments
            if not (marker == 0xFE or marker in range(0xE0, 0xF0)) or marker == 0xEE  # 0xEE: how colours are stored
        ]
        pixels = content[segments[-1][2] :] if segments else b""
        yield b"\xff\xd8" + b"".join(kept) + pixels


def check_claims(picture: Image.Image, content: bytes, max_pixels: int) -> None:
    """Raise ValueError when an opened file claims more pixels than allowed, or more than its bytes can hold."""
    width, height = picture.size
    if width * height > max_pixels:
        claimed, allowed = (f"{number / 1e6:.0f}" for number in (width * height, max_pixels))
        raise Refused(
            f"the image claims {width}x{height} pixels, more pixels than are opened unless asked for: "
            f"raise the limit (--max-megapixels) from {allowed} to {claimed} if you trust it"
        )
    if picture.format == "PNG" and not png_holds(content, width, height):
        raise Refused(f"the image claims {width}x{height} pixels, which its {len(content)} bytes do not hold")
    if width * height < LARGE or picture.mode == "1":
        return
    codec = picture.tile[0][0] if picture.tile and picture.format not in ("WEBP", "AVIF") else None  # type: ignore[attr-defined]  # an opened file has it
    if width * height > PIXELS_PER_BYTE.get(codec, 512) * len(content):
        raise Refused(f"the image claims {width}x{height} pixels, which its {len(content)} bytes do not hold")


def png_holds(content: bytes, width: int, height: int) -> bool:
    """Whether the compressed data of a PNG are long enough for its pixels; nothing of them is kept.

    Raises ValueError where they have a wrong checksum, which Pillow does not mind.
    """
    depth, colour = content[24], content[25]
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    needed = height * (1 + (width * bits + 7) // 8)  # each row begins with the number of its filter
    inflate, found = zlib.decompressobj(), 0
    for name, chunk, right in png_chunks(content):
        if name == b"IDAT" and not right:
            raise Refused("the image is broken (its pixels have a wrong checksum)")
        data = chunk[8:-4] if name == b"IDAT" else b""
        while data and found < needed and not inflate.eof:
            try:
                found += len(inflate.decompress(data, 2**20))
            except zlib.error:
                return False
            data = inflate.unconsumed_tail
    return found >= needed


def png_of_16_bits(pixels: np.ndarray, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of uint16 pixels (H, W) or (H, W, 1 to 4 channels), which Pillow does not write in colour."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    compress, parts = zlib.compressobj(6), []
    above = np.zeros(rows.shape[1], np.uint8)
    for row in rows:
        parts.append(compress.compress(b"\x02" + (row - above).tobytes()))  # filter 2: the difference to the row above
        above = row
    data = b"".join(parts) + compress.flush()
    every = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(png_chunk(name, body) for name, body in every)


def png_chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG: length, name, body, checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
