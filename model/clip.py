"""CLIP (Radford et al. 2021): images and texts in one 512-d space, through open_clip.

The bundled CLIP is a small one, trained by this project on faces: open_clip's ResNet tower at 96 px (its first layers
shrink by 4 at once, so 64 px faces are enlarged for it) and a narrow transformer over the 2,400 tokens that captions
of faces use; every other token is folded into one "unknown" row. A linear head reads back from a text's embedding which
attributes the text states.
"""

import importlib
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attributes import ATTRIBUTES, attributes_to_prompt
from model.errors import InputError
from model.files import checkpoint
from model.files.compiler import without_compiler
from model.words.text import LONGEST, for_clip

# tokens, start and end included
CONTEXT = 77
# of the tokenizer's cache, some 4 MB
MOST_WORDS, LONGEST_WORD = 10_000, 40
# CLIP's pixel statistics, RGB in [0, 1]
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
# rows of the folded token table
PAD, UNKNOWN, FIRST_KNOWN = 0, 1, 2


def _small() -> dict:
    """The bundled architecture, in open_clip's own terms (see open_clip/model_configs)."""
    return {
        "embed_dim": 512,
        "vision_cfg": {"image_size": 96, "layers": [2, 2, 2, 2], "width": 32, "head_width": 64},
        "text_cfg": {"context_length": CONTEXT, "width": 192, "heads": 4, "layers": 4, "no_causal_mask": True},
    }


@dataclass(frozen=True)
class ClipConfig:
    """What is needed to build the towers again."""

    # or the name of an open_clip model
    name: str = "facet-small"
    # open_clip's model config; its vocab_size follows from `tokens`
    architecture: dict = field(default_factory=_small)
    # known tokens of the folded table; 0 keeps all 49,408
    tokens: int = 0


