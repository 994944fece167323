"""ZeroGPU of Hugging Face Spaces, which lends a GPU for a run at a time. Import this before anything that imports torch."""

from collections.abc import Callable

import gradio as gr

try:
    import spaces  # Spaces installs it; without ZeroGPU its decorator returns the function as it is
except ImportError:
    spaces = None

SECONDS = 60  # that a GPU is asked for, at most; a run of 25 steps takes about one


def lend(demo: gr.Blocks, concurrency_id: str) -> None:
    """Let the events of this concurrency id (those that run networks) borrow a GPU, where there are any to borrow."""
    if spaces is not None:
        decorate(demo, concurrency_id, spaces.GPU(duration=SECONDS))


def decorate(demo: gr.Blocks, concurrency_id: str, decorator: Callable[[Callable], Callable]) -> None:
    """Put the decorator on every function that the events of this concurrency id call."""
    for event in demo.fns.values():
        if event.concurrency_id == concurrency_id and event.fn is not None:
            event.fn = decorator(event.fn)
