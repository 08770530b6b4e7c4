"""MemNet, reproduced: the network, protocol, tables and figures of Tai, Yang, Liu and Xu (ICCV 2017).

>>> import memnet
>>> model = memnet.load("sr-M6R6")
>>> larger = memnet.restore(image, task="super-resolution", scale=3)

The names in `__all__` are the public ones. The modules behind them may move; a name that goes is in CHANGELOG.md.
"""

from importlib import import_module

from memnet.network.model import PRESETS, Config, MemNet
from memnet.protocol.degradations import bicubic, gaussian_noise, imresize, jpeg
from memnet.protocol.metrics import psnr, ssim
from memnet.protocol.tasks import degrade
from memnet.study.gates import gate_norms
from memnet.study.registry import load
from memnet.study.spectra import spectral_density

__version__ = "0.1.0"
__all__ = [
    "PRESETS",
    "Config",
    "MemNet",
    "bicubic",
    "degrade",
    "gate_norms",
    "gaussian_noise",
    "imresize",
    "jpeg",
    "load",
    "psnr",
    "restore",
    "spectral_density",
    "ssim",
]
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
    model=None,
    run: str | None = None,
    precision: str = "float32",
    ensemble: bool = False,
    luma_only: bool = False,
    strength: float = 1.0,
):
    """A restored copy of a numpy image (H, W) or (H, W, 3): uint8, uint16 or float in [0, 1], of the same type.

    Floats with noise that was not clipped may leave [0, 1]; the result does not.

    `task` is denoising, super-resolution (or sr) or jpeg. Super-resolution takes `scale` 2, 3 or 4 and gives (scale H,
    scale W); the others take none, and need no noise level or JPEG quality: one network serves them all.

    The network is that of a `run` (`memnet runs` lists them), by default the best for images of unknown level; its
    weights are read once and kept. `precision` "bfloat16" is faster on some processors, slower on others, and changes
    gray levels by 0.06 to 0.23 on average. Or it is a `model` of your own: a torch module that gives y for x
    (1, 1, H, W), one channel in [0, 1] (enlarged already for super-resolution). An `ensemble` is the mean over eight
    orientations: better, in eight times the time.

    In colour, denoising restores Y, Cb and Cr, deblocking Cb and Cr at half their size, super-resolution Y alone.
    `luma_only` restores Y alone, the paper's way. `strength` from 0 to 1 mixes the input with the result.

    Source: eq. 11, section 5.1. Raises ValueError for anything else, and where a run has no weights.
    """
    from memnet.restoration import arrays
    from memnet.study import registry

    if model is None:
        model = registry.kept(registry.run_for(task, run), precision)
    elif run is not None or precision != "float32":
        raise ValueError("a model was given: leave out run and precision, which choose one of the trained networks")
    return arrays.restore(
        image, task=task, scale=scale, model=model, ensemble=ensemble, luma_only=luma_only, strength=strength
    )
