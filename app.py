"""The web page and its API: layout and wiring only. What draws the faces is model/, what the browser runs is assets/."""

import base64
import functools
import io
import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # also stops gradio from asking PyPI for newer versions

import gradio as gr
import numpy as np
from PIL import Image, ImageOps

from model import attributes
from model.errors import FacetError, InputError
from model.pipeline import DEFAULTS, MAX_STEPS, FacePipeline, check_settings

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
QUEUE = {"max_size": 32}     # more visitors than this are told to come back
MODEL = {"concurrency_id": "model", "concurrency_limit": 2}  # events that run the networks, together
MESSAGES_PER_SECOND = 15     # the server never drops a message, so it must not send more than a browser can take
DEADLINE = 120.0             # seconds one run may take
LARGEST_UPLOAD = 4096        # pixels a side, for /upscale

SAMPLERS = [("DPM-Solver++ (fewest steps)", "dpmpp"), ("DDIM (plain, few steps)", "ddim"), ("DDPM (the original, 100 steps)", "ddpm")]
PROMPT_NOTES = {"empty": "No boxes, no words: any face may come.",
                "boxes": "The ticked boxes wrote this prompt.",
                "edited": "Edited by hand: these words count, not the boxes. Ticking a box rewrites them."}


# --- the pipeline -----------------------------------------------------------------------------------------------------

_load = functools.cache(FacePipeline.from_pretrained)
_loading = threading.Lock()


def pipeline() -> FacePipeline:
    """The one pipeline, loaded by whoever asks first. Raises WeightsError each time until the weights can be read."""
    with _loading:
        return _load(os.environ.get("FACET_WEIGHTS") or str(HERE / "weights"))


def warm_up() -> None:
    """Load the pipeline and run it once, so that the first visitor does not wait for it."""
    try:
        list(pipeline().stream("", steps=1))
    except FacetError as error:
        print(error)


# --- frames as messages -----------------------------------------------------------------------------------------------


