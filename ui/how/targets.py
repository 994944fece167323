"""Three things to ask a network for: one answer as each of them, and three small networks, each trained on one.

These are weights/targets/original.safetensors, previous.safetensors and noise.safetensors, made by
`make train-targets`. They were trained alike but for what they answer. Without them their figure is left out.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from model.diffusion import TIMESTEPS, from_original
from model.pipeline import FacePipeline
from model.settings import Settings
from model.unet import UNet
from ui.how.face import answer, error, noised
from ui.how.html import colour, table, tile, tiles
from ui.server.engine import WEIGHTS

FOLDER = WEIGHTS / "targets"
TITLES = {
    "original": "Asked for the original",
    "previous": "Asked for one step less noisy",
    "noise": "Asked for the noise",
}
# a change of the picture that is hardly seen
SMALL = 0.15
# steps of the reverse diffusion in a film strip
SHOWN = (20, 40, 60, 80, TIMESTEPS)


def targets(pipe: FacePipeline, settings: Settings, step: int) -> str:
    """The network's answer as each of the lecture's three targets, with the error that each would be trained on."""
    state, said = noised(pipe, settings, step), answer(pipe, settings, step)
    rows, pictures = [], [tile(colour(state.x_t[0]), "What it sees", f"the face at timestep {step}")]
    for target, title, note in (
        ("original", "The original", "all noise gone at once"),
        ("previous", "One step less noisy", f"the face at timestep {step - 1}"),
        ("noise", "The noise", "what was mixed in"),
    ):
        prediction = getattr(said, target)
        wrong = error(prediction, from_original(state.original, state.x_t, state.t, target))
        pictures.append(tile(colour(prediction[0]), title, note, f"The prediction as: {title.lower()}"))
        rows.append((title, number(wrong), number(wrong / max(error(said.original, state.original), 1e-12))))
    moved = (said.previous[0] - state.x_t[0]).abs().mean().item()
    told = (
        "that is why the third picture looks like the first."
        if moved < SMALL
        else "at the noisy end a step is large, and most of the noise goes at once."
    )
    return (
        tiles(*pictures, kind="four")
        + f"<p>One step changes a colour value by {moved:.3f} on average, from −1 to 1: {told}</p>"
        + table(
            f"The same mistake, as each target would count it at timestep {step}",
            ("Target", "Mean squared error", "Weight of an error in the face"),
            rows,
        )
    )


def number(value: float) -> str:
    """Three digits that count, without an exponent where one can do without: 0.0421, 12.3, 4,530."""
    if value and not 1e-4 <= value < 1e5:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa} × 10<sup>{int(exponent)}</sup>".replace("-", "−")
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def present(folder: Path = FOLDER) -> bool:
    return all((folder / f"{target}.safetensors").is_file() for target in TITLES)


@lru_cache(maxsize=2)
def learners(pipe: FacePipeline, folder: Path = FOLDER) -> dict[str, FacePipeline]:
    """Target -> `pipe` with the small network of that target as its U-Net; nothing if they belong to another CLIP.

    Raises WeightsError, one line, for a damaged file.
    """
    networks = {}
    for target in TITLES:
        unet = UNet.from_file(folder / f"{target}.safetensors", pipe.device)
        if unet.info.get("clip") != pipe.clip.hash or unet.config.target != target:
            return {}
        networks[target] = pipe.with_unet(unet)
    return networks


@lru_cache(maxsize=8)
def films(pipe: FacePipeline, prompt: str, seed: int, folder: Path = FOLDER) -> dict[str, np.ndarray]:
    """Target -> the clean face its network predicts after each of SHOWN steps of DDPM, in a row: (64, 320, 3) uint8."""
    pictures = {}
    for target, learner in learners(pipe, folder).items():
        frames = list(learner.stream(prompt, seed, TIMESTEPS, "ddpm"))
        pictures[target] = np.concatenate([frames[step - 1].denoised for step in SHOWN], axis=1)
    return pictures


def learned(pipe: FacePipeline, settings: Settings, folder: Path = FOLDER) -> str:
    """The three film strips, and what the networks have seen."""
    if not (networks := learners(pipe, folder)):
        return "<p>Three small networks come with the bundled weights; they do not fit the CLIP in use here.</p>"
    unet = networks["original"].unet
    minutes, size = unet.info["seconds"] / 60, sum(parameter.numel() for parameter in unet.parameters())
    strips = (
        tile(film, TITLES[target], alt=f"{TITLES[target]}: the predicted clean face after 20, 40, 60, 80 and 100 steps")
        for target, film in films(pipe, settings.prompt, settings.seed, folder).items()
    )
    return (
        tiles(*strips, title="Three networks that were each trained on one of them", kind="strips five")
        + f"<p>The same small network ({size / 1e6:.1f} million parameters) three times, each trained for "
        f"{minutes:.0f} minutes on a CPU, draws your prompt from your seed by {TIMESTEPS} steps of DDPM. The image one "
        "step before is almost the one that the network is given, so repeating its input is nearly right, and what "
        "makes a face is learned last. A network this small has not got there in this time.</p>"
    )
