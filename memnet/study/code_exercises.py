"""Exercises that are answered by a function: it is called with given values and compared with the package."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from memnet.network.model import Config, MemoryBlock
from memnet.study import spectra
from memnet.training.loss import supervised_loss

NO_NUMBERS = "wrong: the function returns no numbers (does it end with return?)"


@dataclass(frozen=True)
class CodeExercise:
    """A function to write. `solution` is one way, `package` another, of the same `arguments`; `mistakes` are common.

    A mistake is a hint and a function that makes it: who gets what that function gets is given that hint.
    """

    question: str
    hint: str
    arguments: Callable[[], tuple]
    solution: Callable
    package: Callable
    mistakes: tuple[tuple[str, Callable], ...] = ()
    asked = "the name of your function"

    def worked(self) -> Callable:
        """What the worked solution answers: the function itself."""
        return self.solution

    def check(self, function: object) -> str:
        """In words, whether a function is right, and what may be wrong with it; one sentence whatever it raises."""
        if not callable(function):
            return f"wrong: a function is asked for, got {type(function).__name__}"
        try:
            found = numbers(function(*self.arguments()))
        except Exception as error:  # the reader's own code may raise anything
            reason = str(error).partition("\n")[0]
            return f"wrong: the function raises {type(error).__name__}: {reason}"
        if found is None:
            return NO_NUMBERS
        right = numbers(self.package(*self.arguments()))
        if found.shape != right.shape:
            return f"wrong: the result has the shape {right.shape}, got {found.shape}"
        if np.allclose(found, right, rtol=1e-4, atol=1e-6):
            return "right"
        for hint, mistake in self.mistakes:
            if np.allclose(found, numbers(mistake(*self.arguments())), rtol=1e-4, atol=1e-6):
                return f"wrong: {hint}"
        return f"wrong: {self.hint}"


def numbers(values: object) -> np.ndarray | None:
    """A number, array or tensor, or a list of tensors of one shape, as floats; None for anything else."""
    if isinstance(values, list | tuple) and any(isinstance(value, Tensor) for value in values):
        values = torch.stack([torch.as_tensor(value) for value in values])
    if isinstance(values, Tensor):
        values = values.detach().numpy()
    try:
        return None if values is None else np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        return None


def given_block() -> tuple[MemoryBlock, list[Tensor]]:
    """Memory block 3 of a small network with norms that change something, and its memory [B_0, B_1, B_2]."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = MemoryBlock(Config(3, 3, channels=4), 3).eval()
        for norm in (module for module in block.modules() if isinstance(module, nn.BatchNorm2d)):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
    return block, [torch.randn(1, 4, 6, 6, generator=generator) for _ in range(3)]


def gate_arguments() -> tuple:
    """long_term, short_term (lists of tensors), norm, conv."""
    block, memory = given_block()
    norm, _, conv = block.gate_unit
    return memory, block.recursive_unit(memory[-1]), norm, conv


def gate_unit(long_term, short_term, norm, conv):
    gate_input = torch.cat([*long_term, *short_term], dim=1)  # eq. 8
    return conv(norm(gate_input).relu())  # eq. 9


def unit_arguments() -> tuple:
    """state, conv1, conv2, norms1, norms2."""
    block, memory = given_block()
    unit = block.recursive_unit
    return memory[-1], unit.conv1, unit.conv2, unit.norms1, unit.norms2


def recursive_unit(state, conv1, conv2, norms1, norms2):
    states = []
    for norm1, norm2 in zip(norms1, norms2, strict=True):
        residual = conv2(norm2(conv1(norm1(state).relu())).relu())  # eq. 6
        state = state + residual  # eq. 5
        states.append(state)
    return states


def without_skip(state, conv1, conv2, norms1, norms2):
    states = []
    for norm1, norm2 in zip(norms1, norms2, strict=True):
        state = conv2(norm2(conv1(norm1(state).relu())).relu())
        states.append(state)
    return states


def block_arguments() -> tuple:
    """memory, recursive_unit, gate_unit."""
    block, memory = given_block()
    return memory, block.recursive_unit, block.gate_unit


def memory_block(memory, recursive_unit, gate_unit):
    states = recursive_unit(memory[-1])  # eq. 7: H^0 is B_{m-1}
    return gate_unit(torch.cat([*memory, *states], dim=1))  # eqs. 8-10


def loss_arguments() -> tuple:
    """y, y_m (a list), clean, alpha."""
    generator = torch.Generator().manual_seed(0)
    y, clean, *y_m = torch.rand(5, 2, 1, 8, 8, generator=generator)
    return y, y_m, clean, 0.4


