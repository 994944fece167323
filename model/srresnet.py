"""SRResNet (Ledig et al. 2017, section 3.1 and figure 4): faces of 64 px to 512 px."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from model import checkpoint
from model.errors import FacetError, InputError
from model.memory import frugal


@dataclass(frozen=True)
class SRResNetConfig:
    channels: int = 64  # features of every layer, the paper's 64
    blocks: int = 16    # residual blocks at the input's resolution, the paper's 16
    stages: int = 3     # doublings of the resolution: 3 for x8 (the paper has 2, for x4)

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along each side."""
        return 2 ** self.stages


class ResidualBlock(nn.Module):
    """3x3 convolution, PReLU, 3x3 convolution, plus the input. No batch norm: it costs a third of the time and
    makes an image depend on its batch; EDSR (Lim et al. 2017) does better without it."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):                                   # (N, C, H, W) -> (N, C, H, W)
        return x + self.conv2(self.act(self.conv1(x)))


def upsample_stage(channels: int) -> nn.Sequential:
    """Double the resolution: four channels become one 2x2 square of pixels. (N, C, H, W) -> (N, C, 2H, 2W)"""
    return nn.Sequential(nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())


def bicubic(x: torch.Tensor, scale: int) -> torch.Tensor:
    """Bicubic enlargement, (N, 3, H, W) -> (N, 3, scale H, scale W).

    `antialias` does not smooth when enlarging; it selects Keys' kernel (a = -0.5), the one PIL uses. Without it torch
    takes a = -0.75, which rings more and scores lower.
    """
    return F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True)


class SRResNet(nn.Module):
    """Images (N, 3, H, W) in [-1, 1] -> (N, 3, scale H, scale W), about [-1, 1] (not clamped).

    The network predicts what bicubic enlargement lacks: output = bicubic(x) + net(x). The last convolution starts at
    zero, so training starts at bicubic instead of at grey and spends its budget on detail alone (VDSR, Kim et al. 2016).
    The others keep the variance of what they pass on (He et al. 2015) and residual branches start at a tenth (as ESRGAN's);
    with torch's smaller default the signal fades on its way up, and learning starts some hundred steps later.
    """

    def __init__(self, config: SRResNetConfig = SRResNetConfig()):
        super().__init__()
        self.config = config
        self.info = {}                                      # how the weights were trained, once loaded
        channels = config.channels
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*(ResidualBlock(channels) for _ in range(config.blocks)),
                                  nn.Conv2d(channels, channels, 3, padding=1))
        self.upsample = nn.Sequential(*(upsample_stage(channels) for _ in range(config.stages)))
        self.tail = nn.Conv2d(channels, 3, 9, padding=4)
        self.initialise()

    @torch.no_grad()
    def initialise(self):
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)  # a: the slope PReLU starts with
                nn.init.zeros_(module.bias)
        for block in self.body[:-1]:
            block.conv2.weight.mul_(0.1)
        nn.init.zeros_(self.tail.weight)

    @classmethod
    def from_file(cls, path: str | Path, device: str | torch.device = "cpu") -> "SRResNet":
        """Read a checkpoint. Raises WeightsError in one line."""
        network = checkpoint.restore(path, lambda config: cls(SRResNetConfig(**config)))
        return network.to(device, memory_format=torch.channels_last)

    def forward(self, x):                                   # (N, 3, H, W)
        features = self.head(x)                             # (N, C, H, W)
        features = features + self.body(features)           # the global skip
        detail = self.tail(self.upsample(features))         # (N, 3, scale H, scale W)
        return bicubic(x, self.config.scale) + detail.float()


@torch.inference_mode()
def upscale(network: SRResNet, images: np.ndarray) -> np.ndarray:
    """Enlarge images: (N, H, W, 3) uint8 -> (N, scale H, scale W, 3) uint8.

    One image at a time, so that memory does not grow with N and an image never depends on its neighbours.

    Raises InputError for anything but (N, H, W, 3) uint8, FacetError where the network returns NaN or infinity.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
        raise InputError(f"upscale: images must be uint8 of shape (N, H, W, 3), got {images.dtype} of shape {images.shape}.")
    n, height, width, _ = images.shape
    scale = network.config.scale
    device = network.tail.weight.device
    large = np.empty((n, scale * height, scale * width, 3), np.uint8)
    for i, image in enumerate(images):                      # (H, W, 3)
        x = torch.tensor(image, device=device).permute(2, 0, 1)[None] / 127.5 - 1
        y = frugal(network, x)[0]                           # (3, scale H, scale W)
        if not y.isfinite().all():
            raise FacetError("upscale: the network returned values that are not numbers; its weights are damaged.")
        large[i] = ((y.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return large
