"""Muon: momentum whose singular values are all brought to 1, so that no few directions take the whole step."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from model.device import half_precision


class Muon(torch.optim.Optimizer):
    """Jordan et al. 2024, with the step sizes of Liu et al. 2025, eq. 4 ("Muon is scalable").

    AdamW's learning rates fit.

    :param parameters: weights of two axes or more; all after the first count as one (a convolution sees them so).
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """One step of every weight that has a gradient."""
        for group in self.param_groups:
            for weight in (weight for weight in group["params"] if weight.grad is not None):
                if not self.state[weight]:
                    self.state[weight]["mean"] = torch.zeros_like(weight)
                mean = self.state[weight]["mean"].lerp_(weight.grad, 1 - group["momentum"])
                # Nesterov's look ahead
                update = orthogonal(weight.grad.lerp(mean, group["momentum"]).flatten(1))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view_as(weight), alpha=-group["lr"] * 0.2 * math.sqrt(max(update.shape)))


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """(M, N) -> about U V^T of its singular value decomposition U S V^T: singular values near 1, most within 0.3 of it.

    By Newton-Schulz iterations, in bfloat16 where that is fast; what is nearly 0 stays small, zeros stay zeros.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(half_precision(matrix.device) or torch.float32)
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        polynomial = torch.addmm(square, square, square, beta=-4.7750, alpha=2.0315)
        x = torch.addmm(x, polynomial, x, beta=3.4445)
    return (x.T if tall else x).to(matrix.dtype)
