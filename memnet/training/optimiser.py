"""What a training begins with: the first weights, and the optimiser with its groups of parameters."""

import torch
from torch import nn

from memnet.training.config import TrainingConfig
from memnet.training.soap import Soap


def initialise(model: nn.Module, config: TrainingConfig) -> nn.Module:
    """The same new network with what a training of that configuration begins with."""
    if config.zero_reconstruction:
        # Paper: He's initialisation here too. With zeros the first output is the input image: 1.5 dB after 600 steps.
        nn.init.zeros_(model.reconnet.conv.weight)
    # Paper: gamma 1, beta 0. The ReLU behind then hides every pixel that is darker than the mean, and beta learns to
    # show them slowly. With gamma 1/3, beta 1 none that is within three standard deviations of the mean is hidden.
    nn.init.constant_(model.fenet[0].weight, config.input_norm_gamma)
    nn.init.constant_(model.fenet[0].bias, config.input_norm_beta)
    return model


def optimiser_for(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser. All but SGD decay convolution weights only; SGD gives biases a tenth of the learning rate.

    It takes its learning rate from a tensor and makes no step where its `found_inf` is 1: no number passes through
    the processor, so a GPU need not wait for it.
    """
    if config.optimiser == "SGD":
        return sgd(model, config)
    weights = [p for p in model.parameters() if p.ndim == 4]
    others = [p for p in model.parameters() if p.ndim != 4]
    groups = [group(weights, config, weight_decay=config.weight_decay), group(others, config, weight_decay=0.0)]
    capturable = weights[0].is_cuda
    if config.optimiser == "AdamW":
        return torch.optim.AdamW(groups, betas=(0.9, 0.999), fused=True, capturable=capturable)
    return Soap(groups, betas=(0.9, 0.999), capturable=capturable)


def sgd(model: nn.Module, config: TrainingConfig) -> torch.optim.SGD:
    """SGD with momentum 0.9, as in section 5.1."""
    biases = [module.bias for module in model.modules() if isinstance(module, nn.Conv2d)]
    slow = {id(bias) for bias in biases}
    rest = [p for p in model.parameters() if id(p) not in slow]
    groups = [group(rest, config), group(biases, config, scale=0.1)]
    optimiser = torch.optim.SGD(groups, momentum=0.9, weight_decay=config.weight_decay, fused=True)
    for parameter in model.parameters():  # the first step would make them, and not fill them if it is skipped
        optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimiser


def group(parameters: list[nn.Parameter], config: TrainingConfig, *, scale: float = 1.0, **settings: float) -> dict:
    """A group of parameters with a learning rate of its own, `scale` times that of the schedule."""
    return {
        "params": parameters,
        "scale": scale,
        "lr": torch.tensor(config.learning_rate, device=parameters[0].device),
        **settings,
    }
