"""Muon and SOAP: optimisers that see a convolution's weights as one matrix instead of many numbers.

This room knows parameters and gradients; it knows no network, no picture and no schedule.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

MOMENTUM = 0.95
POLYNOMIAL = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration: singular values go to 0.7 .. 1.2 in 5 rounds
ROUNDS = 5
LENGTH = 0.2  # rms of a kernel's step at rate 1: about that of AdamW, so that one rate suits both
SMALLEST = 1e-8  # what is added to a root of squares before it divides
MEMORY = 0.95  # share of SOAP's covariances that stays from step to step
REFRESHED_EVERY = 10  # steps of SOAP from one set of axes to the next
WIDEST = 768  # edge of a matrix above which SOAP leaves the axes of its weights: they would take too much memory


EDGES = ("rows", "columns")


class ForKernels(torch.optim.Optimizer, ABC):
    """One optimiser for the kernels of convolutions between feature maps, AdamW (fused) for all other parameters.

    A kernel (O, I, K, K) is the matrix (O, I K K) that it multiplies patches with. `groups` are as AdamW's, each with
    its own `lr` (a tensor); kernels are found in all of them. As in fused optimisers nothing is read from the device,
    and where `found_inf` is 1 no parameter moves.
    """

    def __init__(self, groups: list[dict], *, betas: tuple[float, float], capturable: bool = False):
        kernels = [{**group, "params": list(filter(is_kernel, group["params"]))} for group in groups]
        others = [{**group, "params": [p for p in group["params"] if not is_kernel(p)]} for group in groups]
        self.rest = torch.optim.AdamW(others, betas=betas, fused=True, capturable=capturable)
        super().__init__([group for group in kernels if group["params"]], {})
        self.own, self.betas = len(self.param_groups), betas
        for kernel in self.kernels():
            self.state[kernel] = self.at_first(kernel.detach())
        self.param_groups += self.rest.param_groups
        self.rest.state = self.state
        self.found_inf = None

    def kernels(self) -> list[Tensor]:
        """Those that this optimiser moves itself."""
        return [kernel for group in self.param_groups[: self.own] for kernel in group["params"]]

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from the state of an optimiser of the same parameters."""
        super().load_state_dict(state_dict)
        self.rest.param_groups, self.rest.state = self.param_groups[self.own :], self.state

    @torch.no_grad()
    def step(self) -> None:
        """Move all parameters that have a gradient; none where `found_inf` is 1."""
        for group in self.param_groups[: self.own]:
            kernels = [kernel for kernel in group["params"] if kernel.grad is not None]
            good = torch.ones_like(group["lr"]) if self.found_inf is None else 1 - self.found_inf
            gradients = [torch.where(good > 0, kernel.grad, 0) for kernel in kernels]
            rate = group["lr"] * good
            for kernel, update in zip(kernels, self.updates(kernels, gradients, good), strict=True):
                kernel.mul_(1 - rate * group["weight_decay"]).sub_(rate * update.reshape(kernel.shape))
        self.rest.found_inf = self.found_inf
        self.rest.step()

    @abstractmethod
    def at_first(self, kernel: Tensor) -> dict[str, Tensor]:
        """What is remembered of a kernel's gradients, before there are any."""

    @abstractmethod
    def updates(self, kernels: list[Tensor], gradients: list[Tensor], good: Tensor) -> list[Tensor]:
        """What to subtract from each kernel at rate 1, (O, I K K). Where `good` is 0 what is remembered must stay."""

    def refresh(self, step: int) -> None:
        """To be called after each step, numbered from 1: what is too seldom to be part of every step."""


class Muon(ForKernels):
    """Steps of equal length along all directions: what a gradient says weakly is learnt as fast as what it says loudly.

    The step is the momentum of the gradients with all singular values set to about one (Jordan et al., 2024: "Muon: an
    optimizer for hidden layers"), times `LENGTH` and the root of the longer edge.
    """

    def at_first(self, kernel: Tensor) -> dict[str, Tensor]:
        return {"momentum": torch.zeros_like(kernel)}

    def updates(self, kernels: list[Tensor], gradients: list[Tensor], good: Tensor) -> list[Tensor]:
        ahead = []
        for kernel, gradient in zip(kernels, gradients, strict=True):
            momentum = self.state[kernel]["momentum"]
            momentum.lerp_(gradient, (1 - MOMENTUM) * good)
            ahead.append(gradient.lerp(momentum, MOMENTUM).flatten(1))
        return [LENGTH * max(matrix.shape) ** 0.5 * matrix for matrix in orthogonal(ahead)]


