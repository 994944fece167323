"""A U-Net while it learns: one step of it, the same for the U-Net itself and for its student."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.device import half_precision
from model.unet import UNet
from training.core.ema import EMA
from training.core.muon import Muon
from training.core.optimizer import follow_gradients
from training.unet.recipes import TrainConfig


@dataclass(frozen=True)
class Learner:
    """A network, the running average of its weights, and what changes them."""

    config: TrainConfig
    network: UNet
    ema: EMA
    optimizers: list[torch.optim.Optimizer]
    # of a batch's parts, M images of each -> a tensor without axes; by default `loss_of`
    loss: Callable[..., Tensor]

    @classmethod
    def of(cls, network: UNet, config: TrainConfig, loss: Callable[..., Tensor] | None = None) -> "Learner":
        """Nothing is compiled yet, that happens in the first step."""
        optimizers = optimizers_of(network, config)
        return cls(config, network.train(), EMA(network, config.half_life), optimizers, loss or loss_of(network))

    @property
    def parts(self) -> dict[str, Any]:
        """What a state holds beside the network."""
        return {"ema": self.ema} | {type(each).__name__: each for each in self.optimizers}

    def learn(self, step: int, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Optimizer step number `step`, on this process's share of a batch, what the loss takes -> its loss.

        A micro-batch after the other. The loss is not read, since that would wait for the device.
        """
        device = self.network.mean.device
        self.network.zero_grad(set_to_none=True)
        total = torch.zeros((), device=device)
        for part in zip(*(each.to(device, non_blocking=True).split(self.config.micro_batch) for each in batch)):
            loss = self.loss(*part) * (len(part[0]) / len(batch[0]))
            loss.backward()
            total += loss.detach()
        self.follow(step)
        return {"loss": total}

    def follow(self, step: int) -> None:
        """The end of step number `step`: follow the network's gradients, then the running average follows it."""
        follow_gradients(self.optimizers, self.network.parameters())
        if (step + 1) % self.config.average_every == 0:
            self.ema.update(self.network, self.config.batch * self.config.average_every)


def loss_of(network: UNet) -> Callable[..., Tensor]:
    """The network's mean squared error on (x_t, t, condition, wanted), in half precision where that is fast; on a GPU
    compiled as a whole.
    """
    device, dtype = network.mean.device, half_precision(network.mean.device)

    def loss(x_t: Tensor, t: Tensor, condition: Tensor, wanted: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            prediction = network(x_t, t, condition)
        return F.mse_loss(prediction.float(), wanted)

    return compiled(loss, device)


def prediction_of(network: UNet, *inputs: Tensor) -> Tensor:
    """The network's prediction, in half precision where that is fast, with gradient."""
    device = network.mean.device
    dtype = half_precision(device)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        return network(*inputs).float()


def compiled(function: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """The function, on a GPU compiled for the shapes that it gets; on a CPU compiling does not pay."""
    if device.type != "cuda":
        return function
    # convolutions by the algorithm that a trial of each shows to be fastest
    torch.backends.cudnn.benchmark = True
    return torch.compile(function, dynamic=False)


def optimizers_of(network: UNet, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW and, where the config wants it, Muon: that for all weights of two axes or more but the first and last
    convolution's.
    """
    ends = {network.input.weight, network.output[-1].weight}
    inner, rest = [], []
    for weight in network.parameters():
        (inner if config.muon and weight.ndim > 1 and weight not in ends else rest).append(weight)
    adam = torch.optim.AdamW(
        rest, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
    return [adam, Muon(inner, config.learning_rate, config.muon, config.weight_decay)] if inner else [adam]
