"""Guidance: what the network says under two handicaps, and the faces that come of avoiding it."""

import copy
from functools import lru_cache

import numpy as np
import torch

from model.diffusion import to_original
from model.pipeline import FacePipeline
from model.settings import DEFAULTS, Settings
from ui.how.face import noised
from ui.how.html import colour, tile, tiles

# timestep of the answers: the prompt still decides much, the face can be seen, and both kinds of guidance are at work
STEP = 75
# of the reverse diffusion, for faces that only illustrate
STEPS = 12
# of perturbed-attention guidance in this section: more than a face usually takes, so that it can be seen
STRENGTH = 1.0


@torch.inference_mode()
def answers(pipe: FacePipeline, settings: Settings) -> torch.Tensor:
    """Predicted x_0 of the record's face at timestep STEP: (3, 3, 64, 64) on the CPU.

    By the whole network, without the prompt, and without self-attention.
    """
    state, config = noised(pipe, settings, STEP), pipe.unet.config
    condition = pipe.condition([settings.prompt, "", settings.prompt])
    x_t, t = state.x_t.to(pipe.device).expand(3, -1, -1, -1), state.t.expand(3)
    perturbed = torch.tensor([False, False, True], device=pipe.device)
    prediction = pipe.compute(pipe.unet, x_t, t.to(x_t), condition, perturbed)
    return to_original(prediction, x_t, t, config.target, config.steps).cpu()


@lru_cache(maxsize=8)
def faces(pipe: FacePipeline, prompt: str, seed: int, guidance: float) -> list[np.ndarray]:
    """From the same noise: without guidance, with the one by the prompt, with the one by self-attention, with both.

    All are by the U-Net's own branches: the network with built-in guidance has learnt more than guidance.
    """
    plain = copy.copy(pipe)
    plain.guided = None
    return [
        plain.generate_faces([Settings(prompt, seed=seed, steps=STEPS, guidance=by_prompt, pag_scale=by_attention)])[0]
        for by_attention in (0.0, STRENGTH)
        for by_prompt in (1.0, guidance)
    ]


def draw(pipe: FacePipeline, settings: Settings) -> str:
    """Both rows of pictures. A record without guidance is shown with the default's."""
    guidance = settings.guidance if settings.guidance > 1 else DEFAULTS.guidance
    whole, promptless, blind = answers(pipe, settings)
    neither, by_prompt, by_attention, both = faces(pipe, settings.prompt, settings.seed, guidance)
    return (
        tiles(
            tile(colour(whole), "The whole network", "what a step goes on from"),
            tile(colour(promptless), "Without the prompt", "it leads away from this"),
            tile(colour(blind), "Without self-attention", "it leads away from this"),
            title=f"Three answers to the same noisy face, at timestep {STEP}",
            kind="three",
        )
        + tiles(
            tile(neither, "No guidance", "the first answer alone"),
            tile(by_prompt, "By the prompt", f"guidance {guidance:g}"),
            tile(by_attention, "By self-attention", f"strength {STRENGTH:g}"),
            tile(both, "Both", "away from either"),
            title=f"The face they lead to, from the same noise in {STEPS} steps",
            kind="four",
        )
        + f"<p>{used()}</p>"
    )


def used() -> str:
    """What of it the page's own faces are drawn with."""
    by_attention = (
        f"perturbed-attention guidance of strength {DEFAULTS.pag_scale:g}, a gentle one"
        if DEFAULTS.pag_scale
        else "no perturbed-attention guidance"
    )
    return f"Unless you choose otherwise, your faces are drawn with guidance {DEFAULTS.guidance:g} and {by_attention}."
