"""The critic: how whole a face is, by two looks at the feature maps of CLIP's image tower.

The first is PaDiM (Defard et al. 2021): at every place of a map, the photographs' features are one Gaussian, and the
Mahalanobis distance to it is large where an eye is missing or a mouth has melted. It works since all faces are aligned
alike. The second is a small network that has learnt to tell faces that were tampered with from whole ones
(training/critic/tamper.py), and then which of two drawn faces a viewer grades higher (training/critic/grades.py).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.clip import Clip
from model.errors import WeightsError
from model.files import checkpoint

# faces that go through CLIP at once
BATCH = 256


@dataclass(frozen=True)
class CriticConfig:
    """What is needed to build it again."""

    # directions of the features that are kept, those in which photographs vary most
    directions: int = 64
    # channels of the tower's second and third stage
    channels: tuple[int, int] = (256, 512)
    # pixels per side of the second stage's map, twice as many as of the third's
    size: int = 12
    # channels of the network that has learnt what a broken face is; 0 in files that have none
    width: int = 0
    # how much its log-odds count beside each Gaussian's distance
    weight: float = 1.0


class Places(nn.Module):
    """A Gaussian of features for every place of a map."""

    def __init__(self, channels: int, directions: int, size: int):
        super().__init__()
        self.middle: Tensor
        self.projection: Tensor
        self.mean: Tensor
        self.whitening: Tensor
        self.register_buffer("middle", torch.zeros(channels))
        self.register_buffer("projection", torch.zeros(directions, channels))
        self.register_buffer("mean", torch.zeros(size, size, directions))
        # the inverse of the covariance's Cholesky factor: what it makes of a photograph's features has unit variance
        self.register_buffer("whitening", torch.zeros(size, size, directions, directions))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) features -> (N, H, W) squared Mahalanobis distances."""
        features = self.project(maps) - self.mean
        return torch.einsum("hwij,nhwj->nhwi", self.whitening, features).square().sum(-1)

    def project(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, H, W, directions)."""
        return (maps.permute(0, 2, 3, 1) - self.middle) @ self.projection.T

    def fit(self, maps: Tensor) -> None:
        """Set everything from the maps (N, C, H, W) of photographs."""
        pixels = maps.permute(0, 2, 3, 1).flatten(0, 2)
        self.middle.copy_(pixels.mean(0))
        covariance = (pixels - self.middle).T @ (pixels - self.middle) / len(pixels)
        # eigenvalues come in rising order
        self.projection.copy_(torch.linalg.eigh(covariance).eigenvectors[:, -len(self.projection) :].T)
        features = self.project(maps)
        self.mean.copy_(features.mean(0))
        features = features - self.mean
        covariance = torch.einsum("nhwi,nhwj->hwij", features, features) / len(features)
        # a hundredth of the mean variance keeps directions that hardly vary from counting too much
        ridge = 0.01 * covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        factor = torch.linalg.cholesky(covariance + ridge * torch.eye(covariance.shape[-1]))
        self.whitening.copy_(torch.linalg.inv(factor))


class Tampered(nn.Module):
    """Both feature maps -> the log-odds that a face was tampered with or is broken, the worst places counting most."""

    def __init__(self, channels: tuple[int, int], width: int, size: int):
        super().__init__()
        self.second, self.third = (nn.Conv2d(inputs, width, 1) for inputs in channels)
        self.place = nn.Parameter(torch.zeros(1, width, size, size))
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Conv2d(width, 1, 1)
        # the standard deviation of each map
        self.std: Tensor
        self.register_buffer("std", torch.ones(2))

    def forward(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        """(N, C, S, S) and (N, 2C, S/2, S/2) -> (N,)"""
        second, third = (part / std for part, std in zip(maps, self.std))
        features = self.second(second) + F.interpolate(self.third(third), scale_factor=2) + self.place
        features = F.gelu(self.mix(self.dropout(F.gelu(features))))
        # about 0 where no place stands out at the start of the training
        places = self.head(features).flatten(1)
        return places.logsumexp(1) - math.log(places.shape[1])


class Scale(NamedTuple):
    """The usual distances of photographs: mean and standard deviation of each, then of their standardised sum.

    Those of both Gaussians come first; what follows counts `weight` times.
    """

    # (K + 1,)
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, distances: Tensor, weight: float = 1.0) -> "Scale":
        """:param distances: (N, K), those of photographs."""
        mean, std = distances.mean(0), distances.std(0)
        total = added((distances - mean) / std, weight)[:, None]
        return cls(torch.cat([mean, total.mean(0)]), torch.cat([std, total.std(0)]))

    def scores(self, distances: Tensor, weight: float = 1.0) -> Tensor:
        """(N, K) -> (N,), the higher the nearer. Photographs have mean 0 and standard deviation 1."""
        total = added((distances - self.mean[:-1]) / self.std[:-1], weight)
        return -(total - self.mean[-1]) / self.std[-1]


def added(distances: Tensor, weight: float) -> Tensor:
    """(N, K) -> (N,), see Scale."""
    return distances[:, :2].sum(1) + weight * distances[:, 2:].sum(1)


class Critic(nn.Module):
    """Faces -> one number each, the higher the more whole. Photographs have mean 0 and standard deviation 1."""

    def __init__(self, config: CriticConfig = CriticConfig()):
        super().__init__()
        self.config = config
        self.info = {}
        second, third = config.channels
        self.second = Places(second, config.directions, config.size)
        self.third = Places(third, config.directions, config.size // 2)
        self.tampered = Tampered(config.channels, config.width, config.size) if config.width else None
        self.scale_mean: Tensor
        self.scale_std: Tensor
        # see Scale
        self.register_buffer("scale_mean", torch.zeros(4 if config.width else 3))
        self.register_buffer("scale_std", torch.ones(4 if config.width else 3))

    @classmethod
    def from_file(cls, path: str | Path, clip: Clip) -> "Critic":
        """Read a checkpoint.

        Raises WeightsError, one line, for a damaged one and for one that was fitted to another CLIP.
        """
        critic = checkpoint.restore(path, lambda config: cls(CriticConfig(**config)))
        if critic.info.get("clip") != clip.hash:
            raise WeightsError(
                f"{path} was fitted to another CLIP ({critic.info.get('clip', 'unnamed')}) than the one beside it "
                f"({clip.hash}): delete it, or fit it again by `make critic`."
            )
        return critic.to(clip.head.weight.device)

    def distances(self, maps: tuple[Tensor, Tensor], face_alone: bool = False) -> Tensor:
        """Feature maps of N faces (see `feature_maps`) -> (N, 2 or 3), the larger the farther from photographs.

        Of the finer map the mean over the middle of the face, from the eyes to the mouth; of the coarser one the
        worst place, within that middle too if `face_alone`; and the log-odds of `tampered`, where the file has it.
        """
        second, third = self.second(maps[0]), self.third(maps[1])
        found = [of_face(second).mean((1, 2)), (of_face(third) if face_alone else third).amax((1, 2))]
        if self.tampered is not None:
            found.append(self.tampered(maps))
        return torch.stack(found, dim=1)

    @torch.inference_mode()
    def scores(self, clip: Clip, faces: np.ndarray) -> np.ndarray:
        """(N, 64, 64, 3) uint8 -> (N,) float32."""
        scale, found = Scale(self.scale_mean, self.scale_std), [np.zeros(0, np.float32)]
        for part in parts(faces):
            found.append(scale.scores(self._seen(clip, part), self.config.weight).float().cpu().numpy())
        return np.concatenate(found)

    def _seen(self, clip: Clip, faces: np.ndarray) -> Tensor:
        """(N, 64, 64, 3) uint8 -> (N, K): the mean distances of each face and its mirror image, which is as whole."""
        both = np.concatenate([faces, faces[:, :, ::-1]])
        return self.distances(feature_maps(clip, both)).unflatten(0, (2, len(faces))).mean(0)

    @torch.no_grad()
    def fit(self, clip: Clip, photographs: np.ndarray) -> None:
        """Set all but `tampered`, which is trained before, from photographs (N, 64, 64, 3) uint8: thousands."""
        seen = zip(*(feature_maps(clip, part) for part in parts(photographs)))
        for places, maps in zip((self.second, self.third), seen):
            places.fit(torch.cat(maps))
        scale = Scale.of(torch.cat([self._seen(clip, part) for part in parts(photographs)]), self.config.weight)
        self.scale_mean.copy_(scale.mean)
        self.scale_std.copy_(scale.std)


def parts(faces: np.ndarray) -> list[np.ndarray]:
    """(N, H, W, 3) -> BATCH faces each, the last fewer."""
    return [faces[first : first + BATCH] for first in range(0, len(faces), BATCH)]


def of_face(distances: Tensor) -> Tensor:
    """(N, S, S), a value for each place of an aligned face -> (N, H, W), the places from the eyes to the mouth."""
    size = distances.shape[-1]
    return distances[:, size // 3 : size - size // 6, size // 4 : size - size // 4]


def can_see(clip: Clip) -> bool:
    """Whether this CLIP's image tower is a ResNet, whose stages the critic looks at."""
    return hasattr(clip.towers.visual, "layer3")


@torch.inference_mode()
def feature_maps(clip: Clip, faces: np.ndarray) -> tuple[Tensor, Tensor]:
    """`stages` of (N, H, W, 3) uint8, in float32."""
    return stages(clip, torch.as_tensor(faces).to(clip.head.weight.device).permute(0, 3, 1, 2).float() / 255)


def stages(clip: Clip, images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 3, H, W) in [0, 1] -> what the image tower's second and third stage make of them, with gradient.

    (N, C, S, S) and (N, 2C, S/2, S/2).
    """
    tower = clip.towers.visual
    second = tower.layer2(tower.layer1(tower.stem(clip.standardised(images))))
    return second, tower.layer3(second)
