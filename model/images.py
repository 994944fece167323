"""Images between their two forms: pixels (uint8) and what networks take (floats)."""

import numpy as np
from PIL import Image
from torch import Tensor


def to_network(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def contact_sheet(faces: np.ndarray, columns: int) -> Image.Image:
    """(N, S, S, 3) uint8, N a multiple of `columns` -> one picture, row after row."""
    count, size = faces.shape[:2]
    rows = faces.reshape(count // columns, columns, size, size, 3).swapaxes(1, 2)
    return Image.fromarray(rows.reshape(count // columns * size, columns * size, 3))
