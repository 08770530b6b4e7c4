"""What the explorer shows: one image crop, degraded and restored by a run, with one memory left out on demand."""

import tempfile
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import NamedTuple

import numpy as np

from memnet.network.folded import InferenceNet
from memnet.network.model import MemNet
from memnet.protocol import datasets, images, tasks
from memnet.restoration import tiling
from memnet.study import analysis, registry, spectra, walkthrough
from memnet.study.gates import Ablations

CROP = 96  # edge in pixels of what is shown: the deepest network, M10R10, answers within a second on two cores
uploads: dict[str, np.ndarray] = {}  # crops of the reader's own images, by name
working = RLock()  # a forward pass has memory to work in, which two threads must not share


class Scene(NamedTuple):
    """What to look at: an image by name, a run, its level, and a memory that gate m = `block` does without ("": none).

    A memory is called B0 .. B(M-1) or H1 .. HR.
    """

    image: str
    run: str
    level: int
    block: int = 1
    without: str = ""


def runs_of(task: str) -> list[str]:
    """The trained runs of a task whose network is a multi-supervised MemNet; the best comes first."""
    best = registry.main_run(task)
    names = [name for name, run in registry.EXPERIMENTS.items() if run.task == task and is_explorable(name)]
    return sorted(names, key=lambda name: name != best)


def is_explorable(run: str) -> bool:
    """Whether a run has weights, and a network with a prediction for each block."""
    return registry.trained(run) and getattr(registry.experiment(run).config, "multi_supervised", False)


def crop(channel: np.ndarray, size: int = CROP) -> np.ndarray:
    """The window of `size` x `size` with the most detail in a uint8 channel (H, W); all of one that is smaller."""
    top, left, height, width = analysis.detail_box(channel, size)
    return channel[top : top + height, left : left + width]


def add_upload(name: str, content: bytes) -> str:
    """Take the bytes of an image file as one of the images; its name. ValueError, in one sentence, for a bad file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(name).name
        path.write_bytes(content)
        try:
            channel = images.luma(images.read_picture(path))
        except ValueError as error:
            raise ValueError(str(error).replace(f"{folder}/", "")) from error
    if min(channel.shape) < 16:
        raise ValueError(f"{name}: the image has {channel.shape[1]}x{channel.shape[0]} pixels, 16x16 are needed")
    uploads[name] = crop(channel)
    for cached in (forward_pass, restored, maps_of):  # another image may have had that name
        cached.cache_clear()
    return name


def image_names() -> list[str]:
    """The images that can be chosen: those of the embedded set, and uploaded ones."""
    return [*datasets.pictures("embedded").names, *uploads]


@lru_cache(32)
def embedded_crop(name: str) -> np.ndarray:
    """The crop of an image of the embedded set; ValueError with all the names for another."""
    pictures = datasets.pictures("embedded")
    if name not in pictures.names:
        raise ValueError(f"unknown image {name!r}: choose one of {', '.join(image_names())}")
    return crop(pictures[pictures.names.index(name)].pixels)


@lru_cache(8)
def network_of(run: str) -> MemNet:
    """The network of a run; ValueError for one that the explorer cannot show."""
    if not is_explorable(run):
        raise ValueError(f"{run} has no weights, or no prediction for each block: choose another run")
    return registry.load(run)


@lru_cache(8)
def inference_of(run: str) -> InferenceNet:
    """The network of a run in the form that is fastest to run."""
    return InferenceNet(network_of(run))


def sources_of(network: MemNet, block: int) -> list[str]:
    """The memories that enter the gate of a block, in the order of its weights; ValueError for a block it has not."""
    if not 1 <= block <= network.config.blocks:
        raise ValueError(f"the network has memory blocks 1 to {network.config.blocks}, got {block}")
    return network.config.gate_sources(block)


def place_of(memory: str, network: MemNet, block: int) -> int:
    """Where a memory is among those of a gate, from 0; ValueError with their names when it is not."""
    sources = sources_of(network, block)
    if memory not in sources:
        raise ValueError(f"gate {block} has no memory {memory!r}: choose one of {', '.join(sources)}")
    return sources.index(memory)


def channel_of(image: str) -> np.ndarray:
    """The crop of an image, uint8 (H, W); ValueError with all the names for one that is not there."""
    return uploads[image] if image in uploads else embedded_crop(image)


@lru_cache(4)  # of 35 MB each
def forward_pass(image: str, run: str, level: int) -> tuple[np.ndarray, np.ndarray, Ablations]:
    """The original and the degraded image (H, W), and all memories B_0 .. B_M of the network, computed once."""
    task = registry.experiment(run).task
    network = inference_of(run)
    reference, degraded = tasks.degrade(channel_of(image), task=task, level=level, key=image)
    return reference, degraded, Ablations(network, degraded)


@lru_cache(64)
def restored(scene: Scene) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, float]]]:
    """original, input, y_1 .. y_M and y (H, W), and (PSNR in dB, SSIM) of all but the original, of a scene.

    Without a memory in gate m, only the blocks after m are computed again.
    """
    with working:
        reference, degraded, computed = forward_pass(scene.image, scene.run, scene.level)
        memories = computed.memories
        if scene.without:
            place = place_of(scene.without, network_of(scene.run), scene.block)
            memories = [*memories[: scene.block], computed.without(scene.block, place)]
        y, y_m = computed.predictions(memories)
    tiling.check_finite(y)
    y, *y_m = (tiling.as_array(prediction) for prediction in (y, *y_m))
    task = registry.experiment(scene.run).task
    return walkthrough.scored(reference, degraded, y, y_m, task=task, level=scene.level)


def residual(scene: Scene, enhanced: float = 4.0) -> np.ndarray:
    """What the network adds to its input, y - x (H, W), times `enhanced` around mid-gray, in [0, 1]."""
    arrays, _ = restored(scene)
    return np.clip(0.5 + enhanced * (arrays["$y$"] - arrays["input"]), 0, 1)


def densities(scene: Scene, window: str) -> dict[str, np.ndarray]:
    """The spectral density of every image of a scene, by name; `window` as of `spectra.spectral_density`."""
    arrays, _ = restored(scene)
    return {name: spectra.spectral_density(image, window) for name, image in arrays.items()}


@lru_cache(32)
def maps_of(scene: Scene, memory: str) -> dict[str, np.ndarray]:
    """The eight feature maps (H, W) in [0, 1] of a memory of the scene's block that vary most, by channel."""
    if scene.without:  # what leaves the gate does not change what enters it
        return maps_of(scene._replace(without=""), memory)
    place = place_of(memory, network_of(scene.run), scene.block)
    with working:
        _, _, computed = forward_pass(scene.image, scene.run, scene.level)
        maps = walkthrough.feature_maps([computed.source(scene.block, place)], count=8)
    return {name.partition(", ")[2]: image for name, image in maps.items()}
