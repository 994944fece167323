"""The head of the page: the card that other sites and messengers show for a link to it (title, description, picture:
https://ogp.me), its icon, and the script that must run before gradio's.

Gradio's template names its own picture, on another site. Its tags are left out, and the page's own take their place.
"""

import re
from urllib.parse import quote

from gradio import routes
from jinja2 import BaseLoader, Environment
from starlette.applications import Starlette
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ui.component import ASSETS, asset

PATH = "/card.jpg"
PICTURE = ASSETS / "page" / "card.jpg"
WIDTH, HEIGHT = 1200, 600
DAY = 86400
DESCRIPTION = (
    "Say what a face should look like, and a small diffusion model draws it out of noise, step by step. "
    "No face here is a photograph."
)
PAGE = "frontend/index.html"
FOREIGN = re.compile(r"<meta\s+(?:property=\"og:|name=\"(?:twitter:|description\")).*?/>\s*", re.DOTALL)
# The icon travels in the page: else a browser asks /favicon.ico of the site, which under a root path is not the app.
ICON = f"data:image/svg+xml,{quote(asset('page/favicon.svg'), safe='')}"
# config.root is the address that the visitor's browser or a proxy before the app gave (see gradio's get_root_url).
OWN = f"""<script>{asset("page/idle.js")}</script>
\t\t<link rel="icon" type="image/svg+xml" href="{ICON}" />
\t\t<meta name="description" content="{DESCRIPTION}" />
\t\t<meta property="og:type" content="website" />
\t\t<meta property="og:site_name" content="Facet" />
\t\t<meta property="og:title" content="{{{{ config['title'] }}}}" />
\t\t<meta property="og:description" content="{DESCRIPTION}" />
\t\t<meta property="og:url" content="{{{{ config['root'] }}}}/" />
\t\t<meta property="og:image" content="{{{{ config['root'] }}}}{PATH}" />
\t\t<meta property="og:image:width" content="{WIDTH}" />
\t\t<meta property="og:image:height" content="{HEIGHT}" />
\t\t<meta property="og:image:alt" content="Eight generated faces" />
\t\t<meta name="twitter:card" content="summary_large_image" />
\t\t"""


def head(template: str) -> str:
    """Gradio's page with the tags of this one. Raises ValueError where there is no place for them."""
    cleaned = FOREIGN.sub("", template)
    before, style, after = cleaned.partition("<style>")
    if not style:
        raise ValueError("gradio's page has no <style> that the card's tags could stand before")
    return before + OWN + style + after


class _Page(BaseLoader):
    """Gradio's loader of templates, but for the page."""

    def __init__(self, others: BaseLoader):
        self.others = others

    def get_source(self, environment: Environment, template: str):
        source, name, current = self.others.get_source(environment, template)
        return (head(source) if template == PAGE else source), name, current


def _picture(_) -> Response:
    return FileResponse(PICTURE, media_type="image/jpeg", headers={"cache-control": f"public, max-age={DAY}"})


def add(app: Starlette) -> None:
    """Give gradio's app the picture's route, and its page the tags."""
    app.router.routes.insert(0, Route(PATH, _picture))
    environment = routes.templates.env
    if not isinstance(environment.loader, _Page):
        assert environment.loader is not None
        environment.loader = _Page(environment.loader)
        if environment.cache is not None:
            environment.cache.clear()
