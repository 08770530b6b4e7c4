"""SOAP: an optimiser that sees a convolution's weights as one matrix instead of many numbers.

This module knows parameters and gradients; it knows no network, no image and no schedule.
"""

import torch
from torch import Tensor

EPSILON = 1e-8  # is added to a root of squares before it divides
COVARIANCE_DECAY = 0.95  # share of the covariances that stays from step to step
REFRESH_STEPS = 10  # from one eigenbasis to the next
FLOOR = 1e-7  # of the mean variance along the eigenbasis: less counts as that much
TINY = 1e-100  # above zero, also when squared
WIDEST = 768  # edge of a matrix above which there is no eigenbasis for it: it would take too much memory
EDGES = ("rows", "columns")


class Soap(torch.optim.Optimizer):
    """SOAP for the weights of convolutions between feature maps, AdamW (fused) for all other parameters.

    Convolution weights (O, I, K, K) are the matrix (O, I K K) that multiplies patches. SOAP is AdamW in the eigenbasis
    of the gradients' covariances by rows (O x O) and by columns (I K K x I K K, unless that is above `WIDEST`), which
    is refreshed every `REFRESH_STEPS` steps (Vyas et al., 2024: "SOAP: improving and stabilizing Shampoo using Adam").

    `groups` are as AdamW's, each with its own `lr` (a tensor). As in fused optimisers nothing is read from the device,
    and where `found_inf` is 1 no parameter moves.
    """

    def __init__(self, groups: list[dict], *, betas: tuple[float, float], capturable: bool = False):
        matrices = [{**group, "params": list(filter(is_matrix, group["params"]))} for group in groups]
        others = [{**group, "params": [p for p in group["params"] if not is_matrix(p)]} for group in groups]
        self.adamw = torch.optim.AdamW(others, betas=betas, fused=True, capturable=capturable)
        super().__init__([group for group in matrices if group["params"]], {})
        self.own, self.betas = len(self.param_groups), betas
        for weight in self.weights():
            self.state[weight] = initial_state(weight.detach())
        self.param_groups += self.adamw.param_groups
        self.adamw.state = self.state
        self.found_inf = None

    def weights(self) -> list[Tensor]:
        """The parameters that SOAP moves itself."""
        return [weight for group in self.param_groups[: self.own] for weight in group["params"]]

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from the state of an optimiser of the same parameters."""
        super().load_state_dict(state_dict)
        self.adamw.param_groups, self.adamw.state = self.param_groups[self.own :], self.state

    @torch.no_grad()
    def step(self) -> None:
        """Move all parameters that have a gradient; none where `found_inf` is 1."""
        for group in self.param_groups[: self.own]:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            good = torch.ones_like(group["lr"]) if self.found_inf is None else 1 - self.found_inf
            finite, rate = good > 0, group["lr"] * good
            gradients = [torch.where(finite, weight.grad, 0) for weight in weights]
            updates = self.updates(weights, gradients, good)
            steps = [update.reshape(weight.shape) for weight, update in zip(weights, updates, strict=True)]
            torch._foreach_mul_(weights, 1 - rate * group["weight_decay"])
            torch._foreach_sub_(weights, torch._foreach_mul(steps, rate))
        self.adamw.found_inf = self.found_inf
        self.adamw.step()

    def updates(self, weights: list[Tensor], gradients: list[Tensor], good: Tensor) -> list[Tensor]:
        """What to subtract from each at rate 1, (O, I K K). Where `good` is 0 the state stays."""
        updates: list[Tensor] = [None] * len(weights)
        for shape in dict.fromkeys(weight.shape for weight in weights):  # those of one shape together: fewer products
            indices = [index for index, weight in enumerate(weights) if weight.shape == shape]
            states = [self.state[weights[index]] for index in indices]
            gradient = torch.stack([gradients[index].flatten(1) for index in indices])
            for index, update in zip(indices, self.update(states, gradient, good), strict=True):
                updates[index] = update
        return updates

    def update(self, states: list[dict[str, Tensor]], gradient: Tensor, good: Tensor) -> Tensor:
        """What to subtract from matrices of one shape (N, O, I K K), whose states move on."""
        basis = {edge: stacked(states, f"{edge}_basis") for edge in EDGES if f"{edge}_basis" in states[0]}
        for edge in basis:
            by_rows = gradient if edge == "rows" else gradient.mT
            move(states, f"{edge}_covariance", by_rows @ by_rows.mT, (1 - COVARIANCE_DECAY) * good)
        move(states, "mean", gradient, (1 - self.betas[0]) * good)
        move(states, "square", projected(basis, gradient).square(), (1 - self.betas[1]) * good)
        torch._foreach_add_([state["steps"] for state in states], good, alpha=1)  # without alpha it would read `good`
        steps = stacked(states, "steps").clamp(min=1).view(-1, 1, 1)
        corrections = [1 - torch.pow(beta, steps) for beta in self.betas]
        mean = projected(basis, stacked(states, "mean")) / corrections[0]
        return projected_back(basis, mean / ((stacked(states, "square") / corrections[1]).sqrt() + EPSILON))

    @torch.no_grad()
    def refresh(self, step: int) -> None:
        """Move the bases towards the eigenvectors: after step 1, which teaches nothing else, and every tenth step."""
        if step != 1 and step % REFRESH_STEPS:
            return
        states = [self.state[weight] for weight in self.weights()]
        for edge in EDGES:
            sizes = [len(state.get(f"{edge}_basis", ())) for state in states]
            for size in filter(None, dict.fromkeys(sizes)):
                refresh_basis([s for s, its in zip(states, sizes, strict=True) if its == size], edge, first=step == 1)
        if step == 1:
            torch._foreach_zero_([state[name] for state in states for name in ("mean", "square", "steps")])


def initial_state(weight: Tensor) -> dict[str, Tensor]:
    """What SOAP remembers of a convolution's gradients, before there are any."""
    matrix = torch.zeros_like(weight.flatten(1), memory_format=torch.contiguous_format)
    edges = {edge: size for edge, size in zip(EDGES, matrix.shape, strict=True) if size <= WIDEST}
    state = {"mean": matrix, "square": matrix.clone(), "steps": matrix.new_zeros(())}
    state |= {f"{edge}_covariance": matrix.new_zeros(size, size) for edge, size in edges.items()}
    return state | {f"{edge}_basis": torch.eye(size).to(matrix) for edge, size in edges.items()}


