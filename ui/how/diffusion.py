"""What the network is asked to undo and what it answers: sections 1 to 3 of the tab "How it works"."""

import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from model.diffusion import TIMESTEPS, add_noise, alpha_bar, from_original, timestep_band, to_original
from model.images import to_tensor
from model.pipeline import FacePipeline
from model.settings import MAX_SEED, Settings
from ui.how.html import colour, grey, table, tile, tiles

OTHER_PROMPTS = (
    "",
    "a smiling woman with blond hair",
    "a man with a beard",
    "an old man with gray hair",
    "a young woman with black hair",
)
STRIP = range(0, TIMESTEPS + 1, 10)  # the timesteps of the film strips


_drawing = threading.Lock()  # figures that come into sight together need the same face


def face(pipe: FacePipeline, settings: Settings) -> np.ndarray:
    """The face of a record, drawn anew: (64, 64, 3) uint8, not to be written to. Raises InputError."""
    with _drawing:
        return _face(pipe, settings)


@lru_cache(maxsize=32)
def _face(pipe: FacePipeline, settings: Settings) -> np.ndarray:
    return pipe.generate_faces([settings])[0]


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


def noised(pipe: FacePipeline, settings: Settings, step: int) -> Noised:
    """The face of a record at a timestep. The noise is not the one the face was drawn from: its seed is the next one."""
    original = to_tensor(face(pipe, settings))[None]
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed((settings.seed + 1) % (MAX_SEED + 1)))
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
def answer(pipe: FacePipeline, settings: Settings, step: int) -> Answer:
    """What the U-Net says of `noised` under the record's own prompt, then under OTHER_PROMPTS; no guidance. step: from 1."""
    prompts = [settings.prompt, *OTHER_PROMPTS]
    state, config = noised(pipe, settings, step), pipe.unet.config
    condition = pipe.condition(prompts)
    x_t, t = state.x_t.to(pipe.device).expand(len(prompts), -1, -1, -1), state.t.expand(len(prompts))
    prediction = pipe.compute(pipe.unet, x_t, t.to(x_t), condition)
    original = to_original(prediction, x_t, t, config.target, config.steps)
    return Answer(
        original=original.cpu(),
        **{target: from_original(original, x_t, t, target).cpu() for target in ("velocity", "noise", "previous")},
    )


def error(prediction: Tensor, truth: Tensor) -> float:
    """Mean squared error of the answer under the record's own prompt."""
    return (prediction[:1] - truth).square().mean().item()


# --- 1: forward diffusion ---------------------------------------------------------------------------------------------


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
        <span class="key linear">linear (2020): the last third is almost nothing but noise</span></figcaption></figure>"""


# --- 2: what goes in, what comes out ----------------------------------------------------------------------------------


def predictions(pipe: FacePipeline, settings: Settings, step: int) -> str:
    """The network's input band by band, its answer in three forms beside the truth, and its answer under other prompts."""
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

    prompts = [
        ("Your prompt", settings.prompt),
        ("No prompt", "any face"),
        *((prompt, "") for prompt in OTHER_PROMPTS[1:]),
    ]
    faces = [
        tile(colour(seen), title, note, f"Predicted clean face: {title}")
        for seen, (title, note) in zip(said.original, prompts)
    ]
    return (
        tiles(*sees, title="It sees four bands of numbers")
        + f'<div class="pair"><div>{tiles(*says, title="It says")}</div>'
        + f"<div>{tiles(*knows, title='What was really mixed in')}</div></div>"
        + tiles(*faces, title="The same noisy face under different prompts: the clean face that each sees in it")
    )


def small(wrong: float) -> str:
    """An error as a caption shows it."""
    return f"error {wrong:.3f}" if wrong >= 0.0005 else "error below 0.001"


# --- 3: three targets -------------------------------------------------------------------------------------------------


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
    return (
        tiles(*pictures, kind="four")
        + f"<p>One step changes a colour value by {moved:.3f} on average, on a scale from −1 to 1: that is why the third "
        "picture looks like the first.</p>"
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
