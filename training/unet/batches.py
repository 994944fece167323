"""What the U-Net learns from: faces, captions and times, drawn anew for every step from (seed, process, step) alone."""

from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor

from model.clip import Clip
from model.diffusion import training_pair
from model.images import to_tensor
from training.core.seeds import mixed_seed
from training.data.captions import caption
from training.data.prepared import Prepared
from training.unet.recipes import TrainConfig


@dataclass(frozen=True)
class Data:
    """What a training step draws from, on the training device."""

    # (N, 64, 64, 3) uint8
    images: Tensor
    # (N, 40) bool
    attributes: np.ndarray
    # (N,) bool
    squashed: Tensor
    # (N, 512) unit vectors
    image_embeddings: Tensor
    # (40,), of each attribute
    frequency: np.ndarray
    # (N,), how often each face is drawn
    weights: Tensor

    @classmethod
    def of(cls, prepared: Prepared, rows: Tensor, device: torch.device) -> "Data":
        """The faces of `rows` (N,) bool; those with a rare attribute are drawn up to twice as often."""
        attributes = prepared.attributes[rows]
        frequency = attributes.float().mean(0).clamp(min=1e-3)
        rarest = torch.where(attributes, frequency, 1.0).min(1).values
        return cls(
            prepared.images[rows].to(device),
            attributes.numpy(),
            prepared.squashed[rows].to(device),
            prepared.image_embeddings[rows].float().to(device),
            frequency.numpy(),
            (0.12 / rarest).clamp(1, 2),
        )


def sample_conditions(data: Data, picks: Tensor, clip: Clip, config: TrainConfig, rng: Random) -> Tensor:
    """(N,) rows -> (N, 514) conditions: a fresh caption's embedding, or the empty text's, or the image's own; then
    flags.
    """
    kinds = torch.tensor([rng.random() for _ in picks], dtype=torch.float64)
    from_image = (kinds > 1 - config.image_share)[:, None].to(data.images.device)
    embeddings = data.image_embeddings[picks].clone()
    texts = [
        "" if kind < config.empty_share else caption(data.attributes[row], data.frequency, rng)[0]
        for kind, row in zip(kinds.tolist(), picks.tolist())
        if kind <= 1 - config.image_share
    ]
    if texts:
        embeddings[~from_image[:, 0]] = clip.encode_texts(texts)
    return torch.cat([embeddings, from_image.float(), data.squashed[picks][:, None].float()], dim=1)


def sample_times(step: int, count: int, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """(count,) times in [0, 1]: one from each of `count` equal slices, or what the lecture or the target asks for."""
    steps = config.network.steps
    if config.walk_timesteps:
        return torch.full((count,), (step % steps + 1) / steps)
    # less variance than independent ones
    times = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    times = times[torch.randperm(count, generator=generator)]
    return (times * steps).floor().add(1).clamp(max=steps) / steps if config.network.target == "previous" else times


def sample_batch(step: int, data: Data, clip: Clip, config: TrainConfig, rank: int, world: int):
    """This process's share of a step: (x_t, t, condition, wanted), a function of (seed, rank, step) alone."""
    count, device = config.batch // world, data.images.device
    # the lecture keeps a batch for 100 steps
    of_batch = step // config.network.steps if config.walk_timesteps else step
    generator = torch.Generator().manual_seed(mixed_seed(config.seed, rank, of_batch))
    rng = Random(mixed_seed(config.seed, rank, of_batch))
    picks = torch.multinomial(data.weights, count, replacement=count > len(data.weights), generator=generator)
    flips = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    condition = sample_conditions(data, picks.to(device), clip, config, rng)
    original = to_tensor(data.images[picks.to(device)])
    original = torch.where(flips.to(device), original.flip(-1), original)

    generator = torch.Generator().manual_seed(mixed_seed(config.seed, rank, step) + 1)
    t = sample_times(step, count, config, generator)
    noise, previous = torch.randn(2, *original.shape, generator=generator).to(device)
    x_t, wanted = training_pair(original, t, noise, config.network.target, previous, config.network.steps)
    return x_t, t.to(device), condition, wanted


@torch.no_grad()
def embedding_statistics(data: Data, clip: Clip, count: int = 2048) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, each (512,), of the embeddings of `count` captions."""
    rng = Random(0)
    texts = [caption(data.attributes[i % len(data.attributes)], data.frequency, rng)[0] for i in range(count)]
    embeddings = torch.cat([clip.encode_texts(texts[i : i + 256]) for i in range(0, count, 256)])
    return embeddings.mean(0).clone(), embeddings.std(0).clamp(min=1e-4).clone()
