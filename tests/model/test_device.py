"""How the networks run on the CPU: packed convolutions, and batches in parts."""

import platform
from copy import deepcopy

import pytest
import torch
from torch import nn

from model.device import MOST_ON_CPU, PackedConv2d, pack, run_in_parts
from model.unet import FLAGS, UNet
from training.unet.recipes import TINY
from ui.how.face import features

ONEDNN = torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")
needs_onednn = pytest.mark.skipif(not ONEDNN, reason="no oneDNN here")


def inputs(count: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(count)
    noisy, condition = (torch.randn(count, *shape, generator=generator) for shape in ((3, 64, 64), (512 + FLAGS,)))
    return noisy, torch.full((count,), 0.5), condition


@pytest.fixture
def network() -> UNet:
    """Random weights everywhere, also where training starts from zero."""
    torch.manual_seed(0)
    network = UNet(TINY).eval().to(memory_format=torch.channels_last)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return network


@pytest.fixture
def packed(network) -> UNet:
    twin = deepcopy(network)
    pack(twin, *inputs(1))
    return twin


@needs_onednn
@torch.inference_mode()
def test_the_answers_are_the_same_for_every_size_of_batch(network, packed):
    kernels = [module.kernel_size for module in packed.modules() if isinstance(module, nn.Conv2d)]
    assert any(isinstance(module, PackedConv2d) for module in packed.modules()) and set(kernels) == {(1, 1)}
    for count in (1, 2, 5):
        torch.testing.assert_close(packed(*inputs(count)), network(*inputs(count)), atol=1e-5, rtol=1e-4)
    smaller = (inputs(1)[0][..., :32, :32], *inputs(1)[1:])
    torch.testing.assert_close(packed(*smaller), network(*smaller), atol=1e-5, rtol=1e-4)


@needs_onednn
@torch.inference_mode()
def test_autocast_computes_in_bfloat16_and_leaves_float32_as_it_was(network, packed):
    before = packed(*inputs(2))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, plain = packed(*inputs(2)), network(*inputs(2))
    torch.testing.assert_close(rounded.float(), plain.float(), atol=0.02, rtol=0.1)
    assert rounded.dtype is torch.bfloat16 and torch.equal(packed(*inputs(2)), before)


@needs_onednn
def test_a_packed_network_counts_its_weights_and_can_be_looked_into(network, packed):
    assert sum(p.numel() for p in packed.parameters()) == sum(p.numel() for p in network.parameters())
    network.load_state_dict(packed.state_dict())
    # its weights in half precision are there as well
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        packed(*inputs(1))
    seen, answer = features(packed, ["encoder.0"], *inputs(1))
    wanted, same = features(network, ["encoder.0"], *inputs(1))
    torch.testing.assert_close(seen["encoder.0"], wanted["encoder.0"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(answer, same, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_without_onednn_nothing_changes(monkeypatch, network):
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    before = network(*inputs(1))
    pack(network, *inputs(1))
    assert not any(isinstance(module, PackedConv2d) for module in network.modules())
    assert torch.equal(network(*inputs(1)), before)


@torch.inference_mode()
def test_on_the_cpu_a_large_batch_goes_through_in_parts(network):
    """Memory that a forward of many images takes is not given back by the C library."""
    rows = []
    network.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    whole, perturbed = inputs(2 * MOST_ON_CPU + 1), torch.arange(2 * MOST_ON_CPU + 1) % 2 == 0
    expected = network(*whole, perturbed)
    torch.testing.assert_close(run_in_parts(network, *whole, perturbed), expected, atol=1e-5, rtol=1e-4)
    assert rows[1:] == [MOST_ON_CPU, MOST_ON_CPU, 1]
