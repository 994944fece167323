"""The running average of a network's weights, which is what gets used."""

import copy

import torch
from torch import nn


class EMA:
    """Exponential moving average of a network's weights, with its half-life counted in images seen.

    Karras et al. 2022 (EDM): the decay of a step follows from the images in it. Early on the half-life is bounded by a
    tenth of the images seen so far, so that the random start is soon forgotten.
    """

    def __init__(self, network: nn.Module, half_life: float):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        # both in images, the second those that the average has seen
        self.half_life, self.images = half_life, 0

    @torch.no_grad()
    def update(self, network: nn.Module, images: int) -> None:
        """Move the average towards `network` after a step (or a few) that saw `images` images."""
        self.images += images
        half_life = max(min(self.half_life, 0.1 * self.images), 1e-8)
        weight = 1 - 0.5 ** (images / half_life)
        averaged, current = list(self.network.state_dict().values()), list(network.state_dict().values())
        floats = [i for i, tensor in enumerate(averaged) if tensor.is_floating_point()]
        torch._foreach_lerp_([averaged[i] for i in floats], [current[i].float() for i in floats], weight)
        for average, value in zip(averaged, current):
            if not average.is_floating_point():
                average.copy_(value)

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "images": self.images}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.images = state["images"]
