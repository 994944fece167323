"""The page's runs: the animated one, the quick one of live mode, the enlargement, and the face that is there at the start."""

import functools
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import gradio as gr
import numpy as np
import torch
from PIL import Image

from model import memory
from model.diffusion import alpha_bar
from model.errors import FacetError, InputError
from model.pipeline import MAX_SEED, FacePipeline, Frame, check_settings
from model.settings import DEFAULTS, STUDENT
from ui import record
from ui.badge import badge
from ui.decided import decided, wanted
from ui.frames import file_of, jpeg, messages, png, read_face, sheet
from ui.picker import chosen, combined, parted
from ui.server import engine

COUNTS = (1, 4, 9, 16)
LIVE_STEPS = (
    8  # of live mode where the student cannot serve: at most so many forwards, with all branches of guidance in one
)
FIRST = record.make("a smiling woman with brown hair", seed=7)  # on screen when the page opens
GRADIO_PARAMETERS = ("view", "tab")  # of the address; its others begin with two underscores


def status(text: str = "", kind: str = "") -> dict[str, str]:
    """What the status line shows. kind: "" or "error"."""
    return {"text": text, "kind": kind}


# --- a run ------------------------------------------------------------------------------------------------------------


def draw(
    words: str,
    picks: Any,
    negative: str,
    count: int,
    new_seed: bool,
    seed: float,
    steps: float,
    guidance: float,
    sampler: str,
    picture: Any,
    strength: float,
) -> Iterator[tuple[Any, Any, Any, Any]]:
    """One run -> player, status, seed, record; the parts that do not change are skipped.

    The record is None where a picture was the start, since the settings alone do not make that face.
    """
    same = gr.skip()
    try:
        settings = asked(
            words, picks, negative, secrets.randbelow(MAX_SEED + 1) if new_seed else seed, steps, guidance, sampler
        )
        pipe, start, told, history = engine.pipeline(), time.monotonic(), None, []
        about = about_run(pipe, settings, count, picture)
        with closing(messages(faces(pipe, settings, count, picture, strength), about, influence=True)) as run:
            for message, frames in run:
                first, quarter = told is None, 4 * message["step"] // message["total"]
                history += frames
                if count > 1:
                    del history[:-1]  # of a batch only the end is looked at again
                # A screen reader says each new text, so there is one for every quarter and not one for every step.
                progress = same if quarter == told else status(f"Drawing: {25 * quarter} %")
                told = quarter
                yield (
                    message,
                    progress,
                    message["seed"] if first else same,
                    (None if picture else settings) if first else same,
                )
        yield same, status("Enlarging to 512 pixels" if count == 1 else "Finishing"), same, same
        result = finished(pipe, about["run"], history, wanted(pipe, words, picks))
        done = f"Done in {time.monotonic() - start:.1f} seconds, seed {settings['seed']}. {about['note']} {memory.note(start)}"
        yield result, status(done.strip()), same, same
        if count == 1 and (more := crisp(pipe, history[-1][0].denoised)):  # once the other is on screen
            yield {"run": about["run"], "large": more}, same, same, same
    except FacetError as error:
        yield same, status(str(error), "error"), same, same


def redraw(
    words: str,
    picks: Any,
    negative: str,
    count: int,
    new_seed: bool,
    seed: float,
    steps: float,
    guidance: float,
    sampler: str,
    picture: Any,
    strength: float,
) -> tuple[Any, Any, Any]:
    """Live mode: the same seed under the changed controls, by the student or in a few steps of the default sampler -> player, status, record."""
    try:
        check_settings(seed, steps, sampler, guidance)
        pipe, start = engine.pipeline(), time.monotonic()
        by_student = pipe.student and guidance == DEFAULTS.guidance and not negative and not picture
        settings = asked(
            words,
            picks,
            negative,
            seed,
            min(int(steps), LIVE_STEPS),
            guidance,
            STUDENT if by_student else DEFAULTS.sampler,
        )
        about = about_run(pipe, settings, 1, picture) | {"kind": "live"}
        message, history = in_one(faces(pipe, settings, 1, picture, strength), about)
        message["image"] = png(history[-1][0].denoised)
        done = status(f"Redrawn in {time.monotonic() - start:.1f} seconds. {about['note']}".strip())
        return message, done, None if picture else settings
    except FacetError as error:
        return gr.skip(), status(str(error), "error"), gr.skip()


def enlarge(event: gr.EventData) -> Iterator[tuple[Any, Any, Any]]:
    """A face or frame that was opened, {run, image, record or none, step?} -> player, status, record (None for a frame)."""
    try:
        sent = event._data if isinstance(event._data, dict) else {}
        face = read_face(file_of(sent.get("image")))
        settings = record.read_record(sent["record"])[0] if sent.get("record") and not sent.get("step") else None
        told = f"Step {sent['step']} is the face now." if sent.get("step") else "Enlarged to 512 pixels."
        run, pipe = str(sent.get("run")), engine.pipeline()
        yield {"run": run, "image": png(face), "large": enlargements(pipe, face)}, status(told), settings
        if more := crisp(pipe, face):
            yield {"run": run, "large": more}, gr.skip(), gr.skip()
    except FacetError as error:
        yield gr.skip(), status(str(error), "error"), gr.skip()


# --- its parts --------------------------------------------------------------------------------------------------------


def asked(
    words: str, picks: Any, negative: str, seed: float, steps: float, guidance: float, sampler: str
) -> dict[str, Any]:
    """The record of what the controls ask for. Raises InputError."""
    prompt = combined(words, *chosen(picks))
    seed, steps, sampler, guidance = check_settings(seed, steps, sampler, guidance)
    return record.make(prompt, negative or "", seed, steps, guidance, sampler)