def jpeg(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 -> a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def messages(pipe: FacePipeline, prompt: str, seed: int, negative_prompt: str = "", **settings: Any) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Run the sampler; yield (JSON-able message, the face so far), at most MESSAGES_PER_SECOND, the first at once.

    A message's `frames` hold every frame since the message before, so none is lost. Closing this generator ends the run.
    """
    start, sent, waiting = time.monotonic(), 0.0, []
    with closing(pipe.stream(prompt, seed=seed, negative_prompt=negative_prompt, **settings)) as frames:
        notes = pipe.prompt_note(prompt), pipe.prompt_note(negative_prompt).replace("The prompt", "The negative prompt")
        about = {"seed": int(seed), "note": " ".join(filter(None, notes))}
        for frame in frames:
            waiting.append({"step": frame.index, "noise_level": round(frame.noise_level, 4),
                            "denoised": jpeg(frame.denoised), "noisy": jpeg(frame.noisy)})
            now, last = time.monotonic(), frame.index == frame.total
            if last or now - sent >= 1 / MESSAGES_PER_SECOND:
                yield {"step": frame.index, "total": frame.total, "noise_level": waiting[-1]["noise_level"], **about,
                       "frames": waiting}, frame.denoised
                sent, waiting = now, []
            if now - start > DEADLINE and not last:
                raise InputError(f"Stopped at step {frame.index} of {frame.total}: a run may take {DEADLINE:.0f} seconds. Use fewer steps.")


# --- the API ----------------------------------------------------------------------------------------------------------


def generate(prompt: str, negative_prompt: str = "", seed: int = 0, steps: int = DEFAULTS.steps,
             guidance: float = DEFAULTS.guidance, sampler: str = DEFAULTS.sampler) -> Iterator[dict[str, Any]]:
    """Draw one 64 x 64 face from a prompt and stream every step.

    Each message is a dict: `step` of `total`, `noise_level` (1 is pure noise, 0 none), `seed`, `note` (empty, or one line saying
    that the prompt was too long and was cut), and `frames`, a list of every step since the message before. A frame is a dict of
    `step`, `noise_level`, `denoised` (the face as predicted at this step) and `noisy` (the image the step works on), both JPEG
    data URIs. The last frame's `denoised` is the finished face. The same prompt, seed and settings give the same face.

    An empty prompt gives any face. sampler: "dpmpp", "ddim" or "ddpm". guidance: 0 ignores the prompt, 1 follows it, more exaggerates it.
    """
    try:
        check_settings(seed, steps, sampler, guidance)
        with closing(messages(pipeline(), prompt, seed, negative_prompt, steps=steps, sampler=sampler, guidance=guidance)) as run:
            yield from (message for message, _ in run)
    except FacetError as error:
        raise gr.Error(str(error), print_exception=False) from None


def upscale(image: str | None) -> Image.Image:
    """Enlarge a face to 512 x 512 pixels. Any image is first cut to its middle square and shrunk to 64 x 64."""
    try:
        with Image.open(image or "") as opened:
            if max(opened.size) > LARGEST_UPLOAD:
                raise gr.Error(f"The image is larger than {LARGEST_UPLOAD} pixels a side: shrink it first.", print_exception=False)
            face = ImageOps.fit(ImageOps.exif_transpose(opened).convert("RGB"), (64, 64), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # all that Pillow raises for files it cannot read
        raise gr.Error("This is not an image that can be read: send a PNG, JPEG or WebP file.", print_exception=False) from None
    try:
        return Image.fromarray(pipeline().upscale(np.asarray(face)[None])[0])
    except FacetError as error:
        raise gr.Error(str(error), print_exception=False) from None


# --- the page's events ------------------------------------------------------------------------------------------------


def status(text: str = "", kind: str = "") -> dict[str, str]:
    return {"text": text, "kind": kind}


def tick(*ticked: list[str]) -> tuple[Any, Any, dict[str, str]]:
    """The boxes changed -> prompt, the same text again to know later whether it was edited, status."""
    try:
        prompt = attributes.attributes_to_prompt(flat(ticked))
    except InputError as error:
        return gr.skip(), gr.skip(), status(str(error), "error")
    return prompt, prompt, status()


def flat(ticked: Iterable[list[str]]) -> list[str]:
    return [attribute for group in ticked for attribute in group or []]


def draw(prompt: str, made: str, negative_prompt: str, new_seed: bool, seed: float, steps: float, guidance: float, sampler: str,
         *ticked: list[str]) -> Iterator[tuple[Any, Any, Any, Any]]:
    """One run -> player, status, seed, 512 px image; the parts that do not change are skipped."""
    same = gr.skip()
    try:
        if prompt == made:  # not edited. A tick may still be on its way here, so ask the boxes themselves
            prompt = attributes.attributes_to_prompt(flat(ticked))
        seed = secrets.randbelow(2**32) if new_seed else seed
        check_settings(seed, steps, sampler, guidance)
        pipe, start, quarter = pipeline(), time.monotonic(), 0
        with closing(messages(pipe, prompt, seed, negative_prompt, steps=steps, sampler=sampler, guidance=guidance)) as run:
            for message, face in run:
                first, passed = not quarter, 1 + 4 * message["step"] // message["total"]
                # Screen readers hear each new text, so there are four of them and not one per step.
                progress = status(f"Drawing: {25 * (passed - 1)} %") if passed > quarter else same
                quarter = passed
                yield message, progress, int(seed) if first else same, None if first else same
        yield same, status("Enlarging to 512 pixels"), same, same
        large = pipe.upscale(face[None])[0]
        done = f"Done in {time.monotonic() - start:.1f} seconds. {message['note']}"
        yield same, status(done.strip()), same, large
    except FacetError as error:
        yield same, status(str(error), "error"), same, same


def greet() -> dict[str, str]:
    """Said when the page opens: nothing, or why it cannot draw."""
    try:
        pipeline()
    except FacetError as error:
        return status(str(error), "error")
    return status()


# --- layout -----------------------------------------------------------------------------------------------------------


def asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


# What launch() needs; kept together so that tests and hosts which launch `demo` themselves can pass the same.
LAUNCH: dict[str, Any] = {
    "theme": gr.themes.Base(primary_hue="teal", neutral_hue="stone", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    "css": asset("page.css"), "js": asset("page.js"), "favicon_path": ASSETS / "favicon.svg", "footer_links": ["api"],
    "run_history": False, "enable_monitoring": False, "max_file_size": "5mb", "ssr_mode": False}

with gr.Blocks(title="Facet: faces from noise", analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
    gr.HTML("<h1>Facet</h1><p>Say what a face should look like and watch it emerge from noise, step by step.</p>", elem_id="title")
    with gr.Row(elem_id="columns"):
        with gr.Column(elem_id="controls", min_width=0):
            prompt = gr.Textbox("", label="Prompt", lines=3, max_lines=6, elem_id="prompt", placeholder="A smiling woman with blond hair",
                                html_attributes=gr.InputHTMLAttributes(spellcheck=False))
            prompt_note = gr.HTML(PROMPT_NOTES["empty"], elem_id="prompt-note")
            with gr.Row(elem_id="buttons"):
                generate_button = gr.Button("Generate", variant="primary", elem_id="generate")
                stop_button = gr.Button("Stop", elem_id="stop", interactive=False)
            line = gr.HTML(status(), html_template='<p role="status" aria-live="polite"></p>', js_on_load=asset("status.js"), elem_id="status")
            boxes = [gr.CheckboxGroup([(attributes.label(name), name) for name in names], label=heading, elem_classes="attributes")
                     for heading, names in attributes.groups().items()]
            with gr.Accordion("More settings", open=False, elem_id="settings"):
                negative = gr.Textbox("", label="Negative prompt", info="What the face should not have.", lines=2, elem_id="negative")
                new_seed = gr.Checkbox(True, label="A new seed for every face")
                seed = gr.Number(7, label="Seed", info="The same seed and settings give the same face.", minimum=0, maximum=2**32 - 1)
                steps = gr.Slider(1, MAX_STEPS, DEFAULTS.steps, step=1, label="Steps")
                guidance = gr.Slider(0, 20, DEFAULTS.guidance, step=0.1, label="Guidance", info="How strictly to follow the prompt: 0 ignores it, 1 follows it, more exaggerates it.")
                sampler = gr.Radio(SAMPLERS, value=DEFAULTS.sampler, label="Sampler")
        player = gr.HTML(None, html_template=asset("player.html"), css_template=asset("player.css"), js_on_load=asset("player.js"), elem_id="player")
        large = gr.Image(label="512 pixels", format="png", interactive=False, buttons=["download", "fullscreen"], elem_id="large",
                         alt_text="The finished face, enlarged to 512 by 512 pixels", placeholder="The finished face follows here at 512 pixels.")
    made = gr.Textbox("", visible=False)  # the prompt as the boxes wrote it

    hidden = {"api_visibility": "private", "show_progress": "hidden"}
    gr.on([group.input for group in boxes], tick, boxes, [prompt, made, line], queue=False, trigger_mode="always_last", **hidden)
    prompt.change(None, [prompt, made], prompt_note,
                  js=f"(prompt, made) => ({json.dumps(PROMPT_NOTES)})[prompt !== made ? 'edited' : prompt ? 'boxes' : 'empty']")
    started = [line, stop_button]
    generate_button.click(None, None, started, js="() => [{text: 'Starting', kind: ''}, {__type__: 'update', interactive: true}]")
    run = generate_button.click(draw, [prompt, made, negative, new_seed, seed, steps, guidance, sampler, *boxes],
                                [player, line, seed, large], trigger_mode="once", **MODEL, **hidden)
    run.failure(None, None, line, js="() => ({text: 'This did not work. Try again in a moment.', kind: 'error'})")
    run.then(None, None, stop_button, js="() => ({__type__: 'update', interactive: false})")
    stop_button.click(None, player, started, cancels=[run], queue=False, js="""message =>
        [{text: message ? `Stopped at step ${message.step} of ${message.total}.` : 'Stopped.', kind: ''}, {__type__: 'update', interactive: false}]""")
    demo.load(greet, None, line, queue=False, **hidden)

    gr.api(generate, api_name="generate", **MODEL)
    with gr.Column(visible=False):  # the typed ends of an endpoint that the page itself does not use
        gr.on([], upscale, gr.File(label="image"), gr.Image(label="large", format="png"), api_name="upscale", **MODEL)

demo.queue(**QUEUE)
threading.Thread(target=warm_up, daemon=True).start()

if __name__ == "__main__":
    demo.launch(**LAUNCH)
