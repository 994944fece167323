"""Reverse diffusion: one step taken apart, the samplers side by side, and the paths of runs from noise to a face."""

import base64
import html
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.diffusion import TIMESTEPS, add_noise, alpha_bar, from_original
from model.errors import InputError
from model.guidance import Guidance, Predictor, conditions_of, guided, noises_of
from model.pipeline import SIZE, FacePipeline
from model.sampler import SAMPLERS, FreshNoise, Step, move, noise_of, time_grid
from model.settings import DEFAULTS, STUDENT, STUDENT_STEPS, Settings
from ui.how.face import answer, error, noised, start
from ui.how.html import HOW, colour, sign, signed, source_of, tile, tiles

# of DDPM, and how many runs of it start from one noise
CHANCE_STEPS, CHANCES = 16, 3
# their steps that are shown
MOMENTS = (4, 8, 11, 13, 16)
NAMES = {"ddpm": "DDPM", "ddim": "DDIM", "dpmpp": "DPM-Solver++", "unipc": "UniPC"}

_ALPHA = '<msub><mover accent="true"><mi>α</mi><mo>¯</mo></mover><mi>s</mi></msub>'
EQUATION = f"""<math><mrow><msub><mi>x</mi><mi>s</mi></msub><mo>=</mo>
    <msqrt>{_ALPHA}</msqrt><msub><mover accent="true"><mi>x</mi><mo>^</mo></mover><mn>0</mn></msub><mo>+</mo>
    <msqrt><mn>1</mn><mo>−</mo>{_ALPHA}</msqrt><mover accent="true"><mi>ε</mi><mo>^</mo></mover></mrow></math>"""

# --- one step ---------------------------------------------------------------------------------------------------------


def one_step(pipe: FacePipeline, settings: Settings, step: int, length: int) -> str:
    """DDIM's step from timestep `step` over `length` timesteps (to 0 at most): what it starts from, where it lands."""
    state, said = noised(pipe, settings, step), answer(pipe, settings, step)
    end = max(step - length, 0)
    s = torch.tensor([end / TIMESTEPS], dtype=torch.float64)
    clean = said.original.clamp(-1, 1)
    landed, truth = move(clean, state.x_t, state.t, s), add_noise(state.original, state.noise, s)
    signal, sigma = alpha_bar(s).sqrt().item(), (1 - alpha_bar(s)).sqrt().item()
    numbers = f"x at {end} = {signal:.3f} × predicted face + {sigma:.3f} × predicted noise"
    code = inspect.getsource(move).strip().split("\n")[-1].strip()
    return (
        tiles(
            tile(colour(state.x_t[0]), "Where it stands", f"x at timestep {step}"),
            tile(colour(clean[0]), "Predicted clean face", "where it is headed"),
            tile(colour(from_original(clean, state.x_t, state.t, "noise")[0]), "Predicted noise", "what it leaves"),
            tile(signed((landed - state.x_t)[0]), "The step", "the change of each pixel; grey is none"),
            tile(colour(landed[0]), "Where it lands", f"x at timestep {end}"),
            tile(colour(truth[0]), "Where it should land", f"error {error(landed, truth):.5f}", "The true x there"),
            title="One step, taken apart",
        )
        + f'<div class="worked">{EQUATION}<p>{sign(numbers)}</p><code>{html.escape(code)}</code></div>'
    )


# --- the samplers -----------------------------------------------------------------------------------------------------


def samplers(folder: Path, unet: str) -> str | None:
    """The sheet of training/evaluation/samplers.py, or None without one of the U-Net with this hash.

    Its slider is run by assets/how/how.js.
    """
    sheet = folder / "samplers.webp"
    if not sheet.is_file():
        return None
    about = json.loads((folder / "samplers.json").read_text(encoding="utf-8"))
    if about["unet"] != unet:
        return None
    steps, columns = about["steps"], len(about["steps"]) + 1
    data = f"data:image/webp;base64,{base64.b64encode(sheet.read_bytes()).decode()}"
    picture = '<div class="cell" role="img" aria-label="{}" style="--column:{};--row:{}"></div>'
    start = steps.index(8) if 8 in steps else 0
    figures = "".join(
        f"""<figure data-distances="{json.dumps(distances)}">{picture.format(f"A face by {NAMES[name]}", start, row)}
        <figcaption><b>{NAMES[name]}</b><span>distance <output aria-live="off">{distances[start]:.4f}</output></span>
        </figcaption></figure>"""
        for row, (name, distances) in enumerate(about["distances"].items())
    )
    exact = f"""<figure>{picture.format("The exact solution", columns - 1, 0)}
        <figcaption><b>Exact</b><span>UniPC in {about["exact"]} steps</span></figcaption></figure>"""
    rows = len(about["distances"])
    return f"""<h4>Four samplers, in few steps and in many</h4>
        <div class="samplers" data-steps="{json.dumps(steps)}" style="--sheet:url({data})">
            <label for="samplers-at">Steps: <output aria-live="off">{steps[start]}</output></label>
        <input id="samplers-at" type="range" min="0" max="{len(steps) - 1}" value="{start}" step="1">
        <div class="tiles four" style="--columns:{columns};--rows:{rows};--count:{rows + 1}">{figures}{exact}</div>
        <p>“{html.escape(about["prompt"])}”, seed {about["seed"]}, the same noise in every picture. Distance: mean
        squared, pixels from −1 to 1, the mean of {about["faces"]} faces. These pictures were computed once, with the
        weights that are loaded here.</p></div>"""


