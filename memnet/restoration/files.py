"""Restore image files: read, restore, write, with what a photograph carries beside its pixels."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from memnet.protocol import images, tasks
from memnet.protocol.datasets import names_of, picture_files
from memnet.protocol.tasks import Task
from memnet.restoration import arrays, tiling


@dataclass(frozen=True)
class Photograph:
    """A picture file: pixels uint8 (H, W) or (H, W, 3), alpha uint8 (H, W) or None, colour profile, remarks."""

    pixels: np.ndarray
    alpha: np.ndarray | None
    profile: bytes | None
    remarks: tuple[str, ...]


def read_photograph(path: Path) -> Photograph:
    """A picture file of any common mode, turned upright; ValueError with the file's name and the reason."""
    picture = images.open_picture(path)
    remarks = ["first frame of several"] if picture.info["more_frames"] else []
    remarks += ["written with 8 bits"] if picture.info["deep"] else []
    profile, alpha = picture.info.get("icc_profile"), None
    if profile and picture.mode in ("CMYK", "YCbCr", "LAB"):
        picture, profile = to_srgb(path, picture, profile), None
    if images.is_deep(picture):
        return Photograph(images.eight_bits(path, np.asarray(picture)), alpha, profile, tuple(remarks))
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    return Photograph(images.gray_or_rgb(picture), alpha, profile, tuple(remarks))


def to_srgb(path: Path, picture: Image.Image, profile: bytes) -> Image.Image:
    """A picture of other colours than red, green and blue brought to sRGB by its profile."""
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise ValueError(f"{path}: the colour profile cannot be used ({error})") from error


def targets_for(sources: Sequence[Path], folder: Path, *, task: str | Task, scale: int | None) -> list[Path]:
    """Where the restored copies of `sources` go, each its own file: named after source and task, as lossless PNG.

    Sources that differ in their suffix alone (a.jpg, a.png) keep it in the name; sources of one name are numbered.
    """
    taken, found, ending = set(), [], tasks.task(task).restored.format(scale=scale)
    for name in names_of(sources):
        numbered = (f"{name}-{number}" if number > 1 else name for number in count(1))
        found.append(next(one for one in numbered if one.casefold() not in taken))
        taken.add(found[-1].casefold())
    return [Path(folder) / f"{name}-{ending}.png" for name in found]


def restore_file(source: Path, target: Path, *, overwrite: bool = False, **how) -> Photograph:
    """Restore a picture file into the PNG `target`, whole or not at all; what was read. `how` goes to `restore`.

    Raises ValueError, naming the file and the reason, when it cannot be read or the target is there already, and
    MemoryError when there is not enough memory.
    """
    try:
        if target.exists() and not overwrite:
            raise ValueError(f"{source}: {target} is there already: give --overwrite or another --output")
    except OSError as error:
        raise ValueError(f"{source}: {target} cannot be written ({error.strerror})") from error
    photograph = read_photograph(source)
    with tiling.memory_errors():
        restored = arrays.restore(photograph.pixels, **how)
    if photograph.alpha is not None:
        alpha = photograph.alpha
        if scale := how.get("scale"):
            large = (arrays.seen(alpha, rows, scale) for rows in images.strips(len(alpha) * scale))
            alpha = np.concatenate([images.to_uint8(values) for values in large])
        restored = np.dstack([restored, alpha])
    try:
        images.write_picture(target, restored, icc_profile=photograph.profile)
    except OSError as error:
        raise ValueError(f"{source}: {target} cannot be written ({error.strerror or error})") from error
    return photograph


def expand(sources: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The picture files among `sources`, each once (of folders the pictures in them), and what is wrong, in words."""
    files, wrong = {}, []
    for source in sources:
        try:
            for file in picture_files(source) if source.is_dir() else [source]:
                files.setdefault(file.resolve(), file)
        except ValueError as error:
            wrong.append(str(error))
        except OSError as error:
            wrong.append(f"{source}: {error.strerror}")
        except RuntimeError:  # of `resolve`, up to Python 3.12
            wrong.append(f"{source}: this link leads in a circle")
    return list(files.values()), wrong
