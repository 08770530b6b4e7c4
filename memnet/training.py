"""Training: one loop that fits its schedule to a budget, can be killed at any moment and resumes where it was.

This room knows networks and patches; it knows no picture, no table and no name of a run.
"""

import csv
import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from memnet import checkpoints, parallel
from memnet.inference import PRECISIONS, cudnn
from memnet.model import PreActivation, ReconNet, RecursiveUnit
from memnet.optimisers import ForKernels, Soap
from memnet.patches import HeldBack, Patches

CHECKPOINT_SECONDS = 60
AS_BEFORE = "as before"  # the choice of weights after a cycle that gained nothing
SOLVED = "output weights solved"
BAD_STEPS = 5  # non-finite steps in a row after which a run stops
STEPS_BEFORE_RECORDING = 3  # on a GPU: they compile, choose kernels and make the optimiser's state
LOG_COLUMNS = ("step", "seconds", "loss", "rate", "norm", "gain", "skipped")


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


def initialise(model: nn.Module, recipe: str) -> nn.Module:
    """The same network, new, with what the recipe begins with; ValueError for an unknown recipe."""
    begins = recipe_named(recipe)
    if begins.zero_reconstruction:
        # Paper: He's initialisation here too. With zeros the first output is the input picture: 1.5 dB after 600 steps.
        nn.init.zeros_(model.reconnet.conv.weight)
    if begins.open_input:
        # Paper: scale 1, shift 0. The ReLU behind then hides every pixel that is darker than the mean, and the shift
        # learns to show them slowly; so, none that is within three standard deviations of it is hidden.
        norm = model.fenet[0]
        nn.init.constant_(norm.weight, 1 / 3)
        nn.init.ones_(norm.bias)
    return model


