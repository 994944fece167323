"""Muon beside the singular value decomposition it stands for, beside torch's own, and at work."""

import pytest
import torch
from torch import nn

from model.unet import UNet
from training.core import muon
from training.core.muon import Muon, orthogonal
from training.unet.learner import optimizers_of
from training.unet.recipes import RECIPES


def alone(weight: nn.Parameter, mean: torch.Tensor, group: dict) -> None:
    """Muon's step of one weight, as the papers have it: by a product after the other of its own matrix."""
    mean.lerp_(weight.grad, 1 - group["momentum"])
    matrix = weight.grad.lerp(mean, group["momentum"]).flatten(1)
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm()
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    x = x.T if matrix.shape[0] > matrix.shape[1] else x
    weight.mul_(1 - group["lr"] * group["weight_decay"])
    weight.sub_(group["lr"] * 0.2 * max(matrix.shape) ** 0.5 * x.reshape(weight.shape))


@pytest.mark.parametrize("shape", [(16, 90), (90, 16), (24, 24)])
def test_orthogonal_keeps_the_directions_and_levels_their_lengths(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    # diagonal, if the singular vectors are the same
    inside = u.T @ orthogonal(matrix[None])[0] @ v.T
    lengths = inside.diagonal()
    assert lengths.min() > 0.5 and lengths.max() < 1.3
    assert (inside - lengths.diag()).abs().max() < 0.05
    assert torch.isfinite(orthogonal(torch.zeros(1, *shape))).all()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has its own from 2.9 on")
def test_steps_are_those_of_torch(monkeypatch):
    """Which takes matrices alone and always computes in bfloat16."""
    monkeypatch.setattr(muon, "half_precision", lambda device: torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(12, 20, generator=generator), torch.randn(5, 12, 20, generator=generator)
    weights = [nn.Parameter(start.clone()) for _ in range(2)]
    ours = Muon(weights[:1], lr=0.02, momentum=0.9, weight_decay=0.1)
    theirs = torch.optim.Muon(weights[1:], lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        for weight, optimizer in zip(weights, (ours, theirs)):
            weight.grad = gradient.clone()
            optimizer.step()
    assert (weights[0] - start).abs().max() > 0.03
    assert torch.allclose(*weights, atol=1e-3)


def test_a_convolution_steps_as_the_matrix_it_is():
    generator = torch.Generator().manual_seed(0)
    matrix = nn.Parameter(torch.randn(6, 27, generator=generator))
    kernel = nn.Parameter(matrix.detach().view(6, 3, 3, 3).clone(memory_format=torch.channels_last))
    matrix.grad = torch.randn(6, 27, generator=generator)
    kernel.grad = matrix.grad.view(6, 3, 3, 3).clone(memory_format=torch.channels_last)
    Muon([matrix, kernel], lr=0.1).step()
    assert torch.allclose(kernel.detach().reshape(6, 27), matrix.detach(), atol=1e-6)


@pytest.mark.parametrize("largest", [1, 40, 2**16])
def test_weights_of_one_shape_step_together_as_each_would_alone(monkeypatch, largest):
    """Kernels and matrices, wide, tall and square, some of one shape, one without a gradient."""
    monkeypatch.setattr(muon, "half_precision", lambda device: None)
    # from there on a CPU takes one after the other
    monkeypatch.setattr(muon, "ALONE", largest)
    generator, shapes = torch.Generator().manual_seed(0), [(6, 3, 3, 3), (9, 4), (6, 27), (5, 5), (6, 3, 3, 3), (9, 4)]
    together, one_by_one = (
        [nn.Parameter(torch.randn(shape, generator=generator.manual_seed(at))) for at, shape in enumerate(shapes)]
        for _ in range(2)
    )
    for weights in (together, one_by_one):
        weights[0].data = weights[0].data.contiguous(memory_format=torch.channels_last)
    untouched, means = nn.Parameter(torch.ones(9, 4)), [torch.zeros_like(weight) for weight in one_by_one]
    optimizer = Muon([*together, untouched], lr=0.05, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        for weight, other, mean in zip(together, one_by_one, means):
            weight.grad = torch.randn(weight.shape, generator=generator)
            other.grad = weight.grad.clone()
            with torch.no_grad():
                alone(other, mean, optimizer.param_groups[0])
        optimizer.step()
    for at, (weight, other) in enumerate(zip(together, one_by_one)):
        assert torch.allclose(weight, other, atol=1e-5), shapes[at]
        assert (weight - torch.randn(weight.shape, generator=generator.manual_seed(at))).abs().max() > 0.01
    assert torch.equal(untouched, torch.ones(9, 4)) and untouched not in optimizer.state


def test_each_weight_of_the_u_net_has_one_optimizer():
    network = UNet(RECIPES["tiny"].network)
    adam, inner = optimizers_of(network, RECIPES["tiny"])
    by_adam, by_muon = ({weight for group in each.param_groups for weight in group["params"]} for each in (adam, inner))
    assert not by_adam & by_muon and by_adam | by_muon == set(network.parameters())
    assert {network.input.weight, network.output[-1].weight} < by_adam and all(weight.ndim > 1 for weight in by_muon)
    assert len(by_muon) > 10 and [type(each) for each in optimizers_of(network, RECIPES["lecture"])] == [
        torch.optim.AdamW
    ]
