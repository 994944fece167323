"""Three small networks, one for each of the lecture's targets, draw the same face: the end of section 3 of "How it works".

They are weights/targets/original.safetensors, previous.safetensors and noise.safetensors, made by `make train-targets`, and
were trained alike but for what they answer. Without them the figure is left out.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from model.diffusion import TIMESTEPS
from model.pipeline import FacePipeline
from model.settings import Settings
from model.unet import UNet
from ui.how.html import tile, tiles
from ui.server.engine import WEIGHTS

FOLDER = WEIGHTS / "targets"
TITLES = {
    "original": "Asked for the original",
    "previous": "Asked for one step less noisy",
    "noise": "Asked for the noise",
}
SHOWN = (20, 40, 60, 80, TIMESTEPS)  # steps of the reverse diffusion in a film strip


def present(folder: Path = FOLDER) -> bool:
    return all((folder / f"{target}.safetensors").is_file() for target in TITLES)


@lru_cache(maxsize=2)
def learners(pipe: FacePipeline, folder: Path = FOLDER) -> dict[str, FacePipeline]:
    """Target -> `pipe` with the small network trained on that target in its U-Net's place; nothing if they belong to another CLIP.

    Raises WeightsError, one line, for a damaged file.
    """
    found = {}
    for target in TITLES:
        unet = UNet.from_file(folder / f"{target}.safetensors", pipe.device)
        if unet.info.get("clip") != pipe.clip.hash or unet.config.target != target:
            return {}
        found[target] = pipe.with_unet(unet)
    return found


@lru_cache(maxsize=8)
def films(pipe: FacePipeline, prompt: str, seed: int, folder: Path = FOLDER) -> dict[str, np.ndarray]:
    """Target -> the clean face as its network predicts it after each of SHOWN steps of DDPM, side by side: (64, 320, 3) uint8."""
    found = {}
    for target, learner in learners(pipe, folder).items():
        frames = list(learner.stream(prompt, seed, TIMESTEPS, "ddpm"))
        found[target] = np.concatenate([frames[step - 1].denoised for step in SHOWN], axis=1)
    return found


def draw(pipe: FacePipeline, settings: Settings, folder: Path = FOLDER) -> str:
    """The three film strips, and what the networks have seen."""
    if not (found := learners(pipe, folder)):
        return "<p>Three small networks, one for each, come with the bundled weights; they do not fit the CLIP in use here.</p>"
    unet = found["original"].unet
    minutes, size = unet.info["seconds"] / 60, sum(parameter.numel() for parameter in unet.parameters())
    strips = (
        tile(film, TITLES[target], alt=f"{TITLES[target]}: the predicted clean face after 20, 40, 60, 80 and 100 steps")
        for target, film in films(pipe, settings.prompt, settings.seed, folder).items()
    )
    return (
        tiles(*strips, title="Three networks that were each trained on one of them", kind="strips five")
        + f"<p>The same small network ({size / 1e6:.1f} million parameters) three times, each trained for "
        f"{minutes:.0f} minutes on a CPU, draws your prompt from your seed by {TIMESTEPS} steps of DDPM. The image one step "
        "before is almost the one that the network is given, so repeating its input is nearly right, and what makes a "
        "face is learned last. A network this small has not got there in this time.</p>"
    )
