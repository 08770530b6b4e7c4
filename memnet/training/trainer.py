"""One training step: the loss (eq. 12), the optimiser, the average of the weights, and the state to resume from."""

from copy import deepcopy
from dataclasses import asdict

import torch
from torch import Tensor, nn

from memnet.network.runtime import cudnn
from memnet.training import cuda_graph, distributed
from memnet.training.config import Plan, Recipe, recipe_named
from memnet.training.cuda_graph import Recorded
from memnet.training.sampler import Patches
from memnet.training.soap import ForKernels, Soap

BAD_STEPS = 5  # non-finite steps in a row after which a run stops


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


def supervised_loss(
    model: nn.Module, x: Tensor, clean: Tensor, weights: Tensor | None = None, *, alpha: float | None = None
) -> Tensor:
    """Eq. 12: alpha times the mean squared error of y plus (1 - alpha) times the mean of those of y_1 .. y_M; a scalar.

    `x` and `clean` are (N, 1, H, W) in [0, 1], `weights` (N,) those of the patches, 1 unless given; the sum is
    float32 whatever the network computes in. `alpha` is 1 / (M + 1) unless given (section 5.1): all M + 1 outputs
    count alike. The basic network has one output, and alpha changes nothing.
    """
    y, y_m = model.predictions(x)
    alpha = 1 / (len(y_m) + 1) if alpha is None else alpha
    shares = [alpha, *[(1 - alpha) / len(y_m)] * len(y_m)]
    outputs = zip(shares, [y, *y_m], strict=True)
    errors = sum(share * (output.float() - clean).square().mean(dim=(1, 2, 3)) for share, output in outputs)
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
        one_gpu = device.type == "cuda" and distributed.size() == 1
        if one_gpu if compiled is None else compiled:
            cuda_graph.compile_pieces(self.model)
        recordable = one_gpu and self.recipe.optimiser != "SGD"
        self.recorded = recordable if recorded is None else recorded
        self.advance = Recorded(self.update) if self.recorded else self.update
        self.settled = False
        self.whole = True  # whether no step is half done: one that is broken off has drawn patches and moved norms
        # Now, so that what cannot be done fails before the first step.
        self.larger = patches.enlarged(plan.enlarge) if plan.enlarge > 1 and plan.settle else patches
        distributed.share(torch.empty(plan.batch // plan.enlarge**2))

    @property
    def skipped(self) -> int:
        """Steps without a finite gradient so far; they changed no weight."""
        return int(self.skips[0])

    def step(self) -> tuple[Tensor, Tensor]:
        """One update; the loss and the gradients' norm before clipping. A non-finite step changes no weight."""
        self.whole = False
        if self.step_number >= self.plan.settles_at and not self.settled:
            self.settle()
        batch = [distributed.share(part) for part in self.batch()]
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
        distributed.average([loss, *gradients])
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
