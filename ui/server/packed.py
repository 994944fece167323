"""The page itself, compressed: gradio compresses its scripts and styles alone, and the page is the largest file."""

from starlette._utils import get_route_path
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

# no streams: these are whole answers
PATHS = ("", "/config")


class Packed:
    """ASGI middleware for PATHS; every other answer goes through untouched."""

    def __init__(self, app: ASGIApp):
        self.app, self.packing = app, GZipMiddleware(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = scope["type"] == "http" and get_route_path(scope).rstrip("/") in PATHS
        await (self.packing if whole else self.app)(scope, receive, send)
