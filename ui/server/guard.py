"""What stands before gradio: closed doors, bounded and timed request bodies, no other site's scripts, and headers that
tell a browser what the page may do.

ASGI middleware, since gradio has no setting for these. `serve.lifespan` puts it before gradio's own.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs

from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.server import doors, store
from ui.server.doors import Door
from ui.server.line import CARRIED, SHARE, client_of
from ui.server.quiet import fault, say

# in which a body must have come
BODY_SECONDS = 60.0
# bytes of all bodies that are still coming in; one client may hold line.SHARE of them
ARRIVING = CARRIED

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


class Guard:
    """Answers 404 where no door is, 413 and 408 for a body too large or too slow, 503 where too much comes in at once,
    500 for a fault; adds HEADERS to every answer.
    """

    def __init__(self, app: ASGIApp):
        self.app = app
        # client -> bytes of its bodies that are still coming in
        self.arriving: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        # no event of the page uses a WebSocket
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        started = ended = False

        async def with_headers(message: Message) -> None:
            nonlocal started, ended
            if message["type"] == "http.response.start":
                started = True
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)
            await send(message)

        door = doors.find(scope)
        try:
            if door is None:
                return await PlainTextResponse("Not found.", 404)(scope, receive, with_headers)
            scope = _as_itself(scope) if door is doors.MCP else _without_origin(scope)
            with _counted(scope), _bounded(receive, scope, door, self.arriving) as bounded, store.tidied(scope):
                await self.app(scope, bounded, with_headers)
        except HTTPException as error:
            if not started:
                await PlainTextResponse(error.detail, error.status_code)(scope, receive, with_headers)
            elif not ended:
                await with_headers({"type": "http.response.body", "body": b"", "more_body": False})
        except Exception as error:
            # of gradio or ours: one line for the log, nothing for the visitor
            say(f"request: {fault(error)}")
            if not started:
                await PlainTextResponse("Something went wrong here.", 500)(scope, receive, with_headers)
            elif not ended:
                await with_headers({"type": "http.response.body", "body": b"", "more_body": False})


@contextmanager
def _bounded(receive: Receive, scope: Scope, door: Door, arriving: Counter[str]) -> Iterator[Receive]:
    """`receive`, with HTTPException for a body that is larger than the door takes, has not come in time, or comes while
    too much else does.

    Gradio keeps a body in memory until all of it has come. From then on the queue counts it (line.CARRIED).
    """
    client, held = client_of(HTTPConnection(scope)), 0
    read, complete, until = 0, False, asyncio.get_running_loop().time() + BODY_SECONDS
    length = Headers(scope=scope).get("content-length", "0")
    if not length.isdigit() or int(length) > door.most:
        raise HTTPException(413, f"This request may hold {door.most:,} bytes at most.")

    async def bounded() -> Message:
        nonlocal read, complete
        # then gradio only waits for the visitor to leave
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"A request must have come within {BODY_SECONDS:.0f} seconds.") from None
        more = len(message.get("body", b""))
        read += more
        complete = not message.get("more_body", False)
        if read > door.most:
            raise HTTPException(413, f"This request may hold {door.most:,} bytes at most.")
        hold(-held if complete else more)
        if arriving.total() > ARRIVING or arriving[client] > SHARE * ARRIVING:
            raise HTTPException(503, "Too much is on its way: try again in a minute.")
        return message

    def hold(count: int) -> None:
        nonlocal held
        held += count
        arriving[client] += count
        if not arriving[client]:
            del arriving[client]

    try:
        yield bounded
    finally:
        hold(-held)


def _as_itself(scope: Scope) -> Scope:
    """A request whose headers say of nobody but its client whom it is from: gradio calls a tool as a client of its own,
    from this machine, with the caller's headers.
    """
    kept = [(name, value) for name, value in scope["headers"] if name not in (b"forwarded", b"x-forwarded-for")]
    client = (scope.get("client") or ("",))[0]
    return _without_origin({**scope, "headers": [*kept, (b"x-forwarded-for", client.encode())]})


def _without_origin(scope: Scope) -> Scope:
    """The request without what would make gradio let other sites read the answer. The page asks its own site alone."""
    headers = [pair for pair in scope["headers"] if pair[0] != b"origin"]
    query = scope["query_string"]
    # gradio keeps the progress of each upload_id for ever
    if get_route_path(scope).endswith("/upload"):
        query = b""
    return {**scope, "headers": headers, "query_string": query}


@contextmanager
def _counted(scope: Scope) -> Iterator[None]:
    """Tells the queue who reads whose answers, while the stream lasts."""
    path, line = get_route_path(scope), scope["app"].get_blocks()._queue
    if path == f"{doors.API}/queue/data":
        session = (parse_qs(scope["query_string"].decode("latin-1")).get("session_hash") or [""])[0]
    elif scope["method"] == "GET" and path.startswith(f"{doors.API}/call/"):
        session = line.session_of(path.rstrip("/").rsplit("/", 1)[1])
    else:
        yield
        return
    line.begin_reading(session)
    try:
        yield
    finally:
        line.end_reading(session)
