"""SRResNet (Ledig et al. 2017, section 3.1 and figure 4): faces of 64 px to 512 px, and larger images tile by tile."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.device import call, run_in_parts
from model.errors import FacetError, InputError
from model.files import checkpoint
from model.images import to_pixels, to_tensor

# side of what is enlarged at once, input px: bounds the memory, whatever the image's size
TILE = 96
# input px around it that the layers after the body see: 2.5 at most
HALO = 3
# rows that the last stage doubles at once
STRIP = 32
# of one input image
MAX_PIXELS = 2**20


@dataclass(frozen=True)
class SRResNetConfig:
    # features of every layer, the paper's 64
    channels: int = 64
    # residual blocks at the input's resolution, the paper's 16
    blocks: int = 16
    # doublings of the resolution: 3 for x8 (the paper has 2, for x4)
    stages: int = 3

    @classmethod
    def read(cls, stored: dict) -> "SRResNetConfig":
        """From a checkpoint's config. Files may name a norm, which must be "none". Raises ValueError for another."""
        if (norm := stored.get("norm", "none")) != "none":
            raise ValueError(f"{norm} norm is not known")
        return cls(**{name: value for name, value in stored.items() if name != "norm"})

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along each side."""
        return 2**self.stages

    @property
    def reach(self) -> int:
        """How many input pixels away an output pixel may see: half the receptive field."""
        return 4 + 2 * self.blocks + 1 + HALO


class ResidualBlock(nn.Module):
    """3x3 convolution, PReLU, 3x3 convolution, plus the input. No normalisation, as in EDSR (Lim et al. 2017)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    # (N, C, H, W) -> (N, C, H, W)
    def forward(self, x):
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
    zero, so training starts at bicubic instead of at grey and spends its budget on detail alone (VDSR, Kim et al.
    2016). The others keep the variance of what they pass on (He et al. 2015) and residual branches start at a tenth (as
    ESRGAN's); with torch's smaller default the signal fades on its way up, and learning starts some hundred steps
    later.
    """

    def __init__(self, config: SRResNetConfig = SRResNetConfig()):
        super().__init__()
        self.config = config
        # how the weights were trained, once loaded
        self.info = {}
        channels = config.channels
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(
            *(ResidualBlock(channels) for _ in range(config.blocks)),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.upsample = nn.Sequential(*(upsample_stage(channels) for _ in range(config.stages)))
        self.tail = nn.Conv2d(channels, 3, 9, padding=4)
        self.initialise()

    @torch.no_grad()
    def initialise(self):
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # a: the slope PReLU starts with
                nn.init.kaiming_normal_(module.weight, a=0.25)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in self.body:
            if isinstance(block, ResidualBlock):
                block.conv2.weight.mul_(0.1)
        nn.init.zeros_(self.tail.weight)

    @torch.no_grad()
    def start_from(self, other: "SRResNet"):
        """Take over all that a network of another scale has. Stages that it lacks begin by repeating pixels, so that
        the tail finds what it knows, twice as large. Raises InputError if more than the stages differ."""
        if replace(other.config, stages=self.config.stages) != self.config:
            raise InputError(
                f"A network with {self.config} cannot start from one with {other.config}: only the stages may differ."
            )
        own = self.state_dict()
        self.load_state_dict(own | {name: value for name, value in other.state_dict().items() if name in own})
        for stage in self.upsample[other.config.stages :].children():
            conv, _, act = stage.children()
            assert isinstance(conv, nn.Conv2d) and isinstance(act, nn.PReLU)
            nn.init.zeros_(conv.weight)
            # PixelShuffle's order
            conv.weight[:, :, 1, 1] = torch.eye(self.config.channels).repeat_interleave(4, 0)
            # no bend yet
            nn.init.ones_(act.weight)

    @classmethod
    def from_file(cls, path: str | Path, device: str | torch.device = "cpu") -> "SRResNet":
        """Read a checkpoint. Raises WeightsError in one line."""
        network = checkpoint.restore(path, lambda config: cls(SRResNetConfig.read(config)))
        return network.to(device).to(memory_format=torch.channels_last)

    # (N, 3, H, W)
    def forward(self, x, window: tuple[int, int, int, int] | None = None):
        """window: (top, bottom, left, right), the rows and columns to enlarge; what lies around them is only looked at.
        -> (N, 3, scale (bottom - top), scale (right - left))"""
        # (N, C, H, W)
        features = self.head(x)
        # the global skip
        features = features + self.body(features)
        if window is None:
            return bicubic(x, self.config.scale) + self.tail(self.upsample(features)).float()
        rows, columns = (slice(max(low - HALO, 0), high + HALO) for low, high in (window[:2], window[2:]))
        detail = self._by_strips(self.upsample[:-1](features[:, :, rows, columns]))
        large = bicubic(x[:, :, rows, columns], self.config.scale) + detail.float()
        rows, columns = (
            slice(self.config.scale * (low - part.start), self.config.scale * (high - part.start))
            for low, high, part in ((*window[:2], rows), (*window[2:], columns))
        )
        return large[:, :, rows, columns]

    def _by_strips(self, x):
        """The last stage and the tail, STRIP rows at a time: at once they take 0.2 GB for a face of 64 px.
        (N, C, H, W) -> (N, 3, 2 H, 2 W)"""
        strips = []
        for top, bottom in spans(x.shape[2], STRIP):
            above = max(top - HALO, 0)
            strip = self.tail(self.upsample[-1](x[:, :, above : bottom + HALO]))
            strips.append(strip[:, :, 2 * (top - above) : 2 * (bottom - above)])
        return torch.cat(strips, 2)


@torch.inference_mode()
def upscale(network: SRResNet, images: np.ndarray, compute: Callable[..., Tensor] = call) -> np.ndarray:
    """Enlarge images: (N, H, W, 3) uint8 -> (N, scale H, scale W, 3) uint8.

    One image at a time, so that memory does not grow with N and an image never depends on its neighbours, and large
    images in tiles. A tile sees all that its pixels depend on, so that there are no seams. compute(function, *inputs)
    runs the network, see FacePipeline.compute.

    Raises InputError for anything but (N, H, W, 3) uint8 of at most MAX_PIXELS, FacetError where the network returns
    NaN or infinity.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
        raise InputError(
            f"upscale: images must be uint8 of shape (N, H, W, 3), got {images.dtype} of shape {images.shape}."
        )
    n, height, width, _ = images.shape
    if height * width > MAX_PIXELS:
        raise InputError(
            f"upscale: an image may have at most {MAX_PIXELS:,} pixels, this one has {width:,} x {height:,}."
        )
    scale, reach = network.config.scale, network.config.reach
    large = np.empty((n, scale * height, scale * width, 3), np.uint8)
    # (H, W, 3), (scale H, scale W, 3)
    for image, enlarged in zip(images, large):
        for (top, bottom), (left, right) in product(spans(height, TILE), spans(width, TILE)):
            above, before = (max(low - reach, 0) for low in (top, left))
            part = image[above : bottom + reach, before : right + reach]
            window = (top - above, bottom - above, left - before, right - before)
            y = compute(_enlarge, network, to_tensor(part)[None], window)
            if not y.isfinite().all():
                raise FacetError("upscale: the network returned values that are not numbers; its weights are damaged.")
            enlarged[scale * top : scale * bottom, scale * left : scale * right] = to_pixels(y)[0]
    return large


def _enlarge(network: SRResNet, x: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """(1, 3, H, W) in [-1, 1] and what of it to enlarge -> its enlargement."""
    return run_in_parts(network, x.to(network.tail.weight.device), window=window)


def spans(length: int, most: int) -> Iterator[tuple[int, int]]:
    """`length` pixels cut evenly into pieces of at most `most`: (from, to) of each."""
    count = -(-length // most)
    return pairwise(length * i // count for i in range(count + 1))
