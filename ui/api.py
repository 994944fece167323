"""What programs may call: named, typed endpoints; with gradio's extra `mcp` tools of the Model Context Protocol too.

Every description of a parameter is one line, since gradio reads them so.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr
from PIL import Image

from model.attributes import ATTRIBUTES
from model.settings import DEFAULTS, Settings
from ui import words
from ui.frames import messages, read_face
from ui.runs import note
from ui.server import engine
from ui.server.engine import LIGHT, NETWORKS
from ui.status import refusing_callers


class Picture(gr.File):
    """A file by its path. Gradio's own leaves an empty file behind at every call."""

    # for the browser it is a gr.File
    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return payload.path if payload else None


@refusing_callers
def generate(
    prompt: str,
    negative_prompt: str = "",
    seed: int = 0,
    steps: int = DEFAULTS.steps,
    guidance: float = DEFAULTS.guidance,
    sampler: str = DEFAULTS.sampler,
) -> Iterator[dict[str, Any]]:
    """Draw one 64 x 64 face from a prompt and stream every step.

    Each message is a dict: `step` of `total`, `noise_level` (1 is pure noise, 0 none), `seed`, `note` (empty, or one
    line saying that the prompt was too long and was cut), and `frames`, a list of every step since the message before.
    A frame is a dict of `step`, `noise_level`, `denoised` (the face as predicted at this step) and `noisy` (the noisy
    image after it, which the next step starts from), both JPEG data URIs. The last frame's `denoised` is the finished
    face. The same prompt, seed and settings give the same face.

    Parameters:
        prompt: What the face should look like, in English or one of nine other languages. Empty for any face.
        negative_prompt: What the face should not have.
        seed: A whole number from 0 to 4294967295.
        steps: 1 to 1000. More are slower and rarely better.
        guidance: 0 to 20. 0 ignores the prompt, 1 follows it, more exaggerates it.
        sampler: "unipc", "dpmpp", "ddim", "ddpm", or "student": another network, with 4 steps at a guidance of 2.
    """
    settings = Settings(prompt, negative_prompt, seed, steps, sampler, guidance)
    pipe = engine.pipeline()
    about = {"seed": settings.seed, "note": note(pipe, settings)}
    with closing(messages(pipe.stream_faces([settings]), about)) as run:
        yield from (message for message, _ in run)


@refusing_callers
def understand(prompt: str) -> dict[str, Any]:
    """Say what the model reads in a prompt, without drawing anything.

    The answer is a dict: `present` and `absent`, dicts from a CelebA attribute ("Smiling") to a confidence, 0 to 1;
    `concepts`, what is drawn beside the attributes ("Red_Hair"); `items`, a list of all that the prompt asks for, each
    with its `text`, `start` and `end` in characters, its `kind` ("followed"; "near": only something near it is drawn;
    "unknown"), `states`, a dict from attribute or concept to whether the face has it, and `instead`, the attributes
    nearest to what cannot be drawn; `unknown`, the words for what cannot be drawn; `text`, what CLIP gets; `note`, a
    line about the whole prompt; `cut`, whether it is too long.

    Parameters:
        prompt: What a face should look like, in English or one of nine other languages.
    """
    return words.understood(prompt)


@refusing_callers
def upscale(image: str | None) -> Image.Image:
    """Enlarge a face to 512 x 512 pixels. Any image is first cut to its middle square and shrunk to 64 x 64.

    Parameters:
        image: A PNG, JPEG or WebP file, at most 65 megapixels.
    """
    return Image.fromarray(engine.pipeline().upscale(read_face(image)[None])[0])


@refusing_callers
def attributes(image: str | None) -> dict[str, float]:
    """Say which of the 40 CelebA attributes CLIP sees in a face: a dict from attribute ("Smiling") to score, 0 to 1.

    Any image is first cut to its middle square and shrunk to 64 x 64.

    Parameters:
        image: A PNG, JPEG or WebP file, at most 65 megapixels.
    """
    scores = engine.pipeline().attribute_scores(read_face(image)[None])[0]
    return {name: round(float(score), 4) for name, score in zip(ATTRIBUTES, scores, strict=True)}


def health() -> str:
    """Say "ok": the queue takes events and answers them."""
    return "ok"


def build() -> None:
    """Add the endpoints to the page that is being laid out."""
    gr.api(generate, api_name="generate", **NETWORKS)
    gr.api(understand, api_name="understand", **LIGHT)
    gr.api(health, api_name="health", api_visibility="undocumented", **LIGHT)
    # the typed ends of endpoints that the page itself does not use
    with gr.Column(visible=False):
        gr.on(
            [], upscale, Picture(label="image"), gr.Image(label="large", format="png"), api_name="upscale", **NETWORKS
        )
        gr.on([], attributes, Picture(label="image"), gr.JSON(label="scores"), api_name="attributes", **NETWORKS)
