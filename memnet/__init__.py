"""MemNet, reproduced: the network, protocol, tables and figures of Tai, Yang, Liu and Xu (ICCV 2017).

>>> import memnet
>>> model = memnet.load("sr-M6R6")
>>> larger = memnet.restore(picture, task="super-resolution", scale=3)
"""

from importlib import import_module

from memnet import degradations, images, metrics
from memnet.experiments import load
from memnet.model import PRESETS, Config, MemNet

__version__ = "0.1.0"
__all__ = ["PRESETS", "Config", "MemNet", "degradations", "images", "load", "metrics", "restore"]


def __getattr__(name: str):
    """The other modules, imported when first asked for: `memnet.analysis.gate_norms` after `import memnet` alone."""
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def restore(
    image,
    *,
    task: str,
    scale: int | None = None,
    run: str | None = None,
    precision: str = "float32",
    ensemble: bool = False,
):
    """A restored copy of `image` (H, W) or (H, W, 3), uint8 or float in [0, 1], of the same kind and range.

    `task` is denoising, super-resolution (then `scale` is 2, 3 or 4 and the result that many times larger) or jpeg;
    noise level and JPEG quality need not be known: one model serves them all. `run` names another trained network, such
    as jpeg-M6R6-deepened for qualities 10 and 20. `precision` bfloat16 is faster on some processors, slower on others,
    and changes gray levels by 0.06 to 0.23 on average. An `ensemble` is the mean over eight orientations: better, in
    eight times the time. Raises ValueError on anything else.
    """
    from memnet import experiments, restoration

    model = experiments.ready(experiments.run_for(task, run), precision)
    return restoration.restore(image, task=task, scale=scale, model=model, ensemble=ensemble)
