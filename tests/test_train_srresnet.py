"""Training of the upsampler, on pictures drawn here."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from model.errors import FacetError
from model.srresnet import SRResNet, SRResNetConfig, bicubic
from training import train_srresnet as script
from training.train_srresnet import RECIPES, degrade, draw_batch, is_held_out, load_training_images, person, psnr, shrink

TINY = replace(RECIPES["tiny"], max_minutes=1e6)            # the budget in images alone sets the learning rate
CPU = torch.device("cpu")


def drawing(width, height, seed):
    """Ellipses of random colours: sharp edges, which bicubic enlargement blurs."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(random.integers(0, 256, 3)))
    for _ in range(30):
        x, y, r = random.integers(0, width), random.integers(0, height), random.integers(5, 60)
        ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=tuple(random.integers(0, 256, 3)))
    return image


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder like the real one, with drawings for photographs."""
    root = tmp_path_factory.mktemp("data")
    pictures = {"faces_hq/london-neutral-004.jpg": (96, 96), "faces_hq/london-neutral-005.jpg": (96, 96),
                "faces_256/00001.jpg": (80, 80), "portraits/A1.jpg": (80, 100), "sr/BSDS399/b.jpg": (120, 90), "sr/T91/t1.png": (40, 40)}
    for seed, (name, size) in enumerate(pictures.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        drawing(*size, seed).save(root / name)
    return root


def test_no_person_is_on_both_sides(data):
    assert person("london-smiling-005.jpg") == person("london-neutral-005.jpg") == "london-005"
    assert person("canada-003f.jpg") == "canada-003" != person("london-neutral-003.jpg")
    names = [f"london-{look}-{i:03d}.jpg" for i in range(1, 174) for look in ("neutral", "smiling")]
    names += [f"canada-{i:03d}{'f' if i < 80 else 'm'}.jpg" for i in range(1, 155)]
    held_out = {person(name) for name in names if is_held_out(name)}
    assert held_out.isdisjoint(person(name) for name in names if not is_held_out(name))
    assert len(held_out) / len({person(name) for name in names}) == pytest.approx(0.2, abs=0.01)


def test_held_out_people_are_not_trained_on(data):
    images, _ = load_training_images(data, 8)
    assert {source: len(found) for source, found in images.items()} == {"studio": 3, "faces": 2, "general": 1}  # t1 is too small
    held_out = script.load_held_out(data)
    assert held_out.shape == (1, 3, 512, 512)
    assert not any(torch.equal(image, held_out[0]) for image in images["studio"])


def test_a_folder_without_images_is_named(tmp_path):
    for load in (lambda path: load_training_images(path, 8), script.load_held_out):
        with pytest.raises(FacetError) as error:
            load(tmp_path)
        assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_degrade_is_mild_and_repeatable():
    image = torch.from_numpy(np.array(drawing(64, 64, 0))).permute(2, 0, 1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        damaged = degrade(image, generator)
        assert damaged.shape == image.shape and damaged.dtype == torch.uint8
        assert 18 < psnr(damaged.permute(1, 2, 0).numpy(), image.permute(1, 2, 0).numpy()) < 45
    again = [degrade(image, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*again)
    for level in (0, 255):                                  # noise at the ends of the range does not wrap around
        flat = torch.full((3, 16, 16), level, dtype=torch.uint8)
        assert (degrade(flat, generator).int() - level).abs().max() < 40


def test_shrink_is_pils_bicubic():
    image = drawing(128, 128, 0)
    ours = shrink(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None], 8)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours.astype(int) - np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC))).max() <= 1


def test_batches_have_the_input_size_at_either_scale(data):
    images, _ = load_training_images(data, 8)
    generator = torch.Generator().manual_seed(0)
    sides = set()
    for _ in range(30):
        small, true = draw_batch(images, TINY, generator)
        assert small.shape == (2, 3, 8, 8) and small.dtype == true.dtype == torch.uint8
        sides.add(true.shape[-1])
    assert sides == {32, 64}                                # scales 4 and 8


def test_one_batch_overfits_and_beats_bicubic():
    torch.manual_seed(0)
    true = torch.from_numpy(np.stack([np.array(drawing(128, 128, seed)) for seed in range(2)])).permute(0, 3, 1, 2)
    small = shrink(true, 8)                                 # (2, 3, 16, 16)
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


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the script catches it."""


def test_a_killed_run_goes_on_exactly(data, tmp_path, monkeypatch):
    def run(name):
        script.train(data, tmp_path / f"{name}.safetensors", tmp_path / name, TINY, CPU)

    run("whole")                                            # 6 steps

    step, left = script.train_step, [3]

    def killed_at_the_fourth(*args):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return step(*args)

    monkeypatch.setattr(script, "train_step", killed_at_the_fourth)
    with pytest.raises(Killed):
        run("broken")
    monkeypatch.setattr(script, "train_step", step)
    assert torch.load(tmp_path / "broken" / "state.pt", weights_only=False)["seen"] == 6
    run("broken")

    whole, broken = (torch.load(tmp_path / name / "state.pt", weights_only=False) for name in ("whole", "broken"))
    assert whole["seen"] == broken["seen"] == 12
    assert torch.equal(whole["generator"], broken["generator"])
    for part in ("network", "ema"):
        a, b = (state[part] if part == "network" else state[part]["network"] for state in (whole, broken))
        assert all(torch.equal(a[key], b[key]) for key in a)
    fresh = SRResNet(TINY.network).state_dict()
    assert not torch.equal(whole["network"]["tail.weight"], fresh["tail.weight"])    # it did learn

    info = SRResNet.from_file(tmp_path / "broken.safetensors").info
    assert info["images"] == 12 and info["psnr"].keys() == {"srresnet", "bicubic", "lanczos"}
    assert "non-commercial" in info["licence"]
    assert list((tmp_path / "broken").glob("grid-*.png"))

    with pytest.raises(FacetError, match="another recipe"):  # the state of one recipe is not continued by another
        script.train(data, tmp_path / "x.safetensors", tmp_path / "broken", replace(TINY, batch=1), CPU)


def test_stopping_saves(data, tmp_path):
    class Requested:
        requested = True

    script.train(data, tmp_path / "x.safetensors", tmp_path / "run", TINY, CPU, Requested())
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=False)["seen"] == 0
    assert SRResNet.from_file(tmp_path / "x.safetensors").config == TINY.network


def test_psnr():
    a = np.zeros((32, 32, 3), np.uint8)
    assert psnr(a, a + np.uint8(1)) == pytest.approx(48.13, abs=0.01)
    b = a.copy()
    b[:8] = 255                                             # within the border, which does not count
    assert psnr(a, b) > 100
