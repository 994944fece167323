"""Faces that were tampered with, as examples of broken ones: what the critic learns from beside photographs.

A network breaks the faces that it draws in few ways: a part lies elsewhere, is doubled, melts, or is another face's.
The same can be done to whole faces, so that no eye has to sort thousands (CutPaste, Li et al. 2021; self-blended
images, Shiohara & Yamasaki 2022). Whole examples are tampered with outside the face: the seam of a patch alone tells
nothing.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 64


class Tamper:
    """Draws all randomness from one generator."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)
        y, x = torch.meshgrid(torch.arange(float(SIDE)), torch.arange(float(SIDE)), indexing="ij")
        # (2, 64, 64), of every pixel
        self.places = torch.stack([x, y])

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self.generator)

    def inside(self, faces: Tensor) -> Tensor:
        """(N, 3, 64, 64) in [0, 1] -> the same faces, broken: between the brows and the chin, as CelebA aligns them."""
        middle = torch.stack([self.uniform(22, 42, len(faces)), self.uniform(26, 50, len(faces))], dim=1)
        return self._tampered(faces, middle, self.side(middle))

    def outside(self, faces: Tensor) -> Tensor:
        """The same at the left, right or upper border: hair and background may look like anything."""
        count = len(faces)
        x, y = self.uniform(0, 10, count), self.uniform(0, SIDE, count)
        x = torch.where(self.uniform(0, 1, count) < 0.5, x, SIDE - x)
        above = self.uniform(0, 1, count) < 0.3
        x = torch.where(above, self.uniform(0, SIDE, count), x)
        middle = torch.stack([x, torch.where(above, self.uniform(0, 6, count), y)], dim=1)
        return self._tampered(faces, middle)

    def _tampered(self, faces: Tensor, middle: Tensor, side: Tensor | None = None) -> Tensor:
        """Each face in one of several ways, within a patch around `middle`, (N, 2) px; or on one `side`, if given."""
        count = len(faces)
        patch = self.patch(middle)
        angle, length = self.uniform(0, 2 * math.pi, count), self.uniform(4, 11, count)
        # (N, 2, 1, 1) px
        shift = (length * torch.stack([angle.cos(), angle.sin()])).T[:, :, None, None]
        other = faces[torch.randperm(count, generator=self.generator)]
        # in the colours of the face that it is put into
        other = other + ((faces - other) * patch).sum((2, 3), keepdim=True) / patch.sum((2, 3), keepdim=True)
        ways = [
            # moved, with all around it stretched
            self.moved(faces, shift * patch),
            # doubled
            faces.lerp(self.moved(faces, shift.expand(-1, -1, SIDE, SIDE)), patch),
            # another's
            faces.lerp(self.moved(other, 3 * self.waves(count, 2, 8)), patch),
            # melted
            faces.lerp(self.moved(blurred(faces, 2), 2 * self.waves(count, 2, 6)), patch),
            # crumpled
            faces.lerp(self.moved(faces, self.uniform(3, 6, count, 1, 1, 1) * self.waves(count, 2, 5)), patch),
        ]
        if side is not None:
            # in two halves that do not meet
            ways.append(faces.lerp(self.moved(faces, 0.7 * shift.expand(-1, -1, SIDE, SIDE)), side))
        chosen = torch.randint(len(ways), (count,), generator=self.generator)
        return torch.stack(ways)[chosen, torch.arange(count)].clamp(0, 1)

    def patch(self, middle: Tensor) -> Tensor:
        """(N, 2) px -> (N, 1, 64, 64), 1 within an uneven ellipse of 4 to 14 px, 0 outside, soft between."""
        count = len(middle)
        away = self.places - middle[:, :, None, None]
        turn, radii = self.uniform(0, math.pi, count), self.uniform(4, 14, 2, count)
        cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
        along = (away[:, 0] * cos + away[:, 1] * sin) / radii[0][:, None, None]
        across = (away[:, 1] * cos - away[:, 0] * sin) / radii[1][:, None, None]
        distance = (along.square() + across.square()).sqrt() + 0.2 * self.waves(count, 1, 4)[:, 0]
        return torch.sigmoid((1 - distance) * self.uniform(3, 11, count, 1, 1))[:, None]

    def side(self, middle: Tensor) -> Tensor:
        """(N, 2) px -> (N, 1, 64, 64), 1 to the right of the middle, 0 to its left, 3 px of both between."""
        return torch.sigmoid(1.5 * (self.places[0] - middle[:, :1, None]))[:, None]

    def waves(self, count: int, channels: int, width: float) -> Tensor:
        """(N, C, 64, 64) smooth noise of unit variance, whose hills are about `width` px apart."""
        noise = blurred(torch.randn(count, channels, SIDE, SIDE, generator=self.generator), width)
        return noise / noise.std((1, 2, 3), keepdim=True)

    def moved(self, faces: Tensor, flow: Tensor) -> Tensor:
        """Every pixel is fetched from as many px away as `flow` (N, 2, 64, 64) says, x first."""
        grid = (self.places + flow).permute(0, 2, 3, 1) * 2 / (SIDE - 1) - 1
        return F.grid_sample(faces, grid, padding_mode="border", align_corners=True)


def blurred(images: Tensor, width: float) -> Tensor:
    """(N, C, H, W), by a Gaussian of `width` px; its edge pixels go on outside."""
    reach = math.ceil(2 * width)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * width**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    flat = F.pad(images.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(flat, kernel), kernel.transpose(2, 3))[:, 0].view_as(images)
