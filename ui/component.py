"""The page's own components: each is an HTML component made of assets/<name>.html, .css and .js."""

from pathlib import Path
from typing import Any

import gradio as gr

ASSETS = Path(__file__).parent.parent / "assets"


def asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def component(name: str, value: Any = None, html: str | None = None, **props: Any) -> gr.HTML:
    """The component `name`, its element id as well. html: in place of assets/<name>.html. props: seen by the
    JavaScript."""
    style = ASSETS / f"{name}.css"
    return gr.HTML(
        value,
        html_template=asset(f"{name}.html") if html is None else html,
        js_on_load=asset(f"{name}.js"),
        css_template=style.read_text(encoding="utf-8") if style.exists() else "",
        apply_default_css=False,
        elem_id=name,
        **props,
    )
