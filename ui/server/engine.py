"""The one pipeline behind page and API, and what every event that runs it shares."""

import functools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from gradio.components import Component

from model.device import half_precision, pick_device
from model.errors import WeightsError
from model.files.hub import SOURCE, plain
from model.pipeline import FacePipeline
from ui.server import budget
from ui.server.start import PRECISIONS, choice, whole_number

WEIGHTS = Path(__file__).parents[2] / "weights"
# For all events that run the networks. On a CPU those side by side take turns (see `computing`): a second one costs a
# tenth of the faces a second (`python -m benchmarks.load --limits 1 2`), and nobody waits for another's whole run.
NETWORKS: dict[str, Any] = {
    "concurrency_id": "networks",
    "concurrency_limit": whole_number("FACET_CONCURRENCY", 2, 1, 64),
}
# For those that answer in milliseconds: they do not wait behind faces.
LIGHT: dict[str, Any] = {"concurrency_id": "light", "concurrency_limit": 2}

# one line for the visitor, if the bundled weights stand in for those that were asked for
notice = ""
_loading = threading.Lock()


class Budgeted(Executor):
    """Runs the networks for all visitors, in the one thread of `threads`, or in the caller's without; asks each
    run's budget first.
    """

    def __init__(self, threads: ThreadPoolExecutor | None):
        self.threads = threads

    def submit(self, function: Callable, /, *inputs: Any, **options: Any) -> Future:
        rows = next((len(each) for each in inputs if isinstance(each, torch.Tensor) and each.ndim), 0)
        budget.check(rows)
        spend = budget.spender()

        def timed() -> Any:
            start = time.monotonic()
            try:
                return function(*inputs, **options)
            finally:
                spend(time.monotonic() - start)

        if self.threads is not None:
            return self.threads.submit(timed)
        done: Future = Future()
        done.set_result(timed())
        return done


# PyTorch keeps a team of OpenMP helpers for each thread that has computed. When all teams together are more than the
# cores, helpers sleep between operations, and a forward takes half as long again. So on the CPU one thread runs the
# networks for all visitors, with every core, and each other thread has one core for what little it computes. Runs take
# turns by forwards.
computing = ThreadPoolExecutor(1, "computing")


def _load(source: str, executor: Executor) -> FacePipeline:
    """Where the Hub fails for `source`: the bundled weights until the next start, and a notice that says so."""
    global notice
    try:
        return FacePipeline.from_pretrained(source, executor=executor)
    except WeightsError as error:
        if not SOURCE.fullmatch(source) or os.path.isdir(source):
            raise
        bundled = FacePipeline.from_pretrained(WEIGHTS, executor=executor)
        notice = f"{error} The bundled weights are used instead."
        print(notice, flush=True)
        return bundled


def _precision(device: torch.device) -> torch.dtype | None:
    """The number format that FACET_PRECISION names, None for float32, and where another is no faster here."""
    if choice("FACET_PRECISION", PRECISIONS) == "float32":
        return None
    dtype = half_precision(device)
    if dtype is None:
        print("facet: FACET_PRECISION=bfloat16 is not used: it is not faster on this machine.", flush=True)
    return dtype


@functools.cache
def _ready(source: str) -> FacePipeline:
    device = pick_device()
    if device.type == "cpu":
        one_core_each()
    pipe = _load(source, Budgeted(computing if device.type == "cpu" else None))
    pipe.precision = _precision(device)
    return pipe


def pipeline() -> FacePipeline:
    """The one pipeline, loaded by whoever asks first. Raises WeightsError each time until the weights can be read."""
    with _loading:
        return _ready(plain(os.environ.get("FACET_WEIGHTS", "")) or str(WEIGHTS))


def unseen(component: Component) -> dict[str, Any]:
    """For the page's own events. component: one that is not on the page.

    Gradio reports an event's progress to all its outputs at every message, hidden or not, and copies all that they
    hold for it: a third of what a browser computes in a run. So this component is told instead.
    """
    return {"api_visibility": "private", "show_progress": "hidden", "show_progress_on": component}


def one_core_each() -> None:
    """All threads that have not computed yet get one core, but for the computing thread."""
    # from its first question on it keeps as many as PyTorch has until now
    computing.submit(torch.get_num_threads).result()
    # for itself and all that begin later
    setter = threading.Thread(target=torch.set_num_threads, args=(1,))
    setter.start()
    setter.join()
