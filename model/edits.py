"""Ways between faces and around one: what FacePipeline needs to start from a picture, to walk, and to push one attribute."""

import numpy as np
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from model.attributes import attributes_to_prompt, lacking


def middle_square(face: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8 -> its middle square, resized: (size, size, 3) uint8."""
    return np.array(ImageOps.fit(Image.fromarray(face), (size, size), Image.Resampling.LANCZOS))


def stated_and_denied(prompt: str, attribute: str) -> tuple[str, str]:
    """The prompt with an attribute in its list of words, and with its denial. Raises InputError for an unknown attribute."""
    alone = attributes_to_prompt([attribute]), attributes_to_prompt([], [attribute])
    if not prompt.strip():
        return alone
    body, end = (prompt.strip()[:-1], ".") if prompt.strip().endswith(".") else (prompt.strip(), "")
    return tuple(f"{body}, {words}{end}" for words in (attribute.replace("_", " ").lower(), lacking(attribute)))


def along(prompt: Tensor, stated: Tensor, denied: Tensor, values: Tensor) -> Tensor:
    """Unit embeddings (D,) of a prompt, with an attribute stated, and denied; (N,) values -> (N, D) unit embeddings.

    A straight line through the prompt, then back to unit length. The direction is that from denied to stated, so that it
    leads somewhere even where the prompt states the attribute already; a value of 1 is half their distance.
    """
    return F.normalize(prompt + values[:, None] * (stated - denied) / 2, dim=1)


def slerp(first: Tensor, last: Tensor, shares: Tensor) -> Tensor:
    """Spherical interpolation, Shoemake 1985: two tensors (...), (N,) shares in [0, 1] -> (N, ...), at 0 first, at 1 last.

    Unlike a straight line it keeps the length: of Gaussian noise, its spread; of a unit vector, 1.
    """
    cosine = (first * last).sum() / (first.norm() * last.norm())
    angle, shares = cosine.clamp(-1, 1).arccos(), shares.view(-1, *[1] * first.dim())
    if angle.sin() < 1e-4:  # the same direction: nothing to turn
        return (1 - shares) * first + shares * last
    return ((1 - shares) * angle).sin() / angle.sin() * first + (shares * angle).sin() / angle.sin() * last
