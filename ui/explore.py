"""One thing changed: an attribute in strengths, the guidance, the way to another prompt; faces more or less alike."""

import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr
import numpy as np

from model import attributes
from model.errors import InputError
from model.images import Frame
from model.settings import DEFAULTS, MAX_AT_ONCE, MAX_SEED, STUDENT, Settings
from ui.frames import file_of, png, read_face
from ui.paint import held, streamer
from ui.runs import LIVE_STEPS, Controls, quick
from ui.server import engine
from ui.status import refusing, status

STRENGTHS = (-2, -1, 0, 1, 2)
GUIDANCES = (0, 1, 2, 4, 8)
# frames of a walk
WALK = 24
# faces like one
ALIKE = 8
MORE = "Faces that CLIP finds like it. The noise is new."
LESS, FAR = "Faces led away from what CLIP sees in it.", "The words are the same, the noise lies on the other side."
# of each of so many faces, at most
STEPS = 100


@refusing(outputs=2)
def strip(current: Any, attribute: str) -> Iterator[tuple[Any, Any]]:
    """The face on screen with one attribute from denied to exaggerated -> strip, status."""
    now = _settings(current)
    others = tuple(edit for edit in now.edits if edit[0] != attribute)
    series = [replace(now, edits=(*others, (attribute, value))) for value in STRENGTHS]
    faces = yield from _drawn(series, _around(current))
    captions = [
        f"{value:+d}" if value else "without" if len(others) < len(now.edits) else "as it is" for value in STRENGTHS
    ]
    title = f"{attributes.label(attribute)}, from denied to exaggerated. The noise is the same."
    yield {"title": title, "faces": list(map(_cell, faces, series, captions)), **_mask(current)}, status("Done.")


@refusing(outputs=2)
def sweep(current: Any) -> Iterator[tuple[Any, Any]]:
    """The face on screen under several strengths of guidance -> strip, status."""
    now = _guidable(_settings(current))
    series = [replace(now, guidance=value) for value in GUIDANCES]
    faces = yield from _drawn(series, _around(current))
    title = "Guidance: 0 ignores the prompt, 1 follows it, more exaggerates it. The noise is the same."
    captions = [f"{settings.guidance:g}" for settings in series]
    yield {"title": title, "faces": list(map(_cell, faces, series, captions)), **_mask(current)}, status("Done.")


@refusing(outputs=2)
def walk(current: Any, to_prompt: str, to_seed: str) -> Iterator[tuple[Any, Any]]:
    """A smooth way from the face on screen to another prompt, another seed, or both -> strip, status.

    Both left empty: a seed drawn at random.
    """
    now, prompt, seed = _settings(current), (to_prompt or "").strip(), (to_seed or "").strip()
    if now.place:
        raise InputError("This face lies on the way between two others: a walk starts from one of the ends.")
    if not seed:
        seed = now.seed if prompt else secrets.randbelow(MAX_SEED + 1)
    to = _read(now.as_record() | {"to_prompt": prompt or now.prompt, "to_seed": seed})
    series = [replace(to, place=index / (WALK - 1)) for index in range(WALK)]
    faces = yield from _drawn(series, _around(current))
    ways = [f'"{prompt}"'] * bool(prompt) + [f"seed {to.to_seed}"] * (to.to_seed != now.seed)
    title = f"From the face on screen to {' and '.join(ways) or 'itself'}."
    cells = [{"image": png(face), "record": place.as_record()} for face, place in zip(faces, series, strict=True)]
    yield {"title": title, "kind": "walk", "faces": cells, **_mask(current)}, status("Done.")


@refusing(outputs=2)
def ideas(*values: Any) -> Iterator[tuple[Any, Any]]:
    """Sixteen faces of what the Controls ask for, drawn fast, each of a seed of its own -> strip, status.

    Each cell's record is that of the whole face.
    """
    asked, pipe = Controls(*values).settings(), engine.pipeline()
    series = [replace(asked, seed=secrets.randbelow(MAX_SEED + 1)) for _ in range(MAX_AT_ONCE)]
    faces = yield from _drawn([quick(pipe, face) for face in series])
    cells = [
        _cell(face, settings, f"{index}") | {"kind": "idea"}
        for index, (face, settings) in enumerate(zip(faces, series, strict=True), 1)
    ]
    yield {"title": "Sixteen seeds, drawn fast. Open one to draw it in full.", "faces": cells}, status("Done.")


