"""The web page and its API: layout and wiring only. What draws the faces is model/, what the browser runs is assets/."""

import functools
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # also stops gradio from asking PyPI for newer versions

import gradio as gr
from PIL import Image

from model import attributes
from model.errors import FacetError, InputError
from model.pipeline import DEFAULTS, MAX_GUIDANCE, MAX_STEPS, FacePipeline, check_settings
from ui.frames import messages, read_face

HERE = Path(__file__).parent
QUEUE = {"max_size": 32}                                      # visitors who may wait; the next one is told to come back
NETWORKS = {"concurrency_id": "networks", "concurrency_limit": 2}  # shared by all events that run them
SAMPLERS = [("DPM-Solver++ (fastest)", "dpmpp"), ("DDIM (plain)", "ddim"), ("DDPM (the original)", "ddpm")]
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
        print(error, flush=True)


# --- the API ----------------------------------------------------------------------------------------------------------


def generate(prompt: str, negative_prompt: str = "", seed: int = 0, steps: int = DEFAULTS.steps,
             guidance: float = DEFAULTS.guidance, sampler: str = DEFAULTS.sampler) -> Iterator[dict[str, Any]]:
    """Draw one 64 x 64 face from a prompt and stream every step.

    Each message is a dict: `step` of `total`, `noise_level` (1 is pure noise, 0 none), `seed`, `note` (empty, or one line
    saying that the prompt was too long and was cut), and `frames`, a list of every step since the message before. A frame
    is a dict of `step`, `noise_level`, `denoised` (the face as predicted at this step) and `noisy` (the image the step
    works on), both JPEG data URIs. The last frame's `denoised` is the finished face. The same prompt, seed and settings
    give the same face.

    An empty prompt gives any face. guidance: 0 ignores the prompt, 1 follows it, more exaggerates it. sampler: "dpmpp",
    "ddim" or "ddpm".
    """
    try:
        check_settings(seed, steps, sampler, guidance)
        run = messages(pipeline(), prompt, seed, negative_prompt, steps=steps, sampler=sampler, guidance=guidance)
        with closing(run):
            yield from (message for message, _ in run)
    except FacetError as error:
        raise gr.Error(str(error), print_exception=False) from None


def upscale(image: str | None) -> Image.Image:
    """Enlarge a face to 512 x 512 pixels. Any image is first cut to its middle square and shrunk to 64 x 64."""
    try:
        face = read_face(image)
        return Image.fromarray(pipeline().upscale(face[None])[0])
    except FacetError as error:
        raise gr.Error(str(error), print_exception=False) from None


# --- the page's events ------------------------------------------------------------------------------------------------


def status(text: str = "", kind: str = "") -> dict[str, str]:
    """What the status line shows. kind: "" or "error"."""
    return {"text": text, "kind": kind}


def greet() -> dict[str, str]:
    """Said when the page opens: nothing, or why it cannot draw."""
    try:
        pipeline()
    except FacetError as error:
        return status(str(error), "error")
    return status()


def written(ticked: tuple[list[str], ...]) -> str:
    """The prompt that the ticked boxes of all groups make. Raises InputError if they contradict each other."""
    return attributes.attributes_to_prompt(name for group in ticked for name in group or [])


def tick(*ticked: list[str]) -> tuple[Any, Any, dict[str, str]]:
    """A box was clicked -> prompt, the same once more (to know later whether it was edited), status."""
    try:
        return written(ticked), written(ticked), status()
    except InputError as error:
        return gr.skip(), gr.skip(), status(str(error), "error")


def draw(prompt: str, made: str, negative_prompt: str, new_seed: bool, seed: float, steps: float, guidance: float,
         sampler: str, *ticked: list[str]) -> Iterator[tuple[Any, Any, Any, Any]]:
    """One run -> player, status, seed, 512 px image; the parts that do not change are skipped."""
    same = gr.skip()
    try:
        if prompt == made:  # not edited. A tick may still be on its way into the prompt, so ask the boxes themselves
            prompt = written(ticked)
        seed = secrets.randbelow(2**32) if new_seed else seed
        check_settings(seed, steps, sampler, guidance)
        pipe, start, told = pipeline(), time.monotonic(), None
        run = messages(pipe, prompt, seed, negative_prompt, steps=steps, sampler=sampler, guidance=guidance)
        with closing(run):
            for message, face in run:
                first, quarter = told is None, 4 * message["step"] // message["total"]
                # A screen reader says each new text, so there is one for every quarter and not one for every step.
                progress = same if quarter == told else status(f"Drawing: {25 * quarter} %")
                told = quarter
                yield message, progress, message["seed"] if first else same, None if first else same
        yield same, status("Enlarging to 512 pixels"), same, same
        large = pipe.upscale(face[None])[0]
        done = f"Done in {time.monotonic() - start:.1f} seconds, seed {message['seed']}. {message['note']}"
        yield same, status(done.strip()), same, large
    except FacetError as error:
        yield same, status(str(error), "error"), same, same


# --- layout -----------------------------------------------------------------------------------------------------------


def asset(name: str) -> str:
    return (HERE / "assets" / name).read_text(encoding="utf-8")


