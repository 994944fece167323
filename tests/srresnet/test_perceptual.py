"""The distance of two images in the eyes of the judge."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from tests.photos import drawing
from training.evaluation.judge import Judge, JudgeConfig
from training.srresnet.perceptual import Perceptual


@pytest.fixture(scope="module")
def perceptual():
    torch.manual_seed(0)
    return Perceptual(Judge(JudgeConfig(channels=(8, 16, 16), blocks=(1, 1, 1), places=2)))


def test_the_distance_grows_with_blur(perceptual):
    true = np.array(drawing(64, 64, 0))
    distances = [
        perceptual.of_pixels(np.array(Image.fromarray(true).filter(ImageFilter.GaussianBlur(radius))), true)
        for radius in (0, 1, 2, 4)
    ]
    assert distances[0] == pytest.approx(0, abs=1e-6) and all(a < b for a, b in zip(distances, distances[1:]))


def test_there_is_a_row_for_each_image_and_a_gradient_for_the_image_alone(perceptual):
    true = torch.rand(2, 3, 64, 96) * 2 - 1
    images = (true + 0.3 * torch.randn_like(true)).requires_grad_()
    images.data[1] = true[1]
    distance = perceptual(images, true)
    assert distance.shape == (2,) and distance[0] > 0.001 > distance[1]
    distance.sum().backward()
    assert images.grad[0].abs().max() > 0 and torch.isfinite(images.grad).all()
    assert all(parameter.grad is None for parameter in perceptual.layers.parameters())
    # the batch statistics stay as they are
    assert not perceptual.layers.training
