"""What the U-Net learns from: faces, conditions and times, drawn anew for every step from (seed, process, step) alone.

All is drawn where the data are: beside the network where that is a GPU with room for them (see `beside`), else on the
CPU.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.clip import Clip
from model.diffusion import training_pair
from model.images import to_tensor
from training.core.seeds import mixed_seed
from training.data.prepared import Prepared
from training.unet.conditions import Captions, CaptionTable
from training.unet.recipes import TrainConfig

# captions of each face in a table
CAPTIONS = 16


@dataclass(frozen=True)
class Data:
    """What a training step draws from, all on one device."""

    # (N, 64, 64, 3) uint8
    images: Tensor
    # (N,) bool
    squashed: Tensor
    # (N, 512) unit vectors
    image_embeddings: Tensor
    # (N,), how often each face is drawn
    weights: Tensor
    captions: Captions | CaptionTable

    @classmethod
    def of(cls, prepared: Prepared, rows: Tensor, clip: Clip) -> "Data":
        """The faces of `rows` (N,) bool, on the CPU; those with a rare attribute are drawn up to twice as often."""
        attributes = prepared.attributes[rows]
        frequency = attributes.float().mean(0).clamp(min=1e-3)
        rarest = torch.where(attributes, frequency, 1.0).min(1).values
        return cls(
            prepared.images[rows],
            prepared.squashed[rows],
            prepared.image_embeddings[rows].float(),
            (0.12 / rarest).clamp(1, 2),
            Captions(clip, attributes.numpy(), frequency.numpy()),
        )

    def to(self, device: torch.device, seed: int) -> "Data":
        """The same on a device, with CAPTIONS captions of each face, that follow from the seed, in a table."""
        return replace(
            self,
            images=self.images.to(device),
            squashed=self.squashed.to(device),
            image_embeddings=self.image_embeddings.to(device),
            weights=self.weights.to(device),
            captions=CaptionTable.of(self.captions, CAPTIONS, seed, device),
        )


def beside(data: Data, device: torch.device, seed: int) -> Data:
    """The data on the device where it is a GPU and they take less than half of its free memory; else as they are."""
    if device.type != "cuda":
        return data
    needed = data.images.nbytes + data.image_embeddings.nbytes * (1 + CAPTIONS / 2)
    return data.to(device, seed) if needed < torch.cuda.mem_get_info(device)[0] / 2 else data


def sample_faces(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(count,) rows, drawn by their weights, none twice where there are enough.

    As torch.multinomial draws them, whose checks would wait for a GPU.
    """
    if count > len(weights):
        return torch.multinomial(weights, count, replacement=True, generator=generator)
    return (weights / torch.empty_like(weights).exponential_(generator=generator)).topk(count).indices


def sample_conditions(data: Data, picks: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """(N,) rows -> (N, 514) conditions: a caption's embedding, or the empty text's, or the image's own; then flags."""
    texts, from_image = data.captions.choose(picks, config, generator)
    embeddings = torch.where(from_image[:, None], data.image_embeddings[picks], texts)
    return torch.cat([embeddings, from_image[:, None].float(), data.squashed[picks][:, None].float()], dim=1)


def sample_times(step: int, count: int, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """(count,) times in [0, 1]: one from each of `count` equal slices, or what the lecture or the target asks for."""
    steps, device = config.network.steps, generator.device
    if config.walk_timesteps:
        return torch.full((count,), (step % steps + 1) / steps, device=device)
    # less variance than independent ones
    times = (torch.arange(count, device=device) + torch.rand(count, generator=generator, device=device)) / count
    times = times[torch.randperm(count, generator=generator, device=device)]
    return (times * steps).floor().add(1).clamp(max=steps) / steps if config.network.target == "previous" else times


def sample_batch(step: int, data: Data, config: TrainConfig, rank: int, world: int) -> tuple[Tensor, ...]:
    """This process's share of a step: (x_t, t, condition, wanted), a function of (seed, rank, step) alone."""
    count, device = config.batch // world, data.images.device
    # the lecture keeps a batch for 100 steps
    of_batch = step // config.network.steps if config.walk_timesteps else step
    generator = torch.Generator(device).manual_seed(mixed_seed(config.seed, rank, of_batch))
    picks = sample_faces(data.weights, count, generator)
    flips = torch.rand(count, 1, 1, 1, generator=generator, device=device) < 0.5
    condition = sample_conditions(data, picks, config, generator)
    original = to_tensor(data.images[picks])
    original = torch.where(flips, original.flip(-1), original)

    generator = torch.Generator(device).manual_seed(mixed_seed(config.seed, rank, step) + 1)
    t = sample_times(step, count, config, generator)
    # the second is the previous step's
    noises = [
        torch.randn(original.shape, generator=generator, device=device)
        for _ in range(2 if config.network.target == "previous" else 1)
    ]
    x_t, wanted = training_pair(original, t, noises[0], config.network.target, noises[-1], config.network.steps)
    return x_t, t, condition, wanted
