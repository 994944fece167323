"""The conditioned U-Net: (noisy image, time, condition) -> prediction.

    noisy image + timestep band   (N, 4, 64, 64)
      -> pixel unshuffle          (N, 16, 32, 32)    a quarter of the work for the same parameters
      -> encoder                  residual blocks, halving the size from level to level; outputs are kept
      -> middle                   the condition joins here once more
      -> decoder                  the same backwards, each block with the encoder's output of its size beside its input
      -> pixel shuffle            (N, 3, 64, 64)

The time and the condition (a CLIP embedding with two flags) modulate every residual block: they give a scale and a
shift after the group norm (Perez et al. 2018, FiLM; Dhariwal & Nichol 2021, section 3).
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.diffusion import TARGETS, TIMESTEPS, log_snr, timestep_band
from model.files import checkpoint

# extra entries of the condition: 1 = an image's own embedding instead of a text's; 1 = small JPEG source
FLAGS = 2


def condition_of(embedding: Tensor, of_images: bool = False) -> Tensor:
    """CLIP embeddings of texts, or of images, as the network's condition: (N, 512) -> (N, 514), a copy."""
    flags = embedding.new_tensor([float(of_images), 0.0]).expand(len(embedding), FLAGS)
    return torch.cat([embedding, flags], dim=1)


