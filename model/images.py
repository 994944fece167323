"""Pictures as people and files hold them, uint8 and channels last, and as networks do, floats and channels first."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from model.diffusion import alpha_bar
from model.sampler import Step


def scaled(levels: Tensor) -> Tensor:
    """uint8 of any shape -> float32 in [-1, 1]."""
    return levels.float() / 127.5 - 1


def levels(scaled: Tensor) -> Tensor:
    """Floats of any shape in [-1, 1] -> uint8, rounded; values outside are clipped. The inverse of `scaled`."""
    return ((scaled + 1) * 127.5).round().clamp(0, 255).byte()


def to_tensor(pixels: np.ndarray | Tensor) -> Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) float32 in [-1, 1], a copy."""
    # a copy: some arrays are read-only
    tensor = pixels if isinstance(pixels, Tensor) else torch.tensor(pixels)
    return scaled(tensor.movedim(-1, -3))


def to_pixels(images: Tensor) -> np.ndarray:
    """(..., 3, H, W) in [-1, 1] -> (..., H, W, 3) uint8; values outside are clipped."""
    return levels(images).movedim(-3, -1).cpu().numpy()


def middle_square(picture: np.ndarray | Image.Image, size: int) -> np.ndarray:
    """(H, W, 3) uint8 -> its middle square, resized: (size, size, 3) uint8."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return np.array(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS))


def contact_sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
    """(N, H, W, 3), N a multiple of `columns` -> one picture, row by row: (N / columns * H, columns * W, 3)."""
    count, height, width, channels = pictures.shape
    rows = pictures.reshape(count // columns, columns, height, width, channels).swapaxes(1, 2)
    return rows.reshape(count // columns * height, columns * width, channels)


def from_contact_sheet(sheet: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One picture of cells of `size` (H, W) without gaps -> (N, H, W, 3), row by row. The inverse of `contact_sheet`.

    Raises ValueError for a sheet that such cells do not fill.
    """
    (height, width), channels = size, sheet.shape[-1]
    rows = sheet.reshape(sheet.shape[0] // height, height, sheet.shape[1] // width, width, channels).swapaxes(1, 2)
    return rows.reshape(-1, height, width, channels)


@dataclass(frozen=True)
class Frame:
    """The picture after one step."""

    # steps done, from 1
    index: int
    # steps in all
    total: int
    # sqrt(1 - alpha_bar) of `noisy`, 0 at the end
    noise_level: float
    # x_t, which the next step starts from: (64, 64, 3) uint8
    noisy: np.ndarray
    # predicted x_0: (64, 64, 3) uint8
    denoised: np.ndarray
    # Where the prompt acts: (64, 64) uint8, by how much the predicted x_0 with and without it differ (the mean over the
    # colours), 255 the most at this step. None where guidance is not used.
    influence: np.ndarray | None = None


def frames_of(step: Step, apart: Tensor | None) -> list[Frame]:
    """A Frame for each face of a step; apart: (N, 64, 64), by how much the two branches differ."""
    influence = [None] * len(step.noisy)
    if apart is not None:
        # Less than 0.001, an eighth of a grey level, is rounding: a prompt like what is avoided acts nowhere.
        most = apart.amax((1, 2), keepdim=True).clamp(min=1e-3)
        influence = (255 * apart / most).round().byte().cpu().numpy()
    level = math.sqrt(1 - alpha_bar(step.t).item())
    faces = zip(to_pixels(step.noisy), to_pixels(step.denoised), influence, strict=True)
    return [Frame(step.index, step.total, level, *face) for face in faces]
