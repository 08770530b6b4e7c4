"""How a network is trained: every setting of a training."""

import math
from dataclasses import dataclass, replace

from memnet.network.runtime import PRECISIONS


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: `soap` and `short` (AdamW) are for small budgets, `paper` is section 5.1 as printed."""

    optimiser: str
    rate: float  # peak
    weight_decay: float
    clip: float  # of the gradients' global norm; for SGD divided by the rate
    batch: int
    patch: int
    stride: int  # of the grid of patch positions
    zero_reconstruction: bool
    open_input: bool  # whether FENet's ReLU lets every pixel through at first
    settle: float  # share of the steps, the last ones, in which the batch norms keep their statistics
    by_error: bool  # whether the patches of these last steps are drawn by how wrong their inputs are
    enlarge: int  # times the edge that these last patches have; so many fewer that their pixels are as many


SHORT = Recipe(
    "AdamW",
    2e-3,
    1e-4,
    clip=0.1,
    batch=64,
    patch=31,
    stride=1,
    zero_reconstruction=True,
    open_input=True,
    settle=0.25,
    by_error=True,
    enlarge=2,
)
# Paper: the last. The others are better at every budget that was tried, all of them far below the paper's.
RECIPES = {
    "soap": replace(SHORT, optimiser="SOAP", rate=4e-3),
    "short": SHORT,
    "paper": Recipe(
        "SGD",
        0.1,
        1e-4,
        clip=0.01,
        batch=64,
        patch=31,
        stride=21,
        zero_reconstruction=False,
        open_input=False,
        settle=0.0,
        by_error=False,
        enlarge=1,
    ),
}
PAPER_EPOCH = 26917  # batches of 64 in the paper's 1,722,688 patches (section 5.1)


def recipe_named(name: str) -> Recipe:
    """The recipe of that name in RECIPES; ValueError with all the names when there is none."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}: choose one of {', '.join(RECIPES)}")
    return RECIPES[name]


@dataclass(frozen=True)
class Plan:
    """One cycle of training: what is fixed when it starts and must not change when it resumes."""

    recipe: str
    steps: int
    batch: int
    patch: int
    seed: int = 0
    precision: str = "float32"  # of the convolutions; statistics, loss and weights are float32
    peak: float | None = None  # learning rate; the recipe's unless given
    settle: float = 0.0  # share of the steps at the end in which the batch norms keep their statistics
    by_error: bool = False  # whether the patches of these last steps are drawn by how wrong their inputs are
    recursions: int | None = None  # R of the network in this cycle, if fewer than it is to have
    enlarge: int = 1  # times the edge that the patches of the last steps have, as in a recipe

    def __post_init__(self):
        recipe_named(self.recipe)
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}: choose one of {', '.join(PRECISIONS)}")
        if min(self.batch, self.patch) < 1:
            raise ValueError(f"batch and patch are at least 1, got {self.batch} and {self.patch}")
        if not 0 <= self.settle <= 1:
            raise ValueError(f"the share of steps that settle is from 0 to 1, got {self.settle}")
        if self.peak is not None and not self.peak > 0:
            raise ValueError(f"the peak of the learning rate is above 0, got {self.peak}")
        if self.enlarge < 1 or self.batch % self.enlarge**2:
            words = f"{self.batch} patches do not have the pixels of patches of {self.enlarge} times the edge"
            raise ValueError(f"{words}: choose a batch that is a multiple of {self.enlarge**2}, or --enlarge 1")
        if self.steps < 10:
            raise ValueError(f"a budget of {self.steps} steps is too small for its warm-up: give at least 10")

    @property
    def warmup(self) -> int:
        """Steps over which the rate rises to its peak."""
        return min(1000, math.ceil(self.steps / 10))

    @property
    def n_validations(self) -> int:
        """How often the gain is measured: each time costs about 15 steps."""
        return min(12, self.steps // 25 + 1)

    @property
    def settles_at(self) -> int:
        """The first step (from 0) in which batch norms use the statistics that they have; `steps` if there is none."""
        return self.steps - round(self.settle * self.steps)

    def rate(self, step: int) -> float:
        """Learning rate of step `step` (from 0): warm-up and cosine, or the paper's staircase."""
        peak = self.peak or RECIPES[self.recipe].rate
        if self.recipe == "paper":
            return peak * 0.1 ** (step // (20 * PAPER_EPOCH))
        if step < self.warmup:
            return peak * (step + 1) / self.warmup
        return peak * 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / (self.steps - self.warmup)))
