"""The judge: a classifier of the 40 attributes that is trained once and then frozen, to measure generated faces by.

It shares nothing with CLIP, which steers the faces: neither weights nor architecture nor text. Its features are the
space of the distances between real and generated faces (training/evaluation/distances.py).
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attributes import ATTRIBUTES
from model.files import checkpoint

FEATURES = ("pooled", "spatial")


@dataclass(frozen=True)
class JudgeConfig:
    """What is needed to build the network again."""

    # of the three levels: 32x32, 16x16, 8x8 pixels
    channels: tuple[int, ...] = (48, 128, 256)
    # residual blocks per level
    blocks: tuple[int, ...] = (1, 2, 2)
    # channels of the 4x4 map that keeps where things are
    places: int = 32


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm around a skip (He et al. 2016, figure 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = (
            nn.Identity()
            if (inputs, stride) == (outputs, 1)
            else nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        )

    # (N, C, H, W)
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.body(x))


class Judge(nn.Module):
    """Faces -> attributes, and the features between. Its statistics of real faces travel with it as buffers."""

    def __init__(self, config: JudgeConfig = JudgeConfig()):
        super().__init__()
        self.config = config
        # how it was trained and what it measures on real faces, once loaded
        self.info = {}
        width, layers = config.channels[0], []
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        for level, (outputs, count) in enumerate(zip(config.channels, config.blocks)):
            for block in range(count):
                layers.append(Residual(width, outputs, 2 if level and not block else 1))
                width = outputs
        self.levels = nn.Sequential(*layers)
        self.places = nn.Sequential(nn.Conv2d(width, config.places, 1), nn.AvgPool2d(2))
        sizes = {"pooled": width, "spatial": 16 * config.places}
        self.head = nn.Linear(sum(sizes.values()), len(ATTRIBUTES))
        # of the logits, chosen on real faces
        self.register_buffer("thresholds", torch.zeros(len(ATTRIBUTES)))
        # of the real training faces, flips included
        for name, size in sizes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_covariance", torch.zeros(size, size))

    @classmethod
    def from_file(cls, path: str | Path, device: str | torch.device = "cpu") -> "Judge":
        """Read a checkpoint. Raises WeightsError in one line."""
        return checkpoint.restore(path, lambda config: cls(JudgeConfig(**config))).to(device)

    def save(self, path: str | Path, info: dict) -> str:
        """Write a checkpoint in float32 (half precision would spoil the covariances), return its hash."""
        return checkpoint.save(path, self.state_dict(), asdict(self.config), info, dtype=torch.float32)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """(N, 3, 64, 64) in [0, 1] -> "pooled" (N, 256): what is there; "spatial" (N, 512): what is where, on 4x4."""
        x = self.levels(self.stem((images * 2 - 1).contiguous(memory_format=torch.channels_last)))
        return {"pooled": x.mean((2, 3)), "spatial": self.places(x).flatten(1)}

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, 64, 64) in [0, 1] -> (N, 40) logits, CelebA order."""
        features = self.features(images)
        return self.head(torch.cat([features[name] for name in FEATURES], dim=1))

    @torch.inference_mode()
    def activations(self, faces: np.ndarray | Tensor, batch: int = 256) -> dict[str, np.ndarray]:
        """(N, 64, 64, 3) uint8 -> float32 arrays "pooled" (N, 256), "spatial" (N, 512), "logits" (N, 40) less their
        thresholds: positive where the judge sees the attribute.
        """
        parts = []
        for part in torch.as_tensor(faces).split(batch):
            features = self.features(part.permute(0, 3, 1, 2).to(self.head.weight.device).float() / 255)
            features["logits"] = self.head(torch.cat([features[name] for name in FEATURES], dim=1)) - self.thresholds
            parts.append({name: value.float().cpu().numpy() for name, value in features.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in (*FEATURES, "logits")}


def best_threshold(scores: Tensor, wanted: Tensor) -> float:
    """The threshold with the best balanced accuracy: (N,) scores, (N,) bool -> one of the scores' percentiles."""
    thresholds = scores.quantile(torch.linspace(0.01, 0.99, 99)).tolist()
    return max(thresholds, key=lambda threshold: np.nan_to_num(balanced_accuracy(scores > threshold, wanted)))


def balanced_accuracy(guess: Tensor, wanted: Tensor) -> float:
    """Mean of the hit rates on both classes, chance 0.5: (N,) bool, (N,) bool. NaN if a class is empty."""
    return (guess[wanted].float().mean() + (~guess[~wanted]).float().mean()).item() / 2


def judged_by_halves(scores: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 40) scores and labels -> (40,) thresholds of the even rows, (40,) balanced accuracy of the odd rows."""
    thresholds = [best_threshold(scores[::2, i], wanted[::2, i]) for i in range(scores.shape[1])]
    rates = [balanced_accuracy(scores[1::2, i] > limit, wanted[1::2, i]) for i, limit in enumerate(thresholds)]
    return torch.tensor(thresholds), torch.tensor(rates)
