"""The face that the tab works on, the noise mixed into it, and what the network says of the mixture."""

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.device import call
from model.diffusion import TIMESTEPS, add_noise, from_original, to_original
from model.images import to_tensor
from model.pipeline import SIZE, FacePipeline, Frame
from model.sampler import noise_of
from model.settings import MAX_SEED, Settings
from model.unet import Block, UNet

# self-attention of these is shown
LAYERS = ("Encoder, 16 × 16", "Middle, 8 × 8", "Decoder, 16 × 16")
# figures that come into sight together need the same face and the same answer
_computing = threading.RLock()


def frames(pipe: FacePipeline, settings: Settings) -> tuple[Frame, ...]:
    """The run that draws the face of a record, a Frame after each step, not to be written to. Raises InputError."""
    with _computing:
        return _frames(pipe, settings)


# few: a run of a thousand steps is 24 MB
@lru_cache(maxsize=4)
def _frames(pipe: FacePipeline, settings: Settings) -> tuple[Frame, ...]:
    return tuple(frame for (frame,) in pipe.stream_faces([settings]))


def face(pipe: FacePipeline, settings: Settings) -> np.ndarray:
    """The face of a record, drawn anew: (64, 64, 3) uint8, not to be written to. Raises InputError."""
    with _computing:
        return _face(pipe, settings)


@lru_cache(maxsize=32)
def _face(pipe: FacePipeline, settings: Settings) -> np.ndarray:
    return _frames(pipe, settings)[-1].denoised


def start(settings: Settings) -> Tensor:
    """The noise that the face of a record is drawn from: (1, 3, 64, 64)."""
    return noise_of([settings.seed], (3, SIZE, SIZE), "cpu")()


def linear_alpha_bar(t: Tensor | float) -> Tensor:
    """alpha_bar of the linear schedule, for comparison: beta 1e-4 to 0.02 in 1000 steps, Ho et al. 2020, section 4.

    :param t: in [0, 1], rounded to the nearest of the 1000 steps.
    :return:  float64, shaped like t.
    """
    shares = torch.cat([torch.ones(1), 1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)]).cumprod(0)
    return shares[(torch.as_tensor(t, dtype=torch.float64) * 1000).round().long()]


@dataclass(frozen=True, eq=False)
class Noised:
    """A face, the noise that is mixed into it, and the mixture at one timestep. Tensors (1, 3, 64, 64) on the CPU."""

    # 0 to TIMESTEPS
    step: int
    # x_0, in [-1, 1]
    original: Tensor
    # standard normal
    noise: Tensor
    # under the cosine schedule
    x_t: Tensor
    # x_t under the linear schedule
    linear: Tensor

    @property
    def t(self) -> Tensor:
        """(1,), in [0, 1]."""
        return torch.tensor([self.step / TIMESTEPS], dtype=torch.float64)


def noised(pipe: FacePipeline, settings: Settings, step: int) -> Noised:
    """The face of a record at a timestep. Its noise is the next seed's, not that which the face was drawn from."""
    original = to_tensor(face(pipe, settings))[None]
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed((settings.seed + 1) % (MAX_SEED + 1)))
    t = torch.tensor([step / TIMESTEPS], dtype=torch.float64)
    share = linear_alpha_bar(t).float()
    return Noised(
        step, original, noise, add_noise(original, noise, t), share.sqrt() * original + (1 - share).sqrt() * noise
    )


@dataclass(frozen=True, eq=False)
class Answer:
    """The network's answer at one state in every form it can be given, (1, 3, 64, 64) each, and how it came to it."""

    velocity: Tensor
    noise: Tensor
    # not clipped
    original: Tensor
    # the mean of x one step less noisy
    previous: Tensor
    # submodule of the U-Net -> what it returned, (C, H, W)
    inside: dict[str, Tensor]


def answer(pipe: FacePipeline, settings: Settings, step: int) -> Answer:
    """What the U-Net says of `noised` under the record's own prompt, without guidance. step: from 1.

    All figures that a timestep moves share this one call of the network.
    """
    with _computing:
        return _answer(pipe, settings, step)


@torch.inference_mode()
def ask(pipe: FacePipeline, settings: Settings, step: int) -> Answer:
    """`answer`, asked anew and not kept: each takes 3 MB."""
    state, config = noised(pipe, settings, step), pipe.unet.config
    inputs = state.x_t.to(pipe.device), state.t.to(pipe.device).float(), pipe.condition([settings.prompt])
    inside, prediction = features(pipe.unet, watched(pipe.unet), *inputs, compute=pipe.compute)
    original = to_original(prediction, inputs[0], state.t, config.target, config.steps).cpu()
    forms = ("velocity", "noise", "previous")
    said = {target: from_original(original, state.x_t, state.t, target) for target in forms}
    return Answer(original=original, inside=inside, **said)


_answer = lru_cache(maxsize=8)(ask)


def watched(unet: UNet) -> list[str]:
    """The submodules whose output the figures show: each level's last block, each layer's queries, keys and values."""
    return [*(name for _, _, name in unet_levels(unet)), *(f"{module(unet, layer)}.qkv" for layer in LAYERS)]


def unet_levels(unet: UNet) -> list[tuple[str, int, str]]:
    """(part, level, submodule) of each level's last block, in the order of the data: encoder, middle, decoder."""
    encoder, decoder, level = {}, {}, 0
    for index, layer in enumerate(unet.encoder):
        if isinstance(layer, Block):
            encoder[level] = f"encoder.{index}"
        else:
            # halves the size
            level += 1
    last = level
    for index, layer in enumerate(unet.decoder):
        if isinstance(layer, Block):
            decoder[level] = f"decoder.{index}"
        else:
            # doubles it
            level -= 1
    return [
        *(("Encoder", level, name) for level, name in encoder.items()),
        ("Middle", last + 1, f"middle.{len(unet.middle) - 1}"),
        *(("Decoder", level, name) for level, name in decoder.items()),
    ]


def module(unet: UNet, layer: str) -> str:
    """The name of a layer's self-attention: the encoder's first one, the middle's, or the decoder's last one."""
    part = layer.split(",")[0].lower()
    names = [name for name in dict(unet.named_modules()) if name.startswith(part) and name.endswith(".attention")]
    return names[-1 if part == "decoder" else 0]


@torch.inference_mode()
def features(
    network: nn.Module,
    names: Sequence[str],
    *inputs: Any,
    compute: Callable = call,
) -> tuple[dict[str, Tensor], Tensor]:
    """Run a network and keep what the named submodules return, (C, H, W) each for the first image, and the output.

    The hooks sit on a copy of the modules that shares every weight, so that runs for other visitors do not call them.
    """
    weights = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin, kept = copy.deepcopy(network, weights), {}

    def keep(name: str) -> None:
        twin.get_submodule(name).register_forward_hook(
            lambda _, __, output: kept.update({name: output[0].float().cpu()})
        )

    for name in names:
        keep(name)
    output = compute(twin, *inputs)
    return kept, output


def error(prediction: Tensor, truth: Tensor) -> float:
    """Mean squared error."""
    return (prediction - truth).square().mean().item()
