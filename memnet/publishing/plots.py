"""Images side by side and training curves. Data in, Figure out: plots compute nothing."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from memnet.publishing import schematics, style
from memnet.publishing.schematics import Drawing


def show(axes: Axes, image: np.ndarray, text: str = "", enlarged: bool = False) -> None:
    """An image, uint8 or float in [0, 1], gray or colour, with text below it."""
    image = image if image.dtype == np.uint8 else np.clip(image, 0, 1)
    top = 255 if image.dtype == np.uint8 else 1
    axes.imshow(image, cmap="gray", vmin=0, vmax=top, interpolation="nearest" if enlarged else "antialiased")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(text, fontsize=8.5)


def pictures(
    images: dict[str, np.ndarray], scores: dict[str, tuple[float, float]] | None = None, columns: int = 4
) -> Drawing:
    """Images (H, W) or (H, W, 3) side by side, each with its name and, where `scores` has it, PSNR (dB) and SSIM.

    Fig. 4 (a). Floats lie in [0, 1].
    """
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    height, width = next(iter(images.values())).shape[:2]
    with style.look():
        figure = schematics.drawing(2.2 * columns, rows * (2.2 * height / width + 0.45))
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, image) in zip(panels, images.items(), strict=False):
            show(axes, image, caption(name, scores))
        for axes in panels[len(images) :]:
            axes.remove()
        return figure


def caption(name: str, scores: dict[str, tuple[float, float]] | None) -> str:
    """The name of an image and its PSNR and SSIM below, as far as they are known; the original has their names."""
    if not scores or name not in scores:
        return f"{name}\nPSNR / SSIM" if scores and name == "original" else name
    psnr, ssim = scores[name]
    return f"{name}\n{psnr:.2f} dB / {ssim:.4f}"


def training_curves(logs: dict[str, pd.DataFrame], title: str = "") -> Drawing:
    """training, section4_curves, section4_supervision: gain over the input and training loss against steps.

    `logs` has a line for each run: the CSV files of `training.train`, with columns step, loss and gain (dB, of
    validation images).
    """
    with style.look():
        figure = schematics.drawing(8.4, 3.2)
        gain, loss = figure.subplots(1, 2)
        for number, (run, log) in enumerate(logs.items()):
            line = {"marker": ".", "label": run, **style.line_style(number)}
            gain.plot(log.step, log.gain, **line)
            loss.semilogy(log.step, log.loss, **line)
        gain.set(xlabel="step", ylabel="gain over the input (dB)", title="on validation images")
        loss.set(xlabel="step", ylabel="loss (eq. 12)", title="training patches")
        figure.legend(handles=gain.get_lines(), loc="outside right center")
        figure.suptitle(title)
        return figure