class Soap(ForKernels):
    """AdamW along the axes in which a kernel's gradients vary independently, instead of along each single weight.

    The axes are the eigenvectors of the gradients' covariances by rows (O x O) and by columns (I K K x I K K, unless
    that is above `WIDEST`), renewed every `REFRESHED_EVERY` steps (Vyas et al., 2024: "SOAP: improving and stabilizing
    Shampoo using Adam").
    """

    def at_first(self, kernel: Tensor) -> dict[str, Tensor]:
        matrix = torch.zeros_like(kernel.flatten(1), memory_format=torch.contiguous_format)
        edges = {edge: size for edge, size in zip(EDGES, matrix.shape, strict=True) if size <= WIDEST}
        remembered = {"mean": matrix, "square": matrix.clone(), "steps": matrix.new_zeros(())}
        remembered |= {f"{edge}_covariance": matrix.new_zeros(size, size) for edge, size in edges.items()}
        return remembered | {f"{edge}_axes": torch.eye(size).to(matrix) for edge, size in edges.items()}

    def updates(self, kernels: list[Tensor], gradients: list[Tensor], good: Tensor) -> list[Tensor]:
        found = []
        for kernel, gradient in zip(kernels, gradients, strict=True):
            known, gradient = self.state[kernel], gradient.flatten(1)
            for edge, by_rows in zip(EDGES, (gradient, gradient.T), strict=True):
                if f"{edge}_covariance" in known:
                    known[f"{edge}_covariance"].lerp_(by_rows @ by_rows.T, (1 - MEMORY) * good)
            known["mean"].lerp_(gradient, (1 - self.betas[0]) * good)
            known["square"].lerp_(along_axes(known, gradient).square(), (1 - self.betas[1]) * good)
            known["steps"].add_(good)
            seen = [1 - torch.pow(beta, known["steps"].clamp(min=1)) for beta in self.betas]
            mean = along_axes(known, known["mean"]) / seen[0]
            found.append(along_weights(known, mean / ((known["square"] / seen[1]).sqrt() + SMALLEST)))
        return found

    @torch.no_grad()
    def refresh(self, step: int) -> None:
        """Turn the axes towards the eigenvectors: after the first step, which teaches nothing else, and every tenth."""
        if step != 1 and step % REFRESHED_EVERY:
            return
        for kernel in self.kernels():
            known = self.state[kernel]
            for number, edge in enumerate(EDGES):
                if f"{edge}_axes" not in known:
                    continue
                axes, covariance = known[f"{edge}_axes"], known[f"{edge}_covariance"]
                if step == 1:
                    axes.copy_(torch.linalg.eigh(covariance)[1].flip(1))
                    continue
                order = (axes * (covariance @ axes)).sum(dim=0).argsort(descending=True)
                axes.copy_(torch.linalg.qr(covariance @ axes[:, order])[0])
                known["square"].copy_(known["square"].index_select(number, order))
            if step == 1:
                for name in ("mean", "square", "steps"):
                    known[name].zero_()


def along_axes(known: dict[str, Tensor], matrix: Tensor) -> Tensor:
    """A matrix of numbers along the weights as one along the axes that SOAP knows of it."""
    matrix = known["rows_axes"].T @ matrix if "rows_axes" in known else matrix
    return matrix @ known["columns_axes"] if "columns_axes" in known else matrix


def along_weights(known: dict[str, Tensor], matrix: Tensor) -> Tensor:
    """The inverse of `along_axes`."""
    matrix = known["rows_axes"] @ matrix if "rows_axes" in known else matrix
    return matrix @ known["columns_axes"].T if "columns_axes" in known else matrix


def is_kernel(parameter: Tensor) -> bool:
    """Whether a parameter is a convolution's weights from several feature maps to several."""
    return parameter.ndim == 4 and min(parameter.shape[:2]) > 1


def orthogonal(matrices: list[Tensor]) -> list[Tensor]:
    """Matrices (A, B) with the same singular vectors and singular values of about one.

    Those of one A are turned in a batch, the narrower ones with columns of zeros, which stay zeros.
    """
    found: list[Tensor] = [None] * len(matrices)
    for rows in sorted({len(matrix) for matrix in matrices}):
        places = [place for place, matrix in enumerate(matrices) if len(matrix) == rows]
        turned = newton_schulz(pad_sequence([matrices[place].T for place in places], batch_first=True))
        for place, matrix in zip(places, turned, strict=True):
            found[place] = matrix[: matrices[place].shape[1]].T
    return found


def newton_schulz(x: Tensor) -> Tensor:
    """Matrices (N, A, B) with their singular values brought near one: from 0.7 to 1.2, but for very small ones."""
    a, b, c = POLYNOMIAL
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    for _ in range(ROUNDS):
        gram = x.mT @ x
        x = a * x + x @ (b * gram + c * gram @ gram)
    return x
