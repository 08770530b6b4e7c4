"""One training: the network, its optimiser and its running average, and the single step."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from memnet.network.runtime import cudnn
from memnet.training import distributed
from memnet.training.average import decay, update_average
from memnet.training.config import TrainingConfig
from memnet.training.cuda_graph import CUDAGraph, compile_modules
from memnet.training.loss import supervised_loss
from memnet.training.optimiser import optimiser_for
from memnet.training.sampler import Patches
from memnet.training.soap import Soap

NONFINITE_STEPS = 5  # in a row, after which a training stops


class Trainer:
    """A training stage (section 5.1): network, running average, optimiser, random generator, and a step with them.

    `model` gives `predictions` (y, [y_1 .. y_M]) for x (N, 1, H, W); it is moved to the device of `patches`, and
    trained in place. `average` is the running average of its weights, in evaluation mode. `step` makes one update of
    `config.batch` patches; `step_number` counts them and `seconds` is how long they took (the caller sets it).

    On one GPU the network is compiled and a step is captured as a CUDA graph, unless `eager`; SGD is not captured.
    Raises ValueError when no image holds the larger patches of the last steps, and when a batch cannot be split among
    the processes.
    """

    def __init__(self, model: nn.Module, patches: Patches, config: TrainingConfig, *, eager: bool = False):
        self.config, self.patches, device = config, patches, patches.device
        self.model = model.to(device, memory_format=torch.channels_last).train()
        self.average = deepcopy(self.model).eval()
        self.optimiser = optimiser_for(self.model, config)
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.step_number, self.seconds, self.frozen = 0, 0.0, False
        self.complete = True  # no step is half done: one that is broken off has drawn patches and moved statistics
        self.skips = torch.zeros(2, dtype=torch.long, device=device)  # steps skipped: in all, in a row
        self.clip, self.average_rate = torch.zeros((), device=device), torch.zeros((), device=device)
        self.stages = []  # the records of earlier training stages
        self.log = []  # the rows of this stage's log
        self.initial_model = None  # the network as they left it, in evaluation mode
        one_gpu = device.type == "cuda" and distributed.world_size() == 1 and not eager
        if one_gpu:
            compile_modules(self.model)
        self.captured = one_gpu and config.optimiser != "SGD"
        self.advance = CUDAGraph(self.update) if self.captured else self.update
        # Now, so that what cannot be done fails before the first step.
        growth = config.patch_growth if config.frozen_bn_fraction else 1
        self.last_patches = patches.grown(growth) if growth > 1 else patches
        self.last_batch = config.batch // growth**2
        distributed.shard(torch.empty(self.last_batch))

    @property
    def skipped(self) -> int:
        """Steps without a finite gradient so far; they changed no weight."""
        return int(self.skips[0])

    def step(self) -> tuple[Tensor, Tensor]:
        """One update; the loss (eq. 12) and the gradients' global norm before clipping, two scalars on the device.

        A step whose gradient is not finite changes no weight; ValueError after NONFINITE_STEPS of these in a row.
        """
        self.complete = False
        if self.step_number >= self.config.freeze_step and not self.frozen:
            self.freeze_statistics()
        batch = [distributed.shard(part) for part in self.batch()]
        rate = self.config.rate(self.step_number)
        for group in self.optimiser.param_groups:
            group["lr"].fill_(rate * group["scale"])
        sgd = self.config.optimiser == "SGD"
        self.clip.fill_(self.config.gradient_clip / rate if sgd else self.config.gradient_clip)
        self.average_rate.fill_(1 - decay(self.step_number))
        loss, norm = self.advance(*batch)
        self.step_number += 1
        if isinstance(self.optimiser, Soap):
            self.optimiser.refresh(self.step_number)
        if self.step_number % NONFINITE_STEPS == 0:
            self.check_divergence()
        self.complete = True
        return loss, norm

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """The next patches, degraded and clean (N, 1, P, P), and their weights in the loss (N,)."""
        if not self.frozen:  # the statistics of the batch must be those of all patches, and of many
            return self.patches.draw(self.config.batch, self.generator)
        # Paper: all of one size. Most of a patch is near a border, behind which a network sees zeros; of an image not.
        sampled = self.config.importance_sampling
        draw = self.last_patches.draw_by_importance if sampled else self.last_patches.draw
        return draw(self.last_batch, self.generator)

    @cudnn(benchmark=True, allow_tf32=False)
    def update(self, x: Tensor, clean: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """`step` on a given batch, without reading a number: on a GPU it can be captured."""
        with torch.autocast(self.patches.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            loss = supervised_loss(self.model, x.contiguous(memory_format=torch.channels_last), clean, weights)
        self.optimiser.zero_grad()
        loss.backward()
        loss = loss.detach()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        distributed.all_reduce_mean([loss, *gradients])
        norm = nn.utils.get_total_norm(gradients)
        torch._foreach_mul_(gradients, (self.clip / (norm + 1e-6)).clamp(max=1))
        nonfinite = ~torch.isfinite(norm)
        self.optimiser.found_inf = nonfinite.float()
        self.optimiser.step()
        self.skips.copy_(torch.stack([self.skips[0] + nonfinite, (self.skips[1] + 1) * nonfinite]))
        update_average(self.average, self.model, rate=self.average_rate, nonfinite=nonfinite)
        return loss, norm

    def freeze_statistics(self) -> None:
        """From here on batch norms keep their statistics: the network learns as it will be used."""
        # Paper: nothing of the kind. The statistics of a few patches are noise, and weights that were fitted to them
        # leave artefacts in whole images.
        for norm in filter(lambda module: isinstance(module, nn.modules.batchnorm._BatchNorm), self.model.modules()):
            norm.eval()
        self.frozen = True
        self.advance = CUDAGraph(self.update) if self.captured else self.update  # another graph than before

    def check_divergence(self) -> None:
        """ValueError when the last steps had no finite gradient."""
        if int(self.skips[1]) >= NONFINITE_STEPS:
            raise ValueError(
                f"{NONFINITE_STEPS} steps in a row up to step {self.step_number} had no finite gradient: "
                f"start again with half the learning rate or another seed; the last checkpoint is kept"
            )
