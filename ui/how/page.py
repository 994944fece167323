"""The tab "How it works": layout and wiring. Its words are assets/how.html; what its figures show is ui/how_*.py.

Nothing is computed before it is in sight. A figure that comes into sight, or is in sight when a slider moves, sends "look"
with a mark of what it shows; `figure` answers with a new picture, or with nothing where that one is still right.
"""

import html
import re
import zlib
from collections.abc import Callable
from typing import Any

import gradio as gr

from model.diffusion import TIMESTEPS
from model.errors import FacetError
from model.pipeline import FacePipeline
from model.settings import Settings
from ui.component import ASSETS, asset
from ui.how import diffusion as how_diffusion
from ui.how import guidance as how_guidance
from ui.how import inside as how_inside
from ui.how import scale as how_scale
from ui.how import targets as how_targets
from ui.how.diffusion import face
from ui.how.html import image
from ui.opening import FIRST  # the face until the visitor has made one
from ui.server.engine import HIDDEN, NETWORKS, pipeline

WAITING = '<p class="waiting">Computed when it comes into view.</p>'


def build(current: gr.Component) -> None:
    """Lay out the tab and wire it.

    :param current: a hidden JSON holding the record of the face last made, or None at first.
    """
    words, sheet = texts(), how_scale.learning(ASSETS)
    if not sheet:
        del words["learning"]
    with gr.HTML(html_template='<div class="top"></div>@children', css_template=asset("how.css"), elem_id="how"):
        gr.HTML(words.pop("start") + contents(words))
        figure("which", which, current)
        with gr.Column(elem_id="how-steps"):
            with gr.Column(elem_id="how-time"):
                step = gr.Slider(
                    1,
                    TIMESTEPS,
                    TIMESTEPS // 2,
                    step=1,
                    label=f"Timestep, 1 to {TIMESTEPS}",
                    info="Moves the pictures of the next four sections.",
                )
            gr.HTML(words["forward"])
            figure("forward", how_diffusion.forward, current, step)
            figure("strips", how_diffusion.strips, current)
            gr.HTML(words["predictions"])
            figure("predictions", how_diffusion.predictions, current, step)
            gr.HTML(words["targets"])
            figure("targets", how_diffusion.targets, current, step)
            if how_targets.present():
                figure("learners", how_targets.draw, current)
            gr.HTML(words["unet"])
            figure("unet", how_inside.unet_maps, current, step)
        gr.HTML(words["guidance"])
        figure("guidance", how_guidance.draw, current)
        if sheet:
            gr.HTML(words["learning"])
            gr.HTML(sheet, js_on_load=asset("how.js"), elem_id="how-learning")
        gr.HTML(words["scale"])
        figure("scale", how_scale.scale, current)
        gr.HTML(words["clip"])
        own = gr.Textbox(
            label="A text of your own",
            placeholder="a bald man with a hat",
            max_length=how_scale.LONGEST,
            elem_id="how-own",
        )
        figure("clip", how_scale.clip_matrix, current, own)
        gr.HTML(words["sobel"])
        figure("sobel", how_inside.edges, current)
        gr.HTML(words["srresnet"])
        figure("srresnet", how_inside.upscaling, current)
        gr.HTML(words["bias"])
        figure("bias", how_scale.bias, current)
    for control in (step, own):  # in the browser alone: the figures in sight look again
        control.change(None, None, None, js="() => { document.dispatchEvent(new Event('how-look')); return []; }")


def figure(name: str, draw: Callable[..., str], current: gr.Component, control: gr.Component | None = None) -> None:
    """A figure that `draw(pipe, settings)` fills, or `draw(pipe, settings, value of control)`, when it is in sight."""
    part = gr.HTML(WAITING, js_on_load=asset("how.js"), elem_id=f"how-{name}", elem_classes="how-figure")

    def look(record: dict[str, Any] | None, event: gr.EventData, *value: Any) -> Any:
        try:
            settings = wanted(record)
            mark = f"{zlib.crc32(repr((settings, value)).encode()):08x}"
            if mark == event.shown:
                return gr.skip()
            return f'<div data-of="{mark}">{draw(pipeline(), settings, *value)}</div>'
        except FacetError as error:
            return f'<p class="problem">{html.escape(str(error))}</p>'

    part.look(look, [current, *([control] if control else [])], part, trigger_mode="always_last", **NETWORKS, **HIDDEN)


def wanted(record: dict[str, Any] | None) -> Settings:
    """The settings of the face last made, or FIRST."""
    return Settings.read(record)[0] if record else FIRST


def which(pipe: FacePipeline, settings: Settings) -> str:
    """The face that the tab works on, and what made it."""
    prompt = f"“{html.escape(settings.prompt)}”" if settings.prompt else "no prompt"
    return f"""<div class="which">{image(face(pipe, settings), "The face in what follows")}
        <p>The face in what follows: {prompt}, seed {settings.seed}. Make another on the first tab, and this tab will use that
        one.</p></div>"""


def texts() -> dict[str, str]:
    """The words of assets/how.html, by the name in the comment before each section."""
    parts = re.split(r"<!-- (\w+) -->\n", asset("how.html"))
    return dict(zip(parts[1::2], parts[2::2]))


def contents(words: dict[str, str]) -> str:
    """Links to the sections' headings."""
    links = (re.search(r'<h3 id="(.+?)">(.+?)</h3>', section).groups() for section in words.values())
    items = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in links)
    return f'<nav aria-label="Sections"><ol>{items}</ol></nav>'