def supervised_loss(model: nn.Module, x: Tensor, clean: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error of the final and of every intermediate prediction, weighed alike (eq. 12): a scalar.

    `x` and `clean` are (N, 1, H, W) in [0, 1], `weights` (N,) those of the patches, 1 unless given; the sum is
    float32 whatever the network computes in.
    """
    y, y_m = model.predictions(x)
    outputs = [y, *y_m] if len(y_m) > 1 else [y]
    errors = sum((output.float() - clean).square().mean(dim=(1, 2, 3)) for output in outputs) / len(outputs)
    return (errors if weights is None else errors * weights).mean()


def optimiser_for(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser. All but SGD decay convolution weights only; SGD gives biases a tenth of the rate.

    It takes its rate from a tensor and makes no step where its `found_inf` is 1: no number passes through the
    processor, so that a GPU need not wait for it.
    """
    device = next(model.parameters()).device
    weights = [p for p in model.parameters() if p.ndim == 4]
    others = [p for p in model.parameters() if p.ndim != 4]
    if recipe.optimiser != "SGD":
        groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        groups = [{**group, "scale": 1.0, "lr": torch.tensor(recipe.rate, device=device)} for group in groups]
        how = {"betas": (0.9, 0.999), "capturable": device.type == "cuda"}
        if recipe.optimiser == "AdamW":
            return torch.optim.AdamW(groups, fused=True, **how)
        return Soap(groups, **how)
    biases = [module.bias for module in model.modules() if isinstance(module, nn.Conv2d)]
    slow = {id(bias) for bias in biases}
    rest = [p for p in model.parameters() if id(p) not in slow]
    groups = [{"params": rest, "scale": 1.0}, {"params": biases, "scale": 0.1}]
    groups = [{**group, "lr": torch.tensor(recipe.rate, device=device)} for group in groups]
    optimiser = torch.optim.SGD(groups, momentum=0.9, weight_decay=recipe.weight_decay, fused=True)
    for parameter in model.parameters():  # the first step would make them, and not fill them if it is skipped
        optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimiser


def compile_pieces(model: nn.Module, backend: str = "inductor") -> None:
    """Have `torch.compile` fuse norms, activations and sums of the pieces that repeat: one graph serves all blocks.

    Copies of the model (`deepcopy`) are not compiled.
    """
    torch._dynamo.config.cache_size_limit = 64  # one graph for each shape of gate
    for module in model.modules():
        if isinstance(module, RecursiveUnit | PreActivation | ReconNet):
            module.compile(dynamic=False, backend=backend)


@contextmanager
def collected() -> Iterator[None]:
    """No garbage, and none collected meanwhile: another graph that dies while one is recorded would spoil it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Recorded:
    """A function of tensors on a GPU that is recorded as one CUDA graph and then replayed by a single launch.

    The first calls run as they are. From then on the function must do the same with tensors at the same places: what
    changes from call to call has to come in as an argument or lie in a tensor.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]]):
        self.function, self.calls, self.graph = function, 0, None
        self.aside = torch.cuda.Stream()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What the function returns for `inputs`, always of the shapes of the first call."""
        if self.calls < STEPS_BEFORE_RECORDING:
            self.calls += 1
            self.aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.aside):
                outputs = self.function(*inputs)
            torch.cuda.current_stream().wait_stream(self.aside)
            return outputs
        if self.graph is None:
            self.graph, self.inputs = torch.cuda.CUDAGraph(), [tensor.clone() for tensor in inputs]
            with collected(), torch.cuda.graph(self.graph):
                self.outputs = self.function(*self.inputs)
        for place, tensor in zip(self.inputs, inputs, strict=True):
            place.copy_(tensor)
        self.graph.replay()
        return tuple(tensor.clone() for tensor in self.outputs)


class Trainer:
    """The state of one cycle of training (network, average, optimiser, random generator) and its single step.

    On one GPU the pieces of the network are `compiled` and the whole step is `recorded` as a CUDA graph, unless said
    otherwise; with the recipe `paper` it is not recorded, and several GPUs run it as it is written.
    """

    def __init__(
        self,
        model: nn.Module,
        patches: Patches,
        plan: Plan,
        *,
        compiled: bool | None = None,
        recorded: bool | None = None,
    ):
        self.recipe, self.plan, self.patches = recipe_named(plan.recipe), plan, patches
        device = patches.device
        self.model = model.to(device, memory_format=torch.channels_last).train()
        self.average = deepcopy(self.model).eval()
        self.optimiser = optimiser_for(self.model, self.recipe)
        self.generator = torch.Generator(device).manual_seed(plan.seed)
        self.step_number = 0
        self.skips = torch.zeros(2, dtype=torch.long, device=device)  # steps skipped: in all, in a row
        self.clip, self.newest = torch.zeros((), device=device), torch.zeros((), device=device)
        self.seconds = 0.0
        self.cycles = []  # what the network has behind it: the records of earlier cycles
        self.before = None  # the network as they left it, in evaluation
        one_gpu = device.type == "cuda" and parallel.size() == 1
        if one_gpu if compiled is None else compiled:
            compile_pieces(self.model)
        recordable = one_gpu and self.recipe.optimiser != "SGD"
        self.recorded = recordable if recorded is None else recorded
        self.advance = Recorded(self.update) if self.recorded else self.update
        self.settled = False
        self.whole = True  # whether no step is half done: one that is broken off has drawn patches and moved norms
        # Now, so that what cannot be done fails before the first step.
        self.larger = patches.enlarged(plan.enlarge) if plan.enlarge > 1 and plan.settle else patches
        parallel.share(torch.empty(plan.batch // plan.enlarge**2))

    @property
    def skipped(self) -> int:
        """Steps without a finite gradient so far; they changed no weight."""
        return int(self.skips[0])

    def step(self) -> tuple[Tensor, Tensor]:
        """One update; the loss and the gradients' norm before clipping. A non-finite step changes no weight."""
        self.whole = False
        if self.step_number >= self.plan.settles_at and not self.settled:
            self.settle()
        batch = [parallel.share(part) for part in self.batch()]
        rate = self.plan.rate(self.step_number)
        for group in self.optimiser.param_groups:
            group["lr"].fill_(rate * group["scale"])
        self.clip.fill_(self.recipe.clip / rate if self.recipe.optimiser == "SGD" else self.recipe.clip)
        self.newest.fill_(1 - min(0.999, (self.step_number + 2) / (self.step_number + 11)))
        loss, norm = self.advance(*batch)
        self.step_number += 1
        if isinstance(self.optimiser, ForKernels):
            self.optimiser.refresh(self.step_number)
        if self.step_number % BAD_STEPS == 0:
            self.check_divergence()
        self.whole = True
        return loss, norm

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """The next patches, degraded and clean (N, 1, P, P), and their weights in the loss (N,)."""
        if not self.settled:  # the statistics of the batch must be those of all patches, and of many
            return self.patches.draw(self.plan.batch, self.generator)
        # Paper: all of one size. Most of a patch is near a border, behind which a network sees zeros; of a picture not.
        draw = self.larger.draw_by_error if self.plan.by_error else self.larger.draw
        return draw(self.plan.batch // self.plan.enlarge**2, self.generator)

    @cudnn(benchmark=True, allow_tf32=False)
    def update(self, x: Tensor, clean: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """`step` on a given batch, without reading a number: on a GPU it can be recorded."""
        with torch.autocast(self.patches.device.type, torch.bfloat16, enabled=self.plan.precision == "bfloat16"):
            loss = supervised_loss(self.model, x.contiguous(memory_format=torch.channels_last), clean, weights)
        self.optimiser.zero_grad()
        loss.backward()
        loss = loss.detach()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        parallel.average([loss, *gradients])
        norm = nn.utils.get_total_norm(gradients)
        torch._foreach_mul_(gradients, (self.clip / (norm + 1e-6)).clamp(max=1))
        bad = ~torch.isfinite(norm)
        self.optimiser.found_inf = bad.float()
        self.optimiser.step()
        self.skips.copy_(torch.stack([self.skips[0] + bad, (self.skips[1] + 1) * bad]))
        self.update_average(bad)
        return loss, norm

    def settle(self) -> None:
        """From here on batch norms keep their statistics: the network learns as it will be used."""
        # Paper: nothing of the kind. The statistics of a few patches are noise, and weights that were fitted to them
        # leave artefacts in whole pictures.
        for norm in filter(lambda module: isinstance(module, nn.modules.batchnorm._BatchNorm), self.model.modules()):
            norm.eval()
        self.settled = True
        self.advance = Recorded(self.update) if self.recorded else self.update  # another graph than before

    def check_divergence(self) -> None:
        """ValueError when the last steps had no finite gradient."""
        if int(self.skips[1]) >= BAD_STEPS:
            raise ValueError(
                f"{BAD_STEPS} steps in a row up to step {self.step_number} had no finite gradient: "
                f"start again with half the rate or another seed; the last checkpoint is kept"
            )

    @torch.no_grad()
    def update_average(self, bad: Tensor) -> None:
        """Exponential average of weights and statistics, 0.999 but shorter at the start.

        After a non-finite step (`bad`) nothing moves, and the network's statistics become the average's.
        """
        newest = torch.where(bad, 0.0, self.newest)
        kept, now = list(self.average.parameters()), list(self.model.parameters())
        moves = torch._foreach_sub(now, kept)
        torch._foreach_mul_(moves, newest)
        torch._foreach_add_(kept, moves)
        kept, now = statistics(self.average), statistics(self.model)
        sizes = [len(values) for values in now]
        average, latest = torch.cat(kept), torch.cat(now)
        latest = torch.where(bad, average, latest)
        torch._foreach_copy_(now, latest.split(sizes))
        torch._foreach_copy_(kept, torch.lerp(average, latest, newest).split(sizes))
        torch._foreach_add_(counters(self.model), -bad.long(), alpha=1)  # without alpha it would read the number

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """All tensors and JSON values from which the next step follows, bit for bit on a CPU."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"before.{k}": v for k, v in self.before.state_dict().items()} if self.before else {}
        for number, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{k}": v for k, v in slots.items() if torch.is_tensor(v)}
        tensors["generator"] = self.generator.get_state()
        counts = {"step": self.step_number, "skipped": self.skipped, "seconds": self.seconds}
        return tensors, {"plan": asdict(self.plan), "cycles": self.cycles, **counts}

    def load_state(self, tensors: dict[str, Tensor], meta: dict) -> None:
        """Go on from `state()`, before the first step; ValueError when it belongs to another network or plan."""
        if Plan(**meta["plan"]) != self.plan:
            raise ValueError(f"this training state was made with {meta['plan']}, not {asdict(self.plan)}")
        part = {name: {} for name in ("model", "average", "before")}
        slots = {}
        for name, tensor in tensors.items():
            owner, _, rest = name.partition(".")
            if owner in part:
                part[owner][rest] = tensor
            elif owner == "optimiser":
                number, _, slot = rest.partition(".")
                slots.setdefault(int(number), {})[slot] = tensor
        self.model.load_state_dict(part["model"])
        self.average.load_state_dict(part["average"])
        if part["before"]:
            self.before = deepcopy(self.average)
            self.before.load_state_dict(part["before"])
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        slots = {number: laid_out_like(parameters[number], slot) for number, slot in slots.items()}
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": slots})
        try:
            self.generator.set_state(tensors["generator"])
        except RuntimeError as error:
            raise ValueError("this training state was made on another kind of processor: use --extend") from error
        self.step_number, self.seconds = meta["step"], meta["seconds"]
        self.skips[0] = meta["skipped"]
        self.cycles = meta["cycles"]
        if self.step_number > self.plan.settles_at:
            self.settle()


def laid_out_like(parameter: Tensor, slot: dict[str, Tensor]) -> dict[str, Tensor]:
    """An optimiser's tensors in the memory layout of their parameter: fused kernels pair them byte by byte."""
    moments = {name: value for name, value in slot.items() if value.shape == parameter.shape}
    return slot | {name: torch.empty_like(parameter).copy_(value) for name, value in moments.items()}


def statistics(model: nn.Module) -> list[Tensor]:
    """Running means and variances of all batch norms."""
    return [buffer for buffer in model.buffers() if buffer.is_floating_point()]


def counters(model: nn.Module) -> list[Tensor]:
    """How many batches each batch norm has seen."""
    return [buffer for buffer in model.buffers() if not buffer.is_floating_point()]


@cudnn(allow_tf32=False)
@torch.no_grad()
def renew_statistics(
    model: nn.Module, patches: Patches, *, batches: int, batch: int, seed: int, norms: Sequence[str] | None = None
) -> nn.Module:
    """A copy of `model` with its batch-norm statistics (of the `norms` of these names, or of all) taken anew.

    They are means over training batches; the other norms keep what they have, and normalise by it meanwhile.
    """
    renewed = deepcopy(model).eval()
    found = {name: module for name, module in renewed.named_modules() if isinstance(module, nn.BatchNorm2d)}
    norms = [found[name] for name in (found if norms is None else norms)]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    generator = torch.Generator(patches.device).manual_seed(seed)
    for _ in range(batches):
        renewed(patches.draw(batch, generator)[0].contiguous(memory_format=torch.channels_last))
    for norm in norms:
        norm.momentum = 0.1
    return renewed.eval()


@cudnn(allow_tf32=False)
@torch.no_grad()
def solve_output_weights(model: nn.Module, crops: HeldBack) -> nn.Module:
    """A copy of a multi-supervised network with the output weights (eq. 11) that make the least error of y on `crops`.

    y is linear in them: a least-squares problem, in which they sum to 1 and every crop weighs as it does in the mean
    PSNR, by the inverse of its present error.
    """
    copy, equations, right = deepcopy(model).eval(), 0, 0
    for x, (reference, _) in zip(crops.inputs.split(1), crops.pairs, strict=True):
        y, y_m = copy.predictions(x)
        clean = torch.from_numpy(reference).to(x.device)
        steps = torch.stack([prediction.double() - x for prediction in y_m]).flatten(1)
        weight = 1 / ((y.double() - clean).square().mean() + 1e-8)
        equations += weight * steps @ steps.T
        right += weight * steps @ (clean - x).double().flatten()
    scale = equations.trace() + 1e-8
    system = nn.functional.pad(equations / scale, (0, 1, 0, 1), value=1.0)
    system[-1, -1] = 0  # the last row and column: the sum, and its multiplier
    solution = torch.linalg.pinv(system, hermitian=True) @ nn.functional.pad(right / scale, (0, 1), value=1.0)
    copy.output_weights.copy_(solution[:-1])
    return copy


def best_weights(
    trainer: Trainer, held_back: HeldBack, crops: HeldBack | None = None
) -> tuple[str, nn.Module, dict[str, float]]:
    """Of the network, its average and both with renewed statistics, the one that gains most on held-back pictures.

    Weights that have settled belong to the statistics that they settled with: these are not renewed. After a further
    cycle, the weights from before it stay where none of them gains more. On `crops` of training pictures the best one's
    output weights are solved, and kept where it gains by that.
    """
    renew = {"batches": 25, "batch": trainer.plan.batch, "seed": trainer.plan.seed + 10**6}
    # The copy is not compiled, and in evaluation: looked at in training, its norms would learn the picture.
    candidates = {"last": deepcopy(trainer.model).eval(), "average": trainer.average}
    for name in () if trainer.settled else ("last", "average"):
        candidates[f"{name}, statistics renewed"] = renew_statistics(candidates[name], trainer.patches, **renew)
    if trainer.before:
        candidates[AS_BEFORE] = trainer.before
    gains = {name: held_back.gain(model) for name, model in candidates.items()}
    best = max(gains, key=gains.get)
    if crops and len(candidates[best].predictions(held_back.inputs[:1])[1]) > 1:
        name = f"{best}, {SOLVED}"
        candidates[name] = solve_output_weights(candidates[best], crops)
        gains[name] = held_back.gain(candidates[name])
        best = max(best, name, key=gains.get)
    return best, candidates[best], gains


@cache
def native_precision(device: torch.device | str) -> str:
    """bfloat16 where a convolution of the network is learnt faster in it, by a fifth at least, else float32.

    A GPU's generation tells; a CPU is timed, since some that multiply in bfloat16 are faster in float32 all the same.
    """
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    seconds = {name: convolution_seconds(dtype) for name, dtype in PRECISIONS.items()}
    return parallel.agreed("bfloat16" if seconds["float32"] > 1.2 * seconds["bfloat16"] else "float32")


def convolution_seconds(precision: torch.dtype, repeats: int = 20) -> float:
    """Least time on the CPU of a 3x3 convolution of 64 channels, there and back, on 8 patches of 24x24."""
    shapes = (8, 64, 24, 24), (64, 64, 3, 3)
    images, weight = (torch.ones(s).to(memory_format=torch.channels_last).requires_grad_() for s in shapes)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            output = nn.functional.conv2d(images, weight, padding=1)
        output.float().sum().backward()
        times.append(time.perf_counter() - began)
    return min(times)


def seconds_per_step(model: nn.Module, patches: Patches, plan: Plan, *, steps: int = 4, **fast: bool | None) -> float:
    """Median time of a step, measured on a copy that is thrown away; `fast` are `compiled` and `recorded`."""
    trial = Trainer(deepcopy(model), patches, plan, **fast)
    times = []
    for _ in range(STEPS_BEFORE_RECORDING + 1 + steps):
        begin = time.perf_counter()
        float(trial.step()[0])
        times.append(time.perf_counter() - begin)
    return float(np.median(times[STEPS_BEFORE_RECORDING + 1 :]))


class Log:
    """A CSV of the run's progress beside its weights; a resumed run drops the rows after its checkpoint."""

    def __init__(self, path: Path, *, keep_to_step: int):
        rows = []
        if keep_to_step and path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= keep_to_step]
        self.path = path
        if not parallel.first():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def add(self, **values) -> None:
        """Append one row; numbers are written to five significant digits."""
        row = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in values.items()}
        if not parallel.first():
            return
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, LOG_COLUMNS).writerow(row)


