"""Two processes train the network that one would: the same curve of the loss, within what other random draws change."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from model.unet import UNet
from tests.children import FORK, child_of_many, one_thread  # noqa: F401
from training.prepare import embed, prepare_images


def logs(script: str, world: int, *folders: Path) -> list[dict]:
    """The lines of the log of a training by `world` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [FORK.Process(target=child_of_many, args=(script, rank, world, port, *folders)) for rank in range(world)]
    for process in children:
        process.start()
    for process in children:
        process.join(120)
        assert process.exitcode == 0
    return [json.loads(line) for line in (folders[-1] / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def folders(archive, tiny_weights, tmp_path_factory):
    prepared = tmp_path_factory.mktemp("prepared")
    prepare_images(archive, prepared)
    embed(prepared, tiny_weights)
    return prepared, tiny_weights


def test_two_processes_learn_like_one(folders, tmp_path):
    curves = []
    for world in (1, 2):
        found = {entry["images"]: entry["validation_loss"] for entry in logs("unet", world, *folders, tmp_path / str(world))
                 if "validation_loss" in entry}
        assert list(found) == list(range(16, 385, 16))
        curves.append(np.array(list(found.values())))
    one, two = curves
    assert one[-1] < 0.85 * one[0] and two[-1] < 0.85 * two[0]  # both learn
    assert np.abs(two / one - 1).max() < 0.05, f"{one.round(3)}\n{two.round(3)}"
    networks = [UNet.from_file(tmp_path / str(world) / "unet.safetensors") for world in (1, 2)]
    assert [network.info["images"] for network in networks] == [384, 384]


@pytest.mark.parametrize("script, loss", [("clip", "read_loss"), ("words", "loss"), ("classifier", "loss")])
def test_two_processes_learn_like_one_in_the_other_scripts_too(folders, tmp_path, script, loss):
    """Their logs hold a running mean of the training loss, over other draws: near, not equal."""
    one, two = (np.array([entry[loss] for entry in logs(script, world, *folders, tmp_path / str(world)) if loss in entry])
                for world in (1, 2))
    assert len(one) == len(two) >= 2
    assert one[-1] < 0.95 * one[0] and two[-1] < 0.95 * two[0]
    assert np.abs(two / one - 1).max() < 0.15, f"{one.round(3)}\n{two.round(3)}"
    assert (tmp_path / "2" / f"{script}.safetensors").is_file()