def refresh_basis(states: list[dict[str, Tensor]], edge: str, *, first: bool) -> None:
    """Refresh the bases of matrices whose `edge` is of one size; the squares stay with their eigenvectors."""
    basis, covariance = stacked(states, f"{edge}_basis"), stacked(states, f"{edge}_covariance")
    if first:
        refreshed = torch.linalg.eigh(covariance)[1].flip(2)
    else:
        order = (basis * (covariance @ basis)).sum(dim=1).argsort(dim=1, descending=True)
        refreshed = iterated(basis.gather(2, order[:, None].expand_as(basis)), covariance)
        for state, its in zip(states, order.unbind(), strict=True):
            state["square"].copy_(state["square"].index_select(EDGES.index(edge), its))
    torch._foreach_copy_([state[f"{edge}_basis"] for state in states], refreshed.unbind())


def iterated(basis: Tensor, covariance: Tensor) -> Tensor:
    """A step of orthogonal iteration: bases (N, A, A) nearer to the eigenvectors of covariances (N, A, A).

    Those that come first give way least: let these have the largest variances.
    """
    if not basis.is_cuda:
        return torch.linalg.qr(covariance @ basis)[0]
    found = orthonormal(regularised(covariance.double()) @ basis.double()).to(basis.dtype)
    return torch.where(found.isfinite().all(dim=(1, 2), keepdim=True), found, basis)


def regularised(covariance: Tensor) -> Tensor:
    """Covariances (N, A, A) in which nothing varies less than a `FLOOR` of the mean: no direction is lost."""
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


def stacked(states: list[dict[str, Tensor]], name: str) -> Tensor:
    """A tensor of that name in several states, stacked."""
    return torch.stack([state[name] for state in states])


def move(states: list[dict[str, Tensor]], name: str, towards: Tensor, part: Tensor) -> None:
    """Move the tensors of that name in several states by a `part` of the way `towards` (N, ...)."""
    present = [state[name] for state in states]
    moves = torch._foreach_sub(towards.unbind(), present)
    torch._foreach_mul_(moves, part)
    torch._foreach_add_(present, moves)


def projected(basis: dict[str, Tensor], matrices: Tensor) -> Tensor:
    """Matrices (N, O, I K K) of numbers along the weights in the eigenbasis of either edge, of both or of none."""
    matrices = basis["rows"].mT @ matrices if "rows" in basis else matrices
    return matrices @ basis["columns"] if "columns" in basis else matrices


def projected_back(basis: dict[str, Tensor], matrices: Tensor) -> Tensor:
    """The inverse of `projected`."""
    matrices = basis["rows"] @ matrices if "rows" in basis else matrices
    return matrices @ basis["columns"].mT if "columns" in basis else matrices


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter is a convolution's weights from several feature maps to several."""
    return parameter.ndim == 4 and min(parameter.shape[:2]) > 1
