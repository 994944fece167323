"""Two processes train the network that one would: the same curve of the loss, within what other random draws change."""

import json
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import InputError
from model.unet import UNet
from tests.children import FORK, child_follows_drift, child_of_many, one_thread  # noqa: F401
from training.core import processes
from training.data.prepare import embed, prepare_images
from training.unet.reward import Drift


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_batch_that_does_not_divide_is_refused(monkeypatch):
    monkeypatch.setattr(processes.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(processes.dist, "get_rank", lambda: 1)
    monkeypatch.setattr(processes.dist, "get_world_size", lambda: 3)
    assert processes.rank_and_world(9) == (1, 3)
    with pytest.raises(InputError, match="the batch of 64 does not divide by 3 processes"):
        processes.rank_and_world(64)


def started(script: str, world: int, *folders: Path) -> list:
    """A training by `world` processes, the last folder its own."""
    port = free_port()
    children = [FORK.Process(target=child_of_many, args=(script, rank, world, port, *folders)) for rank in range(world)]
    for process in children:
        process.start()
    return children


def logs(script: str, world: int, *folders: Path) -> list[dict]:
    """The lines of the log of a training by `world` processes that ended."""
    for process in started(script, world, *folders):
        process.join(120)
        assert process.exitcode == 0
    return log_of(folders[-1])


@pytest.fixture(scope="module")
def folders(archive, tiny_weights, tmp_path_factory):
    prepared = tmp_path_factory.mktemp("prepared")
    prepare_images(archive, prepared)
    embed(prepared, tiny_weights)
    return prepared, tiny_weights


def log_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def curve(entries: list[dict]) -> dict[int, float]:
    """Images seen -> validation loss."""
    return {entry["images"]: entry["validation_loss"] for entry in entries if "validation_loss" in entry}


@pytest.fixture(scope="module")
def by_two(folders, tmp_path_factory) -> Path:
    """The folder of a U-Net's training by two processes."""
    run = tmp_path_factory.mktemp("two") / "2"
    logs("unet", 2, *folders, run)
    return run


def test_two_processes_learn_like_one(folders, by_two, tmp_path):
    curves = curve(logs("unet", 1, *folders, tmp_path / "1")), curve(log_of(by_two))
    assert [list(losses) for losses in curves] == 2 * [list(range(16, 385, 16))]
    one, two = (np.array(list(losses.values())) for losses in curves)
    # both learn
    assert one[-1] < 0.85 * one[0] and two[-1] < 0.85 * two[0]
    assert np.abs(two / one - 1).max() < 0.05, f"{one.round(3)}\n{two.round(3)}"
    networks = [UNet.from_file(run / "unet.safetensors") for run in (tmp_path / "1", by_two)]
    assert [network.info["images"] for network in networks] == [384, 384]


def test_two_killed_processes_go_on_where_they_were(folders, by_two, tmp_path):
    children = started("unet", 2, *folders, tmp_path)
    give_up = time.monotonic() + 120
    while not (tmp_path / "log.jsonl").is_file() or len(curve(log_of(tmp_path))) < 4:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    for process in children:
        process.kill()
        process.join()
    before = curve(log_of(tmp_path))
    assert 4 <= len(before) < 24
    after = curve(logs("unet", 2, *folders, tmp_path))
    whole = curve(log_of(by_two))
    assert list(after) == list(whole)
    assert np.allclose(list(after.values()), list(whole.values()), rtol=1e-3)


@pytest.mark.parametrize("script, loss", [("clip", "read_loss"), ("words", "loss"), ("classifier", "loss")])
def test_two_processes_learn_like_one_in_the_other_scripts_too(folders, tmp_path, script, loss):
    """Their logs hold a running mean of the training loss, over other draws: near, not equal."""
    one, two = (
        np.array([entry[loss] for entry in logs(script, world, *folders, tmp_path / str(world)) if loss in entry])
        for world in (1, 2)
    )
    assert len(one) == len(two) >= 2
    assert one[-1] < 0.95 * one[0] and two[-1] < 0.95 * two[0]
    assert np.abs(two / one - 1).max() < 0.15, f"{one.round(3)}\n{two.round(3)}"
    assert (tmp_path / "2" / f"{script}.safetensors").is_file()


def test_two_processes_agree_on_the_drift(tmp_path):
    """It is that of all their faces, also where one process has more of them, and where one has none."""
    moved = [torch.tensor([[3.0, 1.0], [1.0, 1.0]]), torch.tensor([[2.0, 4.0]])]
    for mine in (moved, [moved[0], moved[1][:0]]):
        alone, port = Drift(2), free_port()
        alone.follow(torch.cat(mine))
        children = [FORK.Process(target=child_follows_drift, args=(rank, 2, port, mine, tmp_path)) for rank in range(2)]
        for process in children:
            process.start()
        for process in children:
            process.join(120)
            assert process.exitcode == 0
        for rank in range(2):
            assert torch.load(tmp_path / f"{rank}.pt").tolist() == pytest.approx(alone.mean.tolist())
