"""The state of a training: all from which its next step follows, bit for bit on a CPU."""

from copy import deepcopy
from dataclasses import asdict

import torch
from torch import Tensor

from memnet.training.config import TrainingConfig
from memnet.training.trainer import Trainer


def state_of(trainer: Trainer) -> tuple[dict[str, Tensor], dict]:
    """All tensors of a training, and the rest as JSON values."""
    tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in trainer.average.state_dict().items()}
    if trainer.initial_model:
        tensors |= {f"initial_model.{k}": v for k, v in trainer.initial_model.state_dict().items()}
    for number, slots in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{k}": v for k, v in slots.items() if torch.is_tensor(v)}
    tensors["generator"] = trainer.generator.get_state()
    return tensors, {
        "config": asdict(trainer.config),
        "stages": trainer.stages,
        "log": trainer.log,
        "threads": torch.get_num_threads(),
        "step": trainer.step_number,
        "skipped": trainer.skipped,
        "seconds": trainer.seconds,
    }


def load_state(trainer: Trainer, tensors: dict[str, Tensor], meta: dict) -> None:
    """Go on from `state_of`, before the first step; ValueError when it belongs to another network or configuration."""
    if TrainingConfig(**meta["config"]) != trainer.config:
        raise ValueError(f"this training state was made with {meta['config']}, not {asdict(trainer.config)}")
    try:
        load_parts(trainer, tensors)
    except (RuntimeError, KeyError) as error:
        message = " ".join(str(error).split())[:200]
        raise ValueError(f"this training state does not fit the network of this run: {message}") from error
    try:
        trainer.generator.set_state(tensors["generator"])
    except RuntimeError as error:
        raise ValueError("this training state was made on another kind of processor: use --continue") from error
    trainer.step_number, trainer.seconds, trainer.stages = meta["step"], meta["seconds"], meta["stages"]
    trainer.log = meta.get("log", [])  # states of earlier versions have none
    trainer.skips[0] = meta["skipped"]
    if trainer.step_number > trainer.config.freeze_step:
        trainer.freeze_statistics()


def load_parts(trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    """Network, average, initial model and optimiser from the tensors of a state."""
    parts = {name: part_of(tensors, name) for name in ("model", "average", "initial_model", "optimiser")}
    trainer.model.load_state_dict(parts["model"])
    trainer.average.load_state_dict(parts["average"])
    if parts["initial_model"]:
        trainer.initial_model = deepcopy(trainer.average)
        trainer.initial_model.load_state_dict(parts["initial_model"])
    parameters = [p for group in trainer.optimiser.param_groups for p in group["params"]]
    slots = {n: with_layout_of(p, part_of(parts["optimiser"], str(n))) for n, p in enumerate(parameters)}
    slots = {n: slot for n, slot in slots.items() if slot}
    trainer.optimiser.load_state_dict({**trainer.optimiser.state_dict(), "state": slots})


def part_of(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `name` and a dot, by the rest of their names."""
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}


def with_layout_of(parameter: Tensor, slot: dict[str, Tensor]) -> dict[str, Tensor]:
    """An optimiser's tensors in the memory layout of their parameter: fused kernels pair them byte by byte."""
    moments = {name: value for name, value in slot.items() if value.shape == parameter.shape}
    return slot | {name: torch.empty_like(parameter).copy_(value) for name, value in moments.items()}
