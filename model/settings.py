"""A face as the settings that make it: their defaults, their limits, and how links, PNG files and JSON hold them.

settings = Settings(prompt="a smiling woman", seed=7)
another = replace(settings, seed=8)
Settings.read({"prompt": "a smiling woman", "seed": "7"}) == (settings, [])
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from model.attributes import NAMES
from model.clip import LONGEST
from model.errors import InputError
from model.guidance import Guidance
from model.sampler import SAMPLERS

# of the reverse diffusion
MAX_STEPS = 1000
# The network that draws in so few steps (training/unet/student.py). It is named as a sampler is.
STUDENT, STUDENT_STEPS = "student", 4
MAX_GUIDANCE = 20.0
MAX_SEED = 2**32 - 1
# of one attribute: 1 is as far from the prompt as stating it
MAX_STRENGTH = 5.0
# attributes edited in one face
MAX_EDITS = 12
# faces of one stream
MAX_AT_ONCE = 16
# names the text chunk of a PNG that holds the settings
PNG_KEY = "facet"


@dataclass(frozen=True)
class Settings:
    """All that makes a face, beside the weights. The same settings make the same face.

    Of a prompt longer than clip.LONGEST characters only the beginning is kept; CLIP reads less still. The student's
    steps and guidance are built in and stand in place of what is asked; it starts from noise and knows no negative
    prompt.

    Raises InputError, one line, for a value that cannot be used.
    """

    # any text; "" is any face
    prompt: str = ""
    # what to avoid: it takes the empty text's place in the guidance
    negative_prompt: str = ""
    # of the noise, 0 to MAX_SEED
    seed: int = 0
    # 1 to MAX_STEPS: network calls of the branch that sees the prompt
    steps: int = 12
    # one of sampler.SAMPLERS, or "student"
    sampler: str = "unipc"
    # Classifier-free guidance, 0 to MAX_GUIDANCE: 0 ignores the prompt, 1 follows it, more exaggerates it.
    guidance: float = 2.0
    # The times at which it is used. Below, it changes almost nothing; above, it shifts colours and narrows the choice.
    guidance_interval: tuple[float, float] = (0.35, 0.98)
    # Perturbed-attention guidance (PAG), 0 to MAX_GUIDANCE: 0 is none; more makes smoother faces and fewer kinds of
    # them, farther from photographs.
    pag_scale: float = 0.0
    # The times at which it is used: above, it narrows the choice.
    pag_interval: tuple[float, float] = (0.2, 0.75)

    # Attributes pushed and pulled, in this order: (name, strength from -MAX_STRENGTH to MAX_STRENGTH). 0 is the prompt
    # alone, 1 about as far from it as stating the attribute, -1 as denying it. As a text: "Smiling:2,Male:-1".
    edits: tuple[tuple[str, float], ...] = ()
    # The other end of a walk, and the place on it: from 0, this face, to 1, the face of these two.
    # None: the same prompt
    to_prompt: str | None = None
    # None: the same seed
    to_seed: int | None = None
    place: float = 0.0

    # What a link, a PNG and JSON hold. The others are the same for every face of the page.
    RECORDED: ClassVar[tuple[str, ...]] = ("prompt", "negative_prompt", "seed", "steps", "guidance", "sampler")
    # Held only where a face has them.
    CHANGES: ClassVar[tuple[str, ...]] = ("edits", "to_prompt", "to_seed", "place")

    def __post_init__(self):
        checked = {
            "prompt": text("The prompt", self.prompt)[:LONGEST],
            "negative_prompt": text("The negative prompt", self.negative_prompt)[:LONGEST],
            "seed": whole("The seed", self.seed, 0, MAX_SEED),
            "steps": whole("The number of steps", self.steps, 1, MAX_STEPS),
            "guidance": number("The guidance", self.guidance, 0, MAX_GUIDANCE),
            "guidance_interval": interval("The guidance interval", self.guidance_interval),
            "pag_scale": number("The PAG scale", self.pag_scale, 0, MAX_GUIDANCE),
            "pag_interval": interval("The PAG interval", self.pag_interval),
            "edits": edits_of(self.edits),
            "to_prompt": None if self.to_prompt is None else text("The walk's other prompt", self.to_prompt)[:LONGEST],
            "to_seed": None if self.to_seed is None else whole("The walk's other seed", self.to_seed, 0, MAX_SEED),
            "place": number("The place on the walk", self.place, 0, 1),
        }
        if not isinstance(self.sampler, str) or self.sampler not in (*SAMPLERS, STUDENT):
            known = ", ".join((*SAMPLERS, STUDENT))
            raise InputError(f"The sampler must be one of {known}, not {_shown(self.sampler)}.")
        if self.sampler == STUDENT:
            checked |= {"steps": STUDENT_STEPS, "guidance": Settings.guidance}
        for name, value in checked.items():
            # the dataclass is frozen to everybody else
            object.__setattr__(self, name, value)

    def as_guidance(self) -> Guidance:
        """Both kinds of guidance, as the sampler's network is given them."""
        return Guidance(self.guidance, self.guidance_interval, self.pag_scale, self.pag_interval)

    def sampling(self) -> dict[str, Any]:
        """How a face is drawn whatever it is, for reports of many faces."""
        own = ("prompt", "negative_prompt", "seed", *self.CHANGES)
        return {name: value for name, value in asdict(self).items() if name not in own}

    # --- links, PNG files, JSON ----------------------------------------------------------------------------------

    def as_record(self) -> dict[str, Any]:
        """A plain dict for JSON and for a link's parameters: RECORDED, and the CHANGES that there are."""
        return {name: getattr(self, name) for name in self.RECORDED} | self.changes()

    def changes(self) -> dict[str, Any]:
        """Edits and walk as a record holds them; empty for a face of a prompt and a seed alone."""
        values: dict[str, Any] = {"edits": ",".join(f"{name}:{strength:g}" for name, strength in self.edits)}
        values |= {"to_prompt": self.to_prompt, "to_seed": self.to_seed, "place": self.place or None}
        return {name: value for name, value in values.items() if value not in ("", None)}

    def as_text(self) -> str:
        """The text that a PNG carries under PNG_KEY: JSON of the record."""
        return json.dumps(self.as_record(), ensure_ascii=False)

    @classmethod
    def read(cls, values: Any) -> tuple["Settings", list[str]]:
        """Settings from anything that claims to be a record: a link's parameters, a PNG's text, JSON from a browser.

        Returns the settings, defaults in place of what is missing or cannot be used, and one line for everything
        ignored.
        """
        usable: dict[str, Any] = {}
        ignored = []
        for name, value in values.items() if isinstance(values, Mapping) else ():
            try:
                usable[name] = _read(name, value)
            except InputError as error:
                ignored.append(str(error))
        return cls(**usable), ignored


