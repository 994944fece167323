"""What programs may call: named, typed endpoints; with gradio's extra `mcp` the same as tools of the Model Context Protocol.

Every description of a parameter is one line, since gradio reads them so.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr
from PIL import Image

from model.attributes import ATTRIBUTES
from model.errors import FacetError, InputError
from model.pipeline import DEFAULTS, check_settings
from ui import record, words
from ui.draw import faces, note
from ui.frames import messages, read_face
from ui.server import engine
from ui.server.engine import LIGHT, NETWORKS


class Picture(gr.File):
    """A file by its path. Gradio's own leaves an empty file behind at every call."""

    is_template = True  # for the browser it is a gr.File

    def preprocess(self, payload: Any) -> Any:
        return payload.path if payload else None


def generate(
    prompt: str,
    negative_prompt: str = "",
    seed: int = 0,
    steps: int = DEFAULTS.steps,
    guidance: float = DEFAULTS.guidance,
    sampler: str = DEFAULTS.sampler,
) -> Iterator[dict[str, Any]]:
    """Draw one 64 x 64 face from a prompt and stream every step.

    Each message is a dict: `step` of `total`, `noise_level` (1 is pure noise, 0 none), `seed`, `note` (empty, or one line
    saying that the prompt was too long and was cut), and `frames`, a list of every step since the message before. A frame
    is a dict of `step`, `noise_level`, `denoised` (the face as predicted at this step) and `noisy` (the noisy
    image after it, which the next step starts from), both JPEG data URIs. The last frame's `denoised` is the finished face. The same prompt, seed and settings
    give the same face.

    Parameters:
        prompt: What the face should look like, in plain English. Empty for any face.
        negative_prompt: What the face should not have.
        seed: A whole number from 0 to 4294967295.
        steps: 1 to 1000. More are slower and rarely better.
        guidance: 0 to 20. 0 ignores the prompt, 1 follows it, more exaggerates it.
        sampler: "unipc", "dpmpp", "ddim", "ddpm", or "student": a network of its own that draws in 4 steps at a guidance of 2.
    """
    try:
        seed, steps, sampler, guidance = check_settings(seed, steps, sampler, guidance)
        for name, text in (("prompt", prompt), ("negative prompt", negative_prompt)):
            if not isinstance(text, str):
                raise InputError(f"The {name} must be text, not {type(text).__name__}.")
        pipe, settings = engine.pipeline(), record.make(prompt, negative_prompt, seed, steps, guidance, sampler)
        with closing(messages(faces(pipe, settings), {"seed": seed, "note": note(pipe, settings)})) as run:
            yield from (message for message, _ in run)
    except FacetError as error:
        raise gr.Error(str(error), print_exception=False) from None


def understand(prompt: str) -> dict[str, Any]:
    """Say what the model reads in a prompt, without drawing anything.

    The answer is a dict: `present` and `absent`, each a dict from a CelebA attribute ("Smiling") to a confidence from 0 to 1;
    `unknown`, a list of words that mean nothing to the model; `cut`, whether the prompt is too long and loses its end.

    Parameters:
        prompt: What a face should look like, in plain English.
    """
    try:
        if not isinstance(prompt, str):
            raise InputError(f"The prompt must be text, not {type(prompt).__name__}.")
        return words.understood(prompt)
    except FacetError as error:
        raise gr.Error(str(error), print_exception=False) from None


def upscale(image: str | None) -> Image.Image:
    """Enlarge a face to 512 x 512 pixels. Any image is first cut to its middle square and shrunk to 64 x 64.

    Parameters:
        image: A PNG, JPEG or WebP file, at most 4096 pixels a side.
    """
    try:
        return Image.fromarray(engine.pipeline().upscale(read_face(image)[None])[0])
    except FacetError as error:
        raise gr.Error(str(error), print_exception=False) from None


def attributes(image: str | None) -> dict[str, float]:
    """Say which of the 40 CelebA attributes CLIP sees in a face: a dict from attribute ("Smiling") to a score from 0 to 1.

    Any image is first cut to its middle square and shrunk to 64 x 64.

    Parameters:
        image: A PNG, JPEG or WebP file, at most 4096 pixels a side.
    """
    try:
        scores = engine.pipeline().attribute_scores(read_face(image)[None])[0]
        return {name: round(float(score), 4) for name, score in zip(ATTRIBUTES, scores, strict=True)}
    except FacetError as error:
        raise gr.Error(str(error), print_exception=False) from None


def health() -> str:
    """Say "ok": the queue takes events and answers them."""
    return "ok"


def build() -> None:
    """Add the endpoints to the page that is being laid out."""
    gr.api(generate, api_name="generate", **NETWORKS)
    gr.api(understand, api_name="understand", **LIGHT)
    gr.api(health, api_name="health", api_visibility="undocumented", **LIGHT)
    with gr.Column(visible=False):  # the typed ends of endpoints that the page itself does not use
        gr.on(
            [], upscale, Picture(label="image"), gr.Image(label="large", format="png"), api_name="upscale", **NETWORKS
        )
        gr.on([], attributes, Picture(label="image"), gr.JSON(label="scores"), api_name="attributes", **NETWORKS)
