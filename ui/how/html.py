"""Pictures and their captions as HTML, for the tab "How it works"."""

import html
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from model.images import to_pixels
from ui.frames import jpeg, png


def tile(pixels: np.ndarray, title: str, note: str = "", alt: str = "") -> str:
    """One picture with its caption. pixels: (H, W) or (H, W, 3) uint8. title, note, alt: plain text, escaped here."""
    caption = (f"<b>{html.escape(title)}</b>" if title else "") + (f"<span>{html.escape(note)}</span>" if note else "")
    return f"<figure>{image(pixels, alt or title)}<figcaption>{caption}</figcaption></figure>"


def tiles(*items: str, title: str = "", kind: str = "") -> str:
    """Tiles side by side, under a heading where there is one. kind: a class of assets/how.css."""
    heading = f"<h4>{html.escape(title)}</h4>" if title else ""
    return f'{heading}<div class="tiles {kind}">{"".join(items)}</div>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names its rows. All of it is HTML."""
    top = "".join(f'<th scope="col">{cell}</th>' if cell else "<td></td>" for cell in head)
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>' for name, *cells in rows
    )
    return f"<table><caption>{caption}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def image(pixels: np.ndarray, alt: str) -> str:
    """(H, W) or (H, W, 3) uint8 -> an <img>. Small grey ones as PNG, every pixel as computed; all else as JPEG."""
    source = jpeg(pixels) if pixels.ndim == 3 or len(pixels) > 128 else png(pixels)
    return f'<img src="{source}" alt="{html.escape(alt)}">'


def colour(x: Tensor) -> np.ndarray:
    """(3, H, W), shown as the player shows it: -1 is black, 1 is white, what lies beyond is cut -> (H, W, 3) uint8."""
    return to_pixels(x[None])[0]


def grey(x: Tensor) -> np.ndarray:
    """(H, W) in [-1, 1] -> (H, W) uint8, values outside cut."""
    return colour(x.expand(3, -1, -1))[:, :, 0]


def stretched(x: Tensor) -> np.ndarray:
    """(H, W) of any range -> (H, W) uint8: black is its 1st percentile, white its 99th."""
    low, high = torch.quantile(x.flatten(), torch.tensor([0.01, 0.99], device=x.device))
    return grey((x - low) / (high - low).clamp(min=1e-8) * 2 - 1)


def signed(x: Tensor) -> np.ndarray:
    """(H, W) or (3, H, W) of any range -> uint8: 0 is the middle grey, the largest value of either sign black or white."""
    x = x / x.abs().max().clamp(min=1e-8)
    return colour(x) if x.ndim == 3 else grey(x)
