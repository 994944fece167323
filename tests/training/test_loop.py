"""What the training scripts share: averaging, learning rate, clock, log."""

import json
import math
import os
import signal
import time

import pytest
import torch
from torch import nn

from model.errors import FacetError, InputError
from tests.conftest import StopAfter
from training.core.loop import (
    EMA,
    Budget,
    Clock,
    Log,
    Progress,
    Stop,
    finite,
    keep,
    load_state,
    resume,
    run_steps,
    save_state,
    seeded,
    warmup_then_linear,
)


def test_ema_halves_the_distance_every_half_life():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    ema = EMA(network, half_life=100)
    ema.images = 10**6  # past the start, where the half-life is shorter
    network.weight.data.fill_(1.0)
    for _ in range(10):
        ema.update(network, 10)
    assert ema.network.weight.item() == pytest.approx(0.5, abs=1e-5)


def test_ema_soon_forgets_the_random_start_and_copies_counters():
    network = nn.BatchNorm1d(2)
    ema = EMA(network, half_life=1e6)
    network.weight.data.fill_(5.0)
    network.num_batches_tracked += 3
    for _ in range(20):
        ema.update(network, 10)
    assert (ema.network.weight > 4.9).all() and ema.network.num_batches_tracked == 3
    again = EMA(nn.BatchNorm1d(2), half_life=1e6)
    again.load_state_dict(ema.state_dict())
    assert torch.equal(again.network.weight, ema.network.weight) and again.images == 200


def test_learning_rate_rises_then_falls_to_zero():
    values = [warmup_then_linear(p / 100, warmup=0.1) for p in range(101)]
    assert values[0] == 0 and values[10] == 1 and values[100] == 0 and values[55] == pytest.approx(0.5)
    assert values[:11] == sorted(values[:11]) and values[10:] == sorted(values[10:], reverse=True)
    assert warmup_then_linear(1.5) == 0


def test_a_pause_gains_no_training_time():
    clock = Clock(10.0, most=0.05)
    time.sleep(0.2)
    assert clock.tick() == pytest.approx(10.05)
    time.sleep(0.2)
    clock.skip()
    assert clock.tick() <= 10.1


def test_a_long_step_counts_if_the_one_before_was_long_too():
    clock = Clock(most=0.05)
    counted = []
    for _ in range(3):
        time.sleep(0.2)
        counted.append(clock.tick())
    assert (
        counted[0] == pytest.approx(0.05)
        and counted[1] - counted[0] == pytest.approx(0.15)
        and counted[2] - counted[1] >= 0.2
    )


def trained(folder, budget: Budget, stop=None) -> tuple[nn.Linear, list[int], list[dict]]:
    """A line that learns to be y = 0 from random points, resumed if it can be -> the network, images at each save, the log."""
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

    run_steps(done, budget, [optimizer], learn, save, log, torch.device("cpu"), stop)
    return (
        network,
        saves,
        [json.loads(line) for line in log.path.read_text().splitlines()] if log.path.is_file() else [],
    )


def test_a_run_ends_with_its_budget_and_goes_on_exactly(tmp_path):
    budget = Budget(images=800, batch=4, minutes=math.inf, learning_rate=0.1)
    whole, saves, log = trained(tmp_path / "whole", budget)
    assert saves == [(800, True)] and [line["images"] for line in log] == [200, 400, 600, 800]
    assert log[0]["learning_rate"] > log[-1]["learning_rate"] and log[-1]["loss"] < 0.5 * log[0]["loss"]
    assert trained(tmp_path / "broken", budget, StopAfter(70))[1] == [(280, False)]
    torch.rand(3)  # whatever happened meanwhile must not matter
    again, saves, _ = trained(tmp_path / "broken", budget)
    assert saves == [(800, True)] and torch.equal(whole.weight, again.weight) and torch.equal(whole.bias, again.bias)


def test_a_run_saves_on_its_way_and_may_keep_its_learning_rate(tmp_path):
    _, saves, log = trained(
        tmp_path, Budget(images=240, batch=4, minutes=math.inf, learning_rate=0.01, decay=False, save_seconds=0)
    )
    assert [images for images, _ in saves] == [*range(4, 241, 4), 240] and log[0]["learning_rate"] == 0.01


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


def test_log_and_state_round_trip(tmp_path):
    log = Log(tmp_path / "runs" / "log.jsonl")
    log.write(images=16, loss=0.123456789)
    log.write(images=32, loss=None)
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == [
        {"images": 16, "loss": 0.12346},
        {"images": 32, "loss": None},
    ]
    assert load_state(tmp_path / "none.pt", {"recipe": 1}) is None
    save_state(tmp_path / "state.pt", {"identity": {"recipe": 1}, "step": 3})
    assert load_state(tmp_path / "state.pt", {"recipe": 1})["step"] == 3
    with pytest.raises(InputError, match="another recipe"):
        load_state(tmp_path / "state.pt", {"recipe": 2})
    assert not (tmp_path / "state.pt.tmp").exists()
