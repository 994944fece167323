"""What may be asked of FacePipeline: the defaults, the limits, and one-line refusals of everything else."""

from dataclasses import dataclass

import numpy as np

from model.errors import InputError
from model.sampler import SAMPLERS

MAX_STEPS = 1000  # of the reverse diffusion
STUDENT, STUDENT_STEPS = (
    "student",
    4,
)  # the network that draws in so few steps (training/unet/student.py), named as a sampler is
MAX_GUIDANCE = 20.0
MAX_SEED = 2**32 - 1
MAX_STRENGTH = 5.0  # of one attribute: 1 is as far from the prompt as stating it
MAX_AT_ONCE = 16  # faces of one stream
MAX_SERIES = 64  # faces of one series: strengths, guidances, or a walk


@dataclass(frozen=True)
class Settings:
    """How to run the reverse diffusion when nothing else is asked for."""

    steps: int = 16  # network calls of the branch that sees the prompt
    sampler: str = "unipc"  # one of sampler.SAMPLERS
    guidance: float = 2.0  # classifier-free guidance: 1 follows the prompt, more exaggerates it
    guidance_interval: tuple[float, float] = (
        0.35,
        0.98,
    )  # the times at which guidance is used: below, it changes almost
    # nothing; above, it shifts colours and narrows the choice
    attention_guidance: float = (
        0.25  # perturbed-attention guidance: 0 is none; more makes smoother faces and fewer kinds of them
    )
    attention_interval: tuple[float, float] = (
        0.2,
        0.75,
    )  # the times at which it is used: above, it narrows the choice. Of 16
    # steps, 7 need a second network call for guidance and 3 one for this: 26 in all


DEFAULTS = Settings()


def check_settings(seed, steps, sampler, guidance) -> tuple[int, int, str, float]:
    """The four settings as int, int, str, float. Raises InputError, one line, for what cannot be used.

    The student's steps and guidance are built in: they come back in place of what was asked.
    """
    seed = whole("The seed", seed, 0, MAX_SEED)
    steps = whole("The number of steps", steps, 1, MAX_STEPS)
    guidance = number("The guidance", guidance, 0, MAX_GUIDANCE)
    if not isinstance(sampler, str) or sampler not in (*SAMPLERS, STUDENT):
        raise InputError(f"The sampler must be one of {', '.join((*SAMPLERS, STUDENT))}, not {_shown(sampler)}.")
    return (seed, STUDENT_STEPS, sampler, DEFAULTS.guidance) if sampler == STUDENT else (seed, steps, sampler, guidance)


def whole(name: str, value, least: int, most: int) -> int:
    """`value` as an int; a float that is a whole number counts, since browsers send those."""
    if not _is_number(value) or not least <= value <= most or value != int(value):
        raise InputError(f"{name} must be a whole number from {least} to {most}, not {_shown(value)}.")
    return int(value)


def number(name: str, value, least: float, most: float) -> float:
    """`value` as a float from `least` to `most`."""
    if not _is_number(value) or not least <= value <= most:
        raise InputError(f"{name} must be a number from {least:g} to {most:g}, not {_shown(value)}.")
    return float(value)


def text(name: str, value) -> str:
    """`value`, which must be a str."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, not {type(value).__name__}.")
    return value


def listed(name: str, values, least: int, most: int) -> list:
    """`values` as a list of `least` to `most` entries. A text is no list of texts."""
    if isinstance(values, str) or not hasattr(values, "__len__") or not least <= len(values) <= most:
        count = "exactly" if least == most else f"{least} to"
        raise InputError(f"{name} must be a list of {count} {most}, not {_shown(values)}.")
    return list(values)


def pictures(name: str, values, several: bool = True) -> np.ndarray:
    """(N, H, W, 3) uint8, or (H, W, 3) if `several` is False."""
    found = np.asarray(values)
    if found.ndim != 3 + several or found.shape[-1] != 3 or found.dtype != np.uint8 or 0 in found.shape[-3:]:
        form = "(N, height, width, 3)" if several else "(height, width, 3)"
        raise InputError(f"{name} must be an array {form} of uint8, not {found.shape} of {found.dtype}.")
    return found


def interval(name: str, value) -> tuple[float, float]:
    """Two times in [0, 1], the second not before the first."""
    low, high = (number(f"A time of {name[0].lower()}{name[1:]}", time, 0, 1) for time in listed(name, value, 2, 2))
    if low > high:
        raise InputError(f"{name} must rise, not fall from {low:g} to {high:g}.")
    return low, high


def _is_number(value) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _shown(value) -> str:
    """A value as an error message shows it: one line, not long."""
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 40 else f"{shown[:40]}..."
