"""What a visitor who waits is told: how many are before them, and for how long, by the runs measured so far."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from ui.server.line import SHARE, line_of

# the lane in which one may wait long
DRAWING = "networks"


def place(demo: gr.Blocks, session: str | None) -> tuple[int, float | None] | None:
    """How many runs are before this session's own in the queue, and the seconds until it begins.

    None if none of its runs waits; seconds are None before the first run has ended. Every run before it is taken to
    last as long as the mean of all so far, and the running ones to be half done.
    """
    queue = line_of(demo)
    for before, event in enumerate(queue.order(DRAWING)):
        if event.session_hash == session:
            return before, _seconds(queue, queue.event_queue_per_concurrency_id[DRAWING], before)
    return None


def _seconds(queue, waiting, before: int) -> float | None:
    times = [time for fn, time in queue.process_time_per_fn.items() if fn.concurrency_id == waiting.concurrency_id]
    runs = sum(time.count for time in times)
    if not runs:
        return None
    return (before + 0.5) * sum(time.process_time for time in times) / runs / (waiting.concurrency_limit or 1)


def told(demo: gr.Blocks, session: str | None) -> str:
    """One line for the visitor of this session, or "" if nothing of theirs waits."""
    ahead = place(demo, session)
    if ahead is None:
        return ""
    before, seconds = ahead
    who = "You are next" if before == 0 else f"{before} {'run is' if before == 1 else 'runs are'} before yours"
    return f"{who}." if seconds is None else f"{who}: about {max(1, round(seconds))} s."


def full(demo: gr.Blocks) -> bool:
    """Whether the queue takes no more runs of one client."""
    return len(line_of(demo).waiting(DRAWING)) >= SHARE * line_of(demo).places(DRAWING)


def teller(demo: gr.Blocks) -> Callable[[gr.Request], Any]:
    """The event that puts `told` into the status line of who asks, and leaves the line as it is where nothing waits."""

    def tell(request: gr.Request) -> Any:
        words = told(demo, request.session_hash)
        return {"text": words, "kind": ""} if words else gr.skip()

    return tell


def refuser(demo: gr.Blocks) -> Callable[[], Any]:
    """The event that says, after a run has failed, that there was no room, if that may have been the reason."""

    def refuse() -> Any:
        words = f"{len(line_of(demo).waiting(DRAWING))} runs are waiting already: try again in a minute."
        return {"text": words, "kind": "error"} if full(demo) else gr.skip()

    return refuse
