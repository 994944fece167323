"""Inside the U-Net: its feature maps, laid out as the letter U."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.pipeline import FacePipeline
from model.unet import FLAGS, Block, UNet
from ui.how.face import Recipe, noised
from ui.how.html import stretched, tile, tiles

SHOWN = 6  # feature maps per level


@torch.inference_mode()
def features(network: nn.Module, names: Sequence[str], *inputs: Tensor) -> tuple[list[Tensor], Tensor]:
    """Run a network and keep what the named submodules return: list of (C, H, W) for the first image, and the output.

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
    output = twin(*inputs)
    return [kept[name] for name in names], output


def unet_levels(unet: UNet) -> list[tuple[str, int, str]]:
    """(part, level, submodule) for the last block of every level, in the order of the data: encoder, middle, decoder."""
    encoder, decoder, level = {}, {}, 0
    for index, layer in enumerate(unet.encoder):
        if isinstance(layer, Block):
            encoder[level] = f"encoder.{index}"
        else:  # halves the size
            level += 1
    last = level
    for index, layer in enumerate(unet.decoder):
        if isinstance(layer, Block):
            decoder[level] = f"decoder.{index}"
        else:  # doubles it
            level -= 1
    return [
        *(("Encoder", level, name) for level, name in encoder.items()),
        ("Middle", last + 1, f"middle.{len(unet.middle) - 1}"),
        *(("Decoder", level, name) for level, name in decoder.items()),
    ]


def unet_maps(pipe: FacePipeline, recipe: Recipe, step: int) -> str:
    """A few feature maps of every level of the U-Net, laid out as the letter U, under the record's own prompt."""
    state, levels = noised(pipe, recipe, step), unet_levels(pipe.unet)
    condition = F.pad(pipe.clip.encode_texts([recipe.prompt]), (0, FLAGS)).to(pipe.device)
    x_t, t = state.x_t.to(pipe.device), state.t.to(pipe.device).float()
    maps, _ = features(pipe.unet, [name for _, _, name in levels], x_t, t, condition)
    parts = []
    for (part, level, _), kept in zip(levels, maps):
        channels, height, width = kept.shape
        chosen = np.linspace(0, channels - 1, min(SHOWN, channels)).round().astype(int)
        pictures = [
            tile(stretched(kept[index]), f"{index + 1}", alt=f"{part}, {height} by {width}, channel {index + 1}")
            for index in chosen
        ]
        parts.append(
            f'<section class="{part.lower()}" style="--level:{level + 1}"><h4>{part}, {height} × {width} '
            f"<span>{channels} channels</span></h4>{tiles(*pictures, kind='small')}</section>"
        )
    return f'<div class="u">{"".join(parts)}</div>'
