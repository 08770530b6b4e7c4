"""Exercises whose answers are checked: each has a worked solution, and the package itself tells what is right."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from memnet.network.model import PRESETS, Config, MemNet, variant
from memnet.protocol import datasets, degradations, metrics, tasks
from memnet.study import gates, size, spectra
from memnet.study.code_exercises import CODE_EXERCISES, CodeExercise

TWO_DECIMALS = 0.005  # an answer that is rounded to two decimals is right


@dataclass(frozen=True)
class Exercise:
    """A question; `solution` works it out by hand, `measured` takes the answer from the package."""

    question: str
    hint: str
    solution: Callable[[], object]
    measured: Callable[[], object]
    tolerance: float = 1e-6  # relative
    asked = "your answer"

    def worked(self) -> object:
        """What the worked solution answers: a value."""
        return self.solution()

    def check(self, answer: object) -> str:
        """In words, whether a number, list, array or tensor is right, and what may be wrong with it."""
        try:
            found, right = as_array(answer), as_array(self.measured())
        except (TypeError, ValueError, RuntimeError):
            return f"wrong: a number or an array of numbers is asked for, got {type(answer).__name__}"
        if found.shape != right.shape:
            return f"wrong: the answer has the shape {right.shape}, got {found.shape}"
        close = np.allclose(found, right, rtol=self.tolerance, atol=TWO_DECIMALS + 1e-7)
        return "right" if close else f"wrong: {self.hint}"


def given_images() -> tuple[np.ndarray, np.ndarray]:
    """A clean channel (H, W) in [0, 1] and the same after JPEG of quality 10: the pair that `psnr` asks about."""
    return tasks.degrade(datasets.pictures("embedded")[0].pixels, task="jpeg", level=10)


def given_network() -> tuple[MemNet, torch.Tensor]:
    """A small untrained network of 3 blocks and an input (1, 1, 24, 24), the same each time."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MemNet(Config(3, 2, channels=8)).eval()
    with torch.no_grad():
        model.output_weights.copy_(torch.tensor([0.2, 0.3, 0.6]))
    return model, torch.rand(1, 1, 24, 24, generator=generator)


# ------------------------------------------------------------------------------------------- degradations and metrics
def noise_solution() -> float:
    mse = (25 / 255) ** 2  # the error is the noise itself, whose mean square is sigma^2
    return 10 * np.log10(1 / mse)


def noise_measured() -> float:
    pictures = datasets.pictures("embedded")
    pairs = [tasks.degrade(p.pixels, task="denoising", level=25, key=p.name) for p in pictures]
    return float(np.mean([metrics.psnr(reference, noisy) for reference, noisy in pairs]))


def psnr_solution() -> float:
    reference, compressed = given_images()
    return -10 * np.log10(np.mean((reference - compressed) ** 2))


def psnr_measured() -> float:
    return metrics.psnr(*given_images())


def bicubic_solution() -> np.ndarray:
    x = np.abs((np.arange(8) - 3.5) / 2)  # half as many pixels: the kernel is twice as wide
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x <= 1, near, far)
    return weights / weights.sum()


def bicubic_measured() -> np.ndarray:
    impulses = np.eye(32)  # row i has its light at i: what a new pixel is says how much it takes from there
    return np.stack([degradations.imresize(np.tile(row, (32, 1)), 0.5)[8, 8] for row in impulses[13:21]])


def spectrum_solution() -> float:
    return 25.0**2  # white: the same power at all frequencies, and its mean is the mean square


def spectrum_measured() -> float:
    noise = np.random.default_rng(0).normal(0, 25, (1024, 1024))
    return float(spectra.spectral_density(noise)[1:].mean())


# ---------------------------------------------------------------------------------------------------------- the network
def gate_solution() -> list[int]:
    long_term, short_term, channels = 4, 6, 64  # gate 4 sees B_0 .. B_3 and H^1 .. H^6
    return [(long_term + short_term) * channels, short_term * channels, (long_term + 1) * channels]


def gate_measured() -> list[int]:
    configs = [PRESETS["M6R6"], variant(PRESETS["M6R6"], "NL"), variant(PRESETS["M6R6"], "NS")]
    return [MemNet(config).blocks[3].gate_unit[-1].in_channels for config in configs]


def unshared_solution() -> int:
    return 676_992 + 6 * (6 - 1) * 2 * 3 * 3 * 64 * 64  # in each block, five more pairs of 3x3 convolutions


def unshared_measured() -> int:
    table = size.layer_table(PRESETS["M6R6"])
    own = table.layer.str.startswith("block")  # ReconNet's six applications stay one convolution
    return int((table.weights * table.applied.where(own, 1)).sum())


def radius_solution() -> int:
    return 1 + 2 * 3 + 1  # a pixel for each 3x3 convolution: FENet, three recursions of two, ReconNet


def radius_measured() -> int:
    model = MemNet(Config(1, 3, channels=4)).eval()
    x = torch.zeros(1, 1, 41, 41, requires_grad=True)
    for parameter in model.parameters():  # all positive: no path is shut by a ReLU, and none cancels another
        nn.init.constant_(parameter, 0.1)
    model(x)[0, 0, 20, 20].backward()
    rows = x.grad[0, 0].abs().sum(dim=1).nonzero()
    return int(rows.max()) - 20


