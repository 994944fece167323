"""Inside the U-Net: its feature maps, laid out as the letter U."""

import numpy as np
import torch
import torch.nn.functional as F

from model.diffusion import timestep_band
from model.pipeline import FacePipeline
from model.settings import Settings
from ui.how.face import answer, noised, unet_levels
from ui.how.html import colour, grey, image, stretched

# feature maps per level
SHOWN = 4


def unet_maps(pipe: FacePipeline, settings: Settings, step: int) -> str:
    """The shapes and a few feature maps of every level, from 64 px through the unshuffle and back, as the letter U."""
    state, said, levels = noised(pipe, settings, step), answer(pipe, settings, step), unet_levels(pipe.unet)
    count, folded = len(pipe.unet.config.channels), pipe.unet.config.unshuffle
    band = timestep_band(state.t, *state.x_t.shape[-2:]).float()
    inputs = F.pixel_unshuffle(torch.cat([state.x_t, band], dim=1), folded)[0]
    outputs = F.pixel_unshuffle(said.velocity, folded)[0]
    sees = [colour(state.x_t[0]), grey(band[0, 0])]
    parts = [place("In", "encoder", 0, (4, *state.x_t.shape[-2:]), sees)]
    parts.append(place("Unshuffled", "encoder", 1, inputs.shape, [grey(one) for one in inputs[:SHOWN]]))
    for part, level, name in levels:
        maps = said.inside[name]
        chosen = np.linspace(0, len(maps) - 1, SHOWN).round().astype(int)
        shown = [stretched(maps[index]) for index in chosen]
        parts.append(place(part, part.lower(), min(level, count) + 2, maps.shape, shown))
    parts.append(place("Before the shuffle", "decoder", 1, outputs.shape, [grey(one) for one in outputs[:SHOWN]]))
    parts.append(place("Out", "decoder", 0, said.velocity.shape[1:], [colour(said.velocity[0])]))
    skips = "".join(f'<span class="skip" style="--row:{row}"></span>' for row in range(2, count + 1))
    return f'<div class="u" style="--levels:{count + 2}">{"".join(parts)}{skips}</div>'


def place(title: str, side: str, row: int, shape: tuple[int, ...], pictures: list[np.ndarray]) -> str:
    """One stage of the U. side: "encoder", "middle" or "decoder". row: from 0, downwards. shape: (C, H, W)."""
    channels, height, width = shape
    shown = "".join(
        image(one, f"{title}, {height} by {width}, picture {number}") for number, one in enumerate(pictures, 1)
    )
    return f"""<section class="{side}" style="--row:{row};--side:{height}"><h4>{title}
        <span>{channels} × {height} × {width}</span></h4><div class="maps">{shown}</div></section>"""