def about_run(pipe: FacePipeline, settings: dict[str, Any], count: int, picture: Any) -> dict[str, Any]:
    """What every message of a run says beside its frames. Raises InputError for a count that is not offered."""
    if count not in COUNTS:
        raise InputError(f"The number of faces must be one of {', '.join(map(str, COUNTS))}, not {count!r}.")
    return {
        "run": secrets.token_hex(8),
        "count": count,
        "record": settings,
        "seed": settings["seed"],
        "seeds": seeds(settings["seed"], count),
        "kind": "picture" if picture else "",
        "note": note(pipe, settings),
    }


def note(pipe: FacePipeline, settings: dict[str, Any]) -> str:
    """One line if a prompt is too long, else ""."""
    negative = pipe.prompt_note(settings["negative_prompt"]).replace("The prompt", "The negative prompt")
    return " ".join(filter(None, (pipe.prompt_note(settings["prompt"]), negative)))


def seeds(first: int, count: int) -> list[int]:
    """The seeds of a batch: one after the other, beginning again at 0 behind the largest."""
    return [(first + index) % (MAX_SEED + 1) for index in range(count)]


def faces(
    pipe: FacePipeline, settings: dict[str, Any], count: int = 1, picture: Any = None, strength: float = 0.6
) -> Iterator[Sequence[Frame]]:
    """The frames of a run, one per face and step. picture: a data URI to start from; strength: how much of it changes."""
    options = {name: settings[name] for name in ("negative_prompt", "steps", "guidance", "sampler")}
    if picture:
        options |= {"start_from": read_face(file_of(picture)), "strength": strength}
    return pipe.stream_many([settings["prompt"]] * count, seeds(settings["seed"], count), **options)


def in_one(steps: Iterator[Sequence[Frame]], about: dict[str, Any]) -> tuple[dict[str, Any], list[Sequence[Frame]]]:
    """A whole run as one message, which holds every frame, and its frames."""
    parts = list(messages(steps, about, influence=True))
    message = parts[-1][0] | {"frames": [frame for part, _ in parts for frame in part["frames"]]}
    return message, [frames for _, held in parts for frames in held]


def finished(
    pipe: FacePipeline, run: str, history: Sequence[Sequence[Frame]], asked_for: Mapping[str, bool]
) -> dict[str, Any]:
    """The last message of a run: the finished picture; of a single face also its enlargements and when it was decided."""
    last = [frame.denoised for frame in history[-1]]
    message = {"run": run, "image": png(sheet(last))}
    if len(last) > 1:
        return message
    return {
        **message,
        "large": enlargements(pipe, last[0]),
        "decided": decided(pipe, [frames[0] for frames in history], asked_for),
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


# --- when the page opens ----------------------------------------------------------------------------------------------

_opening = threading.Lock()


def opening() -> dict[str, Any]:
    """A whole run in one message, made once per pipeline: the first thing a visitor sees. Raises FacetError."""
    with _opening:
        return _run_of(engine.pipeline())


@functools.lru_cache(maxsize=1)
def _run_of(pipe: FacePipeline) -> dict[str, Any]:
    about = about_run(pipe, FIRST, 1, None) | {"run": "opening", "kind": "opening"}
    message, history = in_one(faces(pipe, FIRST), about)
    message |= finished(pipe, "opening", history, wanted(pipe, FIRST["prompt"], None))
    return message | {"large": message["large"] | crisp(pipe, history[-1][0].denoised)}


def warm_up() -> None:
    """Load the pipeline and draw the first face, so that no visitor waits for either."""
    try:
        opening()
    except FacetError as error:
        print(error, flush=True)


def greet(request: gr.Request) -> tuple[Any, ...]:
    """The page opens -> badge, player, status, record, then the controls (see `restored`): from the address, or as they are."""
    asked_for = {
        name: value
        for name, value in request.query_params.items()
        if not name.startswith("__") and name not in GRADIO_PARAMETERS
    }
    try:
        first = opening()
    except FacetError as error:
        return "", gr.skip(), status(str(error), "error"), gr.skip(), *restored(asked_for)[:-1]
    *controls, ignored = restored(asked_for)
    if not asked_for:
        return badge(), first, status(engine.notice), FIRST, *[gr.skip() for _ in controls]
    if ignored:
        return badge(), first, status(f"Ignored in the link: {' '.join(ignored)}"), FIRST, *controls
    return (
        badge(),
        first,
        status(engine.notice) | {"go": "seed" in asked_for},
        FIRST,
        *controls,
    )  # a whole link draws its face at once


def restored(values: Any) -> tuple[Any, ...]:
    """A record from a link, a PNG or the gallery -> words, picks, negative prompt, new seed, seed, steps, guidance, sampler,
    and the list of what was ignored."""
    found, ignored = record.read_record(values)
    words, present, absent = parted(found["prompt"])
    new_seed = not (isinstance(values, dict) and "seed" in values)
    return (
        words,
        {"present": present, "absent": absent},
        found["negative_prompt"],
        new_seed,
        found["seed"],
        found["steps"],
        found["guidance"],
        found["sampler"],
        ignored,
    )


def restore(event: gr.EventData) -> tuple[Any, ...]:
    """Settings that a PNG or the gallery brought, {record, from} -> status, then the controls."""
    sent = event._data if isinstance(event._data, dict) else {}
    *controls, ignored = restored(sent.get("record"))
    told = f"Settings restored{' from the picture' if sent.get('from') == 'png' else ''}."
    return status(f"{told} Ignored: {' '.join(ignored)}" if ignored else told), *controls
