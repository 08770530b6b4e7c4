"""Which weights a training ends with: the last ones or their average, and the best output weights."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import nn

from memnet.network.runtime import cudnn
from memnet.training.sampler import Patches
from memnet.training.trainer import Trainer
from memnet.training.validation import ValidationSet

INITIAL_MODEL = "initial model"  # the choice after a training stage that gained nothing
SOLVED = "output weights solved"


@cudnn(allow_tf32=False)
@torch.no_grad()
def renew_statistics(
    model: nn.Module, patches: Patches, *, batches: int, batch: int, seed: int, norms: Sequence[str] | None = None
) -> nn.Module:
    """A copy of `model` with its batch-norm statistics (of the `norms` of these names, or of all) taken again.

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
def solve_output_weights(model: nn.Module, crops: ValidationSet) -> nn.Module:
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
    trainer: Trainer, validation: ValidationSet, crops: ValidationSet | None = None
) -> tuple[str, nn.Module, dict[str, float]]:
    """Of the network, its average and both with renewed statistics, the one of the largest PSNR gain in validation.

    Weights that were trained with frozen statistics belong to these, which are not renewed. After a further training
    stage the initial model stays where none of them gains more. On `crops` of training images the best one's output
    weights are solved, and kept where it gains by that.
    """
    batch, seed = trainer.config.batch, trainer.config.seed + 10**6
    # The copy is not compiled.
    candidates = {"last": deepcopy(trainer.model).eval(), "average": trainer.average}
    for name in () if trainer.frozen else ("last", "average"):
        renewed = renew_statistics(candidates[name], trainer.patches, batches=25, batch=batch, seed=seed)
        candidates[f"{name}, statistics renewed"] = renewed
    if trainer.initial_model:
        candidates[INITIAL_MODEL] = trainer.initial_model
    gains = {name: validation.psnr_gain(model) for name, model in candidates.items()}
    best = max(gains, key=gains.get)
    if crops and len(candidates[best].predictions(validation.inputs[:1])[1]) > 1:
        name = f"{best}, {SOLVED}"
        candidates[name] = solve_output_weights(candidates[best], crops)
        gains[name] = validation.psnr_gain(candidates[name])
        best = max(best, name, key=gains.get)
    return best, candidates[best], gains
