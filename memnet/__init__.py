"""MemNet, reproduced: the network, protocol, tables and figures of Tai, Yang, Liu and Xu (ICCV 2017).

>>> import memnet
>>> model = memnet.load("sr-M6R6")
>>> larger = memnet.restore(image, task="super-resolution", scale=3)
"""

from importlib import import_module

from memnet.network.model import PRESETS, Config, MemNet
from memnet.study.registry import load

__version__ = "0.1.0"
__all__ = ["PRESETS", "Config", "MemNet", "load", "restore"]
PACKAGES = ("network", "protocol", "restoration", "training", "study", "publishing")


def __getattr__(name: str):
    """A sub-package or one of their modules, imported when first asked for: `memnet.metrics` is protocol.metrics."""
    for package in ("", *PACKAGES):
        module = ".".join(filter(None, (__name__, package, name)))
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
    as jpeg-M6R6 for qualities 10 and 20. `precision` bfloat16 is faster on some processors, slower on others,
    and changes gray levels by 0.06 to 0.23 on average. An `ensemble` is the mean over eight orientations: better, in
    eight times the time. Raises ValueError on anything else.
    """
    from memnet.restoration import arrays
    from memnet.study import registry

    model = registry.ready(registry.run_for(task, run), precision)
    return arrays.restore(image, task=task, scale=scale, model=model, ensemble=ensemble)