def loss(y, y_m, clean, alpha):
    final = (y - clean).square().mean()
    intermediate = sum((prediction - clean).square().mean() for prediction in y_m) / len(y_m)
    return alpha * final + (1 - alpha) * intermediate  # eq. 12


def density_arguments() -> tuple:
    """image (48, 48)."""
    rows, columns = np.mgrid[:48, :48]
    noise = np.random.default_rng(0).normal(0, 0.05, (48, 48))
    return (0.5 + 0.3 * np.sin(rows / 3) * np.cos(columns / 5) + noise,)


def spectral_density(image):
    size = len(image)  # a square image
    power = np.abs(np.fft.fft2(image)) ** 2 / image.size
    frequency = np.fft.fftfreq(size)  # cycles per pixel
    radius = np.hypot(frequency[:, None], frequency[None, :])
    circle = np.floor(size * radius + 0.5).astype(int)
    return np.array([power[circle == k].mean() for k in range(size // 2 + 1)])


CODE_EXERCISES = {
    "gate_unit": CodeExercise(
        "Write gate_unit(long_term, short_term, norm, conv): B_m from two lists of memories.",
        "concatenate all memories along the channels (dim=1), then norm, ReLU, conv",
        gate_arguments,
        gate_unit,
        lambda long, short, norm, conv: given_block()[0].gate_unit(torch.cat([*long, *short], dim=1)),
        (
            ("the long-term memory comes first", lambda long, short, *layers: gate_unit(short, long, *layers)),
            (
                "the ReLU between norm and conv is missing",
                lambda long, short, norm, conv: conv(norm(torch.cat([*long, *short], 1))),
            ),
        ),
    ),
    "recursive_unit": CodeExercise(
        "Write recursive_unit(state, conv1, conv2, norms1, norms2): the list [H^1, ..., H^R] from H^0.",
        "in each recursion: norm, ReLU, conv1, norm, ReLU, conv2, and add the state; the norms are its own",
        unit_arguments,
        recursive_unit,
        lambda state, *layers: given_block()[0].recursive_unit(state),
        (
            ("each recursion adds its input to the residual (eq. 5)", without_skip),
            ("all R states are asked for, not the last one R times", lambda *a: [recursive_unit(*a)[-1]] * len(a[3])),
        ),
    ),
    "memory_block": CodeExercise(
        "Write memory_block(memory, recursive_unit, gate_unit): B_m from [B_0, ..., B_{m-1}] and the two units.",
        "the recursive unit starts from the last memory; the gate unit takes one tensor: all memories, then all states",
        block_arguments,
        memory_block,
        lambda memory, *units: given_block()[0](memory),
        (
            (
                "the recursive unit starts from B_{m-1}, the last memory, not from B_0",
                lambda memory, unit, gate: gate(torch.cat([*memory, *unit(memory[0])], dim=1)),
            ),
        ),
    ),
    "loss": CodeExercise(
        "Write loss(y, y_m, clean, alpha): eq. 12 with means in place of sums, and without the factor 1/2.",
        "alpha times the mean squared error of y, plus (1 - alpha) times the mean of those of y_1 .. y_M",
        loss_arguments,
        loss,
        lambda y, y_m, clean, alpha: supervised_loss(
            SimpleNamespace(predictions=lambda x: (y, y_m)), y, clean, alpha=alpha
        ),
        (
            ("leave out the factor 1/2", lambda *a: loss(*a) / 2),
            ("alpha belongs to y, and 1 - alpha to y_1 .. y_M", lambda y, y_m, c, alpha: loss(y, y_m, c, 1 - alpha)),
            (
                "the errors of y_1 .. y_M are averaged over m, not added",
                lambda y, y_m, c, alpha: alpha * loss(y, y_m, c, 1) + (1 - alpha) * len(y_m) * loss(y, y_m, c, 0),
            ),
        ),
    ),
    "spectral_density": CodeExercise(
        "Write spectral_density(image): the power |F|^2 / (H W) of a square image, a mean for each circle.",
        "a frequency belongs to circle k when size times its distance from 0 (cycles per pixel), rounded, is k",
        density_arguments,
        spectral_density,
        lambda image: spectra.spectral_density(image, "none"),
        (
            ("divide the power by the number of pixels", lambda image: spectral_density(image) * image.size),
            ("power is the square of the absolute value", lambda image: np.sqrt(spectral_density(image))),
        ),
    ),
}
