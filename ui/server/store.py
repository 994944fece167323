"""Pictures on their way to the API and from it: a folder with a quota, swept by age and size, emptied at start and end.

Gradio leaves what it has written of an upload that was refused, broken off, or sent under another name than it expects,
and stops sweeping for good when an upload comes during a sweep. So its sweeping is off, its parser of uploads is
replaced by one that knows its files, and it fetches no address.
"""

import asyncio
import contextvars
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from gradio import processing_utils, route_utils
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from ui.server.folder import FOLDER
from ui.server.line import SHARE, client_of
from ui.server.quiet import fault, say

MB = 2**20
# of all files together; in Docker /tmp is memory
QUOTA = 96 * MB
# seconds that a file is kept
AGE = 600.0
# seconds in which it is not deleted to make room either: it may be on its way
YOUNG = 20.0
# of one upload
FILES, FIELDS = 4, 4
# seconds between two sweeps
EVERY = 5.0


def empty() -> None:
    """Delete the folder's contents, at the app's end."""
    for path in FOLDER.iterdir() if FOLDER.is_dir() else ():
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def sweep(room: int = 0, now: float | None = None) -> int:
    """Delete files older than AGE, then the oldest until `room` more bytes fit the quota. Returns the bytes left."""
    now, pictures = time.time() if now is None else now, []
    for folder, _, names in os.walk(FOLDER):
        for name in names:
            path = os.path.join(folder, name)
            try:
                state = os.lstat(path)
            except OSError:
                # moved or deleted meanwhile
                continue
            pictures.append((state.st_mtime, state.st_size, path))
    left = sum(size for _, size, _ in pictures)
    for changed, size, path in sorted(pictures):
        age = now - changed
        if age > AGE or (left + room > QUOTA and age > YOUNG):
            try:
                os.unlink(path)
            except OSError:
                continue
            left -= size
    for folder, names, files in os.walk(FOLDER, topdown=False):
        # something has come, or another sweep was first
        with suppress(OSError):
            if not names and not files and folder != str(FOLDER) and now - os.lstat(folder).st_mtime > YOUNG:
                os.rmdir(folder)
    return left


@asynccontextmanager
async def swept(app) -> AsyncIterator[None]:
    """Sweep every few seconds while the app runs, and forget the names of what is gone. The folder's one owner."""

    async def go_on() -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await asyncio.to_thread(sweep)
                for names in app.get_blocks().temp_file_sets:
                    names -= {name for name in list(names) if not os.path.exists(name)}
            except Exception as error:
                # a disk's; the next time may go better
                say(f"store: {fault(error)}")

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        empty()


# --- uploads ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Upload:
    """One that is on its way."""

    # whose it is, and the bytes that it takes when it has come
    client: str
    room: int
    # the files of its parts
    written: list[str] = field(default_factory=list)

    def left(self) -> int:
        """Bytes that are still to come.

        A file that has been taken over lies elsewhere: it counts twice until the request has its answer.
        """
        left = self.room
        for path in self.written:
            with suppress(OSError):
                left -= os.path.getsize(path)
        return max(0, left)


_upload: contextvars.ContextVar[Upload | None] = contextvars.ContextVar("upload", default=None)
# all of them
_uploads: list[Upload] = []


class Parser(route_utils.GradioMultiPartParser):
    """Gradio's, with fewer parts. What it writes is deleted unless taken over under another name (see `tidied`)."""

    def __init__(self, *args, **options):
        super().__init__(*args, **{**options, "max_files": FILES, "max_fields": FIELDS})

    ended = False

    def on_end(self) -> None:
        self.ended = True

    async def parse(self):
        form = await super().parse()
        if not self.ended:
            raise MultiPartException("The upload broke off.")
        return form

    def on_headers_finished(self) -> None:
        before = len(self._files_to_close_on_error)
        super().on_headers_finished()
        if (upload := _upload.get()) is not None:
            upload.written.extend(file.name for file in self._files_to_close_on_error[before:])


@contextmanager
def tidied(scope: Scope) -> Iterator[None]:
    """Around an upload: there must be room for it, and whatever was written of it and not taken over goes.

    One client may hold line.SHARE of the room for what is still to come.
    """
    if not get_route_path(scope).endswith("/upload"):
        yield
        return
    length = dict(scope["headers"]).get(b"content-length", b"")
    upload = Upload(client_of(HTTPConnection(scope)), int(length) if length.isdigit() else 5 * MB)
    _uploads.append(upload)
    token = _upload.set(upload)
    try:
        # those that come at the same time find no room twice
        coming = sum(each.left() for each in _uploads)
        own = sum(each.left() for each in _uploads if each.client == upload.client)
        # nothing is deleted for what is refused anyway
        if own > SHARE * QUOTA or coming > QUOTA or sweep(coming) + coming > QUOTA:
            raise HTTPException(503, "Too many pictures are on their way: try again in a minute.")
        yield
    finally:
        _uploads.remove(upload)
        _upload.reset(token)
        for name in upload.written:
            Path(name).unlink(missing_ok=True)


async def _refuse(address: str) -> None:
    raise gr.Error("Send the picture itself, not its address.", print_exception=False)


def patch() -> None:
    """Give gradio the parser, and let it fetch nothing: it would fetch any public address, however much it holds."""
    route_utils.GradioMultiPartParser = Parser
    processing_utils.async_ssrf_protected_get = _refuse