# --- paths ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Path2D:
    """A run as points of a plane."""

    # before the first step and after each: (steps + 1, 2)
    noisy: np.ndarray
    # each prediction: (steps, 2)
    denoised: np.ndarray


def compared(pipe: FacePipeline, settings: Settings) -> str:
    """`samplers`, or a line that says why it is not there."""
    sheet = samplers(HOW, pipe.unet.info.get("hash", ""))
    return sheet or "<p>The samplers side by side come with the bundled U-Net; another one is loaded here.</p>"


def run(pipe: FacePipeline, settings: Settings, noise: Tensor, fresh_noise: FreshNoise) -> Iterator[Step]:
    """A run with these settings from given noise (N, 3, 64, 64). Raises InputError where there is no such student.

    fresh_noise: what DDPM adds on the way.
    """
    by_student = settings.sampler == STUDENT
    network, sampler = (pipe.student, "ddim") if by_student else (pipe.unet, settings.sampler)
    if network is None:
        raise InputError("There is no student among the weights.")
    condition = conditions_of([settings], pipe.condition)
    distilled = None if by_student else pipe.distilled
    predictor = Predictor(partial(pipe.compute, network), network.config.target, network.config.steps, distilled)
    guidance = Guidance() if by_student else replace(settings.as_guidance(), distilled=pipe.covered(settings))
    unconditional = pipe.condition([settings.negative_prompt])
    denoise = guided(predictor, condition.expand(len(noise), -1), unconditional, guidance)
    return SAMPLERS[sampler](denoise, noise.to(pipe.device), time_grid(settings.steps, sampler), fresh_noise)


def by_teacher(settings: Settings) -> Settings:
    """The run that is shown: in 50 steps at most, by the default's sampler where the student drew the face."""
    if settings.sampler == STUDENT:
        return replace(settings, sampler=DEFAULTS.sampler, steps=DEFAULTS.steps)
    return replace(settings, steps=min(settings.steps, 50))


def plane(points: Tensor) -> tuple[Tensor, Tensor, float]:
    """The plane that shows most of N points (N, D): mean (D,), two directions (D, 2), share of the variance."""
    mean = points.mean(0)
    _, sizes, directions = torch.linalg.svd(points - mean, full_matrices=False)
    return mean, directions[:2].T, (sizes[:2].square().sum() / sizes.square().sum()).item()


@lru_cache(maxsize=8)
def walked(pipe: FacePipeline, settings: Settings) -> tuple[dict[str, Path2D], dict[str, np.ndarray], float]:
    """The paths of teacher and student, their pictures (x_t above, predictions below: (128, 64 N, 3)), and the
    plane's share.
    """
    # the noise that the face was drawn from, and then what came on the way
    fresh_noise = noises_of([settings], (3, SIZE, SIZE), "cpu")
    noise = fresh_noise()
    runs = {"teacher": list(run(pipe, by_teacher(settings), noise, fresh_noise))}
    if pipe.student is not None and not settings.negative_prompt:
        runs["student"] = list(run(pipe, replace(settings, sampler=STUDENT), noise, fresh_noise))
    noisy = {name: torch.cat([noise, *(step.noisy.cpu() for step in taken)]) for name, taken in runs.items()}
    denoised = {name: torch.cat([step.denoised.cpu() for step in taken]) for name, taken in runs.items()}
    mean, directions, share = plane(torch.cat([noisy["teacher"], denoised["teacher"]]).flatten(1))

    def flat(images: Tensor) -> np.ndarray:
        return ((images.flatten(1) - mean) @ directions).numpy()

    paths = {name: Path2D(flat(noisy[name]), flat(denoised[name])) for name in runs}
    pictures = {
        name: np.concatenate(
            [
                np.concatenate([colour(one) for one in noisy[name][:-1]], 1),
                np.concatenate([colour(one) for one in denoised[name]], 1),
            ]
        )
        for name in runs
    }
    return paths, pictures, share


def paths(pipe: FacePipeline, settings: Settings) -> str:
    """The path of the visitor's own run in a plane, the student's beside it, and a slider for their pictures."""
    runs, pictures, share = walked(pipe, settings)
    own = by_teacher(settings)
    name = "Your run, in fewer steps" if settings.sampler != STUDENT and own.steps < settings.steps else "Your run"
    parts = [
        film("teacher", f"{name}: {NAMES[own.sampler]}, {own.steps} steps", pictures["teacher"]),
        *([film("student", f"The student: {STUDENT_STEPS} jumps", pictures["student"])] if "student" in runs else []),
    ]
    return f"""<h4>The path of a run</h4><div class="paths">{drawing(runs, share)}<div>{"".join(parts)}</div></div>"""


