"""The one pipeline behind page and API, and what every event that runs it shares."""

import functools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.device import pick_device
from model.errors import WeightsError
from model.hub import SOURCE
from model.pipeline import FacePipeline
from ui.server import budget

WEIGHTS = Path(__file__).parents[2] / "weights"
# For all events that run the networks. On a CPU those side by side take turns (see below): a second one costs a tenth of the
# faces a second (`python -m benchmarks.load --limits 1 2`), and nobody waits for another's whole run.
NETWORKS: dict[str, Any] = {
    "concurrency_id": "networks",
    "concurrency_limit": int(os.environ.get("FACET_CONCURRENCY", 2)),
}
# For those that answer in milliseconds: they do not wait behind faces.
LIGHT: dict[str, Any] = {"concurrency_id": "light", "concurrency_limit": 2}
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}  # for the page's own events

notice = ""  # one line for the visitor, if the bundled weights stand in for those that were asked for
_loading = threading.Lock()


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


@functools.cache
def _ready(source: str) -> FacePipeline:
    if pick_device().type != "cpu":
        return _load(source)
    one_core_each()
    pipe = _load(source)
    share(pipe)
    return pipe


def pipeline() -> FacePipeline:
    """The one pipeline, loaded by whoever asks first. Raises WeightsError each time until the weights can be read."""
    with _loading:
        return _ready(os.environ.get("FACET_WEIGHTS") or str(WEIGHTS))


# --- one thread that computes -------------------------------------------------------------------------------------------
# PyTorch keeps a team of OpenMP helpers for each thread that has computed. When all teams together are more than the cores, helpers
# sleep between operations, and a forward takes half as long again. So on the CPU one thread runs the networks for all visitors, with
# every core, and each other thread has one core for what little it computes. Runs take turns by forwards.

_computing = ThreadPoolExecutor(1, "computing")


def compute(forward: Callable[..., Tensor], *inputs: Tensor, **settings: Any) -> Tensor:
    """forward(*inputs, **settings) on the computing thread, in this thread's inference mode."""
    inference, took = torch.is_inference_mode_enabled(), 0.0
    budget.check(len(inputs[0]))

    def there() -> Tensor:
        nonlocal took
        start = time.monotonic()
        with torch.inference_mode(inference):
            found = forward(*inputs, **settings)
        took = time.monotonic() - start
        return found

    found = _computing.submit(there).result()
    budget.spent(took)
    return found


def share(pipe: FacePipeline) -> None:
    """Let the computing thread run the pipeline's networks, whoever calls them. (A deep copy of a network computes there too.)"""
    for network in filter(None, (pipe.unet, pipe.student, pipe.upscaler, pipe.crisp)):
        network.forward = functools.partial(compute, network.forward)
    pipe.clip.text_features = functools.partial(compute, pipe.clip.text_features)
    pipe.clip.image_features = functools.partial(compute, pipe.clip.image_features)


def one_core_each() -> None:
    """All threads that have not computed yet get one core, but for the computing thread."""
    _computing.submit(
        torch.get_num_threads
    ).result()  # keeps, from its first question on, as many as PyTorch had until now
    setter = threading.Thread(target=torch.set_num_threads, args=(1,))  # for itself and all that begin later
    setter.start()
    setter.join()