def train(
    trainer: Trainer,
    held_back: HeldBack,
    *,
    state: Path,
    log: Path,
    minutes: float | None = None,
    looks: int = 12,
    progress: bool = True,
) -> bool:
    """Run the trainer's plan to its end, or for `minutes`, from wherever it stands; whether the end was reached.

    The state is written to the folder `state` at the start, every minute and at the end, unless a step was broken off;
    the gain on held-back pictures is looked at `looks` times and goes to the CSV file `log`.
    """
    if trainer.step_number == 0:
        keep(state, trainer)  # in place of another training's, which --resume would go on with
    plan, journal = trainer.plan, Log(log, keep_to_step=trainer.step_number)
    before, begin, saved, losses = trainer.seconds, time.monotonic(), time.monotonic(), []
    quiet = not (progress and parallel.first())
    bar = tqdm(total=plan.steps, initial=trainer.step_number, unit="step", disable=quiet, mininterval=2)
    try:
        while trainer.step_number < plan.steps:
            loss, norm = trainer.step()
            losses.append(loss)
            bar.update()
            now = time.monotonic()
            trainer.seconds = before + now - begin
            if trainer.step_number % max(1, plan.steps // looks) == 0 or trainer.step_number == plan.steps:
                bar.set_postfix_str(look(trainer, held_back, journal, losses, norm))
                losses = []
            if minutes is not None and parallel.agreed(now - begin > 60 * minutes):
                break
            if now - saved > CHECKPOINT_SECONDS:
                keep(state, trainer)
                saved = now
    finally:
        bar.close()
        if trainer.whole:
            keep(state, trainer)
    return trainer.step_number >= plan.steps


def keep(state: Path, trainer: Trainer) -> None:
    """Write the state of the training, by the first process alone: it is the same in all."""
    if parallel.first():
        checkpoints.save_state(state, *trainer.state())


def look(trainer: Trainer, held_back: HeldBack, journal: Log, losses: list[Tensor], norm: Tensor) -> str:
    """Write one row of the log: the mean loss since the last one, and the average's gain; the same in words."""
    gain, loss = held_back.gain(trainer.average), float(torch.stack(losses).mean())
    rate = trainer.plan.rate(trainer.step_number - 1)
    numbers = {"seconds": trainer.seconds, "loss": loss, "rate": rate, "norm": float(norm), "gain": gain}
    journal.add(step=trainer.step_number, skipped=trainer.skipped, **numbers)
    skipped = f", {trainer.skipped} steps skipped: the rate may be too high" if trainer.skipped else ""
    return f"loss {loss:.5f}, gain {gain:+.2f} dB, norm {float(norm):.3f}{skipped}"
