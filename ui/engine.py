"""The one pipeline behind page and API, and what every event that runs it shares."""

import contextvars
import functools
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr

from model.device import pick_device
from model.errors import WeightsError
from model.hub import SOURCE
from model.pipeline import FacePipeline
from ui.gpu import decorate

WEIGHTS = Path(__file__).parent.parent / "weights"
# For all events that run the networks. On a CPU those side by side take turns (see below), so their number changes no total
# (`python -m benchmarks.load --limits 1 2 3`).
NETWORKS: dict[str, Any] = {"concurrency_id": "networks", "concurrency_limit": int(os.environ.get("FACET_CONCURRENCY", 2))}
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}  # for the page's own events

notice = ""  # one line for the visitor, if the bundled weights stand in for those that were asked for
_loading = threading.Lock()


@functools.cache
def _load(source: str) -> FacePipeline:
    """Where `source` is on the Hub and the Hub fails, the bundled weights until the next start, and a notice that says so."""
    global notice
    try:
        return FacePipeline.from_pretrained(source)
    except WeightsError as error:
        if not SOURCE.fullmatch(source) or Path(source).is_dir():
            raise
        bundled = FacePipeline.from_pretrained(WEIGHTS)
        notice = f"{error} The bundled weights are used instead."
        print(notice, flush=True)
        return bundled


def pipeline() -> FacePipeline:
    """The one pipeline, loaded by whoever asks first. Raises WeightsError each time until the weights can be read."""
    with _loading:
        return _load(os.environ.get("FACET_WEIGHTS") or str(WEIGHTS))


# --- one thread that computes -------------------------------------------------------------------------------------------
# PyTorch keeps a team of OpenMP helpers for each thread that has computed. When all teams together are more than the cores, helpers
# sleep between operations, and a forward takes half as long again. So on the CPU one thread computes for all; runs take turns by steps.

ONE_THREAD = pick_device().type == "cpu"
_here = threading.local()
_computing = ThreadPoolExecutor(1, "computing", lambda: setattr(_here, "computes", True))
_END = object()


def compute(function: Callable[..., Any], *inputs: Any) -> Any:
    """function(*inputs), on the computing thread; with a GPU, on this one."""
    if not ONE_THREAD or getattr(_here, "computes", False):
        return function(*inputs)
    return _computing.submit(contextvars.copy_context().run, function, *inputs).result()


def computing(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, or generator function, run by the computing thread: whole, or from one yield to the next."""

    @functools.wraps(function)
    def whole(*inputs: Any) -> Any:
        return compute(function, *inputs)

    @functools.wraps(function)
    def stepwise(*inputs: Any) -> Iterator[Any]:
        run = function(*inputs)
        try:
            while (item := compute(next, run, _END)) is not _END:
                yield item
        finally:
            _computing.submit(run.close)  # not waited for, since Python may end a forgotten generator on any thread

    return stepwise if inspect.isgeneratorfunction(function) else whole


def on_one_thread(demo: gr.Blocks) -> None:
    """Let the computing thread run all events that run the networks, unless a GPU does the work."""
    if ONE_THREAD:
        decorate(demo, NETWORKS["concurrency_id"], computing)
