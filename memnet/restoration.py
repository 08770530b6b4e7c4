"""Trained networks at work on pictures: planes, colour pictures, files and folders of files."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms
from torch import nn

from memnet import degradations, images
from memnet.datasets import names_of, picture_files
from memnet.inference import InferenceNet, cudnn, device_of, inference_form

MOST_MEMORY = 4 * 2**30  # bytes that a tile may take; smaller where less than twice that is free
UNKNOWN_MEMORY = 2 * 2**30  # bytes that are taken to be free where the system does not say
MAPS_AT_WORK = 8  # feature maps of a picture's size that a network holds beside its memories
ORIENTATIONS = tuple(product((False, True), range(4)))  # mirrored or not, quarter turns
PAPER_TILE = (134, 8)  # the authors' own inference: windows of 150 pixels that share 16 with their neighbour


@cudnn(allow_tf32=False)
@torch.inference_mode()
def predict(
    model: nn.Module, plane: np.ndarray, *, progress: Callable[[float], None] | None = None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """y and [y_1 .. y_M] (float64) of a whole plane (H, W), floats in [0, 1], in float32 where the model lives.

    `progress` is called with the share that is done: after every recursion, or at the end where a network has none.
    """
    x = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32))[None, None]
    device = device_of(model)
    model = inference_form(model)
    shown = {"progress": progress} if progress and isinstance(model, InferenceNet) else {}
    y, y_m = model.predictions(x.to(device).contiguous(memory_format=torch.channels_last), **shown)
    if progress and not shown:
        progress(1.0)
    return as_plane(y), [as_plane(prediction) for prediction in y_m]


def as_plane(y: torch.Tensor) -> np.ndarray:
    """(1, 1, H, W) to float64 (H, W)."""
    return y[0, 0].cpu().double().numpy()


def restore_plane(
    model: nn.Module,
    plane: np.ndarray,
    *,
    tile: int | str | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """y (H, W) of a plane (H, W) of any size, float32, in [0, 1] but not clipped.

    A picture that is too large for the free memory, or any when `tile` (pixels) is given, is restored in tiles that
    overlap by the network's reach on every side: what a tile contributes is exactly what the whole picture would give,
    up to rounding. A smaller `overlap` is faster and leaves seams. `tile="paper"` takes the small tiles of the authors'
    own inference, whose seams are part of the printed numbers. An `ensemble` is the mean over the plane's eight
    orientations, in eight times the time (Timofte et al., CVPR 2016). `progress` is called with the share that is done.

    A network of somebody's own, without `config.reach`, sees whole pictures: ValueError for a `tile` of pixels without
    an `overlap`.
    """
    model = inference_form(model)
    if ensemble:
        mean, parts = np.zeros(plane.shape, np.float32), len(ORIENTATIONS)
        for number, (mirrored, turns) in enumerate(ORIENTATIONS):
            within = part_of(progress, number, parts) if progress else None
            oriented = np.rot90(plane[:, ::-1] if mirrored else plane, turns)
            y = np.rot90(restore_plane(model, oriented, tile=tile, overlap=overlap, progress=within), -turns)
            mean += (y[:, ::-1] if mirrored else y) / parts
        return mean
    if tile == "paper":
        tile, overlap = PAPER_TILE
    reach = getattr(getattr(model, "config", None), "reach", None)
    edge = largest_edge(model) if tile is None and reach is not None else None
    if tile is None and (edge is None or plane.size <= edge**2):
        return predict(model, plane, progress=progress)[0].astype(np.float32)
    if reach is None and overlap is None:
        raise ValueError("how far this network sees is not known: give an overlap in pixels beside the tile")
    overlap = min(pixels for pixels in (overlap, reach) if pixels is not None)  # more would change nothing
    tile = max(edge - 2 * overlap, 1) if tile is None else tile
    restored = np.empty(plane.shape, np.float32)
    pieces = list(tiles(plane.shape, size=tile, overlap=overlap))
    for number, (seen, inner, place) in enumerate(pieces):
        within = part_of(progress, number, len(pieces)) if progress else None
        restored[place] = predict(model, plane[seen], progress=within)[0][inner]
    return restored


def part_of(progress: Callable[[float], None], number: int, pieces: int) -> Callable[[float], None]:
    """The progress of piece `number` as a part of the whole's."""
    return lambda share: progress((number + share) / pieces)


