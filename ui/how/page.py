"""The tab "How it works": layout and wiring. Words are in assets/how/words/, figures in the file of a section's name.

Nothing is computed before it is in sight. A figure that comes into sight, or is in sight when a slider moves, sends
"look" with a mark of what it shows; `figure` answers with a new picture, or with nothing where that one is still right.
"""

import html
import json
import textwrap
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from model.diffusion import TIMESTEPS
from model.errors import FacetError
from model.pipeline import FacePipeline
from model.settings import Settings
from model.unet import FLAGS
from ui.component import asset
from ui.frames import png
from ui.how import (
    attention,
    bias,
    clip,
    forward,
    guidance,
    learning,
    predictions,
    reverse,
    scale,
    sobel,
    srresnet,
    targets,
    unet,
)
from ui.how.face import LAYERS, face, frames, start
from ui.how.html import HOW, closing, colour, depths, heading, opening, section, source_of, stretched

# the face until the visitor has made one
from ui.opening import FIRST
from ui.paint import PAINTING
from ui.server.engine import NETWORKS, pipeline, unseen

# in the order of the story; what the bar calls them
SECTIONS = {
    "forward": "Noise",
    "predictions": "Prediction",
    "learning": "Training",
    "targets": "Targets",
    "reverse": "Reverse diffusion",
    "sobel": "Filters",
    "unet": "U-Net",
    "attention": "Attention",
    "guidance": "Guidance",
    "clip": "Words and CLIP",
    "srresnet": "Enlarging",
    "scale": "Scale",
    "bias": "Bias",
}
# steps of the face, at most: others wait while it is drawn
MOST = 100
WAITING = '<p class="waiting">This figure is being drawn.</p>'
# where the server gave no answer
FAILED = '<p class="problem">This figure could not be drawn. <button type="button">Try again</button></p>'


