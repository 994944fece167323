"""The page's runs: the animated one, the quick one of live mode, and the enlargement."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import torch
from PIL import Image

from model.device import full_note
from model.diffusion import alpha_bar
from model.errors import FacetError, InputError
from model.pipeline import FacePipeline, Frame
from model.settings import DEFAULTS, MAX_SEED, STUDENT, Settings
from ui.frames import file_of, heat, in_time, jpeg, messages, png, read_face, sheet
from ui.onsets import onsets, wanted
from ui.paint import PAINTING, painted, painting_of, streamer
from ui.picker import chosen, combined
from ui.server import engine
from ui.status import refusing, status

COUNTS = (1, 4, 9, 16)
# seeds that a new one is chosen from
BEST_OF = 4
# Of live mode where the student cannot serve: at most so many forwards, with all branches of guidance in one.
LIVE_STEPS = 8


class Controls(NamedTuple):
    """The page's controls, as a browser sent them, in the order in which events get them."""

    words: Any = ""
    # see picker.chosen
    picks: Any = None
    negative: Any = ""
    # faces, one of COUNTS
    count: Any = 1
    new_seed: Any = False
    seed: Any = DEFAULTS.seed
    steps: Any = DEFAULTS.steps
    guidance: Any = DEFAULTS.guidance
    sampler: Any = DEFAULTS.sampler
    # a data URI to start from
    picture: Any = None
    # how much of the picture changes
    strength: Any = 0.6
    # edits and the place on a walk, as a record holds them
    changes: Any = None
    # choose a new seed among BEST_OF
    best: Any = False
    # a face and the part of it to draw anew, see paint.painted
    painting: Any = None

    def settings(self) -> Settings:
        """What they ask for, with the seed that is there. Raises InputError."""
        prompt = combined(self.words, *chosen(self.picks))
        plain = Settings(prompt, self.negative or "", self.seed, self.steps, self.sampler, self.guidance)
        changes, ignored = Settings.read(self.changes)
        if ignored:
            raise InputError(ignored[0])
        return replace(plain, **{name: getattr(changes, name) for name in Settings.CHANGES})


# --- events -----------------------------------------------------------------------------------------------------------


