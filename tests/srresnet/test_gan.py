"""The adversarial stage: both players learn, a killed run goes on exactly, the blend lies between."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.errors import InputError
from model.files import checkpoint
from model.srresnet import SRResNet, SRResNetConfig
from tests.photos import data, drawing, killed_after  # noqa: F401
from training.core.run import Run
from training.evaluation.judge import Judge, JudgeConfig
from training.srresnet import gan as script
from training.srresnet.data import shrink
from training.srresnet.gan import RECIPES, Discriminator, Players, blend
from training.srresnet.perceptual import Perceptual

TINY = RECIPES["tiny"]
CPU = torch.device("cpu")
SMALL = JudgeConfig(channels=(8, 16, 16), blocks=(1, 1, 1), places=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A judge and a network to start from, both with random weights."""
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(0)
    Judge(SMALL).save(folder / "judge.safetensors", {})
    network = SRResNet(SRResNetConfig(channels=8, blocks=1))
    torch.nn.init.normal_(network.tail.weight, std=0.01)
    checkpoint.save(
        folder / "start.safetensors", network.state_dict(), vars(network.config), {"images": 100, "seconds": 7}
    )
    return folder


def test_the_discriminator_is_the_papers():
    discriminator = Discriminator(96, 64)
    shapes = [
        (conv.in_channels, conv.out_channels, conv.stride[0])
        for conv in discriminator.convolutions
        if isinstance(conv, torch.nn.Conv2d)
    ]
    assert shapes == [
        (3, 64, 1),
        (64, 64, 2),
        (64, 128, 1),
        (128, 128, 2),
        (128, 256, 1),
        (256, 256, 2),
        (256, 512, 1),
        (512, 512, 2),
    ]
    assert [
        (layer.in_features, layer.out_features) for layer in discriminator.dense if isinstance(layer, torch.nn.Linear)
    ] == [
        (512 * 36, 1024),
        (1024, 1),
    ]
    assert Discriminator(64, 4)(torch.zeros(3, 3, 64, 64)).shape == (3,)


def test_each_player_learns_from_its_own_loss(files):
    torch.manual_seed(0)
    true = torch.from_numpy(np.stack([np.array(drawing(64, 64, seed)) for seed in range(4)])).permute(0, 3, 1, 2)
    small, perceptual = shrink(true, 8), Perceptual(Judge.from_file(files / "judge.safetensors"))
    players = Players(SRResNet.from_file(files / "start.safetensors").train(), Discriminator(64, 4))
    for optimizer, rate in zip(players.optimizers, (2e-3, 2e-3)):
        optimizer.param_groups[0]["lr"] = rate
    config = replace(TINY, adversarial=0.0)
    losses = [script.train_step(players, perceptual, small, true, config) for _ in range(30)]
    for name in ("pixel", "perceptual", "discriminator"):
        assert losses[-1][name] < 0.9 * losses[0][name], name

    # against one that stands still, the generator wins
    players.optimizers[1].param_groups[0]["lr"] = 0.0
    losses = [
        script.train_step(players, perceptual, small, true, replace(TINY, pixel=0.0, perceptual=0.0, adversarial=1.0))
        for _ in range(30)
    ]
    assert losses[-1]["adversarial"] < 0.9 * losses[0]["adversarial"]


def test_a_killed_run_goes_on_exactly(data, files, tmp_path):  # noqa: F811
    def run(name):
        out, start = tmp_path / f"{name}.safetensors", files / "start.safetensors"
        script.train(data, files / "judge.safetensors", TINY, Run(tmp_path / name, out, device="cpu", start_from=start))

    # 3 steps
    run("whole")
    killed_after(script, 2, lambda: run("broken"))
    assert torch.load(tmp_path / "broken" / "state.pt", weights_only=True)["step"] == 2
    run("broken")
    whole, broken = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "broken"))
    assert whole["step"] == broken["step"] == 3
    for player in ("generator", "discriminator"):
        a, b = (state["players"][player] for state in (whole, broken))
        assert all(torch.equal(a[key], b[key]) for key in a)
    start, end = (SRResNet.from_file(path) for path in (files / "start.safetensors", tmp_path / "broken.safetensors"))
    assert end.config == start.config and end.info["images"] == 106 and end.info["start"] == start.info["hash"]
    assert not torch.equal(start.body[0].conv1.weight, end.body[0].conv1.weight)
    assert end.info["scores"]["clean"].keys() == {"PSNR", "sharpness", "perceptual"}
    assert list((tmp_path / "broken").glob("grid-*.png"))


def test_a_blend_lies_between(files, tmp_path):
    start = SRResNet.from_file(files / "start.safetensors")
    tensors = {name: value + 1 for name, value in start.state_dict().items()}
    checkpoint.save(
        tmp_path / "crisp.safetensors", tensors, vars(start.config), {"start": start.info["hash"]}, dtype=torch.float32
    )
    for share in (0.0, 0.25, 1.0):
        blend(files / "start.safetensors", tmp_path / "crisp.safetensors", share, tmp_path / "x.safetensors")
        mixed = SRResNet.from_file(tmp_path / "x.safetensors")
        assert mixed.info["blend"] == share
        for name, value in start.state_dict().items():
            torch.testing.assert_close(mixed.state_dict()[name], value + share, atol=2e-3, rtol=0)
    with pytest.raises(InputError, match="from 0 to 1"):
        blend(files / "start.safetensors", tmp_path / "crisp.safetensors", 1.5, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="did not start from"):
        blend(tmp_path / "crisp.safetensors", files / "start.safetensors", 0.5, tmp_path / "x.safetensors")


def test_what_cannot_be_used_is_said_in_one_line(data, files, tmp_path):  # noqa: F811
    config = SRResNetConfig(channels=4, blocks=1, stages=2)
    checkpoint.save(tmp_path / "x4.safetensors", SRResNet(config).state_dict(), vars(config), {})
    common = [
        "--data",
        str(data),
        "--judge",
        str(files / "judge.safetensors"),
        "--recipe",
        "tiny",
        "--device",
        "cpu",
        "--state-dir",
        str(tmp_path),
    ]
    for more, words in (
        (["--start-from", str(tmp_path / "x4.safetensors")], "must enlarge by 8"),
        (["--start-from", str(tmp_path / "none.safetensors")], "missing"),
        (["--start-from", str(files / "start.safetensors"), "--blend", "0.5"], "another file as --out"),
    ):
        with pytest.raises(SystemExit, match=words) as error:
            script.main(common + more)
        assert "\n" not in str(error.value)
