"""Training of the upsampler, on pictures drawn here."""

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import FacetError, InputError
from model.files import checkpoint
from model.srresnet import SRResNet, SRResNetConfig, bicubic
from tests.children import FORK, be_silent, one_thread  # noqa: F401
from tests.conftest import ROOT
from tests.photos import data, drawing, killed_after  # noqa: F401
from training.core.run import Run
from training.srresnet import train as script
from training.srresnet.data import shrink
from training.srresnet.train import RECIPES

TINY, TINY_X4 = RECIPES["tiny"], RECIPES["tiny-x4"]
CPU = torch.device("cpu")


def test_one_batch_overfits_and_beats_bicubic():
    torch.manual_seed(0)
    true = torch.from_numpy(np.stack([np.array(drawing(128, 128, seed)) for seed in range(2)])).permute(0, 3, 1, 2)
    # (2, 3, 16, 16)
    small = shrink(true, 8)
    network = SRResNet(SRResNetConfig(channels=16, blocks=2))
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(150):
        script.train_step(network, optimizer, small, true)

    def decibels(large):
        return -10 * torch.log10(torch.mean((large - (true / 127.5 - 1)) ** 2) / 4)

    with torch.no_grad():
        x = small / 127.5 - 1
        assert decibels(network(x)) > decibels(bicubic(x, 8)) + 1


def test_a_loss_that_is_not_a_number_stops_training():
    network = SRResNet(TINY.network)
    torch.nn.init.constant_(network.tail.bias, float("nan"))
    small, true = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    with pytest.raises(FacetError, match="learning rate"):
        script.train_step(network, torch.optim.Adam(network.parameters()), small, true)


@pytest.mark.parametrize("config", [TINY, TINY_X4], ids=["x8", "x4"])
def test_a_killed_run_goes_on_exactly(data, tmp_path, config):  # noqa: F811
    def run(name):
        script.train(data, config, Run(tmp_path / name, tmp_path / f"{name}.safetensors", device="cpu"))

    # 6 steps
    run("whole")

    killed_after(script, 3, lambda: run("broken"))
    assert torch.load(tmp_path / "broken" / "state.pt", weights_only=True)["step"] == 3
    run("broken")

    whole, broken = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "broken"))
    assert whole["step"] == broken["step"] == 6
    for part in ("network", "ema"):
        a, b = (state[part] if part == "network" else state[part]["network"] for state in (whole, broken))
        assert all(torch.equal(a[key], b[key]) for key in a)
    fresh = SRResNet(config.network).state_dict()
    # it did learn
    assert not torch.equal(whole["network"]["tail.weight"], fresh["tail.weight"])

    info = SRResNet.from_file(tmp_path / "broken.safetensors").info
    assert info["images"] == 12 and "non-commercial" in info["licence"] and info["scale"] == config.network.scale
    if config is TINY:
        assert info["psnr"].keys() == {"srresnet", "bicubic", "lanczos"} and list(
            (tmp_path / "broken").glob("grid-*.png")
        )
    else:
        assert {name: set(row) for name, row in info["psnr"].items()} == {"srresnet": {"Set5"}, "bicubic": {"Set5"}}

    # the state of one recipe is not continued by another
    with pytest.raises(FacetError, match="another recipe"):
        script.train(data, replace(config, batch=1), Run(tmp_path / "broken", device="cpu"))


def test_stopping_saves(data, tmp_path):  # noqa: F811
    class Requested:
        requested = True

    script.train(data, TINY, Run(tmp_path / "run", tmp_path / "x.safetensors", device="cpu", stop=Requested()))
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 0
    assert SRResNet.from_file(tmp_path / "x.safetensors").config == TINY.network


