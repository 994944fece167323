"""What the U-Net is told of a face: a caption's embedding, nothing, or the face's own embedding; and flags.

Captions are either drawn and embedded for every step (`Captions`), which costs a CPU little beside the network, or come
from a table made beforehand (`CaptionTable`), since no Python keeps up with a GPU.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from random import Random

import numpy as np
import torch
from torch import Tensor

from model.clip import Clip, token_ids
from training.core.seeds import mixed_seed
from training.data.captions import caption
from training.unet.recipes import TrainConfig

# faces whose captions a process draws in one go
CHUNK = 256
# processes that draw, at most: each takes nearly half a gigabyte of memory
DRAWERS = 16


@dataclass(frozen=True)
class Captions:
    """Captions of N faces, drawn anew each time."""

    clip: Clip
    # (N, 40) bool
    attributes: np.ndarray
    # (40,), of each attribute
    frequency: np.ndarray

    @property
    def empty(self) -> Tensor:
        """(512,), the embedding of the empty text."""
        return self.clip.encode_texts([""])[0]

    def choose(self, picks: Tensor, config: TrainConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(M,) rows -> (M, 512) embeddings of a caption or of the empty text; and (M,) bool, whose own embedding shall
        take its place.
        """
        rng = Random(generator.initial_seed())
        kinds = torch.tensor([rng.random() for _ in picks], dtype=torch.float64)
        from_image = kinds > 1 - config.image_share
        texts = [
            "" if kind < config.empty_share else self.draw(row, rng)
            for kind, row in zip(kinds.tolist(), picks.tolist())
            if kind <= 1 - config.image_share
        ]
        embeddings = torch.zeros(len(picks), self.clip.head.in_features)
        if texts:
            embeddings[~from_image] = self.clip.encode_texts(texts).cpu()
        return embeddings, from_image

    def draw(self, row: int, rng: Random) -> str:
        """One of the many captions of a face."""
        return caption(self.attributes[row], self.frequency, rng)[0]


@dataclass(frozen=True)
class CaptionTable:
    """Several captions of each of N faces, already embedded, on the device of the training."""

    # (N, K, 512) float16 unit vectors
    embeddings: Tensor
    # (512,), of the empty text
    empty: Tensor

    @classmethod
    def of(cls, captions: Captions, count: int, seed: int, device: torch.device) -> "CaptionTable":
        """`count` captions of each face, by as many processes as there are processors, up to DRAWERS."""
        clip = captions.clip
        table = torch.empty(len(captions.attributes), count, clip.head.in_features, dtype=torch.float16, device=device)
        with torch.inference_mode():
            for start, ids in _drawn(captions, count, seed):
                embeddings = clip.text_features(clip.fold(torch.from_numpy(ids.astype(np.int64))))
                table[start : start + CHUNK] = embeddings.unflatten(0, (-1, count)).to(table)
        return cls(table, clip.encode_texts([""])[0].to(device, copy=True))

    def choose(self, picks: Tensor, config: TrainConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As Captions.choose, without a wait for the device."""
        device, (_, count, _) = picks.device, self.embeddings.shape
        kinds = torch.rand(len(picks), generator=generator, device=device)
        chosen = torch.randint(count, (len(picks),), generator=generator, device=device)
        texts = self.embeddings[picks, chosen].float()
        is_empty, from_image = kinds < config.empty_share, kinds > 1 - config.image_share
        return torch.where(is_empty[:, None], self.empty, texts), from_image


def _drawn(captions: Captions, count: int, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """For each CHUNK of faces its start and the tokens of `count` captions a face, see `draw_tokens`."""
    starts = range(0, len(captions.attributes), CHUNK)
    parts = [captions.attributes[start : start + CHUNK] for start in starts]
    seeds = [mixed_seed(seed, start) for start in starts]
    shared = [captions.frequency] * len(parts), [count] * len(parts), seeds
    if len(parts) == 1:
        yield 0, draw_tokens(*parts, *(each[0] for each in shared))
        return
    with ProcessPoolExecutor(min(DRAWERS, os.cpu_count() or 1, len(parts)), get_context("spawn")) as processes:
        yield from zip(starts, processes.map(draw_tokens, parts, *shared))


def draw_tokens(attributes: np.ndarray, frequency: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(N, 40) bool -> (N * count, 77) uint16: token ids (see `token_ids`) of `count` captions of each face in turn."""
    rng = Random(seed)
    texts = [caption(row, frequency, rng)[0] for row in attributes for _ in range(count)]
    return token_ids(texts).numpy().astype(np.uint16)


@torch.no_grad()
def embedding_statistics(captions: Captions, count: int = 2048) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, each (512,), of the embeddings of `count` captions."""
    rng = Random(0)
    texts = [captions.draw(row % len(captions.attributes), rng) for row in range(count)]
    embeddings = torch.cat([captions.clip.encode_texts(texts[i : i + 256]) for i in range(0, count, 256)])
    return embeddings.mean(0).clone(), embeddings.std(0).clamp(min=1e-4).clone()
