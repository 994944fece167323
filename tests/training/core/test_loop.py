"""The loop: it ends with its budget, saves on its way and goes on exactly."""

import json
import math
import os
import signal

import pytest
import torch
from torch import nn

from model.errors import FacetError
from tests.conftest import StopAfter
from training.core.budget import Budget, Progress
from training.core.log import Log
from training.core.loop import Steps, run_steps
from training.core.optimizer import finite
from training.core.seeds import seeded
from training.core.state import keep, resume
from training.core.stop import Stop


def trained(folder, budget: Budget, stop=None) -> tuple[nn.Linear, list[int], list[dict]]:
    """A line that learns to be y = 0 from random points, resumed if it can be.

    Returns the network, (images, finished) at each save, and the log.
    """
    torch.manual_seed(0)
    network, done, saves, log = nn.Linear(2, 1), Progress(), [], Log(folder / "log.jsonl")
    optimizer = torch.optim.SGD(network.parameters())
    parts = {"network": network, "optimizer": optimizer}
    resume(folder / "state.pt", {"recipe": 1}, parts, done)

    def learn(step):
        seeded(0, step)
        loss = network(torch.randn(budget.batch, 2)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss.item()}

    def save(finished):
        saves.append((done.step * budget.batch, finished))
        keep(folder / "state.pt", {"recipe": 1}, parts, done)

    run_steps(Steps([optimizer], learn, save), done, budget, log, stop)
    lines = log.path.read_text().splitlines() if log.path.is_file() else []
    return network, saves, [json.loads(line) for line in lines]


def test_a_run_ends_with_its_budget_and_goes_on_exactly(tmp_path):
    budget = Budget(images=800, batch=4, minutes=math.inf, learning_rate=0.1)
    whole, saves, log = trained(tmp_path / "whole", budget)
    assert saves == [(800, True)] and [line["images"] for line in log] == [200, 400, 600, 800]
    assert log[0]["learning_rate"] > log[-1]["learning_rate"] and log[-1]["loss"] < 0.5 * log[0]["loss"]
    assert trained(tmp_path / "broken", budget, StopAfter(70))[1] == [(280, False)]
    # whatever happened meanwhile must not matter
    torch.rand(3)
    again, saves, _ = trained(tmp_path / "broken", budget)
    assert saves == [(800, True)] and torch.equal(whole.weight, again.weight) and torch.equal(whole.bias, again.bias)


def test_a_run_saves_on_its_way_and_may_keep_its_learning_rate(tmp_path):
    _, saves, log = trained(
        tmp_path, Budget(images=240, batch=4, minutes=math.inf, learning_rate=0.01, decay=False, save_seconds=0)
    )
    assert [images for images, _ in saves] == [*range(4, 241, 4), 240] and log[0]["learning_rate"] == 0.01


def test_losses_are_read_only_where_they_are_logged(tmp_path, monkeypatch):
    """A loss may be a tensor that its device still computes: no step waits for it."""
    read, item = [], torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: read.append(steps_done) or item(tensor))
    steps_done, log = 0, Log(tmp_path / "log.jsonl")

    def learn(step):
        nonlocal steps_done
        steps_done = step + 1
        return {"loss": torch.tensor(float(step))}

    run_steps(Steps([], learn, lambda finished: None), Progress(), Budget(110, 1, math.inf, 0.1), log)
    assert set(read) == {50, 100, 110}
    assert [json.loads(line)["loss"] for line in log.path.read_text().splitlines()] == [24.5, 74.5]


@pytest.mark.parametrize("broken", [3, 59, 63])
def test_a_loss_that_is_no_number_ends_the_run_before_anything_is_saved(tmp_path, broken):
    saves = []

    def learn(step):
        return {"loss": torch.tensor(math.nan if step == broken else 1.0)}

    with pytest.raises(FacetError, match="not a number"):
        run_steps(Steps([], learn, saves.append), Progress(), Budget(64, 1, math.inf, 0.1), Log(tmp_path / "log.jsonl"))
    assert saves == []


def test_minutes_end_a_run_too(tmp_path):
    _, saves, _ = trained(tmp_path, Budget(images=math.inf, batch=4, minutes=0.002, learning_rate=0.1))
    assert len(saves) == 1 and saves[0][1]


def test_a_stop_request_is_a_flag_inside_its_block_only():
    before = signal.getsignal(signal.SIGTERM)
    with Stop() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_loss_that_is_not_a_number_stops_training():
    assert finite(torch.tensor(0.5)) == 0.5
    with pytest.raises(FacetError, match="not a number"):
        finite(torch.tensor(float("nan")))