def test_x8_starts_from_x4_and_counts_on(data, tmp_path):  # noqa: F811
    script.main(["--recipe", "tiny-x4", "--data", str(data), "--state-dir", str(tmp_path / "x4"), "--device", "cpu"])
    start = SRResNet.from_file(tmp_path / "x4" / "srresnet.safetensors")
    out, x4 = tmp_path / "x8.safetensors", tmp_path / "x4" / "srresnet.safetensors"
    script.train(data, replace(TINY, learning_rate=0.0), Run(tmp_path / "x8", out, device="cpu", start_from=x4))
    grown, expected = SRResNet.from_file(tmp_path / "x8.safetensors"), SRResNet(TINY.network)
    expected.start_from(start)
    # half precision lies between
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(grown.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    assert start.info["images"] == 12 and grown.info["images"] == 24
    with pytest.raises(InputError, match="only the stages"):
        run = Run(tmp_path / "x", device="cpu", start_from=tmp_path / "x8.safetensors")
        script.train(data, replace(TINY, network=SRResNetConfig(channels=4)), run)


def test_the_table_of_held_out_people(data, tmp_path, capsys):  # noqa: F811
    script.main(["--recipe", "tiny", "--data", str(data), "--state-dir", str(tmp_path), "--device", "cpu"])
    judge = str(ROOT / "weights" / "judge.safetensors")
    capsys.readouterr()
    script.main(
        [
            "--data",
            str(data),
            "--state-dir",
            str(tmp_path),
            "--evaluate",
            str(tmp_path / "srresnet.safetensors"),
            "--judge",
            judge,
            "--round-trip",
            str(tmp_path / "none"),
            "--device",
            "cpu",
        ]
    )
    assert "| clean | bicubic |" in capsys.readouterr().out
    report = json.loads((tmp_path / "people.json").read_text())
    assert report["photos"] == 1 and report["scores"]["bicubic"]["clean"]["perceptual"] > 0
    with pytest.raises(SystemExit, match="missing"):
        script.main(["--data", str(data), "--evaluate", str(tmp_path / "none.safetensors")])


@pytest.mark.parametrize("none", [["--patch", "0"], ["--patch", "-4"], ["--batch", "0"]])
def test_a_number_that_is_too_small_is_no_default(data, tmp_path, none):  # noqa: F811
    with pytest.raises(SystemExit, match="^training.srresnet.train: .*(--patch|batch) must"):
        script.main(["--data", str(data), "--state-dir", str(tmp_path), "--recipe", "tiny-x4", *none])


def test_the_recipe_for_faces_says_what_it_lacks(data, tmp_path):  # noqa: F811
    with pytest.raises(SystemExit, match="training.srresnet.round_trip"):
        script.main(
            [
                "--data",
                str(data),
                "--state-dir",
                str(tmp_path),
                "--round-trip",
                str(tmp_path / "none"),
                "--device",
                "cpu",
            ]
        )


# --- several processes ------------------------------------------------------------------------------------------------


def child_of_many(rank: int, world: int, port: int, folder: Path, start: Path, run: Path) -> None:
    """What torchrun starts: its variables, and the script's own main() under a short recipe that validates every step.

    Keeps the network that this process ends with.
    """
    be_silent()
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    script.RECIPES["tiny-x4"] = replace(TINY_X4, batch=8, images=320, learning_rate=1e-3, ema_half_life=16)
    trained, step = [], script.train_step
    script.train_step = lambda network, *rest: trained.append(network) or step(network, *rest)
    script.main(
        [
            "--recipe",
            "tiny-x4",
            "--data",
            str(folder),
            "--start-from",
            str(start),
            "--state-dir",
            str(run),
            "--device",
            "cpu",
        ]
    )
    torch.save(trained[0].state_dict(), run / f"of-{rank}.pt")


def curve(world: int, folder: Path, start: Path, run: Path) -> np.ndarray:
    """Set5's PSNR after every step of a training by `world` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [
        FORK.Process(target=child_of_many, args=(rank, world, port, folder, start, run)) for rank in range(world)
    ]
    for process in children:
        process.start()
    for process in children:
        process.join(120)
        assert process.exitcode == 0
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    psnr_by_images = {entry["images"]: entry["srresnet_Set5"] for entry in lines if "srresnet_Set5" in entry}
    # process 0 alone writes
    assert list(psnr_by_images) == list(range(8, 321, 8))
    return np.array(list(psnr_by_images.values()))


def test_two_processes_learn_like_one(data, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    # there is more to learn from here than from bicubic
    spoilt = SRResNet(TINY_X4.network)
    torch.nn.init.normal_(spoilt.tail.weight, std=0.03)
    checkpoint.save(tmp_path / "start.safetensors", spoilt.state_dict(), vars(spoilt.config), {})
    one, two = (curve(world, data, tmp_path / "start.safetensors", tmp_path / str(world)) for world in (1, 2))
    told = f"{one.round(2)}\n{two.round(2)}"
    assert one[-1] > one[0] + 3 and two[-1] > two[0] + 3, told
    assert np.abs(two - one).max() < 1, told
    first, second = (torch.load(tmp_path / "2" / f"of-{rank}.pt") for rank in (0, 1))
    # each drew other patches, both took the same steps
    for name, value in first.items():
        torch.testing.assert_close(second[name], value)
    assert [SRResNet.from_file(tmp_path / str(world) / "srresnet.safetensors").info["images"] for world in (1, 2)] == [
        320,
        320,
    ]
