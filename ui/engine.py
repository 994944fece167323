"""The one pipeline behind page and API, and what every event that runs it shares."""

import functools
import os
import threading
from pathlib import Path
from typing import Any

from model.errors import WeightsError
from model.hub import SOURCE
from model.pipeline import FacePipeline

WEIGHTS = Path(__file__).parent.parent / "weights"
# For all events that run the networks; how many run side by side was chosen by `python -m benchmarks.load --limits 1 2 3 4`.
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
