"""Muon: momentum whose singular values are all brought to 1, so that no few directions take the whole step."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from model.device import half_precision

# numbers in a weight from which a CPU takes one after the other: it multiplies large ones faster so
ALONE = 2**16


class Muon(torch.optim.Optimizer):
    """Jordan et al. 2024, with the step sizes of Liu et al. 2025, eq. 4 ("Muon is scalable").

    AdamW's learning rates fit. All weights of one shape step at once, so that a GPU gets few large products.

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
            for weights in together(weight for weight in group["params"] if weight.grad is not None):
                self._step(weights, group)

    def _step(self, weights: list[nn.Parameter], group: dict) -> None:
        """One step of weights of one shape, (M, N) as matrices, by the settings of their group."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["mean"] = torch.zeros_like(weight)
        gradients, means = [weight.grad for weight in weights], [self.state[weight]["mean"] for weight in weights]
        torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
        # Nesterov's look ahead
        ahead = torch._foreach_lerp(gradients, means, group["momentum"])
        matrices = [each.flatten(1) for each in ahead]
        updates = orthogonal(torch.stack(matrices)) if len(matrices) > 1 else [orthogonal(matrices[0])]
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        moves = [update.reshape(weight.shape) for update, weight in zip(updates, weights)]
        torch._foreach_add_(weights, moves, alpha=-group["lr"] * 0.2 * math.sqrt(max(matrices[0].shape)))


def together(weights: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The weights in groups of one shape, all axes after the first taken as one; large ones on a CPU each alone."""
    groups: dict[tuple[int, ...], list[nn.Parameter]] = {}
    for place, weight in enumerate(weights):
        alone = (place,) if weight.device.type == "cpu" and weight.numel() >= ALONE else ()
        groups.setdefault((len(weight), weight.numel() // len(weight), *alone), []).append(weight)
    return list(groups.values())


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """(M, N) -> about U V^T of its singular value decomposition U S V^T: singular values near 1, most within 0.3 of it.
    Also (B, M, N), each for itself.

    By Newton-Schulz iterations, in bfloat16 where that is fast; what is nearly 0 stays small, zeros stay zeros.
    """
    tall, added = matrices.shape[-2] > matrices.shape[-1], torch.addmm if matrices.ndim == 2 else torch.baddbmm
    x = (matrices.mT if tall else matrices).to(half_precision(matrices.device) or torch.float32)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        polynomial = added(square, square, square, beta=-4.7750, alpha=2.0315)
        x = added(x, polynomial, x, beta=3.4445)
    return (x.mT if tall else x).to(matrices.dtype)