@dataclass(frozen=True)
class UNetConfig:
    """What is needed to build the network again."""

    # per level, from 32x32 down; each level halves the size
    channels: tuple[int, ...] = (96, 192, 384)
    # residual blocks per level in the encoder; the decoder has one more
    blocks: int = 1
    # levels with self-attention (1 is 16x16 pixels); the middle always has it
    attention: tuple[int, ...] = (1, 2)
    # entries of the CLIP embedding
    embedding: int = 512
    # width of the vectors that modulate the blocks
    hidden: int = 512
    # pixels per side folded into channels at the input
    unshuffle: int = 2
    # the lecture's form: the time enters by the band alone
    band_only: bool = False
    # what is predicted, one of diffusion.TARGETS
    target: str = "velocity"
    # discretisation, which only the target "previous" depends on
    steps: int = TIMESTEPS


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 convolution, twice, around a skip; scale and shift by the modulation after the second
    norm."""

    def __init__(self, inputs: int, outputs: int, hidden: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(_groups(inputs), inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        # default init: a zero start learns the condition late
        self.steer = nn.Linear(hidden, 2 * outputs)
        self.norm2 = nn.GroupNorm(_groups(outputs), outputs)
        self.conv2 = _zero(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    # x: (N, C, H, W), modulation: (N, hidden)
    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        scale, shift = self.steer(modulation)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(x) + h


# query, key, value: (N, heads, channels, pixels) -> the same; each pixel takes from all others
def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    # (N, heads, pixels, pixels)
    weights = (query.transpose(-1, -2) * query.shape[2] ** -0.5 @ key).softmax(-1)
    return value @ weights.transpose(-1, -2)


def fused_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    # torch wants the pixels before the channels
    query, key, value = query.transpose(-1, -2), key.transpose(-1, -2), value.transpose(-1, -2)
    return F.scaled_dot_product_attention(query, key, value).transpose(-1, -2)


class Attention(nn.Module):
    """Self-attention over the pixels of a small feature map, heads of 32 channels, around a skip."""

    def __init__(self, channels: int):
        super().__init__()
        self.heads = max(1, channels // 32)
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zero(nn.Conv2d(channels, channels, 1))

    # (N, C, H, W), (N,) bool
    def forward(self, x: Tensor, perturbed: Tensor | None = None) -> Tensor:
        n, c, h, w = x.shape
        query, key, value = self.qkv(self.norm(x)).view(n, 3, self.heads, c // self.heads, h * w).unbind(1)
        # torch's fused attention saves a GPU the way through its memory; for so few pixels it is slower on a CPU
        mixed = (fused_attention if x.is_cuda else plain_attention)(query, key, value)
        # each pixel of these images sees itself alone
        if perturbed is not None:
            mixed = torch.where(perturbed.view(n, 1, 1, 1), value, mixed)
        return x + self.out(mixed.reshape(n, c, h, w))


class Block(nn.Module):
    """A residual block, with self-attention after it where the level has some."""

    def __init__(self, inputs: int, outputs: int, hidden: int, attention: bool):
        super().__init__()
        self.residual = ResidualBlock(inputs, outputs, hidden)
        self.attention = Attention(outputs) if attention else None

    def forward(self, x: Tensor, modulation: Tensor, perturbed: Tensor | None = None) -> Tensor:
        x = self.residual(x, modulation)
        return self.attention(x, perturbed) if self.attention else x


class UNet(nn.Module):
    """The network alone: it knows neither the schedule of a sampler nor guidance.

    Raises ValueError for an unknown target.
    """

    # (embedding,), statistics of the embeddings it was trained on, by which they are standardised
    mean: Tensor
    std: Tensor

    def __init__(self, config: UNetConfig = UNetConfig()):
        super().__init__()
        if config.target not in TARGETS:
            raise ValueError(f"unknown target {config.target!r}")
        self.config = config
        # how the weights were trained, once loaded; info["clip"] is the hash of their CLIP
        self.info = {}
        hidden, channels, shuffled = config.hidden, config.channels, config.unshuffle**2
        self.register_buffer("mean", torch.zeros(config.embedding))
        self.register_buffer("std", torch.ones(config.embedding))
        if not config.band_only:
            self.time = nn.Sequential(nn.Linear(64, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.condition = nn.Sequential(
            nn.Linear(config.embedding + FLAGS, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )

        self.input = nn.Conv2d(4 * shuffled, channels[0], 3, padding=1)
        self.encoder, kept, width = nn.ModuleList(), [channels[0]], channels[0]
        for level, outputs in enumerate(channels):
            for _ in range(config.blocks):
                self.encoder.append(Block(width, outputs, hidden, level in config.attention))
                width = outputs
                kept.append(width)
            if level < len(channels) - 1:
                self.encoder.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                kept.append(width)

        self.middle_condition = nn.Linear(hidden, width)
        self.middle = nn.ModuleList([Block(width, width, hidden, True), Block(width, width, hidden, False)])

        self.decoder = nn.ModuleList()
        for level, outputs in reversed(list(enumerate(channels))):
            for _ in range(config.blocks + 1):
                self.decoder.append(Block(width + kept.pop(), outputs, hidden, level in config.attention))
                width = outputs
            if level > 0:
                self.decoder.append(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1)))
        self.output = nn.Sequential(
            nn.GroupNorm(_groups(width), width), nn.SiLU(), _zero(nn.Conv2d(width, 3 * shuffled, 3, padding=1))
        )

    @classmethod
    def from_file(cls, path: str | Path, device: str | torch.device = "cpu") -> "UNet":
        """Read a checkpoint. Raises WeightsError in one line."""
        network = checkpoint.restore(path, lambda config: cls(UNetConfig(**config)))
        return network.to(device).to(memory_format=torch.channels_last)

    def forward(self, noisy: Tensor, t: Tensor, condition: Tensor, perturbed: Tensor | None = None) -> Tensor:
        """Predict `config.target`.

        :param noisy:     (N, 3, H, W), x_t; H and W divisible by unshuffle * 2**(levels - 1).
        :param t:         (N,), in [0, 1].
        :param condition: (N, 514): a CLIP embedding, then the flags (is an image's embedding, small JPEG source), each
                          0 or 1.
        :param perturbed: (N,) bool, the images whose self-attention is switched off: its map is the identity, as
                          perturbed-attention guidance wants it (Ahn et al. 2024). None: of no image.
        :return:          (N, 3, H, W).
        """
        band = timestep_band(t.to(noisy.dtype), *noisy.shape[-2:])
        x = F.pixel_unshuffle(torch.cat([noisy, band], dim=1), self.config.unshuffle)
        wanted = self.embed_condition(condition)
        modulation = F.silu(wanted if self.config.band_only else wanted + self.time(_waves(t).to(noisy.dtype)))

        x = self.input(x.contiguous(memory_format=torch.channels_last))
        kept = [x]
        for layer in self.encoder:
            x = layer(x, modulation, perturbed) if isinstance(layer, Block) else layer(x)
            kept.append(x)
        x = x + self.middle_condition(F.silu(wanted))[:, :, None, None]
        for block in self.middle:
            x = block(x, modulation, perturbed)
        for layer in self.decoder:
            x = (
                layer(torch.cat([x, kept.pop()], dim=1), modulation, perturbed)
                if isinstance(layer, Block)
                else layer(x)
            )
        return F.pixel_shuffle(self.output(x), self.config.unshuffle)

    @property
    def modulation(self) -> dict[str, Tensor]:
        """The weights through which time and condition act, and nothing else does: no convolution, no attention."""
        names = {name for name, layer in self.named_modules() if isinstance(layer, nn.Linear)}
        return {name: value for name, value in self.state_dict().items() if name.rpartition(".")[0] in names}

    def with_modulation(self, tensors: Mapping[str, Tensor]) -> "UNet":
        """The network with other weights in `modulation`; it shares all other layers with this one.

        :param tensors: the same names and shapes as `modulation`.
        """
        shared = [layer for layer in self.modules() if not isinstance(layer, nn.Linear) and not any(layer.children())]
        network = copy.deepcopy(self, {id(layer): layer for layer in shared})
        network.load_state_dict(dict(tensors), strict=False)
        return network

    def embed_condition(self, condition: Tensor) -> Tensor:
        """(N, 514) -> (N, hidden). Unit vectors have entries near 0.04, so the embedding is standardised first."""
        embedding, flags = condition[:, :-FLAGS], condition[:, -FLAGS:]
        return self.condition(torch.cat([(embedding - self.mean) / self.std, flags], dim=1))


def _waves(t: Tensor) -> Tensor:
    """(N,) times -> (N, 64) sines and cosines of the log-SNR, which group norm cannot weaken as it does a constant
    band."""
    frequencies = torch.exp(torch.linspace(math.log(0.05), math.log(5.0), 32, device=t.device))
    angles = log_snr(t).float()[:, None].to(t.device) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _groups(channels: int) -> int:
    """Groups of 16 channels where that divides them, else one group."""
    return channels // 16 if channels % 16 == 0 else 1


def _zero(module: nn.Module) -> nn.Module:
    """Start a layer at zero, so that its block starts as its skip."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
