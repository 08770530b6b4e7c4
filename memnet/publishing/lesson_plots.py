"""Figures of the teaching notebooks."""

import numpy as np

from memnet.publishing import schematics, style
from memnet.publishing.schematics import Drawing
from memnet.publishing.style import COLOURS, MARKERS


def gradient_profiles(profiles: dict[str, np.ndarray], title: str = "") -> Drawing:
    """The norms of gradients from the first layer to the last, one line a network, on a logarithmic axis."""
    with style.look():
        figure = schematics.drawing(6.8, 3.4)
        axes = figure.subplots()
        for number, (name, norms) in enumerate(profiles.items()):
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            axes.semilogy(range(1, len(norms) + 1), norms, color=colour, marker=marker, ms=3, label=name)
        axes.set(xlabel="convolution, from the input to the output", ylabel="norm of the gradient", title=title)
        figure.legend(loc="outside right center")
        return figure
