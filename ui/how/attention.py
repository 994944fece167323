"""Self-attention: where the network looks from one place of the face, and what changes when it cannot."""

import json
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from model.diffusion import to_original
from model.pipeline import FacePipeline
from model.settings import Settings
from model.unet import Attention, UNet
from ui.frames import jpeg
from ui.how.face import answer, ask, module, noised
from ui.how.html import colour, signed, source_of, tile, tiles

# timesteps at which one layer is shown
MOMENTS = (95, 80, 60, 40, 20)
# timesteps at which attention is switched off
PERTURBED = (75, 45, 20)


def weights(unet: UNet, name: str, qkv: Tensor) -> Tensor:
    """Self-attention's weights from its queries, keys and values, as model.unet.Attention works them out.

    :param name: of the attention, one of `module`.
    :param qkv:  (3 C, H, W).
    :return:     (heads, H*W, H*W): from each place to each place; a row adds up to 1.
    """
    attention = unet.get_submodule(name)
    assert isinstance(attention, Attention)
    query, key, _ = qkv.reshape(3, attention.heads, -1, qkv.shape[-2] * qkv.shape[-1])
    return (query.transpose(-1, -2) * query.shape[1] ** -0.5 @ key).softmax(-1)


def sheet(maps: Tensor) -> np.ndarray:
    """(H*W, H*W) weights as a grid of tiles: the tile at row y and column x is where the place (y, x) looks.

    Each tile is stretched to white at its strongest place. -> (H*H, W*W) uint8
    """
    side = round(len(maps) ** 0.5)
    # the root: what is weak can be seen too
    shown = (maps / maps.amax(1, keepdim=True)).sqrt()
    grid = shown.view(side, side, side, side).permute(0, 2, 1, 3).reshape(side * side, side * side)
    return (255 * grid).round().byte().numpy()


def lit(maps: Tensor, title: str, note: str = "") -> str:
    """A tile that shows the face where a place looks; assets/how/how.js picks the place."""
    return f"""<figure><div class="lit" style="--map:url({jpeg(sheet(maps), quality=75)})"></div>
        <figcaption><b>{title}</b><span>{note}</span></figcaption></figure>"""


def heads(pipe: FacePipeline, settings: Settings, step: int, layer: str) -> str:
    """Where every head of a layer looks from the place that the visitor points at."""
    name = module(pipe.unet, layer)
    maps = weights(pipe.unet, name, answer(pipe, settings, step).inside[f"{name}.qkv"])
    side = round(maps.shape[-1] ** 0.5)
    strongest = json.dumps(maps.mean(0).argmax(1).tolist())
    state = noised(pipe, settings, step)
    shown = "".join(lit(one, f"Head {number}") for number, one in enumerate(maps, 1))
    return f"""<div class="attend" data-side="{side}" data-strongest="{strongest}"
        style="--side:{side};--face:url({source_of(colour(state.original[0]))})">
        <div class="point" role="application" tabindex="0" aria-describedby="point-said"
            aria-label="A place of the face: move over it, or use the arrow keys">
            <img src="{source_of(colour(state.x_t[0]))}" alt="The noisy face"><span class="cursor"></span></div>
        <div><p id="point-said" role="status"></p><div class="tiles small">{shown}
        {lit(maps.mean(0), "All heads", "their mean")}{lit(torch.eye(len(maps[0])), "Perturbed", "itself alone")}
        </div></div></div>"""


@lru_cache(maxsize=8)
def moments(pipe: FacePipeline, settings: Settings, layer: str) -> tuple[Tensor, ...]:
    """A layer's weights at MOMENTS, the mean of its heads: (H*W, H*W) each."""
    name = module(pipe.unet, layer)
    return tuple(weights(pipe.unet, name, ask(pipe, settings, step).inside[f"{name}.qkv"]).mean(0) for step in MOMENTS)


def over_time(pipe: FacePipeline, settings: Settings, layer: str) -> str:
    """Where a layer looks from the same place at several timesteps."""
    maps = moments(pipe, settings, layer)
    side = round(len(maps[0]) ** 0.5)
    face = source_of(colour(noised(pipe, settings, MOMENTS[0]).original[0]))
    shown = tiles(
        *(lit(one, f"Timestep {step}") for step, one in zip(MOMENTS, maps)),
        title="From the same place, from much noise to little",
        kind="five",
    )
    return f'<div class="attend" data-side="{side}" style="--side:{side};--face:url({face})">{shown}</div>'


@lru_cache(maxsize=8)
@torch.inference_mode()
def with_and_without(pipe: FacePipeline, settings: Settings) -> tuple[Tensor, Tensor]:
    """Predicted x_0 of the face at PERTURBED, with self-attention and without: (3, 3, 64, 64) each."""
    states, config = [noised(pipe, settings, step) for step in PERTURBED], pipe.unet.config
    x_t = torch.cat([state.x_t for state in states]).to(pipe.device)
    t = torch.cat([state.t for state in states])
    prompt = pipe.condition([settings.prompt]).expand(len(t), -1)
    off = torch.ones(len(t), dtype=torch.bool, device=pipe.device)
    said = (pipe.compute(pipe.unet, x_t, t.to(x_t), prompt, perturbed) for perturbed in (~off, off))
    whole, blind = (to_original(one, x_t, t, config.target, config.steps).cpu() for one in said)
    return whole, blind


def perturbed(pipe: FacePipeline, settings: Settings) -> str:
    """The predicted clean face with self-attention, without it, and the difference, at three timesteps."""
    whole, blind = with_and_without(pipe, settings)
    rows = "".join(
        tiles(
            tile(colour(noised(pipe, settings, step).x_t[0]), f"Timestep {step}", "what it sees"),
            tile(colour(with_it), "With attention", "predicted clean face"),
            tile(colour(without), "Without", "every place sees itself alone"),
            tile(signed(with_it - without), "Difference", "grey is none"),
            kind="four",
        )
        for step, with_it, without in zip(PERTURBED, whole, blind)
    )
    return f"<h4>The same question with self-attention and without</h4>{rows}"