def largest_edge(model: nn.Module) -> int:
    """Edge in pixels of the largest square that a network takes at once, with half of the memory that is free."""
    config = model.config
    maps = MAPS_AT_WORK + getattr(config, "blocks", 1)
    room = min(free_memory(device_of(model)) // 2, MOST_MEMORY)
    return max(int((room / (4 * config.channels * maps)) ** 0.5), 2 * config.reach + 64)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; UNKNOWN_MEMORY where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    report = Path("/proc/meminfo")
    if not report.exists():
        return UNKNOWN_MEMORY
    lines = dict(line.split(":", 1) for line in report.read_text().splitlines())
    return min([int(lines["MemAvailable"].split()[0]) * 1024, *container_memory(Path("/sys/fs/cgroup"))])


def container_memory(cgroup: Path) -> list[int]:
    """Bytes that are left of the limit that a container sets, if it does (control groups of version 2 or 1)."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        if (cgroup / limit).exists() and (text := (cgroup / limit).read_text().strip()) != "max":
            return [max(int(text) - int((cgroup / used).read_text()), 0)]
    return []


def tiles(shape: tuple[int, int], *, size: int, overlap: int) -> Iterator[tuple[tuple, tuple, tuple]]:
    """Slices for tiles of edge `size`: what the network sees, the part of that to keep, and where it goes.

    Raises ValueError for a size below 1 or an overlap below 0.
    """
    if not isinstance(size, int) or size < 1:
        raise ValueError(f'a tile is a number of pixels, at least 1, or "paper", got {size!r}')
    if overlap < 0:
        raise ValueError(f"tiles overlap by 0 pixels or more, got {overlap}")
    for top in range(0, shape[0], size):
        for left in range(0, shape[1], size):
            seen, inner, place = [], [], []
            for begin, length in ((top, shape[0]), (left, shape[1])):
                end, first = min(begin + size, length), max(begin - overlap, 0)
                seen.append(slice(first, min(end + overlap, length)))
                inner.append(slice(begin - first, end - first))
                place.append(slice(begin, end))
            yield tuple(seen), tuple(inner), tuple(place)


def restore(
    image: np.ndarray,
    *,
    task: str,
    model: nn.Module,
    scale: int | None = None,
    tile: int | str | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """A restored copy of a picture (H, W) or (H, W, 3), uint8 or float in [0, 1], in the same type and range.

    Colour: the network restores Y; Cb and Cr are kept, or enlarged bicubically. Super-resolution takes the small
    picture and `scale` (2, 3, 4), and gives (scale H, scale W). `tile`, `overlap`, `ensemble` and `progress` are those
    of `restore_plane`. Raises ValueError on anything else.
    """
    check_image(image)
    check_scale(task, scale)
    height, width = (size * (scale or 1) for size in image.shape[:2])
    y = np.empty((height, width), np.float32)
    for rows in images.strips(height):
        y[rows] = luma_of(seen(image, rows, scale))
    change = restore_plane(model, y, tile=tile, overlap=overlap, ensemble=ensemble, progress=progress)
    change -= y
    restored = np.empty((height, width, *image.shape[2:]), image.dtype)
    for rows in images.strips(height):
        values = seen(image, rows, scale) + to_rgb(change[rows], image.ndim)
        restored[rows] = images.to_uint8(values) if image.dtype == np.uint8 else values.clip(0, 1)
    return restored


def seen(image: np.ndarray, rows: slice, scale: int | None) -> np.ndarray:
    """Some rows of a picture as the network sees them: float64, enlarged bicubically (not clipped) by a scale."""
    if scale is None:
        return as_float(image[rows])
    planes = [image] if image.ndim == 2 else [image[..., c] for c in range(image.shape[2])]
    large = [degradations.enlarged_rows(plane, scale, rows) for plane in planes]
    values = np.stack(large, axis=-1) if image.ndim == 3 else large[0]
    return images.to_float(values) if image.dtype == np.uint8 else values


def as_float(image: np.ndarray) -> np.ndarray:
    """uint8 as float64 in [0, 1]; floats as float64."""
    return images.to_float(image) if image.dtype == np.uint8 else np.asarray(image, float)


def luma_of(values: np.ndarray) -> np.ndarray:
    """Y (H, W) of floats (H, W) or (H, W, 3)."""
    return images.rgb_to_ycbcr(values)[..., 0] if values.ndim == 3 else values


def to_rgb(change: np.ndarray, ndim: int) -> np.ndarray:
    """What a change of Y (H, W) adds to a gray picture, or to R, G and B alike while Cb and Cr stay."""
    return change if ndim == 2 else (change * images.Y_TO_RGB)[..., None]


def check_image(image: np.ndarray) -> None:
    """Raise ValueError unless this is a picture that `restore` takes."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"a picture is a numpy array, got {type(image).__name__}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise ValueError(f"a picture is (H, W) or (H, W, 3) with at least one pixel, got {image.shape}")
    if image.dtype == np.uint8:
        return
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"a picture is uint8, or float in [0, 1], got {image.dtype}")
    if not np.isfinite(image).all():
        raise ValueError("the picture holds values that are not finite (NaN or infinity)")
    if image.min() < 0 or image.max() > 1:
        raise ValueError(f"a float picture lies in [0, 1], got {image.min():.3g} to {image.max():.3g}: divide it first")


