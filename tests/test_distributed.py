"""Two processes train the network that one would: the same curve of the loss, within what other random draws change."""

import json
import socket
from pathlib import Path

import numpy as np

from model.unet import UNet
from tests.children import FORK, child_of_many, one_thread  # noqa: F401
from training.prepare import embed, prepare_images


def curve(world: int, *folders: Path) -> np.ndarray:
    """The validation loss after every step of a training by `world` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [FORK.Process(target=child_of_many, args=(rank, world, port, *folders)) for rank in range(world)]
    for process in children:
        process.start()
    for process in children:
        process.join(120)
        assert process.exitcode == 0
    found = {}
    for line in (folders[-1] / "log.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "validation_loss" in entry:
            found[entry["images"]] = entry["validation_loss"]
    assert list(found) == list(range(16, 385, 16))
    return np.array(list(found.values()))


def test_two_processes_learn_like_one(archive, tiny_weights, tmp_path):
    prepare_images(archive, tmp_path / "prepared")
    embed(tmp_path / "prepared", tiny_weights)
    one, two = (curve(world, tmp_path / "prepared", tiny_weights, tmp_path / str(world)) for world in (1, 2))
    assert one[-1] < 0.85 * one[0] and two[-1] < 0.85 * two[0]  # both learn
    assert np.abs(two / one - 1).max() < 0.05, f"{one.round(3)}\n{two.round(3)}"
    networks = [UNet.from_file(tmp_path / str(world) / "unet.safetensors") for world in (1, 2)]
    assert [network.info["images"] for network in networks] == [384, 384]
