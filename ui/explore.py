"""Same noise, one thing changed: an attribute in strengths, the guidance, the way to another prompt, faces alike."""

import secrets
from dataclasses import replace
from typing import Any

import gradio as gr

from model import attributes
from model.errors import InputError
from model.settings import DEFAULTS, MAX_SEED, STUDENT, Settings
from ui.frames import file_of, jpeg, png, read_face
from ui.runs import LIVE_STEPS
from ui.server import engine
from ui.status import refusing, status

STRENGTHS = (-2, -1, 0, 1, 2)
GUIDANCES = (0, 1, 2, 4, 8)
WALK = 24  # frames of a walk
ALIKE = 8  # faces like one
STEPS = 100  # the most for each of so many faces: nothing stops them halfway


@refusing(outputs=2)
def strip(current: Any, attribute: str) -> tuple[Any, dict[str, str]]:
    """The face on screen with one attribute from denied to exaggerated -> strip, status."""
    now = _settings(current)
    faces = engine.pipeline().strengths(now, attribute, STRENGTHS)
    # Only the face in the middle has settings that make it.
    cells = [
        _cell(face, None, f"{value:+d}") if value else _cell(face, now, "as it is")
        for face, value in zip(faces, STRENGTHS, strict=True)
    ]
    title = f"{attributes.label(attribute)}, from denied to exaggerated. The noise is the same."
    return {"title": title, "faces": cells}, status("Done.")


@refusing(outputs=2)
def sweep(current: Any) -> tuple[Any, dict[str, str]]:
    """The face on screen under several strengths of guidance -> strip, status."""
    now = _settings(current)
    if now.sampler == STUDENT:  # its guidance is built in
        now = replace(now, sampler=DEFAULTS.sampler, steps=LIVE_STEPS)
    series = [replace(now, guidance=value) for value in GUIDANCES]
    faces = engine.pipeline().generate_faces(series)
    title = "Guidance: 0 ignores the prompt, 1 follows it, more exaggerates it. The noise is the same."
    cells = [_cell(face, settings, f"{settings.guidance:g}") for face, settings in zip(faces, series, strict=True)]
    return {"title": title, "faces": cells}, status("Done.")


@refusing(outputs=2)
def walk(current: Any, to_prompt: str, to_seed: str) -> tuple[Any, dict[str, str]]:
    """A smooth way from the face on screen to another prompt, another seed, or both -> strip, status.

    Both left empty: a seed drawn at random.
    """
    now, prompt, seed = _settings(current), (to_prompt or "").strip(), (to_seed or "").strip()
    if not seed:
        seed = now.seed if prompt else secrets.randbelow(MAX_SEED + 1)
    to = _read(now.as_record() | {"prompt": prompt or now.prompt, "seed": seed})
    faces = engine.pipeline().walk(now, to, WALK)
    ways = [f'"{prompt}"'] * bool(prompt) + [f"seed {to.seed}"] * (to.seed != now.seed)
    return {
        "title": f"From the face on screen to {' and '.join(ways) or 'itself'}.",
        "kind": "walk",
        "faces": [{"image": jpeg(face)} for face in faces],
    }, status("Done.")


@refusing(outputs=2)
def alike(current: Any, event: gr.EventData) -> tuple[Any, dict[str, str]]:
    """Faces drawn under the CLIP image embedding of {image} -> strip, status."""
    now = replace(_settings(current or DEFAULTS.as_record()), negative_prompt="")
    sent = event._data if isinstance(event._data, dict) else {}
    seeds = [secrets.randbelow(MAX_SEED + 1) for _ in range(ALIKE)]
    faces = engine.pipeline().variations(read_face(file_of(sent.get("image"))), seeds, now)
    cells = [_cell(face, None, f"{index}") | {"kind": "variation"} for index, face in enumerate(faces, 1)]
    return {"title": "Faces that CLIP finds like it. The noise is new.", "faces": cells}, status("Done.")


def _settings(current: Any) -> Settings:
    """Those of the face on screen. Raises InputError where they cannot be used or have too many steps, or there are
    none."""
    if not current:
        raise InputError(
            "This face came from another one and has no settings to change: choose one that was drawn from a prompt."
        )
    settings = _read(current)
    if settings.steps > STEPS:
        raise InputError(
            f"This face was drawn in {settings.steps} steps: with more than {STEPS}, so many faces take too long."
        )
    return settings


def _read(record: Any) -> Settings:
    """A record that must be right in every part. Raises InputError."""
    settings, ignored = Settings.read(record)
    if ignored:
        raise InputError(ignored[0])
    return settings


def _cell(face: Any, settings: Settings | None, caption: str) -> dict[str, Any]:
    return {"image": png(face), "caption": caption, "record": settings and settings.as_record()}
