"""What the log may say: where something went wrong, never what a visitor sent, and the same fault once a minute.

Gradio prints the whole message of an error, and with it the prompt that caused it ("Received inputs: ..."); uvicorn,
asyncio and warnings do the same. Messages of exceptions are therefore never printed here, only their type and the lines
of code they came from.
"""

import functools
import logging
import sys
import threading
import time
import traceback
import types
import warnings

from gradio import queueing, route_utils, routes

MINUTE = 60.0
# different faults that are remembered
MOST = 200
# line -> time.monotonic() at which it was printed
_said: dict[str, float] = {}
_saying = threading.Lock()


def say(line: str) -> None:
    """Print one line, unless the same was printed in the last minute."""
    now = time.monotonic()
    with _saying:
        if now - _said.get(line, -MINUTE) < MINUTE:
            return
        if len(_said) >= MOST:
            _said.clear()
        _said[line] = now
    print(line, file=sys.stderr, flush=True)


def place(path: str, line: int | None) -> str:
    """A line of code by its file and folder."""
    return f"{'/'.join(path.split('/')[-2:])}:{line}"


def fault(error: BaseException) -> str:
    """One line for the log: the type of an error and the last three places it came through. Nothing of what it says."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(place(frame.filename, frame.lineno) for frame in reversed(frames))
    return f"{type(error).__name__} at {places or 'an unknown place'}"


def say_current() -> None:
    """Stands in for traceback.print_exc() in gradio."""
    error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
    if error is not None:
        say(f"error: {fault(error)}")


class Brief(logging.Filter):
    """A record of an exception becomes one line without what it says; a line that repeats is dropped for a minute."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            say(f"{record.name}: {fault(record.exc_info[1])}")
            return False
        # the text before its values are put in
        if record.levelno >= logging.WARNING:
            say(f"{record.name}: {str(record.msg).splitlines()[0][:200]}")
            return False
        return True


def say_warning(_message, category: type[Warning], filename: str, lineno: int, *_) -> None:
    """Stands in for warnings.showwarning()."""
    say(f"{category.__name__} at {place(filename, lineno)}")


@functools.cache
def keep_quiet() -> None:
    """From now on gradio, uvicorn, asyncio and warnings print by the rules above."""
    for module in (queueing, routes, route_utils):
        module.traceback = types.SimpleNamespace(print_exc=say_current)  # type: ignore[attr-defined]
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", "asyncio", "gradio", "fastapi", "starlette"):
        logging.getLogger(name).addFilter(Brief())
    logging.getLogger("gradio").setLevel(logging.WARNING)
    warnings.showwarning = say_warning
