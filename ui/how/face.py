"""The face that the tab works on, the noise mixed into it, and what the network says of the mixture."""

import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.diffusion import TIMESTEPS, add_noise, from_original, to_original
from model.pipeline import MAX_SEED, FacePipeline
from model.unet import FLAGS

OTHER_PROMPTS = (
    "",
    "a smiling woman with blond hair",
    "a man with a beard",
    "an old man with gray hair",
    "a young woman with black hair",
)


@dataclass(frozen=True)
class Recipe:
    """The record of a face (see ui/record.py), hashable."""

    prompt: str
    negative_prompt: str
    seed: int
    steps: int
    guidance: float
    sampler: str


_drawing = threading.Lock()  # figures that come into sight together need the same face


def face(pipe: FacePipeline, recipe: Recipe) -> np.ndarray:
    """The face of a record, drawn anew: (64, 64, 3) uint8, not to be written to. Raises InputError."""
    with _drawing:
        return _face(pipe, recipe)


@lru_cache(maxsize=32)
def _face(pipe: FacePipeline, recipe: Recipe) -> np.ndarray:
    settings = {"steps": recipe.steps, "sampler": recipe.sampler, "guidance": recipe.guidance}
    return pipe.generate([recipe.prompt], [recipe.seed], negative_prompts=[recipe.negative_prompt], **settings)[0]


def linear_alpha_bar(t: Tensor | float) -> Tensor:
    """alpha_bar of the linear schedule, for comparison: beta from 1e-4 to 0.02 in 1000 steps, Ho et al. 2020, section 4.

    :param t: in [0, 1], rounded to the nearest of the 1000 steps.
    :return:  float64, shaped like t.
    """
    shares = torch.cat([torch.ones(1), 1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)]).cumprod(0)
    return shares[(torch.as_tensor(t, dtype=torch.float64) * 1000).round().long()]


@dataclass(frozen=True, eq=False)
class Noised:
    """A face, the noise that is mixed into it, and the mixture at one timestep. Tensors (1, 3, 64, 64) on the CPU."""

    step: int  # 0 to TIMESTEPS
    original: Tensor  # x_0, in [-1, 1]
    noise: Tensor  # standard normal
    x_t: Tensor  # under the cosine schedule
    linear: Tensor  # x_t under the linear schedule

    @property
    def t(self) -> Tensor:
        """(1,), in [0, 1]."""
        return torch.tensor([self.step / TIMESTEPS], dtype=torch.float64)


def noised(pipe: FacePipeline, recipe: Recipe, step: int) -> Noised:
    """The face of a record at a timestep. The noise is not the one the face was drawn from: its seed is the next one."""
    original = torch.tensor(face(pipe, recipe)).permute(2, 0, 1)[None] / 127.5 - 1
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed((recipe.seed + 1) % (MAX_SEED + 1)))
    t = torch.tensor([step / TIMESTEPS], dtype=torch.float64)
    share = linear_alpha_bar(t).float()
    return Noised(
        step, original, noise, add_noise(original, noise, t), share.sqrt() * original + (1 - share).sqrt() * noise
    )


@dataclass(frozen=True, eq=False)
class Answer:
    """One network's answer at one state in every form it can be given. (N, 3, 64, 64) each, one per prompt."""

    velocity: Tensor
    noise: Tensor
    original: Tensor  # not clipped
    previous: Tensor  # the mean of x one step less noisy


@lru_cache(maxsize=32)
@torch.inference_mode()
def answer(pipe: FacePipeline, recipe: Recipe, step: int) -> Answer:
    """What the U-Net says of `noised` under the record's own prompt, then under OTHER_PROMPTS; no guidance. step: from 1."""
    prompts = [recipe.prompt, *OTHER_PROMPTS]
    state, config = noised(pipe, recipe, step), pipe.unet.config
    condition = F.pad(pipe.clip.encode_texts(prompts), (0, FLAGS)).to(pipe.device)
    x_t, t = state.x_t.to(pipe.device).expand(len(prompts), -1, -1, -1), state.t.expand(len(prompts))
    prediction = pipe.unet(x_t, t.to(x_t), condition)
    original = to_original(prediction, x_t, t, config.target, config.steps)
    return Answer(
        original=original.cpu(),
        **{target: from_original(original, x_t, t, target).cpu() for target in ("velocity", "noise", "previous")},
    )


def error(prediction: Tensor, truth: Tensor) -> float:
    """Mean squared error of the answer under the record's own prompt."""
    return (prediction[:1] - truth).square().mean().item()
