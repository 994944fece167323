"""The page's own components and scripts. A file of assets/ is named by its path there: "face/player.js"."""

from pathlib import Path
from typing import Any

import gradio as gr

ASSETS = Path(__file__).parent.parent / "assets"


def asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def scripts() -> str:
    """What the components share: assets/scripts/, facet.js before those that add to it."""
    names = sorted(path.name for path in (ASSETS / "scripts").glob("*.js"))
    names.remove("facet.js")
    return "".join(asset(f"scripts/{name}") for name in ("facet.js", *names))


def component(name: str, value: Any = None, html: str | None = None, **props: Any) -> gr.HTML:
    """An HTML component of the files assets/<name>.html, .css and .js; "face/player" has the element id "player".

    html: in place of the file. props: seen by the JavaScript.
    """
    return gr.HTML(
        value,
        html_template=asset(f"{name}.html") if html is None else html,
        js_on_load=asset(f"{name}.js"),
        css_template=asset(f"{name}.css"),
        apply_default_css=False,
        elem_id=name.rpartition("/")[2],
        **props,
    )
