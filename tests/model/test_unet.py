"""The U-Net: shapes, that time and condition matter, the band, and its file."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from model.diffusion import TARGETS
from model.errors import WeightsError
from model.unet import Attention, UNet, UNetConfig, fused_attention, plain_attention
from training.unet.recipes import RECIPES, TINY


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = UNet(TINY)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network.eval()


def inputs(count=2, size=64):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(count, 3, size, size, generator=generator),
        torch.tensor([0.3, 0.8])[:count],
        torch.randn(count, 514, generator=generator),
    )


@torch.inference_mode()
def test_shape_and_independence_of_the_batch(network):
    x, t, condition = inputs()
    both = network(x, t, condition)
    assert both.shape == (2, 3, 64, 64)
    assert torch.allclose(both[:1], network(x[:1], t[:1], condition[:1]), atol=1e-5)
    assert network(*inputs(2, 32)).shape == (2, 3, 32, 32)


@torch.inference_mode()
def test_attention_can_be_switched_off_image_by_image(network):
    x, t, condition = inputs()
    whole = network(x, t, condition)
    assert torch.allclose(network(x, t, condition, torch.tensor([False, False])), whole, atol=1e-6)
    mixed = network(x, t, condition, torch.tensor([True, False]))
    assert torch.allclose(mixed[1], whole[1], atol=1e-6)
    alone = deepcopy(network)
    # a map that is the identity
    for attention in (module for module in alone.modules() if isinstance(module, Attention)):
        attention.forward = lambda x, _, self=attention: x + self.out(self.qkv(self.norm(x)).chunk(3, dim=1)[2])
    assert torch.allclose(mixed[0], alone(x, t, condition)[0], atol=1e-5)
    assert (mixed[0] - whole[0]).abs().mean() > 1e-4


@torch.inference_mode()
def test_time_condition_and_flags_each_change_the_prediction(network):
    x, t, condition = inputs()
    base = network(x, t, condition)
    image, small = condition.clone(), condition.clone()
    image[:, 512] += 1
    small[:, 513] += 1
    for changed in (
        network(x, t.flip(0), condition),
        network(x, t, condition.flip(0)),
        network(x, t, image),
        network(x, t, small),
    ):
        assert (changed - base).abs().mean() > 1e-3


def test_a_fresh_network_predicts_zero_and_every_weight_learns():
    torch.manual_seed(0)
    network = UNet(TINY)
    x, t, condition = inputs()
    assert torch.equal(network(x, t, condition), torch.zeros(2, 3, 64, 64))
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    network(x, t, condition).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_the_lectures_form_knows_the_time_by_the_band_alone():
    torch.manual_seed(0)
    network = UNet(replace(TINY, band_only=True))
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    x, t, condition = inputs()
    assert not hasattr(network, "time")
    assert (network(x, t.flip(0), condition) - network(x, t, condition)).abs().mean() > 1e-4
    with torch.no_grad():
        # unshuffled channels are (channel, y, x): the band is the last
        network.input.weight.view(16, 4, 4, 3, 3)[:, 3] = 0
    assert torch.allclose(network(x, t.flip(0), condition), network(x, t, condition), atol=1e-6)


def test_embeddings_are_standardised_by_the_stored_statistics(network):
    x, t, condition = inputs()
    base = network(x, t, condition)
    shifted = UNet(TINY).eval()
    shifted.load_state_dict(network.state_dict())
    shifted.mean, shifted.std = torch.full((512,), 0.5), torch.full((512,), 2.0)
    moved = condition.clone()
    moved[:, :512] = moved[:, :512] * 2 + 0.5
    assert torch.allclose(shifted(x, t, moved), base, atol=1e-4)


@pytest.mark.parametrize("name", ["default", "lecture"])
def test_recipes_build(name):
    config = RECIPES[name].network
    assert config.target in TARGETS
    count = sum(parameter.numel() for parameter in UNet(config).parameters())
    # at most 60 MB in half precision
    assert count * 2 <= 60e6


def test_fused_attention_is_the_plain_one():
    """Which a GPU takes for speed."""
    query, key, value = torch.randn(3, 2, 4, 32, 64, generator=torch.Generator().manual_seed(0))
    mixed = fused_attention(query, key, value)
    assert mixed.shape == value.shape and torch.allclose(mixed, plain_attention(query, key, value), atol=1e-5)


def test_unknown_target_and_unbuildable_file(tiny_weights, tmp_path):
    with pytest.raises(ValueError, match="unknown target"):
        UNet(UNetConfig(target="everything"))
    with pytest.raises(WeightsError, match="cannot build"):
        UNet.from_file(tiny_weights / "clip.safetensors")