def build(current: gr.Component) -> None:
    """Lay out the tab and wire it.

    :param current: a hidden JSON holding the record of the face last made, or None at first.
    """
    with gr.HTML(html_template='<div class="top"></div>@children', css_template=asset("how/how.css"), elem_id="how"):
        gr.HTML(opening())
        figure("glance", glance, current)
        gr.HTML(bar(), js_on_load=asset("how/bar.js"), elem_id="how-bar")
        with gr.Column(elem_id="how-steps"):
            with gr.Column(elem_id="how-time"):
                step = gr.Slider(1, TIMESTEPS, TIMESTEPS // 2, step=1, label=f"Timestep, 1 to {TIMESTEPS}")
            with part("forward"):
                figure("forward", forward.forward, current, step)
                figure("strips", forward.strips, current)
            with part("predictions"):
                figure("predictions", predictions.predictions, current, step)
                figure("prompts", predictions.prompts, current)
            with part("learning"):
                figure("training", learning.one_step, current, step)
                figure("losses", learning.losses, current)
                if sheet := learning.learning(HOW):
                    gr.HTML(sheet, js_on_load=asset("how/how.js"), elem_id="how-learning")
            with part("targets"):
                figure("targets", targets.targets, current, step)
                if targets.present():
                    figure("learners", targets.learned, current)
            with part("reverse"):
                length = gr.Slider(1, 50, 10, step=1, label="Length of the step, in timesteps", elem_id="how-length")
                figure("step", reverse.one_step, current, step, length)
                figure("samplers", reverse.compared, current)
                figure("paths", reverse.paths, current)
                figure("chance", reverse.chance, current)
            with part("sobel"):
                figure("sobel", sobel.edges, current)
            with part("unet"):
                figure("unet", unet.unet_maps, current, step)
            with part("attention"):
                layer = gr.Radio(list(LAYERS), value=LAYERS[0], label="Where in the U-Net")
                figure("attention", attention.heads, current, step, layer)
                figure("attended", attention.over_time, current, layer)
                figure("perturbed", attention.perturbed, current)
        with part("guidance"):
            figure("guidance", guidance.draw, current)
        with part("clip"):
            own = gr.Textbox(
                label="A text of your own",
                placeholder="a bald man with a hat",
                max_length=clip.LONGEST,
                elem_id="how-own",
            )
            figure("words", clip.words, current, own)
            figure("clip", clip.clip_matrix, current, own)
        with part("srresnet"):
            figure("enlarged", srresnet.compared, current)
            figure("srresnet", srresnet.upscaling, current)
        with part("scale"):
            figure("scale", scale.scale, current)
        with part("bias"):
            figure("bias", bias.bias, current)
        gr.HTML(closing())
    # in the browser alone: the figures in sight look again
    for control in (step, length, layer, own):
        control.change(None, None, None, js="() => { document.dispatchEvent(new Event('how-look')); return []; }")


class part:
    """A section: its heading and its sentence, the figures made inside the block, then its other depths."""

    def __init__(self, name: str):
        self.words = section(name)

    def __enter__(self) -> None:
        gr.HTML(heading(self.words))

    def __exit__(self, *_: object) -> None:
        gr.HTML(depths(self.words))


def figure(name: str, draw: Callable[..., str], current: gr.Component, *controls: gr.Component) -> None:
    """A figure that `draw(pipe, settings, *values of controls)` fills when it is in sight."""
    shown = gr.HTML(WAITING, js_on_load=asset("how/how.js"), elem_id=f"how-{name}", elem_classes="how-figure")

    def look(record: dict[str, Any] | None, event: gr.EventData, *values: Any) -> Any:
        try:
            settings = wanted(record)
            mark = f"{zlib.crc32(repr((settings, values)).encode()):08x}"
            if mark == event.shown:
                return gr.skip()
            return f'<div data-of="{mark}">{draw(pipeline(), settings, *values)}</div>'
        except FacetError as error:
            return f'<p class="problem">{html.escape(str(error))}</p>'

    looked = shown.look(look, [current, *controls], shown, trigger_mode="always_last", **NETWORKS, **unseen(current))
    looked.failure(None, None, shown, js=f"() => {json.dumps(FAILED)}")


def wanted(record: dict[str, Any] | None) -> Settings:
    """The settings of the face last made, in MOST steps at most; FIRST where settings alone do not make it."""
    settings = Settings.read(record)[0] if record and PAINTING not in record else FIRST
    return replace(settings, steps=min(settings.steps, MOST))


def bar(sections: Sequence[str] = tuple(SECTIONS)) -> str:
    """Links to the sections, in a line that stays in sight."""
    items = "".join(f'<li><a href="?tab=how#{name}">{SECTIONS[name]}</a></li>' for name in sections)
    return f'<nav aria-label="Sections"><ol>{items}</ol></nav>'


# --- the whole at a glance --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """One part of the drawing."""

    name: str
    # written under it
    title: str
    # the section that a click opens
    opens: str
    # (x, y) in the wide drawing and in the tall one
    wide: tuple[int, int]
    tall: tuple[int, int]

    def place(self, tall: bool) -> tuple[int, int]:
        return self.tall if tall else self.wide


BOXES = (
    Box("words", "Your words", "clip", (10, 70), (10, 10)),
    Box("tokens", "Tokens", "clip", (150, 70), (190, 10)),
    Box("vector", "CLIP vector", "clip", (290, 70), (190, 150)),
    Box("noise", "Noise", "forward", (430, 210), (10, 290)),
    Box("unet", "U-Net", "unet", (430, 70), (190, 290)),
    Box("predicted", "Predicted face", "predictions", (580, 70), (190, 430)),
    Box("x", "One step on", "reverse", (580, 210), (10, 430)),
    Box("srresnet", "SRResNet", "srresnet", (740, 140), (10, 570)),
    Box("large", "512 px", "srresnet", (880, 140), (190, 570)),
)
# side of a box, height of its title below
SIDE, LABEL = 100, 22
ARROWS = (("words", "tokens"), ("tokens", "vector"), ("vector", "unet"), ("unet", "predicted"), ("predicted", "x"))
ARROWS += (("noise", "x"), ("x", "unet"), ("x", "srresnet"), ("srresnet", "large"))


def glance(pipe: FacePipeline, settings: Settings) -> str:
    """From words to a large face: the visitor's own run as a drawing that plays."""
    run = frames(pipe, settings)
    pictures = pictures_of(pipe, settings)
    steps = json.dumps([[source_of(frame.noisy), source_of(frame.denoised)] for frame in run])
    prompt = f"“{html.escape(settings.prompt)}”" if settings.prompt else "no prompt"
    said = pipe.understood(settings.prompt).text
    words = {"words": wrapped(settings.prompt), "tokens": wrapped(said, split=True), **NOTES}
    drawings = "".join(drawing(pictures, words, tall) for tall in (False, True))
    return f"""<div class="glance" data-steps="{html.escape(steps)}">{drawings}
        <div class="controls"><button type="button">Play</button>
        <label for="glance-at">Step <output aria-live="off">{len(run)}</output> of {len(run)}</label>
        <input id="glance-at" type="range" min="0" max="{len(run)}" value="{len(run)}" step="1"></div>
        <p>The face in everything that follows: {prompt}, seed {settings.seed}. Make another on the first tab, and
        this tab uses that one. (Settings alone must make it: for a face from a picture, or with a part painted over,
        the page's first face stands here. One of more than {MOST} steps is drawn in {MOST}.) Each part opens its
        section.</p></div>"""


def pictures_of(pipe: FacePipeline, settings: Settings) -> dict[str, str]:
    """Name of a box -> its picture as a data URI."""
    # without the flags; what no label names is in it
    vector = pipe.condition([settings.prompt])[0, :-FLAGS].cpu().view(16, -1)
    small = face(pipe, settings)
    return {
        "vector": png(stretched(vector)),
        "noise": source_of(colour(start(settings)[0])),
        "x": source_of(small),
        "predicted": source_of(small),
        "large": source_of(pipe.upscale(small[None], crisp=pipe.crisp is not None)[0]),
    }


def drawing(pictures: dict[str, str], words: dict[str, list[str]], tall: bool) -> str:
    """The boxes and the arrows between them as an SVG.

    words: lines in a box, by its name. tall: for a narrow screen.
    """
    places = {box.name: box.place(tall) for box in BOXES}
    arrows = "".join(arrow(places[a], places[b]) for a, b in ARROWS)
    parts = "".join(drawn(box, places[box.name], pictures, words) for box in BOXES)
    size, kind = ("0 0 300 700", "tall") if tall else ("0 0 990 340", "wide")
    said = (
        "From words to a face: words, tokens, a CLIP vector; noise, U-Net, one step, again and again; SRResNet, 512 px."
    )
    return f"""<svg class="{kind}" viewBox="{size}" role="group" aria-label="{said}"><defs><marker id="head-{kind}"
        viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
        <path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs><g class="{kind}">{arrows}</g>{parts}</svg>"""


def arrow(a: tuple[int, int], b: tuple[int, int]) -> str:
    """From the edge of one box to the edge of another, straight."""
    ends = np.array([a, b]) + SIDE / 2
    way = ends[1] - ends[0]
    out = way / np.abs(way).max() * (SIDE / 2 + 3)
    if way[1] > 0:
        ends[0][1] += LABEL
    (x1, y1), (x2, y2) = ends[0] + out, ends[1] - out
    return f'<path class="arrow" d="M{x1:.0f} {y1:.0f} L{x2:.0f} {y2:.0f}"/>'


def drawn(box: Box, place: tuple[int, int], pictures: dict[str, str], words: dict[str, list[str]]) -> str:
    """A box as SVG: a picture or a few words, its title below, and a link to its section."""
    x, y = place
    middle, inside = x + SIDE / 2, ""
    if box.name in pictures:
        inside = f'<image href="{pictures[box.name]}" x="{x}" y="{y}" width="{SIDE}" height="{SIDE}"/>'
    else:
        lines = words.get(box.name, [])
        top = y + SIDE / 2 - 8 * (len(lines) - 1) + 4
        inside = "".join(
            f'<text class="inside" x="{middle}" y="{top + 16 * row:.0f}" text-anchor="middle">'
            f"{html.escape(line)}</text>"
            for row, line in enumerate(lines)
        )
    return f"""<a href="?tab=how#{box.opens}" class="part" data-part="{box.name}">
        <rect x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" rx="10"/>{inside}
        <text x="{middle}" y="{y + SIDE + 18}" text-anchor="middle">{box.title}</text></a>"""


NOTES = {"unet": ["tells noise", "from face"], "srresnet": ["enlarges", "8 times"]}


def wrapped(prompt: str, split: bool = False) -> list[str]:
    """The beginning of a prompt in up to five short lines. split: a word a line, as tokens."""
    words = prompt.split() or ["(none)"]
    lines = [word[:13] for word in words] if split else textwrap.wrap(" ".join(words), 13)
    return lines if len(lines) <= 5 else [*lines[:4], "…"]
