"""One image restored by several methods, for figs. 7 to 9: without a network, by plain networks, by MemNet."""

import numpy as np

from memnet.protocol import datasets, tasks
from memnet.protocol.tasks import Task
from memnet.restoration import arrays, tiling
from memnet.study import registry
from memnet.study.registry import Example

Scores = dict[str, tuple[float, float]]  # method: PSNR (dB), SSIM


def restored(example: Example, *, task: str | Task) -> tuple[dict[str, np.ndarray], Scores]:
    """An example's image by method, in the order of the figure, and the scores of all but the original.

    The degraded image, a classic method's, those of `registry.compared_runs`, the original: floats (H, W), of
    super-resolution (H, W, 3) where the file has colours. Scores are those of the channel that the task measures.
    """
    task, pictures = tasks.task(task), datasets.pictures(example.dataset)
    number = pictures.names.index(example.image)
    reference, degraded = task.degrade(pictures[number].pixels, example.level, key=example.image)
    images = {task.degraded: degraded, **task.restored_classically(degraded, example.level)}
    for name, run in registry.compared_runs(task.name).items():
        images[name], _ = tiling.predict(registry.ready(run), degraded)
    scores = {name: task.score(reference, image, example.level) for name, image in images.items()}
    images["original"] = reference
    original = datasets.originals(example.dataset)[number].pixels
    if task.enlarges and original.ndim == 3:
        images = in_colour(images, original, task=task, level=example.level)
    return images, scores


def in_colour(images: dict[str, np.ndarray], original: np.ndarray, *, task: Task, level: int) -> dict[str, np.ndarray]:
    """Images of Y (H, W) as colour images (H, W, 3): Cb and Cr are those of the degraded `original` (uint8)."""
    channels = [task.degrade(original[..., channel], level) for channel in range(3)]
    reference, degraded = (np.stack(parts, axis=-1) for parts in zip(*channels, strict=True))
    changes = {
        name: arrays.to_rgb((y - images[task.degraded])[..., None], 3)
        for name, y in images.items()
        if name != "original"
    }
    return {name: degraded + change for name, change in changes.items()} | {"original": reference}
