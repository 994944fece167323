"""How different two images are to the frozen judge: LPIPS (Zhang et al. 2018) with the judge in VGG's place.

Training and evaluation of SRResNet use it. The U-Net never sees it, since the judge measures the U-Net.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.images import to_tensor
from training.evaluation.judge import Judge

# the judge knows faces of 64 px, so larger ones are looked at in full size, halved and quartered
SCALES = (1, 2, 4)


class Perceptual:
    """Distance of images over all layers of the judge: Zhang et al. 2018, eq. 1 with all channels weighing the same."""

    def __init__(self, judge: Judge):
        self.layers = nn.ModuleList([judge.stem, *judge.levels]).requires_grad_(False).eval()

    def __call__(self, images: Tensor, true: Tensor) -> Tensor:
        """(N, 3, H, W), both in [-1, 1], H and W multiples of 32 -> (N,), 0 for equal images.

        The gradient flows back into `images`.
        """
        distance = images.new_zeros(len(images))
        for scale in SCALES:
            a, b = (F.avg_pool2d(x, scale).contiguous(memory_format=torch.channels_last) for x in (images, true))
            for layer in self.layers:
                a, b = layer(a), layer(b)
                distance = distance + (F.normalize(a.float()) - F.normalize(b.float())).square().sum(1).mean((1, 2))
        return distance / (len(SCALES) * len(self.layers))

    @torch.inference_mode()
    def of_pixels(self, image: np.ndarray, true: np.ndarray) -> float:
        """The same of two (H, W, 3) uint8."""
        device = next(self.layers.parameters()).device
        return self(*(to_tensor(x)[None].to(device) for x in (image, true))).item()
