"""Prediction: what the network sees and says, and what it would say under other prompts."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from model.diffusion import from_original, to_original
from model.pipeline import FacePipeline
from model.settings import Settings
from ui.how.face import answer, error, noised
from ui.how.forward import band, band_note
from ui.how.html import colour, grey, tile, tiles

OTHER_PROMPTS = ("", "a smiling woman with blond hair", "a man with a beard", "an old man with gray hair")
# timesteps at which prompts are compared
NOISES = (100, 90, 75, 50, 25)


def predictions(pipe: FacePipeline, settings: Settings, step: int) -> str:
    """The network's input band by band, its answer in three forms beside the truth."""
    state, said = noised(pipe, settings, step), answer(pipe, settings, step)
    sees = [tile(colour(state.x_t[0]), "Noisy face", "three of the four bands")]
    sees += [tile(grey(state.x_t[0, index]), name) for index, name in enumerate(("Red", "Green", "Blue"))]
    sees += [tile(band(state), "Timestep", band_note(state), "The timestep band")]

    truth = {
        name: from_original(state.original, state.x_t, state.t, name) for name in ("velocity", "noise", "original")
    }
    names = {"velocity": "Velocity", "noise": "Noise", "original": "Clean face"}
    says = [
        tile(
            colour(getattr(said, name)[0]),
            names[name],
            small(error(getattr(said, name), truth[name])),
            f"{names[name]} as predicted",
        )
        for name in truth
    ]
    knows = [tile(colour(truth[name][0]), names[name], "the truth", f"{names[name]}, the truth") for name in truth]

    return (
        tiles(*sees, title="It sees four bands of numbers", kind="six")
        + f'<div class="pair"><div>{tiles(*says, title="It says", kind="three")}</div>'
        + f"<div>{tiles(*knows, title='What was really mixed in', kind='three')}</div></div>"
    )


@lru_cache(maxsize=8)
@torch.inference_mode()
def under_prompts(pipe: FacePipeline, settings: Settings) -> Tensor:
    """Predicted x_0 of the face at NOISES under the record's prompt and OTHER_PROMPTS: (prompts, len(NOISES), 3, 64,
    64).
    """
    prompts, config = (settings.prompt, *OTHER_PROMPTS), pipe.unet.config
    states = [noised(pipe, settings, step) for step in NOISES]
    x_t = torch.cat([state.x_t for state in states]).to(pipe.device)
    t = torch.cat([state.t for state in states])
    rows = [
        to_original(
            pipe.compute(pipe.unet, x_t, t.to(x_t), one.expand(len(t), -1)), x_t, t, config.target, config.steps
        ).cpu()
        for one in pipe.condition(prompts).split(1)
    ]
    return torch.stack(rows)


def prompts(pipe: FacePipeline, settings: Settings) -> str:
    """The same noisy faces under different prompts: the clean face that each sees in them."""
    names = ["Your prompt", "No prompt", *OTHER_PROMPTS[1:]]
    moments = ", ".join(map(str, NOISES))
    strips = (
        tile(
            np.concatenate([colour(one) for one in seen], axis=1), name, "", f"{name}: predicted at timesteps {moments}"
        )
        for name, seen in zip(names, under_prompts(pipe, settings))
    )
    return tiles(
        *strips, title=f"The same face at timesteps {moments}, under different prompts", kind="strips five halves"
    )


def small(wrong: float) -> str:
    """An error as a caption shows it."""
    return f"error {wrong:.3f}" if wrong >= 0.0005 else "error below 0.001"
