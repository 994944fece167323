"""How different two faces are in the eyes of a frozen network: LPIPS (Zhang et al. 2018), with networks of this project in VGG's place.

The judge's eyes serve super-resolution, CLIP's the U-Net's training, so that the judge, which measures the U-Net, never taught it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.clip import MEAN, STD, Clip
from model.errors import InputError
from training.judge import Judge


class Perceptual:
    """Distance of images over all layers of a network: Zhang et al. 2018, eq. 1 with all channels weighing the same."""

    def __init__(self, layers: Sequence[nn.Module], scales: Sequence[int] = (1,), prepare: Callable[[Tensor], Tensor] = lambda x: x):
        """
        :param layers:  run one after the other; the features behind each count.
        :param scales:  images are looked at in full size (1), halved (2) and so on.
        :param prepare: brings images in [-1, 1] to what the first layer expects.
        """
        self.layers, self.scales, self.prepare = nn.ModuleList(layers).requires_grad_(False).eval(), scales, prepare

    @classmethod
    def of_judge(cls, judge: Judge) -> "Perceptual":
        """Knows faces of 64 px: larger ones are looked at in three sizes. Sides must be multiples of 32."""
        return cls([judge.stem, *judge.levels], (1, 2, 4))

    @classmethod
    def of_clip(cls, clip: Clip) -> "Perceptual":
        """By the ResNet that sees CLIP's images, the finest layer before its first pooling. Raises InputError for another tower."""
        eye, mean, std = clip.towers.visual, torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
        if not hasattr(eye, "layer4"):
            raise InputError(f"{clip.config.name} does not see through a ResNet: the perceptual loss needs its layers. Set it to 0.")

        def prepare(images: Tensor) -> Tensor:
            larger = F.interpolate(images, (clip.image_size, clip.image_size), mode="bilinear", align_corners=False)
            return (larger / 2 + 0.5 - mean.to(images)) / std.to(images)

        fine = nn.Sequential(eye.conv1, eye.bn1, eye.act1, eye.conv2, eye.bn2, eye.act2, eye.conv3, eye.bn3, eye.act3)
        return cls([fine, nn.Sequential(eye.avgpool, eye.layer1), eye.layer2, eye.layer3, eye.layer4], prepare=prepare)

    def __call__(self, images: Tensor, true: Tensor) -> Tensor:
        """(N, 3, H, W), both in [-1, 1] -> (N,), 0 for equal images. The gradient flows back into `images`."""
        distance = images.new_zeros(len(images))
        for scale in self.scales:
            a, b = (self.prepare(F.avg_pool2d(x, scale)).contiguous(memory_format=torch.channels_last) for x in (images, true))
            for layer in self.layers:
                a, b = layer(a), layer(b)
                distance = distance + (F.normalize(a.float()) - F.normalize(b.float())).square().sum(1).mean((1, 2))
        return distance / (len(self.scales) * len(self.layers))

    @torch.inference_mode()
    def of_pixels(self, image: np.ndarray, true: np.ndarray) -> float:
        """The same of two (H, W, 3) uint8."""
        device = next(self.layers.parameters()).device
        return self(*(torch.tensor(x, device=device).permute(2, 0, 1)[None] / 127.5 - 1 for x in (image, true))).item()
