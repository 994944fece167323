"""The upsampler's network: shapes, where it starts, what it refuses."""

import numpy as np
import pytest
import torch
from PIL import Image

from model import checkpoint
from model.errors import FacetError, InputError, WeightsError
from model.srresnet import SRResNet, SRResNetConfig, bicubic, upscale

TINY = SRResNetConfig(channels=8, blocks=2)


@pytest.fixture
def network():
    """A tiny network that has left bicubic: its last layer is not zero."""
    torch.manual_seed(0)
    network = SRResNet(TINY).eval()
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    return network


def noise(n, height=16, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_every_stage_doubles_the_resolution(stages):
    network = SRResNet(SRResNetConfig(channels=8, blocks=1, stages=stages))
    assert network(torch.zeros(2, 3, 6, 10)).shape == (2, 3, 6 * 2 ** stages, 10 * 2 ** stages)


def test_default_is_the_papers_network():
    network = SRResNet()
    assert network.config == SRResNetConfig(channels=64, blocks=16, stages=3)
    assert sum(p.numel() for p in network.parameters()) == 1_692_951
    assert upscale(network, noise(1, 64, 64)).shape == (1, 512, 512, 3)


def test_starts_at_bicubic():
    x = torch.rand(2, 3, 12, 12) * 2 - 1
    assert torch.equal(SRResNet(TINY)(x), bicubic(x, 8))
    image = noise(1) // 4 + 96                              # away from 0 and 255: PIL clamps between its two passes
    reference = Image.fromarray(image[0]).resize((128, 128), Image.Resampling.BICUBIC)
    difference = upscale(SRResNet(TINY), image)[0].astype(int) - np.asarray(reference)
    assert np.abs(difference).max() <= 1


def test_upscale_does_not_depend_on_the_batch(network):
    images = noise(3)
    together = upscale(network, images)
    assert together.shape == (3, 128, 128, 3) and together.dtype == np.uint8
    for i in range(3):
        assert np.array_equal(together[i], upscale(network, images[i:i + 1])[0])
    assert upscale(network, images[:0]).shape == (0, 128, 128, 3)


def test_upscale_clamps(network):
    torch.nn.init.constant_(network.tail.bias, 9.0)
    assert (upscale(network, noise(1)) == 255).all()
    torch.nn.init.constant_(network.tail.bias, -9.0)
    assert (upscale(network, noise(1)) == 0).all()


@pytest.mark.parametrize("images", [
    noise(1)[0], noise(1)[..., :1], noise(1).astype(np.float32), noise(1)[:, :0], np.zeros(3, np.uint8), None, "face",
])
def test_upscale_refuses_other_images_in_one_line(network, images):
    with pytest.raises(InputError) as error:
        upscale(network, images)
    assert "\n" not in str(error.value) and "(N, H, W, 3)" in str(error.value)


def test_upscale_refuses_a_network_that_returns_nan(network):
    torch.nn.init.constant_(network.tail.bias, float("nan"))
    with pytest.raises(FacetError, match="not numbers"):
        upscale(network, noise(1))


def test_weights_survive_the_disk(network, tmp_path):
    path = tmp_path / "srresnet.safetensors"
    config = {"channels": 8, "blocks": 2, "stages": 3}
    checkpoint.save(path, network.state_dict(), config, {"images_seen": 7}, dtype=torch.float32)
    loaded = SRResNet.from_file(path)
    info = loaded.info
    assert loaded.config == TINY and not loaded.training and info["images_seen"] == 7
    difference = upscale(loaded, noise(1)).astype(int) - upscale(network, noise(1))
    assert np.abs(difference).max() <= 1  # another memory layout may round another way


@pytest.mark.parametrize("config", [{"channels": 16, "blocks": 2}, {"channels": 8, "blocks": 3}, {"width": 8}])
def test_weights_of_another_network_are_refused(network, tmp_path, config):
    path = tmp_path / "srresnet.safetensors"
    checkpoint.save(path, network.state_dict(), config, {})
    with pytest.raises(WeightsError) as error:
        SRResNet.from_file(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
