"""A trained MemNet with more recursions: a shallow one learns faster by the second, and hands on what it knows.

This room knows the network alone. The paper trains at full depth from the start.
"""

from dataclasses import replace

import torch

from memnet.model import MemNet, MemoryBlock


@torch.no_grad()
def deepened(model: MemNet, recursions: int) -> MemNet:
    """A MemNet with R = `recursions` that computes nearly what `model` does with its R', of which R is a multiple.

    A recursion adds to the state (eqs. 5-7) as a step of Euler's method does: in its place come R / R' steps of R' / R
    of the length. Their batch norms keep the statistics of the step that they come from, which fits the first of them
    alone: take them anew. The gates see the old states by their old weights; those of the states in between are zero.

    Raises ValueError for a network without recursions, and unless R is a multiple of R'.
    """
    if not isinstance(model, MemNet):
        raise ValueError("a network without memory blocks has no recursions")
    times, rest = divmod(recursions, model.config.recursions)
    if rest or not times:
        raise ValueError(f"{model.config.recursions} recursions become a multiple of themselves, not {recursions}")
    deeper = MemNet(replace(model.config, recursions=recursions))
    for part in ("fenet", "reconnet"):
        getattr(deeper, part).load_state_dict(getattr(model, part).state_dict())
    deeper.output_weights.copy_(model.output_weights)
    for number, (block, donor) in enumerate(zip(deeper.blocks, model.blocks, strict=True), 1):
        divide_recursions(block, donor, times)
        maps, weights = (part.to(model.output_weights.device) for part in gate_maps(deeper, model, number, times))
        (norm, _, conv), (from_norm, _, from_conv) = block.gate_unit, donor.gate_unit
        norm.load_state_dict({name: v[maps] if v.ndim else v for name, v in from_norm.state_dict().items()})
        conv.weight.copy_(from_conv.weight[:, maps] * weights.view(1, -1, 1, 1))
        conv.bias.copy_(from_conv.bias)
    return deeper.to(model.output_weights.device).train(model.training)


def divide_recursions(block: MemoryBlock, donor: MemoryBlock, times: int) -> None:
    """Have `block` make `times` recursions of each of the donor's, each of one part of its residual."""
    unit, from_unit = block.recursive_unit, donor.recursive_unit
    for layer in ("conv1", "conv2"):
        getattr(unit, layer).load_state_dict(getattr(from_unit, layer).state_dict())
    unit.conv2.bias.div_(times)
    for number, (norm1, norm2) in enumerate(zip(unit.norms1, unit.norms2, strict=True)):
        norm1.load_state_dict(from_unit.norms1[number // times].state_dict())
        norm2.load_state_dict(from_unit.norms2[number // times].state_dict())
        norm2.weight.div_(times)
        norm2.bias.div_(times)


def gate_maps(deeper: MemNet, model: MemNet, block: int, times: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For each map that the deeper gate of block m = `block` sees, that of `model` it comes from, and 1 or 0.

    It is 0 for the states between two of the old recursions, which take the norm of the next old one.
    """
    donors, maps, weights = model.config.gate_sources(block), [], []
    channels = torch.arange(model.config.channels)
    for source in deeper.config.gate_sources(block):
        recursion = int(source[1:]) if source[0] == "H" else 0
        donor = f"H{-(-recursion // times)}" if recursion else source
        maps.append(donors.index(donor) * len(channels) + channels)
        weights.append(torch.full_like(channels, recursion % times == 0))
    return torch.cat(maps), torch.cat(weights)
