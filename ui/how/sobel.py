"""The filter that it all began with."""

import numpy as np
import torch

from model.pipeline import FacePipeline
from model.settings import Settings
from ui.how.face import face
from ui.how.html import signed, tile, tiles

SOBEL_X = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
SOBEL_Y = SOBEL_X.T


def sobel(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change of brightness to the right and downwards, times 8: (H, W) -> two (H, W), the border repeated outwards."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(picture, 1, mode="edge"), (3, 3))
    return (windows * SOBEL_X).sum((-2, -1)), (windows * SOBEL_Y).sum((-2, -1))


def brightness(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) in [0, 255], weighted as the eye does (Rec. 601)."""
    return pixels @ np.array([0.299, 0.587, 0.114])


def edges(pipe: FacePipeline, settings: Settings) -> str:
    """The two kernels, what each finds on the face, both together, and the sum worked out at the strongest edge."""
    pixels = face(pipe, settings)
    grey = brightness(pixels)
    right, down = sobel(grey)
    strength = np.hypot(right, down)
    pictures = tiles(
        tile(pixels, "The face"),
        tile(grey.round().astype(np.uint8), "In grey"),
        tile(signed(torch.tensor(right)), "To the right", "white: brighter, black: darker", "Change to the right"),
        tile(signed(torch.tensor(down)), "Downwards", "white: brighter, black: darker", "Change downwards"),
        tile((strength * 255 / max(strength.max(), 1e-8)).astype(np.uint8), "Both together", "white: a strong edge"),
    )
    inside = strength[1:-1, 1:-1]
    # the window's top left corner; its middle is (y + 1, x + 1)
    y, x = np.unravel_index(inside.argmax(), inside.shape)
    window = grey[y : y + 3, x : x + 3].round().astype(int)
    across, along = int((window * SOBEL_X).sum()), int((window * SOBEL_Y).sum())
    worked = f"""<h4>The sum, at the strongest edge</h4>
        <div class="sum">{matrix(window, "Nine grey values of the face")}
        <p>Around pixel ({x + 1}, {y + 1}). Each of the nine grey values times the number at its place in a kernel,
        all added
        up: to the right <b>{across}</b>, downwards <b>{along}</b>, together √({abs(across)}² + {abs(along)}²) =
        <b>{np.hypot(across, along):.0f}</b>.</p></div>""".replace("-", "−")
    kernels = f'<div class="kernels">{matrix(SOBEL_X, "To the right")}{matrix(SOBEL_Y, "Downwards")}</div>'
    return kernels.replace("-", "−") + pictures + worked


def matrix(numbers: np.ndarray, caption: str) -> str:
    rows = "".join("<tr>" + "".join(f"<td>{value}</td>" for value in row) + "</tr>" for row in numbers)
    return f'<table class="matrix"><caption>{caption}</caption><tbody>{rows}</tbody></table>'