def check_scale(task: str, scale: int | None) -> None:
    """Raise ValueError unless the scale is one of super-resolution's levels, and None for the other tasks."""
    levels = degradations.task(task).levels
    if task == "super-resolution":
        if not isinstance(scale, int | np.integer) or scale not in levels:
            wanted = f"{', '.join(map(str, levels[:-1]))} or {levels[-1]}"
            raise ValueError(f"super-resolution needs a scale (--level) of {wanted}, got {scale}")
    elif scale is not None:
        raise ValueError(f"{task} takes no scale or --level: one network serves all its levels")


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


def targets_for(sources: Sequence[Path], folder: Path, *, task: str, scale: int | None) -> list[Path]:
    """Where the restored copies of `sources` go, each its own file: named after source and task, as lossless PNG.

    Sources that differ in their suffix alone (a.jpg, a.png) keep it in the name; sources of one name are numbered.
    """
    mark = f"x{scale}" if scale else {"denoising": "denoised", "jpeg": "deblocked"}[task]
    taken, found = set(), []
    for name in names_of(sources):
        numbered = (f"{name}-{number}" if number > 1 else name for number in count(1))
        found.append(next(one for one in numbered if one.casefold() not in taken))
        taken.add(found[-1].casefold())
    return [Path(folder) / f"{name}-{mark}.png" for name in found]


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
    with memory_errors():
        restored = restore(photograph.pixels, **how)
    if photograph.alpha is not None:
        alpha = photograph.alpha
        if scale := how.get("scale"):
            large = (seen(alpha, rows, scale) for rows in images.strips(len(alpha) * scale))
            alpha = np.concatenate([images.to_uint8(values) for values in large])
        restored = np.dstack([restored, alpha])
    try:
        images.write_picture(target, restored, icc_profile=photograph.profile)
    except OSError as error:
        raise ValueError(f"{source}: {target} cannot be written ({error.strerror or error})") from error
    return photograph


@contextmanager
def memory_errors() -> Iterator[None]:
    """Make torch's complaints of too little memory MemoryError, as numpy's are."""
    try:
        yield
    except RuntimeError as error:  # torch has a class of its own for this on a GPU alone
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise MemoryError from error
        raise


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
