"""Puts the server's parts together: what `app.py`, tests and hosts need to run the page as it should run in public."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import gradio as gr
from gradio.state_holder import StateHolder
from starlette.exceptions import HTTPException

from ui.server import connections, line, store
from ui.server.doors import SESSION
from ui.server.guard import Guard
from ui.server.packed import Packed
from ui.server.quiet import keep_quiet
from ui.share import card


class Sessions(StateHolder):
    """Gradio's store of sessions, for names that are names: it would keep any text a visitor sends."""

    def __getitem__(self, session_id: str):
        if not SESSION.fullmatch(session_id):
            raise HTTPException(400, "A session is named by 1 to 64 letters, digits, - and _.")
        return super().__getitem__(session_id)


@asynccontextmanager
async def lifespan(app) -> AsyncIterator[None]:
    """Gradio makes its app anew at every launch, so what belongs to it is set when it starts."""
    keep_quiet()
    store.patch()
    card.add(app)
    app.state_holder = Sessions()
    app.state_holder.set_blocks(app.get_blocks())
    # before gradio's own, which would answer other sites
    app.middleware_stack = Guard(Packed(app.middleware_stack))
    async with store.swept(app):
        yield


# For launch(app_kwargs=...)
APP: dict[str, Any] = {"lifespan": lifespan}


def prepare(demo: gr.Blocks) -> None:
    """Call it after demo.queue(), before launch()."""
    line.stand_in(demo)


def bound_connections(demo: gr.Blocks) -> None:
    """Call it after launch()."""
    proxies = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    demo.server.config.http_protocol_class = connections.bounded(proxies)
