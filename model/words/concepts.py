"""Concepts: what people ask for and no label names. Each is a vector that is added to the text's embedding.

The vectors are learnt by a form of textual inversion (Gal et al. 2022, who learn the embedding of a new word): CLIP and
the U-Net stay as they are, and a vector changes until the U-Net predicts best on photographs that show the concept
(training/unet/concepts.py). A prompt that asks for no concept draws the same as without them.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from model.attributes import CONCEPTS
from model.errors import WeightsError
from model.files import checkpoint
from model.unet import UNet

# Concept -> the attribute that it implies, and whether the face has it. The text for CLIP says that as well.
ALSO = {
    "Dark_Skin": ("Pale_Skin", False),
    "Tanned_Skin": ("Pale_Skin", False),
    "Sunglasses": ("Eyeglasses", True),
}
# Concept -> what is drawn instead where the weights hold no vector for it.
ROUGHLY = ALSO | {"Red_Hair": ("Brown_Hair", True)}

# Concept -> what the plain wording for CLIP says of it. Only red hair is drawn better with the words: the vector alone
# makes faces less whole (docs/experiments.md).
SAID = {"Red_Hair": "red hair"}


def carried_over(attributes: Mapping[str, tuple[str, bool]], concept: str, has: bool) -> list[tuple[str, bool]]:
    """What a concept that is wanted or not (`has`) says of its attribute in ALSO or ROUGHLY: at most one state.

    Who wants no sunglasses wants no glasses; who wants no dark skin need not want pale skin.
    """
    attribute, positive = attributes.get(concept, ("", False))
    return [(attribute, positive == has)] if attribute and (has or positive) else []


class Concepts:
    """The vectors that belong to one U-Net and its student."""

    def __init__(self, vectors: Mapping[str, Tensor] | None = None, info: dict | None = None):
        """:param vectors: concept -> (512,), added to unit embeddings; without any, no concept can be drawn.
        :param info:    how they were learnt.
        """
        self.vectors, self.info = dict(vectors or {}), info or {}

    @classmethod
    def from_file(cls, path: str | Path, unet: UNet) -> "Concepts":
        """Read a checkpoint.

        Raises WeightsError, one line, for a damaged one and for one that was learnt with another U-Net.
        """
        vectors, _, info = checkpoint.load(path)
        checkpoint.check_unet(path, info, unet.info["hash"], "make concepts")
        for name, vector in vectors.items():
            if name not in CONCEPTS or vector.shape != unet.mean.shape:
                raise WeightsError(
                    f"{path} holds {name}, which is no concept or has the wrong shape. {checkpoint.CURE}"
                )
        return cls({name: vector.to(unet.mean.device) for name, vector in vectors.items()}, info)

    def __iter__(self):
        return iter(self.vectors)

    def added(self, embeddings: Tensor, asked: Sequence[Iterable[str]]) -> Tensor:
        """(N, 512) unit embeddings of texts, and the concepts that each asks for -> (N, 512) unit embeddings."""
        if not any(asked):
            return embeddings
        embeddings = embeddings.clone()
        for row, names in enumerate(asked):
            if names:
                moved = embeddings[row] + sum(self.vectors[name].to(embeddings) for name in names)
                embeddings[row] = F.normalize(moved, dim=0)
        return embeddings