@refusing(outputs=2)
def alike(current: Any, event: gr.EventData) -> Iterator[tuple[Any, Any]]:
    """Faces more like {image}, or with {image, less} less like it: see FacePipeline.stream_alike -> strip, status."""
    sent = event._data if isinstance(event._data, dict) else {}
    face, less = read_face(file_of(sent.get("image"))), bool(sent.get("less"))
    now, pipe = replace(_settings(current or DEFAULTS.as_record()), negative_prompt=""), engine.pipeline()
    one = _far(now) if less else replace(now, prompt="", edits=(), to_prompt=None, to_seed=None, place=0)
    series = [replace(one, seed=secrets.randbelow(MAX_SEED + 1)) for _ in range(ALIKE)]
    faces = yield from _drawn(series, partial(pipe.stream_alike, face, away=less))
    cells = [_cell(face, None, f"{index}") | {"kind": "variation"} for index, face in enumerate(faces, 1)]
    told = MORE if not less else f"{LESS} {FAR}" if current else LESS
    yield {"title": told, "faces": cells}, status("Done.")


def _far(now: Settings) -> Settings:
    """A face's words, with noise half-way from another seed's to its own: turned round, it lies on the other side.

    Of a face on a walk, those of the nearer end. Guidance has to lead, so it is no less than the default.
    """
    if now.place > 0.5:
        now = replace(
            now,
            prompt=now.prompt if now.to_prompt is None else now.to_prompt,
            seed=now.seed if now.to_seed is None else now.to_seed,
        )
    guidance = max(now.guidance, DEFAULTS.guidance)
    return replace(_guidable(now), guidance=guidance, to_prompt=None, to_seed=now.seed, place=0.5)


def _guidable(now: Settings) -> Settings:
    """The settings, but with another sampler for the student's, whose guidance is built in."""
    return replace(now, sampler=DEFAULTS.sampler, steps=LIVE_STEPS) if now.sampler == STUDENT else now


def _drawn(
    series: Sequence[Settings], draw: Callable[[Sequence[Settings]], Iterator[list[Frame]]] | None = None
) -> Generator[tuple[Any, Any], None, list[np.ndarray]]:
    """Draw faces as many at once as may be, telling the status line at every quarter; closing it ends the drawing.

    draw: FacePipeline.stream_faces, or another way.
    """
    draw, faces, told = draw or engine.pipeline().stream_faces, [], None
    for start in range(0, len(series), MAX_AT_ONCE):
        part = series[start : start + MAX_AT_ONCE]
        with closing(draw(part)) as steps:
            for frames in steps:
                done = start + len(part) * frames[0].index / frames[0].total
                quarter, last = int(4 * done / len(series)), [frame.denoised for frame in frames]
                yield (
                    gr.skip(),
                    gr.skip() if quarter == told else status(f"Drawing {len(series)} faces: {25 * quarter} %"),
                )
                told = quarter
        faces += last
    return faces


def _settings(current: Any) -> Settings:
    """Those of the face on screen. Raises InputError where they cannot be used or have too many steps, or there are
    none."""
    if not current:
        raise InputError(
            "This face came from another one and has no settings to change: choose one that was drawn from a prompt."
        )
    if isinstance(current, Mapping) and current.get("count", 1) != 1:
        raise InputError("Open one of the faces first: one is changed at a time.")
    settings = _read(held(current)[0])
    if settings.steps > STEPS:
        raise InputError(
            f"This face was drawn in {settings.steps} steps: with more than {STEPS}, so many faces take too long."
        )
    return settings


def _around(current: Any) -> Callable[[Sequence[Settings]], Iterator[list[Frame]]]:
    """How faces like the one on screen are drawn: of a painted one that part alone is drawn anew."""
    return streamer(engine.pipeline(), held(current)[1])


def _mask(current: Any) -> dict[str, str]:
    """What was painted over in the face on screen, so that a face of the strip can be opened with it."""
    _, painting = held(current)
    return {"mask": painting["mask"]} if painting else {}


def _read(record: Any) -> Settings:
    """A record that must be right in every part. Raises InputError."""
    settings, ignored = Settings.read(record)
    if ignored:
        raise InputError(ignored[0])
    return settings


def _cell(face: np.ndarray, settings: Settings | None, caption: str) -> dict[str, Any]:
    return {"image": png(face), "caption": caption, "record": settings and settings.as_record()}
