"""One run of a training: where it writes, how long it lasts, what it starts from; and its command-line options."""

import argparse
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from training.core.processes import several_processes
from training.core.stop import Stop


@dataclass(frozen=True)
class Run:
    """What all trainings are told beside their recipe and their data."""

    # for state, log and grids of samples
    folder: Path
    # the file for the averaged weights, written at every save; None: none is
    out: Path | None = None
    # of training, all resumed parts together; math.inf: the recipe's budget alone counts
    minutes: float = math.inf
    # "auto", "cpu" or "cuda"
    device: str = "auto"
    # weights to start from where there is no state to resume; None: random ones
    start_from: Path | None = None
    # asks for an early end
    stop: Stop | None = None
    # only measure how fast it is (see training/core/measure.py), and write nothing
    measure: bool = False

    @property
    def state(self) -> Path:
        """The file from which the training goes on exactly."""
        return self.folder / "state.pt"


def add_run_options(parser: argparse.ArgumentParser, folder: str, weights: str, minutes: float = math.inf) -> None:
    """The options that `run_of` reads. A training that can start from weights, or measure, adds its own option for it.

    :param folder:  where state and log go by default.
    :param weights: the name of the weights file there.
    :param minutes: by default.
    """
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path(folder),
        help="folder for the log, and for the state where there is one",
    )
    parser.add_argument("--out", type=Path, help=f"the averaged weights; {weights} in --state-dir if left out")
    unless = "without it the recipe's number of images counts" if minutes == math.inf else f"{minutes:g} if left out"
    parser.add_argument(
        "--max-minutes", type=float, default=minutes, help=f"of training, all resumed parts together; {unless}"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.set_defaults(weights_file=weights)


def run_of(options: argparse.Namespace) -> Run:
    """The run that the options of `add_run_options` name."""
    out = options.out or options.state_dir / options.weights_file
    start_from, measure = getattr(options, "start_from", None), getattr(options, "measure", False)
    return Run(options.state_dir, out, options.max_minutes, options.device, start_from, measure=measure)


@contextmanager
def running(options: argparse.Namespace) -> Iterator[Run]:
    """The run that the options name. Inside, torchrun's processes know of each other, and Ctrl-C ends the training with
    its state saved.
    """
    with several_processes(options.device), Stop() as stop:
        yield replace(run_of(options), stop=stop)
