"""The prepared set: what `training.data.prepare` writes and every training reads."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.attributes import ATTRIBUTES
from model.errors import InputError

# pixels, height and width of a prepared image
SIZE = 64
# ids divisible by this are the validation set: no model trains on them
VALIDATION = 20


@dataclass(frozen=True)
class Prepared:
    """The prepared set, in memory.

    names:      N file names, in the annotation's order
    prompts:    N prompts in CelebA's wording
    images:     (N, 64, 64, 3) uint8
    attributes: (N, 40) bool
    squashed:   (N,) bool, True where the source was a small squashed JPEG (see annotations.read_squashed)
    image_embeddings, text_embeddings: (N, 512) float16 unit vectors, or None before `embed`
    """

    names: list[str]
    prompts: list[str]
    images: Tensor
    attributes: Tensor
    squashed: Tensor
    image_embeddings: Tensor | None = None
    text_embeddings: Tensor | None = None
    # hash of the CLIP the embeddings come from
    clip: str = ""

    @property
    def hash(self) -> str:
        """Names the data: over file names and attributes."""
        digest = hashlib.sha256(json.dumps(self.names).encode() + self.attributes.numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def validation(self) -> Tensor:
        """(N,) bool: True where no model may train."""
        return torch.tensor([int(Path(name).stem) % VALIDATION == 0 for name in self.names], dtype=torch.bool)


def load_prepared(folder: str | Path, embedded: bool = True) -> Prepared:
    """Read what `images` and, where it ran for these images, `embed` wrote; embedded: False leaves the latter out.

    Raises InputError, one line with file and cure, for a file that is missing, cut off, or of another program.
    """
    path = Path(folder) / "faces.safetensors"
    cure = "run `make prepare DATA=...` again"
    if not path.is_file():
        raise InputError(f"{path} is missing: run `make prepare DATA=...` first.")
    metadata, tensors = _read(path, cure)
    try:
        names, prompts = json.loads(metadata["names"]), json.loads(metadata["prompts"])
        good = all(Path(name).stem.isdecimal() for name in names) and all(isinstance(text, str) for text in prompts)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} names no faces as this project does: {cure}.") from error
    count = len(names)
    wanted = {"images": (count, SIZE, SIZE, 3), "attributes": (count, len(ATTRIBUTES)), "squashed": (count,)}
    types = {"images": torch.uint8, "attributes": torch.bool, "squashed": torch.bool}
    fitting = {name: tensor.shape for name, tensor in tensors.items()} == wanted and len(prompts) == count > 0
    if not good or not fitting or types != {name: tensor.dtype for name, tensor in tensors.items()}:
        raise InputError(f"{path} does not hold what it should (faces, attributes and names, as many of each): {cure}.")
    path = Path(folder) / "embeddings.safetensors"
    if embedded and path.is_file():
        cure = "run `make embed` again"
        metadata, more = _read(path, cure)
        shapes = {name: tuple(tensor.shape) for name, tensor in more.items()}
        # that of the CLIP's shared space
        width = shapes.get("image_embeddings", (0, 0))[-1:]
        wanted = dict.fromkeys(("image_embeddings", "text_embeddings"), (count, *width))
        if shapes != wanted or "clip" not in metadata:
            raise InputError(f"{path} does not hold the embeddings of these {count} faces: {cure}.")
        tensors |= more | {"clip": metadata["clip"]}
    return Prepared(names=names, prompts=prompts, **tensors)


def _read(path: Path, cure: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """(metadata, tensors) of a safetensors file. Raises InputError."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in list(file.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is damaged or no safetensors file ({type(error).__name__}): {cure}.") from error