def _read(name: Any, value: Any) -> Any:
    """One value of a record, checked. Raises InputError."""
    if name not in (*Settings.RECORDED, *Settings.CHANGES):
        raise InputError(f"{str(name)[:40]!r} is no setting.")
    if name in ("prompt", "negative_prompt"):
        if not isinstance(value, str) or len(value) > LONGEST:
            raise InputError(f"The {name.replace('_', ' ')} must be text of at most {LONGEST} characters.")
    elif name not in ("sampler", "edits", "to_prompt") and isinstance(value, str):
        # as a link holds numbers
        value = _parsed(value)
    one: dict[str, Any] = {name: value}
    return getattr(Settings(**one), name)


def _parsed(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        # which the check refuses, naming it
        return text


# --- checks: each returns the value as its type, or raises InputError in one line that begins with `name` -------------


def edits_of(value: Any) -> tuple[tuple[str, float], ...]:
    """Pairs of attribute and strength, from such pairs or from "Smiling:2,Male:-1". A strength of 0 is none."""
    if isinstance(value, str):
        value = [one.rpartition(":")[::2] for one in value.split(",") if one]
    pairs = [listed("An edit", pair, 2, 2) for pair in listed("The edits", value, 0, MAX_EDITS)]
    for name, _ in pairs:
        if name not in NAMES:
            raise InputError(f"There is no attribute called {_shown(name)} to edit.")
    if len({name for name, _ in pairs}) < len(pairs):
        raise InputError("An attribute is edited twice: give it one strength.")
    strengths = [_parsed(strength) if isinstance(strength, str) else strength for _, strength in pairs]
    strengths = [number("A strength", strength, -MAX_STRENGTH, MAX_STRENGTH) for strength in strengths]
    return tuple((name, strength) for (name, _), strength in zip(pairs, strengths, strict=True) if strength)


def whole(name: str, value: Any, least: int, most: int) -> int:
    """`value` as an int; a float that is a whole number counts, since browsers send those."""
    if not _is_number(value) or not least <= value <= most or value != int(value):
        raise InputError(f"{name} must be a whole number from {least} to {most}, not {_shown(value)}.")
    return int(value)


def number(name: str, value: Any, least: float, most: float) -> float:
    """`value` as a float from `least` to `most`."""
    if not _is_number(value) or not least <= value <= most:
        raise InputError(f"{name} must be a number from {least:g} to {most:g}, not {_shown(value)}.")
    return float(value)


def text(name: str, value: Any) -> str:
    """`value`, which must be a str."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, not {type(value).__name__}.")
    return value


def listed(name: str, values: Any, least: int, most: int) -> list:
    """`values` as a list of `least` to `most` entries. A text is no list of texts."""
    if isinstance(values, str) or not hasattr(values, "__len__") or not least <= len(values) <= most:
        count = "exactly" if least == most else f"{least} to"
        raise InputError(f"{name} must be a list of {count} {most}, not {_shown(values)}.")
    return list(values)


def pictures(name: str, values: Any, several: bool = True) -> np.ndarray:
    """(N, H, W, 3) uint8, or (H, W, 3) if `several` is False."""
    array = as_array(values)
    if array.ndim != 3 + several or array.shape[-1] != 3 or array.dtype != np.uint8 or 0 in array.shape[-3:]:
        form = "(N, height, width, 3)" if several else "(height, width, 3)"
        raise InputError(f"{name} must be an array {form} of uint8, not {array.shape} of {array.dtype}.")
    return array


def as_array(values: Any) -> np.ndarray:
    """`values` as an array; where rows differ in length, one without a shape, which no check passes."""
    try:
        return np.asarray(values)
    except ValueError:
        return np.asarray(None)


def interval(name: str, value: Any) -> tuple[float, float]:
    """Two times in [0, 1], the second not before the first."""
    low, high = (number(f"A time of {name[0].lower()}{name[1:]}", time, 0, 1) for time in listed(name, value, 2, 2))
    if low > high:
        raise InputError(f"{name} must rise, not fall from {low:g} to {high:g}.")
    return low, high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """A value as an error message shows it: one line, not long. An emptied field of the page comes as None."""
    if value is None:
        return "empty"
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


DEFAULTS = Settings()
