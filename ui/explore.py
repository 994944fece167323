"""Same noise, one thing changed: an attribute in strengths, the guidance, the way to another prompt, faces alike."""

import secrets
from collections.abc import Mapping
from typing import Any

import gradio as gr

from model import attributes
from model.errors import FacetError, InputError
from model.pipeline import MAX_SEED
from model.settings import DEFAULTS, STUDENT
from ui import record
from ui.draw import LIVE_STEPS, status
from ui.frames import file_of, jpeg, png, read_face
from ui.server import engine

STRENGTHS = (-2, -1, 0, 1, 2)
GUIDANCES = (0, 1, 2, 4, 8)
WALK = 24  # frames of a walk
ALIKE = 8  # faces like one
STEPS = 100  # the most for each of so many faces: nothing stops them halfway


def strip(current: Any, attribute: str) -> tuple[Any, dict[str, str]]:
    """The face on screen with one attribute from denied to exaggerated -> strip, status."""

    def make() -> dict[str, Any]:
        now = _now(current)
        faces = engine.pipeline().strengths(now["prompt"], attribute, now["seed"], values=STRENGTHS, **_settings(now))
        shown = [
            _cell(face, None, f"{value:+d}") if value else _cell(face, now, "as it is")
            for face, value in zip(faces, STRENGTHS, strict=True)
        ]  # only the one in the middle has settings that make it
        return {
            "title": f"{attributes.label(attribute)}, from denied to exaggerated. The noise is the same.",
            "faces": shown,
        }

    return _told(make)


def sweep(current: Any) -> tuple[Any, dict[str, str]]:
    """The face on screen under several strengths of guidance -> strip, status."""

    def make() -> dict[str, Any]:
        now = _now(current)
        if now["sampler"] == STUDENT:  # its guidance is built in
            now |= {"sampler": DEFAULTS.sampler, "steps": LIVE_STEPS}
        settings = _settings(now)
        settings.pop("guidance")
        faces = engine.pipeline().guidances(now["prompt"], now["seed"], GUIDANCES, **settings)
        shown = [
            _cell(face, {**now, "guidance": float(value)}, f"{value}")
            for face, value in zip(faces, GUIDANCES, strict=True)
        ]
        return {
            "title": "Guidance: 0 ignores the prompt, 1 follows it, more exaggerates it. The noise is the same.",
            "faces": shown,
        }

    return _told(make)


def walk(current: Any, to_prompt: str, to_seed: str) -> tuple[Any, dict[str, str]]:
    """A smooth way from the face on screen to another prompt, another seed, or both -> strip, status.

    Both left empty: a seed drawn at random.
    """

    def make() -> dict[str, Any]:
        now, prompt, seed = _now(current), (to_prompt or "").strip(), (to_seed or "").strip()
        to = {**now, "prompt": prompt or now["prompt"]}
        if seed:
            to, ignored = record.read_record({**to, "seed": seed})
            if ignored:
                raise InputError(ignored[0])
        elif not prompt:
            to["seed"] = secrets.randbelow(MAX_SEED + 1)
        faces = engine.pipeline().walk((now["prompt"], to["prompt"]), (now["seed"], to["seed"]), WALK, **_settings(now))
        ways = [f'"{prompt}"'] * bool(prompt) + [f"seed {to['seed']}"] * (to["seed"] != now["seed"])
        return {
            "title": f"From the face on screen to {' and '.join(ways) or 'itself'}.",
            "kind": "walk",
            "faces": [{"image": jpeg(face)} for face in faces],
        }

    return _told(make)


def alike(current: Any, event: gr.EventData) -> tuple[Any, dict[str, str]]:
    """Faces drawn under the CLIP image embedding of {image} -> strip, status."""

    def make() -> dict[str, Any]:
        now, sent = _now(current or record.DEFAULT), event._data if isinstance(event._data, dict) else {}
        seeds = [secrets.randbelow(MAX_SEED + 1) for _ in range(ALIKE)]
        settings = _settings(now)
        settings.pop("negative_prompt")
        faces = engine.pipeline().variations(read_face(file_of(sent.get("image"))), seeds, **settings)
        return {
            "title": "Faces that CLIP finds like it. The noise is new.",
            "faces": [_cell(face, None, f"{index}") | {"kind": "variation"} for index, face in enumerate(faces, 1)],
        }

    return _told(make)


def _told(make: Any) -> tuple[Any, dict[str, str]]:
    try:
        return make(), status("Done.")
    except FacetError as error:
        return gr.skip(), status(str(error), "error")


def _now(current: Any) -> dict[str, Any]:
    """The record of the face on screen. Raises InputError for one that cannot be used or has too many steps, or if there is none."""
    if not current:
        raise InputError(
            "This face came from another one and has no settings to change: choose one that was drawn from a prompt."
        )
    found, ignored = record.read_record(current)
    if ignored:
        raise InputError(ignored[0])
    if found["steps"] > STEPS:
        raise InputError(
            f"This face was drawn in {found['steps']} steps: with more than {STEPS}, so many faces take too long."
        )
    return found


def _settings(now: Mapping[str, Any]) -> dict[str, Any]:
    return {name: now[name] for name in ("steps", "sampler", "guidance", "negative_prompt")}


def _cell(face: Any, settings: Mapping[str, Any] | None, caption: str) -> dict[str, Any]:
    return {"image": png(face), "caption": caption, "record": settings}