class Clip(nn.Module):
    """Two towers into one space, and a head that reads attributes from a text's embedding."""

    # (config.tokens,) ids of the known tokens, where the table is folded
    vocabulary: Tensor

    def __init__(self, config: ClipConfig, vocabulary: Tensor | None = None):
        """:param vocabulary: (config.tokens,) sorted ids of the known tokens; start and end of text are last."""
        super().__init__()
        self.config = config
        # how the weights were trained, once loaded
        self.info = {}
        architecture = {**config.architecture, "text_cfg": dict(config.architecture["text_cfg"])}
        if config.tokens:
            architecture["text_cfg"]["vocab_size"] = FIRST_KNOWN + config.tokens
            vocabulary = torch.zeros(config.tokens, dtype=torch.int32) if vocabulary is None else vocabulary
            self.register_buffer("vocabulary", vocabulary.to(torch.int32))
        self.towers: Any = open_clip().CustomTextCLIP(**architecture, init_logit_scale=np.log(10), init_logit_bias=-2.0)
        # Without the causal mask every word sees every other; padding then has to be masked instead.
        self.towers.text.use_pad_mask = bool(config.tokens)
        self.head = nn.Linear(config.architecture["embed_dim"], 3 * len(ATTRIBUTES))
        image_size = config.architecture["vision_cfg"]["image_size"]
        self.image_size = image_size if isinstance(image_size, int) else image_size[0]

    @classmethod
    def from_file(cls, path: str | Path, device: str | torch.device = "cpu") -> "Clip":
        """Read a checkpoint. Raises WeightsError in one line."""
        # before the network is first built without memory: torch 2.8 cannot import it there
        open_clip()
        return checkpoint.restore(path, lambda config: cls(ClipConfig(**config))).to(device)

    @classmethod
    def from_open_clip(cls, name: str, pretrained: str) -> "Clip":
        """One of open_clip's own models; its head reads nothing yet (see training/clip/original.py).

        :param name:       for instance "ViT-B-32-quickgelu".
        :param pretrained: one of its tags ("openai", "laion2b_s34b_b79k"), fetched from the Hub, or a checkpoint's
                           path.
        :raises InputError: in one line, for an unknown name or tag, and where the weights need another activation.
        """
        library = open_clip()
        try:
            with warnings.catch_warnings():
                # openai's weights in the wrong architecture
                warnings.filterwarnings("error", message="QuickGELU mismatch")
                towers = library.create_model(
                    name, pretrained=pretrained, force_custom_text=True, require_pretrained=True
                )
        except (RuntimeError, OSError, ValueError, UserWarning) as error:
            reason = str(error).strip().split("\n")[0][:300]
            raise InputError(f"open_clip cannot give {name} with {pretrained}: {reason}") from error
        architecture = {
            key: value for key, value in (library.get_model_config(name) or {}).items() if key != "custom_text"
        }
        clip = cls(ClipConfig(name=name, architecture=architecture))
        # Without logit_bias, which the softmax loss has not.
        clip.towers.load_state_dict(towers.state_dict(), strict=False)
        return clip.eval()

    @property
    def hash(self) -> str:
        """Of the weights file's tensors: names this CLIP. Empty for one that was not loaded from a file."""
        return self.info.get("hash", "")

    def save(self, path: str | Path, info: dict) -> str:
        """Write a checkpoint, return its hash."""
        return checkpoint.save(path, self.state_dict(), asdict(self.config), info)

    # --- texts ---------------------------------------------------------------------------------------------------

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """(N, L) token ids, L <= 77: with the folded table as long as the longest text, else always 77."""
        return self.fold(token_ids(texts))

    def fold(self, ids: Tensor) -> Tensor:
        """(N, L) ids of `token_ids` -> ids of this CLIP's table, on its device, padding beyond the longest cut off."""
        ids = ids.to(self.head.weight.device)
        if self.config.tokens:
            table = torch.full((len(tokenizer().encoder),), UNKNOWN, device=ids.device)
            table[self.vocabulary.long()] = torch.arange(len(self.vocabulary), device=ids.device) + FIRST_KNOWN
            # the end of text is the highest id; behind it is padding
            end = ids.argmax(1, keepdim=True)
            ids = table[ids].masked_fill(torch.arange(ids.shape[1], device=ids.device) > end, PAD)
            ids = ids[:, : int(end.max()) + 1]
        return ids

    def text_features(self, ids: Tensor) -> Tensor:
        """(N, L) token ids -> (N, 512) unit vectors, with gradient."""
        return self.towers.encode_text(ids, normalize=True)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """N texts -> (N, 512) unit vectors, float32. A text of more than 77 tokens is cut (see `is_cut`)."""
        if not len(texts):
            return self.head.weight.new_zeros(0, self.head.in_features)
        return self.text_features(self.tokens(texts)).float()

    def read(self, text_features: Tensor) -> Tensor:
        """(N, 512) -> (N, 40, 3) logits: each attribute absent, unmentioned, or present in the text."""
        # entries near 1, which a linear layer likes
        unit_scale = text_features * text_features.shape[-1] ** 0.5
        return self.head(unit_scale).unflatten(-1, (len(ATTRIBUTES), 3))

    @torch.inference_mode()
    def stated(self, texts: Sequence[str]) -> Tensor:
        """N texts -> (N, 40, 3) probabilities that each attribute is absent, unmentioned, present."""
        return self.read(self.encode_texts(texts)).softmax(-1)

    # --- images --------------------------------------------------------------------------------------------------

    def image_features(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, 512) unit vectors, with gradient."""
        return self.towers.encode_image(self.standardised(images), normalize=True)

    def standardised(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, 3, S, S) as the image tower takes them: at its size, with CLIP's statistics."""
        size = (self.image_size, self.image_size)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, STD))
        return ((images - mean) / std).contiguous(memory_format=torch.channels_last)

    def attribute_directions(self) -> Tensor:
        """(40, 512): from each attribute's denial to its prompt, CelebA order."""
        texts = [attributes_to_prompt([name]) for name in ATTRIBUTES]
        texts += [attributes_to_prompt([], [name]) for name in ATTRIBUTES]
        present, absent = self.encode_texts(texts).split(len(ATTRIBUTES))
        return present - absent

    def attribute_logits(self, image_features: Tensor, directions: Tensor | None = None) -> Tensor:
        """Zero-shot: (N, 512) -> (N, 40) log-odds of each attribute's prompt against its denial, CelebA order.

        directions: `attribute_directions`, where they are at hand.
        """
        directions = self.attribute_directions() if directions is None else directions
        return self.towers.logit_scale.detach().exp() * image_features @ directions.T

    @torch.inference_mode()
    def encode_images(self, images: Tensor | np.ndarray) -> Tensor:
        """(N, H, W, 3) uint8 -> (N, 512) unit vectors, float32."""
        # a copy: some arrays are read-only
        images = (images if isinstance(images, Tensor) else torch.tensor(images)).to(self.head.weight.device)
        return self.image_features(images.permute(0, 3, 1, 2).float() / 255).float()

    def logits(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """(N, 512), (M, 512) -> (N, M): log-odds that the image fits the text (Zhai et al. 2023, SigLIP)."""
        return self.towers.logit_scale.exp() * image_features @ text_features.T + self.towers.logit_bias


def open_clip() -> ModuleType:
    """The library, imported when a CLIP is first built or a text first read."""
    # a version that asks more of the compiler than its stand-in answers is imported with it
    with suppress(ImportError), without_compiler():
        importlib.import_module("open_clip")
    return importlib.import_module("open_clip")


def token_ids(texts: Sequence[str]) -> Tensor:
    """N texts -> (N, 77) ids of all 49,408 tokens, on the CPU; a longer text is cut (see `is_cut`), 0 is padding."""
    return tokenizer()([for_clip(text) for text in texts], context_length=CONTEXT)


@lru_cache(maxsize=1)
def tokenizer():
    """CLIP's byte-pair encoding of 49,408 tokens."""
    bpe = open_clip().SimpleTokenizer(context_length=CONTEXT)
    # it keeps every word that anybody ever typed
    bpe.cache = _Bounded(bpe.cache)
    return bpe


class _Bounded(dict):
    """A cache that begins anew when it holds MOST_WORDS, and keeps no long ones."""

    def __init__(self, always: dict[str, str]):
        super().__init__(always)
        self.always = always

    def __setitem__(self, word: str, tokens: str) -> None:
        if len(self) >= MOST_WORDS:
            self.clear()
            self.update(self.always)
        if len(word) <= LONGEST_WORD:
            super().__setitem__(word, tokens)


def is_cut(text: str) -> bool:
    """Whether the text is longer than the 77 tokens CLIP reads (75 besides start and end)."""
    return len(text) > LONGEST or len(tokenizer().encode(for_clip(text))) > CONTEXT - 2