# The visitor's own fonts, so that nothing is fetched from elsewhere; shades far enough apart for WCAG's AA contrast.
THEME = gr.themes.Base(primary_hue="teal", neutral_hue="stone", font=["system-ui", "sans-serif"],
                       font_mono=["ui-monospace", "monospace"]).set(
    body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400",
    block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_400",
    input_placeholder_color="*neutral_500", input_placeholder_color_dark="*neutral_400",
    block_label_text_color="*neutral_700", block_title_text_color="*neutral_800",
    checkbox_border_color="*neutral_500", checkbox_border_color_dark="*neutral_500",
    checkbox_background_color_selected="*primary_700", color_accent="*primary_700",
    button_primary_background_fill="*primary_700", button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800", button_primary_background_fill_hover_dark="*primary_800")

# What launch() needs, in one place: tests and hosts that launch `demo` themselves pass the same.
LAUNCH: dict[str, Any] = {
    "theme": THEME, "css": asset("page.css"), "js": asset("page.js"), "favicon_path": HERE / "assets" / "favicon.svg",
    "footer_links": ["api"], "run_history": False, "enable_monitoring": False, "max_file_size": "5mb", "ssr_mode": False}

with gr.Blocks(title="Facet: faces from noise", analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
    gr.HTML("<h1>Facet</h1><p>Say what a face should look like and watch it emerge from noise, step by step.</p>",
            elem_id="title")
    with gr.Row(elem_id="columns"):
        with gr.Column(elem_id="controls", min_width=0):
            gr.HTML("<h2>What to draw</h2>")
            prompt = gr.Textbox("", label="Prompt", lines=3, max_lines=6, elem_id="prompt",
                                placeholder="A smiling woman with blond hair")
            prompt_note = gr.HTML(PROMPT_NOTES["empty"], elem_id="prompt-note")
            made = gr.Textbox("", visible=False)  # the prompt as the boxes wrote it
            with gr.Column(elem_id="actions"):
                with gr.Row(elem_id="buttons"):
                    generate_button = gr.Button("Generate", variant="primary", elem_id="generate")
                    stop_button = gr.Button("Stop", elem_id="stop", interactive=False)
                line = gr.HTML(status(), html_template='<p role="status" aria-live="polite"></p>',
                               js_on_load=asset("status.js"), elem_id="status")
            boxes = [gr.CheckboxGroup([(attributes.label(name), name) for name in names], label=heading,
                                      elem_classes="attributes") for heading, names in attributes.groups().items()]
            with gr.Accordion("More settings", open=False, elem_id="settings"):
                negative = gr.Textbox("", label="Negative prompt", info="What the face should not have.", lines=2,
                                      elem_id="negative")
                new_seed = gr.Checkbox(True, label="A new seed for every face")
                seed = gr.Number(0, label="Seed", info="The same seed and settings give the same face.")
                steps = gr.Number(DEFAULTS.steps, label="Steps", info=f"1 to {MAX_STEPS}: more are slower and rarely better.")
                guidance = gr.Slider(0, MAX_GUIDANCE, DEFAULTS.guidance, step=0.1, label="Guidance",
                                     info="0 ignores the prompt, 1 follows it, more exaggerates it.")
                sampler = gr.Dropdown(SAMPLERS, value=DEFAULTS.sampler, label="Sampler", filterable=False)
        player = gr.HTML(None, html_template=asset("player.html"), css_template=asset("player.css"),
                         js_on_load=asset("player.js"), elem_id="player")
        with gr.Column(elem_id="large", min_width=0):
            gr.HTML("<h2>The finished face, 512 pixels</h2>")
            large = gr.Image(label="Finished face", show_label=False, format="png", interactive=False,
                             buttons=["download", "fullscreen"],
                             alt_text="The finished face, enlarged to 512 by 512 pixels")

    # --- wiring; a `js` without a function runs in the browser alone ---
    hidden = {"api_visibility": "private", "show_progress": "hidden"}
    demo.load(greet, None, line, queue=False, **hidden)
    gr.on([group.input for group in boxes], tick, boxes, [prompt, made, line], queue=False, trigger_mode="always_last", **hidden)
    prompt.change(None, [prompt, made], prompt_note, js=f"""(prompt, made) =>
        ({json.dumps(PROMPT_NOTES)})[prompt !== made ? 'edited' : prompt ? 'boxes' : 'empty']""")

    generate_button.click(None, None, [player, line, stop_button], js="""() => {
        window.stopped = false;
        return [null, {text: 'Starting', kind: ''}, {__type__: 'update', interactive: true}];
    }""")
    run = generate_button.click(draw, [prompt, made, negative, new_seed, seed, steps, guidance, sampler, *boxes],
                                [player, line, seed, large], trigger_mode="once", **NETWORKS, **hidden)
    stop_button.click(None, None, None, cancels=[run], queue=False, js="() => { window.stopped = true; return []; }")
    idle = "{__type__: 'update', interactive: false}"
    run.success(None, None, stop_button, js=f"() => ({idle})")
    # gradio calls a stopped run a failure too, and does so after its last message.
    run.failure(None, player, [line, stop_button], js=f"""message => [!window.stopped
        ? {{text: 'This did not work. Try again in a moment.', kind: 'error'}}
        : {{text: message ? `Stopped at step ${{message.step}} of ${{message.total}}.` : 'Stopped.', kind: ''}}, {idle}]""")

    gr.api(generate, api_name="generate", **NETWORKS)
    with gr.Column(visible=False):  # the typed ends of an endpoint that the page itself does not use
        gr.on([], upscale, gr.File(label="image"), gr.Image(label="large", format="png"), api_name="upscale", **NETWORKS)

demo.queue(**QUEUE)
threading.Thread(target=warm_up, daemon=True).start()

if __name__ == "__main__":
    demo.launch(**LAUNCH)
