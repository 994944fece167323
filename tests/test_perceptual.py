"""The distance of two images in the eyes of the judge and of CLIP."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from model.clip import Clip, ClipConfig
from model.errors import InputError
from tests.photos import drawing
from training.judge import Judge, JudgeConfig
from training.perceptual import Perceptual


@pytest.fixture(scope="module", params=["judge", "clip"])
def perceptual(request, tiny_weights):
    torch.manual_seed(0)
    if request.param == "clip":
        return Perceptual.of_clip(Clip.from_file(tiny_weights / "clip.safetensors"))
    return Perceptual.of_judge(Judge(JudgeConfig(channels=(8, 16, 16), blocks=(1, 1, 1), places=2)))


def test_the_distance_grows_with_blur(perceptual):
    true = np.array(drawing(64, 64, 0))
    distances = [perceptual.of_pixels(np.array(Image.fromarray(true).filter(ImageFilter.GaussianBlur(radius))), true)
                 for radius in (0, 1, 2, 4)]
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
    assert not perceptual.layers.training                   # the batch statistics stay as they are


def test_clip_s_own_layers_are_looked_through(tiny_weights):
    """The last layer's features are those that CLIP's own tower has there."""
    clip, seen = Clip.from_file(tiny_weights / "clip.safetensors"), []
    eyes = Perceptual.of_clip(clip)
    clip.towers.visual.layer4.register_forward_hook(lambda layer, given, features: seen.append(features))
    images = torch.rand(2, 3, clip.image_size, clip.image_size)
    clip.image_features(images)
    x = eyes.prepare(2 * images - 1)
    for layer in eyes.layers:
        x = layer(x)
    assert torch.allclose(x, seen[0], atol=1e-5)


def test_a_tower_without_such_layers_is_refused_in_one_line():
    vit = Clip(ClipConfig(name="some-vit", architecture={
        "embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 77, "width": 64, "heads": 1, "layers": 1}}))
    with pytest.raises(InputError, match="some-vit does not see through a ResNet") as error:
        Perceptual.of_clip(vit)
    assert "\n" not in str(error.value)
