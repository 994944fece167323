"""What is there when the page opens, and what links, PNG files and the gallery bring back into the controls."""

import functools
import threading
from typing import Any

import gradio as gr

from model.errors import FacetError, InputError
from model.pipeline import FacePipeline
from model.settings import Settings
from model.words import tables
from ui.badge import badge
from ui.metadata import settings_in
from ui.onsets import wanted
from ui.picker import parted
from ui.runs import Controls, about_run, crisp, finished, in_one, stream
from ui.server import engine
from ui.server.start import give_back_memory
from ui.status import status

# on screen when the page opens
FIRST = Settings("a smiling woman with brown hair", seed=14)
_drawing = threading.Lock()


def opening() -> dict[str, Any]:
    """A whole run in one message, made once per pipeline: the first thing a visitor sees. Raises FacetError."""
    with _drawing:
        return _run_of(engine.pipeline())


@functools.lru_cache(maxsize=1)
def _run_of(pipe: FacePipeline) -> dict[str, Any]:
    about = about_run(pipe, FIRST, Controls()) | {"run": "opening", "kind": "opening"}
    message, history = in_one(stream(pipe, FIRST, Controls()), about)
    message |= finished(pipe, "opening", history, wanted(pipe, FIRST.prompt, None))
    return message | {"large": message["large"] | crisp(pipe, history[-1][0].denoised)}


def warm_up() -> None:
    """Load the pipeline, draw the first face and make ready for every language, so that no visitor waits for that."""
    try:
        opening()
        tables.compile_parts()
        give_back_memory()
    except (FacetError, OSError) as error:
        # the system's, for instance, where it gives out no more descriptors
        print(error, flush=True)


def greet(request: gr.Request) -> tuple[Any, ...]:
    """The page opens -> badge, player, status, record, controls (see `restored`): the address's, or as they are."""
    # Others' parameters (fbclid, utm_source, gradio's own) say nothing of a face.
    asked = {
        name: value for name, value in request.query_params.items() if name in (*Settings.RECORDED, *Settings.CHANGES)
    }
    *controls, ignored = restored(asked)
    try:
        first = opening()
    except FacetError as error:
        return "", gr.skip(), status(str(error), "error"), gr.skip(), *controls
    shown = badge(), first
    if not asked:
        # The box says what is on screen, and Generate draws another one like it.
        words, picks, negative, _, *numbers, _ = restored(FIRST.as_record())
        return *shown, status(engine.notice), FIRST.as_record(), words, picks, negative, True, *numbers
    if ignored:
        return *shown, status(f"Ignored in the link: {' '.join(ignored)}"), FIRST.as_record(), *controls
    # A whole link draws its face at once.
    return *shown, status(engine.notice) | {"go": "seed" in asked}, FIRST.as_record(), *controls


def restored(record: Any) -> tuple[Any, ...]:
    """A record from a link, a PNG or the gallery -> words, picks, negative prompt, new seed, seed, steps, guidance,
    sampler, changes (edits and walk), and the list of what was ignored."""
    settings, ignored = Settings.read(record)
    words, present, absent = parted(settings.prompt)
    picks, new_seed = {"present": present, "absent": absent}, not (isinstance(record, dict) and "seed" in record)
    numbers = settings.seed, settings.steps, settings.guidance, settings.sampler
    return words, picks, settings.negative_prompt, new_seed, *numbers, settings.changes(), ignored


def restore(event: gr.EventData) -> tuple[Any, ...]:
    """The gallery's settings, {record}, or the texts of a PNG, {texts, others, from: "png"} -> status, controls."""
    sent = event._data if isinstance(event._data, dict) else {}
    values, lost, whose = sent.get("record"), [], ""
    try:
        if "texts" in sent:
            values, lost, whose = settings_in(sent["texts"], sent.get("others"))
    except InputError as error:
        return status(str(error), "error"), *[gr.skip() for _ in range(9)]
    *controls, ignored = restored(values)
    ignored = [*ignored, *lost]
    by = f" of {whose}" if whose else ""
    told = f"Settings restored{f' from the picture{by}' if sent.get('from') == 'png' else ''}."
    line = status(f"{told} Ignored: {' '.join(ignored)}" if ignored else told)
    return line | {"go": sent.get("from") == "idea", "redraw": sent.get("from") == "cross"}, *controls
