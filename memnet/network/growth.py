"""Network growth: a trained MemNet gets more recursions. A shallow network trains more steps a second.

Paper: all recursions from the first step.
"""

from dataclasses import replace

import torch

from memnet.network.model import MemNet, MemoryBlock

SMALL = 0.03  # of the residual of a trained recursion, in those that are added behind it: small, but not still


@torch.no_grad()
def grow(model: MemNet, recursions: int) -> MemNet:
    """A MemNet with R = `recursions` that computes nearly what `model` does with its R', of which R is a multiple.

    Each recursion (eqs. 5-7) stays and gets R / R' - 1 behind it that add a `SMALL` part of such a residual. So the
    states H^r that come of it are nearly alike, and the gates see each of them by an equal part of the old weights.
    The batch norms of the added recursions have the statistics of the one before them, which do not fit: renew them
    (`added_norms` names them). All others keep theirs.

    Raises ValueError for a network without recursions, and unless R is a multiple of R'.
    """
    if not isinstance(model, MemNet):
        raise ValueError("a network without memory blocks has no recursions")
    times, rest = divmod(recursions, model.config.recursions)
    if rest or not times:
        raise ValueError(f"{model.config.recursions} recursions become a multiple of themselves, not {recursions}")
    deeper = MemNet(replace(model.config, recursions=recursions)).to(model.output_weights.device)
    for part in ("fenet", "reconnet"):
        getattr(deeper, part).load_state_dict(getattr(model, part).state_dict())
    deeper.output_weights.copy_(model.output_weights)
    for number, (block, donor) in enumerate(zip(deeper.blocks, model.blocks, strict=True), 1):
        add_recursions(block, donor, times)
        maps, parts, lacking = (
            part.to(model.output_weights.device) for part in gate_maps(deeper, model, number, times)
        )
        (norm, _, conv), (from_norm, _, from_conv) = block.gate_unit, donor.gate_unit
        norm.load_state_dict({name: v[maps] if v.ndim else v for name, v in from_norm.state_dict().items()})
        bias = donor.recursive_unit.conv2.bias.repeat(len(lacking) // model.config.channels)
        norm.running_mean.sub_(lacking * bias)
        conv.weight.copy_(from_conv.weight[:, maps] * parts.view(1, -1, 1, 1))
        conv.bias.copy_(from_conv.bias)
    return deeper.train(model.training)


def added_norms(model: MemNet, deeper: MemNet) -> list[str]:
    """Names of the batch norms in `deeper` of the recursions that `model` had not, before it grew."""
    times = deeper.config.recursions // model.config.recursions
    return [
        f"blocks.{block}.recursive_unit.{norms}.{number}"
        for block in range(deeper.config.blocks)
        for norms in ("norms1", "norms2")
        for number in range(deeper.config.recursions)
        if number % times
    ]


def add_recursions(block: MemoryBlock, donor: MemoryBlock, times: int) -> None:
    """Have `block` make each recursion of the donor's, and `times` - 1 small ones after it."""
    unit, from_unit = block.recursive_unit, donor.recursive_unit
    for layer in ("conv1", "conv2"):
        getattr(unit, layer).load_state_dict(getattr(from_unit, layer).state_dict())
    unit.conv2.bias.div_(times)  # it is added by each of them
    for number, (norm1, norm2) in enumerate(zip(unit.norms1, unit.norms2, strict=True)):
        norm1.load_state_dict(from_unit.norms1[number // times].state_dict())
        norm2.load_state_dict(from_unit.norms2[number // times].state_dict())
        if number % times:
            norm2.weight.mul_(SMALL)
            norm2.bias.mul_(SMALL)


def gate_maps(deeper: MemNet, model: MemNet, block: int, times: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each of the L_m input maps of the deeper gate of block m = `block` (from 1; eq. 9): where it comes from.

    Three tensors (L_m,): the number of the input map of the gate in `model` whose weights and norm it takes; the part
    of these weights, 1 or 1 / `times`, as `times` states share those of one; and how much of the second convolution's
    bias (eq. 6) has not been added to it yet, from 0 to below 1: it is added in `times` equal parts.
    """
    sources, donors = deeper.config.gate_sources(block), model.config.gate_sources(block)
    channels = torch.arange(model.config.channels)
    maps, parts, lacking = [], [], []
    for source in sources:
        recursion = int(source[1:]) if source[0] == "H" else 0
        donor = f"H{-(-recursion // times)}" if recursion else source
        maps.append(donors.index(donor) * len(channels) + channels)
        alike = times if recursion and deeper.config.short_term else 1
        parts.append(torch.full(channels.shape, 1 / alike))
        lacking.append(torch.full(channels.shape, -recursion % times / times))
    return torch.cat(maps), torch.cat(parts), torch.cat(lacking)
