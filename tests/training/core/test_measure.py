"""What --measure makes of steps: their rate, and the share of them in which a GPU has nothing to do."""

import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from training.core import measure
from training.core.measure import Measurement, covered, waiting_share


def test_the_rate_is_that_of_the_steps_after_those_that_compile(monkeypatch, capsys):
    monkeypatch.setattr(measure, "SECONDS", 0.3)
    steps = []

    def learn(step):
        steps.append(step)
        time.sleep(0.5 if step < measure.WARM_UP else 0.02)

    measurement = measure.measure(learn, 10, torch.device("cpu"))
    assert steps == list(range(len(steps))) and len(steps) > measure.WARM_UP + 3
    # 500 at most: a loaded machine sleeps longer
    assert 100 < measurement.rate <= 500 and measurement.waiting is None
    # what this process holds: torch at least, no more than there is
    assert 2**27 < measurement.memory < 2**45
    assert capsys.readouterr().out == f"{measurement}\n"


def test_a_measurement_is_one_line():
    assert str(Measurement(4031.72, 0.125, 3 * 2**29)) == (
        "images a second: 4031.7; the device waits: 12% of a step; memory: 1.50 GiB at most"
    )
    assert "a CPU never waits" in str(Measurement(2.0, None, 2**30))


def test_spans_that_overlap_count_once():
    assert covered([]) == 0
    assert covered([(5, 6), (0, 2), (1, 3), (1.5, 1.7), (6, 7)]) == 5


def test_a_gpu_waits_when_no_kernel_runs(monkeypatch):
    """With a profile as PyTorch gives it: kernels and copies on the GPU, calls on the CPU, and names of spans."""
    learnt = []

    def event(start, end, device=DeviceType.CUDA, annotation=False):
        span = SimpleNamespace(start=start, end=end)
        return SimpleNamespace(time_range=span, device_type=device, is_user_annotation=annotation)

    events = []
    for step in range(measure.PROFILED):
        # microseconds: two kernels of 3 ms in all in a step of 10
        at = step * 10_000
        events += [event(at, at + 2000), event(at + 5000, at + 6000)]
        events += [event(at, at + 9000, DeviceType.CPU), event(at, at + 10_000, annotation=True)]

    @contextmanager
    def profile(activities):
        yield SimpleNamespace(events=lambda: events if learnt else None)

    monkeypatch.setattr(measure, "profile", profile)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    # unwatched, a step took 4 ms
    assert waiting_share(learnt.append, 7, 0.004) == pytest.approx(0.25)
    assert learnt == list(range(7, 7 + measure.PROFILED))
    events.clear()
    assert waiting_share(learnt.append, 0, 0.004) is None