@refusing(outputs=4)
def animate(*values: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
    """One run of the Controls -> player, status, seed, record; the parts that do not change are skipped.

    The record is None where a picture was the start, since the settings alone do not make that face; that of a painted
    face holds its painting.
    """
    same, controls = gr.skip(), Controls(*values)
    start, told, history, chosen_of = time.monotonic(), None, [], ""
    if controls.new_seed:
        controls = controls._replace(seed=secrets.randbelow(MAX_SEED + 1))
    # What cannot be drawn is refused before the weights are loaded.
    settings, pipe = controls.settings(), engine.pipeline()
    if controls.new_seed and controls.best and can_choose(pipe, controls):
        yield same, status(f"Choosing among {BEST_OF} seeds"), same, same
        settings = replace(settings, seed=pipe.best_seed(settings, seeds(settings.seed, BEST_OF)))
        chosen_of = f" (best of {BEST_OF})"
    about = about_run(pipe, settings, controls)
    with closing(messages(stream(pipe, settings, controls), about, influence=from_picture(controls))) as run:
        for message, frames in run:
            first, quarter = told is None, 4 * message["step"] // message["total"]
            history += frames
            if controls.count > 1:
                # of a batch only the end is looked at again
                del history[:-1]
            # A screen reader says each new text, so there is one for every quarter and not one for every step.
            progress = same if quarter == told else status(f"Drawing: {25 * quarter} %")
            told = quarter
            yield message, progress, message["seed"] if first else same, kept(settings, controls) if first else same
    yield same, status("Enlarging to 512 pixels" if controls.count == 1 else "Finishing"), same, same
    result = finished(pipe, about["run"], history, wanted(pipe, controls.words, controls.picks))
    what = f", seed {settings.seed}{chosen_of}." if controls.count == 1 else ". Open one to see it large."
    done = f"Done in {time.monotonic() - start:.1f} s{what}"
    yield result, status(f"{done} {about['note']} {full_note(start)}".strip()), same, same
    # the crisp one once the other is on screen
    if controls.count == 1 and (more := crisp(pipe, history[-1][0].denoised)):
        yield {"run": about["run"], "large": more}, same, same, same


def can_choose(pipe: FacePipeline, controls: Controls) -> bool:
    """Whether the student's preview tells which seed is best: of one face, from noise, without new noise on the way."""
    one, from_noise = controls.count == 1, not controls.picture and not controls.painting
    return pipe.chooses_seeds and one and from_noise and controls.sampler != "ddpm"


def offer_choice() -> Any:
    """The checkbox "Best of several seeds" is there where the weights have what it needs."""
    try:
        pipe = engine.pipeline()
    except FacetError:
        # the status line says so
        return gr.skip()
    return gr.update(visible=pipe.chooses_seeds)


@refusing(outputs=3)
def redraw(*values: Any) -> tuple[Any, Any, Any]:
    """Live mode: the Controls' own seed, by the student or in a few steps of the default sampler -> player, status,
    record. The whole face is drawn, whatever is painted."""
    controls, start = Controls(*values)._replace(painting=None), time.monotonic()
    settings, pipe = controls.settings(), engine.pipeline()
    settings = quick(pipe, settings, controls.picture)
    about = about_run(pipe, settings, controls) | {"kind": "live"}
    message, history = in_one(stream(pipe, settings, controls), about)
    message["image"] = png(sheet([frame.denoised for frame in history[-1]]))
    done = f"Redrawn in {time.monotonic() - start:.1f} seconds. {about['note']}"
    return message, status(done.strip()), kept(settings, controls)


@refusing(outputs=3)
def enlarge(event: gr.EventData) -> Iterator[tuple[Any, Any, Any]]:
    """An opened face or frame, {run, image, record or none, step?, mask?} -> player, status, record (None for a
    frame)."""
    sent = event._data if isinstance(event._data, dict) else {}
    face = read_face(file_of(sent.get("image")))
    record = None
    if sent.get("record") and not sent.get("step"):
        record = Settings.read(sent["record"])[0].as_record()
        record |= {PAINTING: painting_of(face, sent["mask"])} if sent.get("mask") else {}
    told = f"Step {sent['step']} is the face now." if sent.get("step") else "Enlarged to 512 pixels."
    run, pipe = str(sent.get("run")), engine.pipeline()
    yield {"run": run, "image": png(face), "large": enlargements(pipe, face)}, status(told), record
    if more := crisp(pipe, face):
        yield {"run": run, "large": more}, gr.skip(), gr.skip()


@refusing(outputs=2)
def influence(event: gr.EventData) -> tuple[Any, Any]:
    """Where the prompt acts at each step of a run, {run, record, count}: drawn again to be seen -> player, status."""
    sent = event._data if isinstance(event._data, dict) else {}
    if not isinstance(sent.get("record"), dict):
        raise InputError("No settings make this face again, so it cannot be seen where the prompt acts.")
    settings, count, start = Settings.read(sent["record"])[0], counted(sent.get("count")), time.monotonic()
    faces, shown = side_by_side(settings, count), []
    with closing(engine.pipeline().stream_faces(faces, influence=True)) as steps:
        for frames in steps:
            shown.append(jpeg(sheet([heat(frame) for frame in frames])))
            in_time(start, frames[0])
    return {"run": str(sent.get("run")), "influence": shown}, status("Bright: where the prompt acts.")


# --- their parts ------------------------------------------------------------------------------------------------------


def about_run(pipe: FacePipeline, settings: Settings, controls: Controls) -> dict[str, Any]:
    """What every message of a run says beside its frames. Raises InputError for a count that is not offered."""
    return {
        "run": secrets.token_hex(8),
        "count": counted(controls.count),
        "record": settings.as_record(),
        "seed": settings.seed,
        "seeds": seeds(settings.seed, controls.count),
        "kind": "painted" if controls.painting else "picture" if controls.picture else "",
        "note": note(pipe, settings),
    }


def counted(count: Any) -> int:
    """The number of faces, as a whole number. Raises InputError for one that is not offered."""
    if count not in COUNTS:
        raise InputError(f"The number of faces must be one of {', '.join(map(str, COUNTS))}, not {count!r}.")
    # JSON's 4.0 is one of them
    return int(count)


def quick(pipe: FacePipeline, settings: Settings, picture: Any = None) -> Settings:
    """The same face drawn fast: by the student where it can, else in at most LIVE_STEPS of the default sampler."""
    plain = settings.guidance == DEFAULTS.guidance and not settings.negative_prompt and not picture
    by_student = pipe.student is not None and plain
    return replace(settings, sampler=STUDENT if by_student else DEFAULTS.sampler, steps=min(settings.steps, LIVE_STEPS))


def from_picture(controls: Controls) -> bool:
    """Whether a run changes a picture: its frames bring their influence, since no record makes them again."""
    return bool(controls.painting or controls.picture)


def kept(settings: Settings, controls: Controls) -> dict[str, Any] | None:
    """The record of a run's face, with its painting where it has one; none where a picture is the start."""
    if controls.painting:
        face, _, _ = painted(controls.painting)
        return settings.as_record() | {PAINTING: painting_of(face, controls.painting["mask"])}
    return None if controls.picture else settings.as_record()


def note(pipe: FacePipeline, settings: Settings) -> str:
    """One line if a prompt is too long, else ""."""
    negative = pipe.prompt_note(settings.negative_prompt).replace("The prompt", "The negative prompt")
    return " ".join(filter(None, (pipe.prompt_note(settings.prompt), negative)))


def seeds(first: int, count: int) -> list[int]:
    """The seeds of a batch: one after the other, beginning again at 0 behind the largest."""
    return [(first + index) % (MAX_SEED + 1) for index in range(count)]


def side_by_side(settings: Settings, count: int) -> list[Settings]:
    """The faces of a run."""
    return [replace(settings, seed=seed) for seed in seeds(settings.seed, count)]


def stream(pipe: FacePipeline, settings: Settings, controls: Controls) -> Iterator[list[Frame]]:
    """The frames of a run: a list of one per face after every step."""
    faces = side_by_side(settings, controls.count)
    if controls.painting or not controls.picture:
        return streamer(pipe, controls.painting)(faces)
    return pipe.stream_faces(faces, read_face(file_of(controls.picture)), controls.strength, influence=True)


def in_one(steps: Iterator[Sequence[Frame]], about: dict[str, Any]) -> tuple[dict[str, Any], list[Sequence[Frame]]]:
    """A whole run as one message, which holds every frame, and its frames."""
    parts = list(messages(steps, about))
    message = parts[-1][0] | {"frames": [frame for part, _ in parts for frame in part["frames"]]}
    return message, [frames for _, held in parts for frames in held]


def finished(
    pipe: FacePipeline, run: str, history: Sequence[Sequence[Frame]], asked: Mapping[str, bool]
) -> dict[str, Any]:
    """The last message of a run: the finished picture; of a single face also its enlargements and attributes' onsets.

    asked: see onsets.wanted.
    """
    last = [frame.denoised for frame in history[-1]]
    message = {"run": run, "image": png(sheet(last))}
    if len(last) > 1:
        return message
    return {
        **message,
        "large": enlargements(pipe, last[0]),
        "decided": onsets(pipe, [frames[0] for frames in history], asked),
    }


def enlargements(pipe: FacePipeline, face: np.ndarray) -> dict[str, str]:
    """A face (64, 64, 3) at 512 x 512 pixels, by SRResNet and by bicubic interpolation, as data URIs."""
    large = pipe.upscale(face[None])[0]
    bicubic = Image.fromarray(face).resize(large.shape[1::-1], Image.Resampling.BICUBIC)
    return {"srresnet": jpeg(large, 95), "bicubic": jpeg(np.asarray(bicubic), 95)}


def crisp(pipe: FacePipeline, face: np.ndarray) -> dict[str, str]:
    """The same by the crisp SRResNet, which invents the finest detail; nothing if there is none."""
    return {"crisp": jpeg(pipe.upscale(face[None], crisp=True)[0], 95)} if pipe.crisp else {}


def schedule(points: int = 49) -> list[float]:
    """Noise levels at evenly spaced times from 1 down to 0, for the player's curve."""
    return [round(float(level), 4) for level in (1 - alpha_bar(torch.linspace(1, 0, points))).sqrt()]
