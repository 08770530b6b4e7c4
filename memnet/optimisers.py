"""Muon: steps of equal length along every direction of a convolution's weights.

This room knows parameters and gradients; it knows no network, no picture and no schedule.
"""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

MOMENTUM = 0.95
POLYNOMIAL = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration: singular values go to 0.7 .. 1.2 in 5 rounds
ROUNDS = 5
LENGTH = 0.2  # rms of a kernel's step at rate 1: about that of AdamW, so that one rate suits both


class Muon(torch.optim.Optimizer):
    """Muon for the kernels of convolutions between feature maps, AdamW (fused) for all other parameters.

    A kernel (O, I, K, K) is the matrix (O, I K K) that it multiplies patches with. Its step is the momentum of its
    gradients with all singular values set to about one (Jordan et al., 2024: "Muon: an optimizer for hidden layers"),
    times `LENGTH` and the root of the longer edge: what a gradient says weakly is learnt as fast as what it says
    strongly.

    `groups` are as AdamW's, each with its own `lr` (a tensor); kernels are found in all of them. As in fused
    optimisers nothing is read from the device, and where `found_inf` is 1 no parameter moves.
    """

    def __init__(self, groups: list[dict], *, betas: tuple[float, float], capturable: bool = False):
        kernels = [{**group, "params": list(filter(is_kernel, group["params"]))} for group in groups]
        others = [{**group, "params": [p for p in group["params"] if not is_kernel(p)]} for group in groups]
        self.rest = torch.optim.AdamW(others, betas=betas, fused=True, capturable=capturable)
        super().__init__([group for group in kernels if group["params"]], {})
        self.own = len(self.param_groups)
        for group in self.param_groups:
            for kernel in group["params"]:
                self.state[kernel]["momentum"] = torch.zeros_like(kernel)
        self.param_groups += self.rest.param_groups
        self.rest.state = self.state
        self.found_inf = None

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from the state of an optimiser of the same parameters."""
        super().load_state_dict(state_dict)
        self.rest.param_groups, self.rest.state = self.param_groups[self.own :], self.state

    @torch.no_grad()
    def step(self) -> None:
        """Move all parameters that have a gradient; none where `found_inf` is 1."""
        for group in self.param_groups[: self.own]:
            self.turn([p for p in group["params"] if p.grad is not None], group["lr"], group["weight_decay"])
        self.rest.found_inf = self.found_inf
        self.rest.step()

    def turn(self, kernels: list[Tensor], rate: Tensor, decay: float) -> None:
        """The step of Muon."""
        ahead = []
        for kernel in kernels:
            momentum, gradient = self.state[kernel]["momentum"], kernel.grad
            if self.found_inf is not None:
                gradient = torch.where(self.found_inf > 0, momentum, gradient)  # the momentum stays as it is
            momentum.lerp_(gradient, 1 - MOMENTUM)
            ahead.append(gradient.lerp(momentum, MOMENTUM))
        rate = rate if self.found_inf is None else rate * (1 - self.found_inf)
        for kernel, update in zip(kernels, orthogonal(ahead), strict=True):
            longer = max(kernel.shape[0], kernel[0].numel())
            kernel.mul_(1 - rate * decay).sub_(update * (rate * LENGTH * longer**0.5))


def is_kernel(parameter: Tensor) -> bool:
    """Whether a parameter is a convolution's weights from several feature maps to several."""
    return parameter.ndim == 4 and min(parameter.shape[:2]) > 1


def orthogonal(kernels: list[Tensor]) -> list[Tensor]:
    """Tensors (O, ...) as matrices of O rows, with the same singular vectors, and singular values of about one.

    Those of one O are turned in a batch, the narrower ones with columns of zeros, which stay zeros.
    """
    found: list[Tensor] = [None] * len(kernels)
    for rows in sorted({len(kernel) for kernel in kernels}):
        places = [place for place, kernel in enumerate(kernels) if len(kernel) == rows]
        turned = newton_schulz(pad_sequence([kernels[place].flatten(1).T for place in places], batch_first=True))
        for place, matrix in zip(places, turned, strict=True):
            kernel = kernels[place]
            found[place] = matrix[: kernel[0].numel()].T.reshape(kernel.shape)
    return found


def newton_schulz(x: Tensor) -> Tensor:
    """Matrices (N, A, B) with their singular values brought near one: from 0.7 to 1.2, but for very small ones."""
    a, b, c = POLYNOMIAL
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    for _ in range(ROUNDS):
        gram = x.mT @ x
        x = a * x + x @ (b * gram + c * gram @ gram)
    return x
