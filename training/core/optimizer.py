"""From a loss to changed weights."""

from collections.abc import Iterable

import torch
from torch import nn

from model.errors import FacetError
from training.core.processes import average_gradients


def decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict]:
    """Parameter groups for AdamW: matrices and kernels decay, biases, gains and scales do not."""
    parameters = list(parameters)
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def finite(loss: torch.Tensor) -> torch.Tensor:
    """The loss itself. Raises FacetError if it is not a number, before it can spoil weights or state."""
    if not torch.isfinite(loss):
        raise FacetError("the loss is not a number: lower the learning rate; the last saved state is good.")
    return loss


def descend(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], loss: torch.Tensor) -> None:
    """One optimizer step down the loss, its gradient averaged over the processes and cut to a length of 1.

    Raises FacetError if the loss is not a number.
    """
    optimizer.zero_grad(set_to_none=True)
    finite(loss).backward()
    follow_gradients([optimizer], parameters)


def follow_gradients(optimizers: Iterable[torch.optim.Optimizer], parameters: Iterable[nn.Parameter]) -> None:
    """The end of `descend`, for those who add gradients up over several parts of a batch."""
    parameters = list(parameters)
    average_gradients(parameters)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in optimizers:
        optimizer.step()
