"""Adding noise: the face at every timestep under two schedules."""

import numpy as np
import torch

from model.diffusion import TIMESTEPS, alpha_bar, timestep_band
from model.pipeline import FacePipeline
from model.settings import Settings
from ui.how.face import Noised, linear_alpha_bar, noised
from ui.how.html import colour, grey, tile, tiles

# the timesteps of the film strips
STRIP = range(0, TIMESTEPS + 1, 10)


def forward(pipe: FacePipeline, settings: Settings, step: int) -> str:
    """The face at one timestep under both schedules, the timestep band, and the curves."""
    state = noised(pipe, settings, step)
    cosine, linear = (schedule(state.t).item() for schedule in (alpha_bar, linear_alpha_bar))
    now = tiles(
        tile(colour(state.original[0]), "The face", "x₀, without noise"),
        tile(colour(state.x_t[0]), "Cosine schedule", mixture(cosine), f"Timestep {step}, cosine schedule"),
        tile(colour(state.linear[0]), "Linear schedule", mixture(linear), f"Timestep {step}, linear schedule"),
        tile(colour(state.noise[0]), "The noise", "ε, the same in both"),
        tile(band(state), "Timestep band", band_note(state)),
    )
    return now + curves(step)


def strips(pipe: FacePipeline, settings: Settings) -> str:
    """The face from timestep 0 to TIMESTEPS under both schedules, as two film strips."""
    states = [noised(pipe, settings, step) for step in STRIP]
    films = {"Cosine schedule": [state.x_t for state in states], "Linear schedule": [state.linear for state in states]}
    return tiles(
        *(
            tile(
                np.concatenate([colour(picture[0]) for picture in film], axis=1),
                title,
                alt=f"The face at timesteps 0, 10, 20 up to {TIMESTEPS}, {title.lower()}",
            )
            for title, film in films.items()
        ),
        title=f"From timestep 0 to {TIMESTEPS}, ten at a time",
        kind="strips",
    )


def mixture(share: float) -> str:
    """What x_t is made of, in words. share: alpha_bar."""
    return f"{share**0.5:.2f} × face + {(1 - share) ** 0.5:.2f} × noise"


def band(state: Noised) -> np.ndarray:
    """The U-Net's fourth input band as a grey picture: (64, 64) uint8."""
    return grey(timestep_band(state.t, *state.x_t.shape[-2:])[0, 0])


def band_note(state: Noised) -> str:
    return f"every pixel is {timestep_band(state.t, 1, 1).item():.2f}".replace("-", "−")


def curves(step: int) -> str:
    """alpha_bar of both schedules over the timesteps as an SVG, with a line at `step`."""
    width, height, left, top = 300, 130, 34, 12
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    at = step / TIMESTEPS

    def path(schedule) -> str:
        return "M" + " L".join(
            f"{left + width * x:.1f} {top + height * (1 - y):.1f}" for x, y in zip(t.tolist(), schedule(t).tolist())
        )

    cosine, linear = alpha_bar(at).item(), linear_alpha_bar(at).item()
    dots = "".join(
        f'<circle class="{name}" r="4" cx="{left + width * at:.1f}" cy="{top + height * (1 - share):.1f}"/>'
        for name, share in (("cosine", cosine), ("linear", linear))
    )
    ticks = "".join(
        f'<text x="{left - 6}" y="{top + height * (1 - y) + 4:.0f}" text-anchor="end">{y:g}</text>' for y in (0, 0.5, 1)
    )
    ticks += "".join(
        f'<text x="{left + width * x:.0f}" y="{top + height + 16}" text-anchor="middle">{TIMESTEPS * x:.0f}</text>'
        for x in (0, 0.25, 0.5, 0.75, 1)
    )
    said = (
        f"Share of the face in the noisy picture over the timesteps. At timestep {step}: {cosine:.2f} under the cosine "
        f"schedule, {linear:.2f} under the linear one."
    )
    return f"""<figure class="curves"><svg viewBox="0 0 350 174" role="img" aria-label="{said}">
        <path class="axis" d="M{left} {top} V{top + height} H{left + width}"/>
        <path class="now" d="M{left + width * at:.1f} {top} V{top + height}"/>
        <path class="linear" d="{path(linear_alpha_bar)}"/><path class="cosine" d="{path(alpha_bar)}"/>{dots}{ticks}
        <text x="{left + width / 2}" y="{top + height + 31}" text-anchor="middle">timestep</text></svg>
        <figcaption><b>How much of the face is left (ᾱ)</b>
        <span class="key cosine">cosine, used here: falls evenly</span>
        <span class="key linear">linear (2020): the last third is almost nothing but
        noise</span></figcaption></figure>"""
