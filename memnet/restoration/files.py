"""Restore image files: read, restore, write, with what a photograph carries beside its pixels."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from scipy import ndimage
from torch import nn

from memnet.network import memory
from memnet.network.folded import unseen
from memnet.protocol import images, photographs, tasks
from memnet.protocol.datasets import picture_files, unique_stems
from memnet.protocol.photographs import MAX_PIXELS, Photograph
from memnet.protocol.tasks import Task
from memnet.restoration import arrays
from memnet.restoration.hints import hint

INVISIBLE = 0.02  # of full opacity: what is less opaque has no colour of its own
GAP = 4  # white columns between the two halves of a comparison


@dataclass(frozen=True)
class Outcome:
    """What became of one file: its result, or the sentence that says why there is none."""

    source: Path
    target: Path
    seconds: float
    result: Photograph | None = None
    error: str | None = None


def expand(sources: Iterable[Path]) -> tuple[list[Path], list[str], list[str]]:
    """The image files among `sources`, each once, of folders those with an image's suffix.

    And two lists of sentences: what is wrong, and what is left out of the folders.
    """
    files, wrong, left_out = {}, [], []
    for source in sources:
        try:
            for file in picture_files(source) if source.is_dir() else [source]:
                files.setdefault(real(file), file)
            left_out += others_in(source) if source.is_dir() else []
        except ValueError as error:
            wrong.append(str(error))
        except OSError as error:
            wrong.append(f"{source}: {error.strerror}")
    return list(files.values()), wrong, left_out


def real(path: Path) -> str:
    """Where a path leads, links followed; one that leads in a circle is itself."""
    return os.path.realpath(path)


def others_in(folder: Path) -> list[str]:
    """A sentence about what a folder holds beside images, if there is any; neither folders nor hidden files."""
    taken = set(picture_files(folder))
    others = (path for path in folder.iterdir() if path not in taken and path.is_file())
    others = sorted(path.name for path in others if not path.name.startswith("."))
    if not others:
        return []
    names = ", ".join(others[:5]) + (" ..." if len(others) > 5 else "")
    return [f"{folder}: {len(others)} left out, no images by their names: {names}"]


def names_a_file(output: Path) -> bool:
    """Whether the place for results is the name of an image file, not of a folder."""
    return output.suffix.lower() in photographs.WRITTEN and not output.is_dir()


def targets_for(sources: Sequence[Path], output: Path, *, task: str | Task, scale: int | None) -> list[Path]:
    """Where the restored copies of `sources` go, each its own file: named after source and task, as lossless PNG.

    Sources that differ in their suffix alone (a.jpg, a.png) keep it in the name; sources of one name are numbered.
    An `output` that is the name of an image file is taken as it is; ValueError when there are several sources.
    """
    if names_a_file(output):
        if len(sources) > 1:
            raise ValueError(f"{output} is the name of one file, and there are {len(sources)} images: name a folder")
        return [output] * len(sources)
    taken, found, ending = set(), [], tasks.task(task).restored.format(scale=scale)
    for name in unique_stems(sources):
        numbered = (f"{name}-{number}" if number > 1 else name for number in count(1))
        found.append(next(one for one in numbered if one.casefold() not in taken))
        taken.add(found[-1].casefold())
    return [Path(output) / f"{name}-{ending}.png" for name in found]


def comparison_of(target: Path) -> Path:
    """Where the comparison of an image before and after goes."""
    return target.with_name(f"{target.stem}-compare.png")


def without_results(
    sources: Sequence[Path], output: Path, *, task: str | Task, scale: int | None
) -> tuple[list[Path], list[str]]:
    """The sources without what an earlier call of the same command made of others of them, and a sentence for each."""
    if names_a_file(output):
        return list(sources), []
    targets = targets_for(sources, output, task=task, scale=scale)
    made = {real(path) for target in targets for path in (target, comparison_of(target))}
    results = [source for source in sources if real(source) in made and photographs.written_by_us(source)]
    kept = [source for source in sources if source not in results]
    return kept, [f"{source}: left out, this is a result of this command" for source in results]


def restore_all(
    sources: Sequence[Path],
    targets: Sequence[Path],
    *,
    restore: Callable[..., Photograph],
    progress: Callable[[int, Path], Callable[[float], None]],
) -> Iterator[Outcome]:
    """Restore files one after the other, and say of each what became of it: one that fails stops no other.

    `restore(source, target, progress=...)` is `restore_file` with its other arguments. `progress(number, source)`
    gives a function that is called with the share of that file that is done.
    """
    resolved = {real(source) for source in sources}
    for number, (source, target) in enumerate(zip(sources, targets, strict=True), start=1):
        begin, result, error = time.perf_counter(), None, None
        try:
            if real(target) in resolved:
                raise ValueError(
                    f"{source}: its result would replace {target}, which is to be restored: choose another --output"
                )
            result = restore(source, target, progress=progress(number, source))
        except MemoryError as reason:
            error = (
                f"{source}: {reason}" if str(reason) else f"{source}: there is not enough memory: give a smaller --tile"
            )
        except ValueError as reason:
            error = str(reason) if str(source) in str(reason) else f"{source}: {reason}"
        except Exception as reason:  # whatever else one image brings about, the others go on
            error = f"{source}: {type(reason).__name__}: {reason}"
        yield Outcome(source, target, time.perf_counter() - begin, result, error)


def restore_file(
    source: Path,
    target: Path,
    *,
    task: str | Task,
    model: nn.Module,
    scale: int | None = None,
    luma_only: bool = False,
    strength: float = 1.0,
    tile: int | str | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    progress: Callable[[float], None] = unseen,
    compare: bool = False,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Photograph:
    """Restore an image file into `target`, whole or not at all, as `arrays.restore` does; what was written.

    With `compare` a PNG beside it shows the image before and after. Raises ValueError, naming the file and the reason,
    when it cannot be read or the target is there already, and MemoryError when there is not enough memory.
    """
    written = (target, comparison_of(target)) if compare else (target,)
    for path in written:
        check_target(source, path, overwrite=overwrite)
    photograph = photographs.read_photograph(source, max_pixels=max_pixels)
    seen = with_colours_everywhere(photograph.pixels, photograph.alpha)
    with memory.errors():
        pixels = arrays.restore(
            seen,
            task=task,
            model=model,
            scale=scale,
            luma_only=luma_only,
            strength=strength,
            tile=tile,
            overlap=overlap,
            ensemble=ensemble,
            progress=progress,
        )
    alpha = photograph.alpha if scale is None or photograph.alpha is None else arrays.enlarged(photograph.alpha, scale)
    dpi = photograph.dpi and tuple(dots * (scale or 1) for dots in photograph.dpi)  # of the same size on paper
    result = replace(photograph, pixels=pixels, alpha=alpha, dpi=dpi)
    try:
        remarks = photographs.write_photograph(target, result)
        if compare:
            before = seen if scale is None else arrays.enlarged(seen, scale)
            photographs.write_photograph(comparison_of(target), Photograph(side_by_side(before, pixels)))
    except OSError as error:
        raise ValueError(f"{source}: {target} cannot be written ({error.strerror or error})") from error
    other_task = hint(photograph.pixels, tasks.task(task))
    return replace(result, remarks=(*photograph.remarks, *remarks, *([other_task] if other_task else [])))


def check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    """Raise ValueError when a result cannot take its name."""
    try:
        if target.exists() and not overwrite:
            raise ValueError(f"{source}: {target} is there already: give --overwrite or another --output")
    except OSError as error:
        raise ValueError(f"{source}: {target} cannot be written ({error.strerror})") from error


def with_colours_everywhere(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """The pixels (H, W) or (H, W, 3) where those that are not visible have the colour of the nearest that is.

    What a file holds there is arbitrary, often black, and would make a fringe.
    """
    if alpha is None:
        return pixels
    hidden = alpha <= INVISIBLE * np.iinfo(alpha.dtype).max
    if hidden.all() or not hidden.any():
        return pixels
    return pixels[tuple(ndimage.distance_transform_edt(hidden, return_distances=False, return_indices=True))]


def side_by_side(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Two images of one shape beside each other, with white between them; uint8."""
    gap = np.full((before.shape[0], GAP, *before.shape[2:]), 255, np.uint8)
    return np.concatenate([images.to_8_bits(before), gap, images.to_8_bits(after)], axis=1)


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """A table, line by line: each file with the size of its result, the seconds, and the name of the result."""
    rows = [("image", "size", "seconds", "result")]
    for outcome in outcomes:
        size = "x".join(map(str, outcome.result.pixels.shape[1::-1])) if outcome.result else ""
        rows.append((str(outcome.source), size, f"{outcome.seconds:.1f}", outcome.target.name if size else "failed"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
