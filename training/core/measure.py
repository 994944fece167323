"""How fast a training is, and whether its device waits for it: what `--measure` prints."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from training.core.processes import agree, is_first

# of steps that count
SECONDS = 30.0
# steps before: they compile, and fill caches
WARM_UP = 3
# steps whose time on the device is added up
PROFILED = 32


@dataclass(frozen=True)
class Measurement:
    """What was seen of a training."""

    # images a second, of all processes together
    rate: float
    # share of a step in which the device has nothing to do; None on a CPU, which is itself what works, or if not known
    waiting: float | None
    # bytes, the most that this process held at once: on a GPU, or in all on a CPU
    memory: int

    def __str__(self) -> str:
        waits = "not known (a CPU never waits)" if self.waiting is None else f"{self.waiting:.0%} of a step"
        memory = f"{self.memory / 2**30:.2f} GiB at most"
        return f"images a second: {self.rate:.1f}; the device waits: {waits}; memory: {memory}"


def add_measure_option(parser: argparse.ArgumentParser) -> None:
    """The option that `run_of` reads."""
    parser.add_argument(
        "--measure",
        action="store_true",
        help="train for about 30 s, print images a second, the share of a step in which the device waits, and the peak "
        "memory; write nothing",
    )


def measure(learn: Callable[[int], object], batch: int, device: torch.device) -> Measurement:
    """Do steps for SECONDS, print what was seen and return it.

    :param learn: does one step, given its number.
    :param batch: images of a step, of all processes together.
    """
    for step in range(WARM_UP):
        learn(step)
    synchronize(device)
    step, begun, over = WARM_UP, time.perf_counter(), False
    while not over:
        learn(step)
        step += 1
        over = agree(0.0, time.perf_counter() - begun >= SECONDS)[1]
    synchronize(device)
    seconds = (time.perf_counter() - begun) / (step - WARM_UP)
    waiting = waiting_share(learn, step, seconds) if device.type == "cuda" else None
    measurement = Measurement(batch / seconds, waiting, peak_memory(device))
    if is_first():
        print(measurement, flush=True)
    return measurement


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def waiting_share(learn: Callable[[int], object], first: int, seconds: float) -> float | None:
    """The share of a step of so many seconds in which a GPU has nothing to do; None where its driver tells no times.

    Watching slows a step down, but not the work on the GPU: that of PROFILED steps from number `first` on is added up.
    """
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        for step in range(first, first + PROFILED):
            learn(step)
        torch.cuda.synchronize()
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in seen.events() or ()
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    ]
    return max(0.0, 1 - covered(spans) / 1e6 / PROFILED / seconds) if spans else None


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the line that spans (start, end) cover, where they overlap counted once."""
    length, reached = 0.0, -float("inf")
    for start, end in sorted(spans):
        length += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return length


def peak_memory(device: torch.device) -> int:
    """Bytes, the most that PyTorch held on a GPU, or that the process held on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    # Windows has none: there all else still works
    import resource

    # macOS counts bytes, Linux kibibytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
