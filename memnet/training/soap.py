"""SOAP: an optimiser that sees a convolution's weights as one matrix instead of many numbers.

This module knows parameters and gradients; it knows no network, no picture and no schedule.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

SMALLEST = 1e-8  # what is added to a root of squares before it divides
MEMORY = 0.95  # share of SOAP's covariances that stays from step to step
REFRESHED_EVERY = 10  # steps of SOAP from one set of axes to the next
FLOOR = 1e-7  # of the mean variance along SOAP's axes: less counts as that much
TINY = 1e-100  # above zero, also when squared
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
            finite, rate = good > 0, group["lr"] * good
            gradients = [torch.where(finite, kernel.grad, 0) for kernel in kernels]
            updates = self.updates(kernels, gradients, good)
            steps = [update.reshape(kernel.shape) for kernel, update in zip(kernels, updates, strict=True)]
            torch._foreach_mul_(kernels, 1 - rate * group["weight_decay"])
            torch._foreach_sub_(kernels, torch._foreach_mul(steps, rate))
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
        found: list[Tensor] = [None] * len(kernels)
        for shape in dict.fromkeys(kernel.shape for kernel in kernels):  # those of one shape together: fewer products
            places = [place for place, kernel in enumerate(kernels) if kernel.shape == shape]
            known = [self.state[kernels[place]] for place in places]
            gradient = torch.stack([gradients[place].flatten(1) for place in places])
            axes = {edge: together(known, f"{edge}_axes") for edge in EDGES if f"{edge}_axes" in known[0]}
            for edge in axes:
                by_rows = gradient if edge == "rows" else gradient.mT
                move(known, f"{edge}_covariance", by_rows @ by_rows.mT, (1 - MEMORY) * good)
            move(known, "mean", gradient, (1 - self.betas[0]) * good)
            move(known, "square", along_axes(axes, gradient).square(), (1 - self.betas[1]) * good)
            torch._foreach_add_([one["steps"] for one in known], good, alpha=1)  # without alpha it would read `good`
            steps = together(known, "steps").clamp(min=1).view(-1, 1, 1)
            seen = [1 - torch.pow(beta, steps) for beta in self.betas]
            mean = along_axes(axes, together(known, "mean")) / seen[0]
            update = along_weights(axes, mean / ((together(known, "square") / seen[1]).sqrt() + SMALLEST))
            for place, one in zip(places, update, strict=True):
                found[place] = one
        return found

    @torch.no_grad()
    def refresh(self, step: int) -> None:
        """Turn the axes towards the eigenvectors: after the first step, which teaches nothing else, and every tenth."""
        if step != 1 and step % REFRESHED_EVERY:
            return
        known = [self.state[kernel] for kernel in self.kernels()]
        for edge in EDGES:
            sizes = [len(one.get(f"{edge}_axes", ())) for one in known]
            for size in filter(None, dict.fromkeys(sizes)):
                alike = [one for one, its in zip(known, sizes, strict=True) if its == size]
                axes, covariance = together(alike, f"{edge}_axes"), together(alike, f"{edge}_covariance")
                if step == 1:
                    found = torch.linalg.eigh(covariance)[1].flip(2)
                else:
                    order = (axes * (covariance @ axes)).sum(dim=1).argsort(dim=1, descending=True)
                    found = turned(axes.gather(2, order[:, None].expand_as(axes)), covariance)
                    for one, its in zip(alike, order.unbind(), strict=True):
                        one["square"].copy_(one["square"].index_select(EDGES.index(edge), its))
                torch._foreach_copy_([one[f"{edge}_axes"] for one in alike], found.unbind())
        if step == 1:
            torch._foreach_zero_([one[name] for one in known for name in ("mean", "square", "steps")])


def turned(axes: Tensor, covariance: Tensor) -> Tensor:
    """A step of orthogonal iteration: axes (N, A, A) nearer to the eigenvectors of covariances (N, A, A).

    Those that come first give way least: let these have the largest variances.
    """
    if not axes.is_cuda:
        return torch.linalg.qr(covariance @ axes)[0]
    found = orthonormal(lifted(covariance.double()) @ axes.double()).to(axes.dtype)
    return torch.where(found.isfinite().all(dim=(1, 2), keepdim=True), found, axes)


def lifted(covariance: Tensor) -> Tensor:
    """Covariances (N, A, A) in which nothing varies less than by a `FLOOR` of the mean, so that no axis is lost."""
    mean = covariance.diagonal(dim1=1, dim2=2).mean(dim=1, keepdim=True)
    return covariance + torch.diag_embed((FLOOR * mean + TINY).expand(covariance.shape[:2]))


def orthonormal(matrices: Tensor) -> Tensor:
    """Orthonormal columns with the spans of those of float64 matrices (N, A, A), as of a QR decomposition.

    By three Cholesky roots of Gram matrices, the first ones shifted (Fukaya et al., 2020: "Shifted Cholesky QR"): on a
    GPU faster than a QR decomposition, which is made of thousands of small steps.
    """
    matrices = matrices / matrices.norm(dim=1, keepdim=True)
    for shift in (1e-9, 1e-9, 0.0):
        gram = matrices.mT @ matrices
        gram.diagonal(dim1=1, dim2=2).add_(shift)
        root = torch.linalg.cholesky_ex(gram)[0]
        matrices = torch.linalg.solve_triangular(root.mT, matrices, upper=True, left=False)
    return matrices


def together(known: list[dict[str, Tensor]], name: str) -> Tensor:
    """What is remembered by that name of several kernels, stacked."""
    return torch.stack([one[name] for one in known])


def move(known: list[dict[str, Tensor]], name: str, towards: Tensor, part: Tensor) -> None:
    """Bring what is remembered by that name of several kernels by a `part` of the way `towards` (N, ...)."""
    present = [one[name] for one in known]
    moves = torch._foreach_sub(towards.unbind(), present)
    torch._foreach_mul_(moves, part)
    torch._foreach_add_(present, moves)


def along_axes(axes: dict[str, Tensor], matrices: Tensor) -> Tensor:
    """Matrices (N, O, I K K) of numbers along the weights as those along `axes`, of either edge, of both or of none."""
    matrices = axes["rows"].mT @ matrices if "rows" in axes else matrices
    return matrices @ axes["columns"] if "columns" in axes else matrices


def along_weights(axes: dict[str, Tensor], matrices: Tensor) -> Tensor:
    """The inverse of `along_axes`."""
    matrices = axes["rows"] @ matrices if "rows" in axes else matrices
    return matrices @ axes["columns"].mT if "columns" in axes else matrices


def is_kernel(parameter: Tensor) -> bool:
    """Whether a parameter is a convolution's weights from several feature maps to several."""
    return parameter.ndim == 4 and min(parameter.shape[:2]) > 1
