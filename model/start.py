"""Starting from a picture: all of it changes (SDEdit, Meng et al. 2022), or a part (RePaint, Lugmayr et al. 2022).

Of RePaint this is algorithm 1 without its resampling, which takes as many network calls again. Two things stand in for
it: `_known` makes a part meet the rest without a seam, `_fitting` makes both one face.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.diffusion import add_noise
from model.errors import InputError
from model.images import middle_square, to_tensor
from model.sampler import Denoise, FreshNoise, Sampler, Step, ddpm
from model.settings import as_array, number, pictures

# pixels into a part, over which what is wrong beside it fades away
REACH = 8
# steps from times between these give a face its shape: pose, features, light
SHAPED = (0.97, 0.5)


@dataclass(frozen=True, eq=False)
class Start:
    """What a run starts from beside its noise."""

    # (1, 3, H, W) in [-1, 1]
    picture: Tensor
    # above 0, up to 1: it is noised that far
    time: float
    # (1, 1, H, W) bool: the part that is drawn anew; None is all of it
    mask: Tensor | None = None

    @classmethod
    def read(cls, picture: Any, strength: Any, mask: Any, size: int) -> "Start | None":
        """As `FacePipeline.stream_faces` is given them; None without a picture. Raises InputError."""
        if not number("The strength", strength, 0, 1):
            raise InputError("The strength must be above 0.")
        if picture is None:
            if mask is not None:
                raise InputError("A mask needs a face to start from: it says which part of it is drawn anew.")
            return None
        square = middle_square(pictures("The face to start from", picture, several=False), size)
        part = None if mask is None else torch.tensor(checked(mask, size))[None, None]
        return cls(to_tensor(square)[None], float(strength), part)

    def around(self, sampler: Sampler) -> Sampler:
        """The sampler from this picture: it noises it to the first of the times, and keeps what is not to change."""

        def sample(denoise: Denoise, noise: Tensor, times: Tensor, fresh_noise: FreshNoise) -> Iterator[Step]:
            picture = self.picture.to(noise).expand_as(noise)
            x = add_noise(picture, noise, times[:1].expand(len(noise)))
            if self.mask is None:
                return sampler(denoise, x, times, fresh_noise)
            mask = self.mask.to(noise.device)
            # nothing of the part is left, so it does not matter what was there
            if self.time == 1:
                x = torch.where(mask, noise, x)
            return _fitting(sampler, _known(denoise, picture, mask), x, times, fresh_noise)

        return sample


def checked(mask: Any, size: int) -> np.ndarray:
    """A mask as (size, size) bool, some of it true and some false. Raises InputError."""
    array = as_array(mask)
    if array.dtype != bool or array.shape != (size, size):
        raise InputError(f"The mask must be an array ({size}, {size}) of bool, not {array.shape} of {array.dtype}.")
    if not array.any():
        raise InputError("The mask is empty: paint over the part that is to be drawn anew.")
    if array.all():
        raise InputError("The mask covers the whole face: leave a part of it, or draw a new face.")
    return array


def _known(denoise: Denoise, picture: Tensor, mask: Tensor) -> Denoise:
    """A prediction that is right about the known part, and meets it without a seam.

    The network goes over smoothly from the part to what it takes for the rest. Where that is not what is known, the
    part would end at an edge; so what is wrong beside it is made up for within it as well.

    Every sampler moves along the noise between x_t and the prediction, so x stays q(x_t | x_0) of the picture there
    (the paper's eq. 8a), and the last step lands on the picture itself.
    """
    spread = _inwards(mask)

    def denoise_part(x_t: Tensor, t: Tensor) -> Tensor:
        predicted = denoise(x_t, t)
        return torch.where(mask, (predicted + spread(picture - predicted)).clamp(-1, 1), picture)

    return denoise_part


def _inwards(mask: Tensor) -> Callable[[Tensor], Tensor]:
    """Carries differences from along the edge of a mask (1, 1, H, W) into it: (N, 3, H, W) -> the same, 0 outside.

    Poisson image editing (Pérez et al. 2003) with Shepard's interpolation (1968) in place of its equations: each pixel
    gets the mean over the edge, weighed by distance to the power of -3, and less of it the deeper it lies.
    """
    part = mask[0, 0]
    beside = (F.max_pool2d(mask.float(), 3, stride=1, padding=1)[0, 0] > 0) & ~part
    distances = torch.cdist(part.nonzero().float(), beside.nonzero().float())
    weights = distances**-3
    weights *= (1 - distances.amin(1) / (REACH + 1)).clamp(min=0)[:, None] / weights.sum(1, keepdim=True)

    def spread(differences: Tensor) -> Tensor:
        carried = torch.zeros_like(differences)
        carried[..., part] = differences[..., beside] @ weights.T
        return carried

    return spread


def _fitting(sampler: Sampler, denoise: Denoise, x: Tensor, times: Tensor, fresh_noise: FreshNoise) -> Iterator[Step]:
    """The sampler's steps, but DDPM's while a face takes shape, in as many network calls.

    What a deterministic sampler draws, its first noise decides, before the network makes out what is known. DDPM adds
    noise at each step, and so what does not fit is drawn again.
    """
    first, last = (int((times > time).sum()) for time in SHAPED)
    stretches, index = [(sampler, times[: first + 1]), (ddpm, times[first : last + 1]), (sampler, times[last:])], 0
    for way, stretch in stretches:
        for step in way(denoise, x, stretch, fresh_noise):
            index, x = index + 1, step.noisy
            yield step._replace(index=index, total=len(times) - 1)