def prediction_solution() -> torch.Tensor:
    model, x = given_network()
    _, (y_1, y_2, y_3) = model.predictions(x)
    w_1, w_2, w_3 = model.output_weights
    return w_1 * y_1 + w_2 * y_2 + w_3 * y_3


def prediction_measured() -> torch.Tensor:
    model, x = given_network()
    return model(x)


def norms_solution() -> torch.Tensor:
    model, _ = given_network()
    weight = model.blocks[1].gate_unit[-1].weight  # (filters, input maps, 1, 1)
    return weight.square().sum(dim=(0, 2, 3)).sqrt()


def norms_measured() -> np.ndarray:
    return gates.gate_norms(given_network()[0])[1]


EXERCISES = {
    "noise": Exercise(
        "White noise of 25 grey levels is added to an image: what is the PSNR (dB) of the noisy image, on average?",
        "the error is the noise, and its mean square is sigma^2; the range is 255 grey levels",
        noise_solution,
        noise_measured,
        tolerance=0.002,  # of a finite number of pixels
    ),
    "psnr": Exercise(
        "What is the PSNR (dB) of the two images of exercises.given_images(), with numpy alone?",
        "10 log10(1 / MSE) for images in [0, 1]; nothing is rounded and nothing shaved",
        psnr_solution,
        psnr_measured,
    ),
    "bicubic": Exercise(
        "When imresize halves a row, which weights do the 8 old pixels around a new one get?",
        "the cubic kernel (a = -0.5) is stretched by 2, as antialiasing asks; the weights sum to 1",
        bicubic_solution,
        bicubic_measured,
    ),
    "spectrum": Exercise(
        "What is the spectral density of white noise of 25 grey levels, in squared grey levels?",
        "white means flat, and the mean over all frequencies is the mean square (Parseval)",
        spectrum_solution,
        spectrum_measured,
        tolerance=0.02,
    ),
    "gate": Exercise(
        "How many input maps has the 4th gate of M6R6, of its variant NL, and of its variant NS?",
        "64 for each memory: B_0 .. B_3 are long-term, H^1 .. H^6 short-term; NS keeps H^6 alone",
        gate_solution,
        gate_measured,
    ),
    "unshared": Exercise(
        "M6R6 has 676,992 convolution weights: how many, if every recursion had its own pair of convolutions?",
        "each of the 6 blocks gets 5 more pairs of 3x3 convolutions from 64 to 64 channels",
        unshared_solution,
        unshared_measured,
    ),
    "radius": Exercise(
        "How many pixels away does the input still matter to an output pixel of a network M1R3?",
        "every 3x3 convolution on the longest path reaches one pixel further; FENet and ReconNet are two of them",
        radius_solution,
        radius_measured,
    ),
    "prediction": Exercise(
        "model, x = exercises.given_network(): what is y, from model.predictions(x)[1] and the output weights?",
        "eq. 11: y = w_1 y_1 + w_2 y_2 + w_3 y_3",
        prediction_solution,
        prediction_measured,
        tolerance=1e-5,
    ),
    "norms": Exercise(
        "What are the plain norms v_2 of the second gate of exercises.given_network(), one for each input map?",
        "sec. 5.3: the square root of the sum of squares over the filters, the first axis of the weights",
        norms_solution,
        norms_measured,
        tolerance=1e-5,
    ),
    **CODE_EXERCISES,
}


def exercise(name: str) -> Exercise | CodeExercise:
    """The exercise of that name; ValueError with all the names when there is none."""
    if name not in EXERCISES:
        raise ValueError(f"unknown exercise {name!r}: choose one of {', '.join(EXERCISES)}")
    return EXERCISES[name]


def check(name: str, answer: object = None) -> str:
    """In words, whether a number, list, array, tensor or function is the `answer`: open (None), right, or wrong.

    "wrong" comes with a hint. Numbers are right when they are rounded to two decimals.
    """
    question = exercise(name)
    return "open" if answer is None else question.check(answer)


def as_array(values: object) -> np.ndarray:
    """Numbers, lists of them and tensors as an array of floats."""
    return np.asarray(values.detach() if isinstance(values, torch.Tensor) else values, dtype=float)


def solution(name: str) -> str:
    """The source of the worked solution, to print."""
    return inspect.getsource(exercise(name).solution)


class Sheet:
    """The answers of one student: `solved` puts the worked solution where an answer is missing."""

    def __init__(self, *, solved: bool = False):
        self.solved, self.answers = solved, {}

    def answer(self, name: str, answer: object = None) -> None:
        """Take an answer, None for none yet, and say whether it is right, or what to do."""
        if answer is None and self.solved:
            answer = exercise(name).worked()
        self.answers[name] = answer
        advice = f": put {exercise(name).asked} in the place of None and run this cell again" if answer is None else ""
        print(f"{name}: {check(name, answer)}{advice}")

    def table(self) -> pd.DataFrame:
        """One row an exercise: its name, question and state (open, right, or wrong and a hint)."""
        rows = [(name, what.question, check(name, self.answers.get(name))) for name, what in EXERCISES.items()]
        return pd.DataFrame(rows, columns=["exercise", "question", "state"])