def film(name: str, title: str, pictures: np.ndarray) -> str:
    """A slider over the steps of a run. pictures: (128, 64 N, 3), x_t above the predictions."""
    count = pictures.shape[1] // SIZE
    before, predicted = (
        f'<div class="cell" role="img" aria-label="{said}" style="--row:{row}"></div>'
        for row, said in enumerate(("x before this step", "The predicted clean face"))
    )
    places = f"--sheet:url({source_of(pictures)});--columns:{count};--rows:2;--column:0"
    return f"""<div class="film" data-path="{name}" style="{places}">
        <label for="film-{name}">{title}. Step <output aria-live="off">1</output></label>
        <input id="film-{name}" type="range" min="0" max="{count - 1}" value="0" step="1">
        <div class="tiles two" style="--count:2"><figure>{before}<figcaption><b>x<sub>t</sub></b><span>before the
        step</span></figcaption></figure><figure>{predicted}<figcaption><b>x̂<sub>0</sub></b><span>predicted</span></figcaption></figure>
        </div></div>"""


def drawing(runs: dict[str, Path2D], share: float) -> str:
    """The paths as an SVG: x_t as lines with dots, predictions as rings."""
    width, height, margin = 420, 320, 20
    everything = np.concatenate([points for path in runs.values() for points in (path.noisy, path.denoised)])
    low, high = everything.min(0), everything.max(0)
    scale = ((width - 2 * margin) / (high - low)[0], (height - 2 * margin) / (high - low)[1])

    def place(points: np.ndarray) -> list[tuple[float, float]]:
        return [
            (margin + (x - low[0]) * scale[0], height - margin - (y - low[1]) * scale[1]) for x, y in points.tolist()
        ]

    drawn = ""
    for name, path in runs.items():
        for kind, points, radius in (("noisy", place(path.noisy), 4), ("denoised", place(path.denoised), 3)):
            line = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            drawn += f'<path class="{name} {kind}" d="M{line}"/>'
            drawn += "".join(
                f'<circle class="{name} {kind}" data-at="{at}" r="{radius}" cx="{x:.1f}" cy="{y:.1f}"/>'
                for at, (x, y) in enumerate(points)
            )
    keys = '<span class="key">x, your run: from noise to the face</span><span class="key dotted">its predictions</span>'
    if "student" in runs:
        keys += '<span class="key linear">the student, in four jumps</span>'
    said = "The path of your run from noise to a face in a plane; the path of its predictions ends at the same point."
    return f"""<figure class="plane"><svg viewBox="0 0 {width} {height}" role="img" aria-label="{said}">{drawn}</svg>
        <figcaption>{keys}<span>Each picture is 12,288 numbers. The plane is the one that shows most of your run:
        {100 * share:.0f} % of how its pictures differ (PCA).</span></figcaption></figure>"""


# --- chance -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def chances(pipe: FacePipeline, settings: Settings) -> tuple[Tensor, Tensor]:
    """DDPM several times from one noise, each with noise of its own on the way; then DDIM from it.

    The predictions at MOMENTS: (CHANCES, len(MOMENTS), 3, 64, 64), (len(MOMENTS), 3, 64, 64).
    """
    noise = start(settings)
    by_chance, by_rule = (replace(settings, sampler=name, steps=CHANCE_STEPS) for name in ("ddpm", "ddim"))
    fresh_noise = noise_of(range(CHANCES), (3, SIZE, SIZE), "cpu")
    runs = run(pipe, by_chance, noise.expand(CHANCES, -1, -1, -1), fresh_noise), run(pipe, by_rule, noise, fresh_noise)
    apart, once = (torch.stack([step.denoised.cpu() for step in steps if step.index in MOMENTS], 1) for steps in runs)
    return apart, once[0]


def chance(pipe: FacePipeline, settings: Settings) -> str:
    """What the predictions of three runs of DDPM from the same noise become, and those of DDIM."""
    apart, once = chances(pipe, settings)
    strips = [
        tile(
            np.concatenate([colour(one) for one in seen], axis=1),
            title,
            note,
            f"{title}: the predicted clean face after {', '.join(map(str, MOMENTS))} steps",
        )
        for title, note, seen in (
            *((f"DDPM, run {number}", "", seen) for number, seen in enumerate(apart, 1)),
            ("DDIM, every run", "the same face each time", once),
        )
    ]
    ends = apart[:, -1]
    spread = 127.5 * (ends - ends.roll(1, 0)).abs().mean().item()
    return (
        tiles(*strips, title=f"From the same noise in {CHANCE_STEPS} steps", kind="strips five")
        + f"<p>DDPM adds new noise after every step, so its runs part: the finished faces differ by {spread:.0f} grey "
        "levels on average. DDIM adds none: the noise at the start decides everything.</p>"
    )
