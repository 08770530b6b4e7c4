"""What an image file says beside its pixels: orientation, EXIF, XMP, dots per inch, gamma."""

import math
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
# Tags of EXIF that hold for another image of the same scene: description, camera, date, author, copyright, software;
# and the directories of the exposure (0x8769) and the place (0x8825).
EXIF_KEPT = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825)
EXIF_SIZES = (0xA002, 0xA003)  # width and height, within 0x8769


def orientation_of(picture: Image.Image) -> int:
    """How an image lies, by its EXIF: a number from 1 (upright) to 8; 1 where nothing is said that can be read."""
    try:
        orientation = picture.getexif().get(ORIENTATION)
    except Exception:  # broken EXIF raises anything
        return 1
    return orientation if orientation in range(1, 9) else 1


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """An array (H, W) or (H, W, C) flipped and rotated as its orientation asks for."""
    values = values.swapaxes(0, 1) if orientation >= 5 else values
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::rows, ::columns]


def exif_of(picture: Image.Image) -> tuple[bytes | None, list[str]]:
    """The EXIF that holds for a restored copy: no orientation, thumbnail, sizes. And a remark where it fails."""
    try:
        found = picture.getexif()
        kept = Image.Exif()
        for tag in EXIF_KEPT:
            values = found.get_ifd(tag) if tag in (0x8769, 0x8825) else found.get(tag)
            if values not in (None, {}):
                kept[tag] = without(values, EXIF_SIZES) if isinstance(values, dict) else values
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


def dpi_of(picture: Image.Image, orientation: int) -> tuple[float, float] | None:
    """Dots per inch (across, down) of the upright image, from its header or else from its EXIF."""
    try:
        across, down = map(float, header_dpi(picture) or exif_dpi(picture.getexif()))
    except Exception:  # nothing is said, or rubbish
        return None
    if not all(math.isfinite(dots) and 1 <= dots <= 100_000 for dots in (across, down)):
        return None
    return (down, across) if orientation >= 5 else (across, down)


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


def has_more_frames(picture: Image.Image) -> bool:
    """Whether an opened file holds a second frame or page that can be found."""
    try:
        picture.seek(1)
    except Exception:  # what follows the first frame may be missing or rubbish: then there is no other
        return False
    return True
