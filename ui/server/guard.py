"""What stands before gradio: closed doors, bounded request bodies, and headers that tell a browser what the page may do.

ASGI middleware, since gradio has no setting for these. `app.LAUNCH` hands it to the server. And bounds on what
gradio fetches and keeps.
"""

import re
from pathlib import Path

import gradio as gr
from gradio import processing_utils, route_utils
from gradio.utils import LRUCache
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 8 * 2**20  # bytes of one request; a file itself may be as large as launch's max_file_size

# Gradio's routes that Facet does not use and that would fetch addresses, run ffmpeg, or write a visitor's state to disk.
CLOSED = re.compile(
    r"(/gradio_api)?/(proxy=|file[=/]\s*\w+:|stream/|process_recording|deep_link|custom_component/|monitoring"
    r"|run-history|vibe-|dev/|profiling/|undo-vibe)",
    re.IGNORECASE,
)

# Gradio builds its page with inline scripts and `new Function`. Spaces shows the page in a frame.
HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self' https://huggingface.co https://*.hf.space",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


async def _refuse(address: str) -> None:
    raise gr.Error("Send the picture itself, not its address.", print_exception=False)


processing_utils.async_ssrf_protected_get = (
    _refuse  # or gradio fetches any public address a visitor names, however large
)


class _Tidy(route_utils.GradioMultiPartParser):
    """Gradio leaves what it has written of an upload that was refused or broken off, and forgets it."""

    async def parse(self):
        try:
            return await super().parse()
        except BaseException:
            for file in self._files_to_close_on_error:
                Path(file.name).unlink(missing_ok=True)
            raise


route_utils.GradioMultiPartParser = _Tidy


class Guard:
    """Answers 404 at a closed door and 413 for a body that is too large; adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > LARGEST_BODY:
                raise HTTPException(413, f"A request may hold {LARGEST_BODY // 2**20} MB at most.")
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        app = PlainTextResponse("Not found.", 404) if CLOSED.match(scope["path"]) else self.app
        await app(scope, bounded, with_headers)


def bound_memory(demo: gr.Blocks, sessions: int = 300) -> None:
    """Keep unread messages and lists of runs of the last `sessions` sessions only, and no statistics of past runs.

    Gradio keeps the first for 2,000 sessions (a run that nobody fetches can leave 10 MB there), the second for ever, and
    sums up the third anew after every run. At most QUEUE's max_size and a few sessions run at once. Call it after queue().
    """
    queue = demo._queue
    queue.pending_messages_per_session = LRUCache(sessions)
    queue.pending_event_ids_session = LRUCache(sessions)
    queue.ANALYTICS_MAX_EVENTS = 1
