"""The running average of the weights."""

import pytest
import torch
from torch import nn

from training.core.ema import EMA


def test_ema_halves_the_distance_every_half_life():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    ema = EMA(network, half_life=100)
    # past the start, where the half-life is shorter
    ema.images = 10**6
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
