"""Train the conditioned U-Net.

    python -m training.unet.train --prepared runs/prepared --weights weights --max-minutes 90
    torchrun --nproc-per-node 2 -m training.unet.train ...        several GPUs or machines

The default recipe draws one random time for every image of a batch, so that each optimizer step sees all noise levels.
`--recipe lecture` does what the lecture did: 100 epochs, batches of 1250, and every batch walks through all 100
timesteps, one optimizer step each; the timestep enters by the 4th band alone.

All randomness of a step follows from (seed, process, step), so that a killed run resumes exactly from its last state.
"""

import argparse
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from model import checkpoint
from model.attributes import ATTRIBUTES
from model.clip import Clip
from model.device import pick_device
from model.diffusion import TARGETS, training_pair
from model.errors import FacetError, InputError
from model.guidance import Guidance, Predictor, guided
from model.images import contact_sheet, to_pixels, to_tensor
from model.sampler import dpmpp, face_noise, last_step, time_grid
from model.unet import UNet, UNetConfig, condition_of
from training.core.loop import (
    EMA,
    Budget,
    Log,
    Progress,
    Stop,
    amp_dtype,
    commit,
    finite,
    follow_gradients,
    keep,
    mixed_seed,
    rank_and_world,
    resume,
    run_steps,
    several_processes,
)
from training.core.muon import Muon
from training.data.captions import caption
from training.data.prepare import Prepared, load_prepared


@dataclass(frozen=True)
class TrainConfig:
    """How to train; budgets are counted in images."""

    network: UNetConfig = UNetConfig()
    images: int = 20_000_000  # images seen, each at one noise level; the learning rate falls to 0 over these
    epochs: int = 0  # passes over the faces instead of `images`, if not 0
    batch: int = 16  # images an optimizer step, all processes together
    micro_batch: int = 256  # images a forward; a larger batch is split
    learning_rate: float = 5e-4
    decay: bool = True  # warm-up and linear decay; else constant
    weight_decay: float = 0.01
    muon: float = 0.0  # momentum of Muon, for the weights inside the network; 0: AdamW for all
    half_life: int = 20_000  # images, of the running average of the weights
    average_every: int = 4  # steps between its updates
    empty_share: float = 0.1  # share of samples under the empty text, for classifier-free guidance
    image_share: float = 0.15  # share of samples under the image's own CLIP embedding
    walk_timesteps: bool = False  # the lecture: one timestep for a whole batch, each batch through all of them
    checkpoint_seconds: float = 600  # between saved states, with validation and a grid of samples
    seed: int = 0


TINY = UNetConfig(channels=(16, 32), attention=(1,), hidden=32)
RECIPES = {
    "default": TrainConfig(batch=64, muon=0.95),
    "lecture": TrainConfig(
        network=UNetConfig(channels=(48, 96, 192, 256), attention=(2, 3), hidden=256, band_only=True, target="noise"),
        epochs=100,
        batch=1250,
        micro_batch=64,
        learning_rate=1e-3,
        decay=False,
        weight_decay=0.0,
        walk_timesteps=True,
    ),
    "small": TrainConfig(network=UNetConfig(channels=(32, 64, 64), attention=(2,), hidden=64), half_life=10_000),
    "tiny": TrainConfig(network=TINY, images=64, batch=8, muon=0.95, average_every=2, half_life=64),
}


@dataclass(frozen=True)
class Data:
    """What a training step draws from, on the training device."""

    images: Tensor  # (N, 64, 64, 3) uint8
    attributes: np.ndarray  # (N, 40) bool
    squashed: Tensor  # (N,) bool
    image_embeddings: Tensor  # (N, 512) unit vectors
    frequency: np.ndarray  # (40,), of each attribute
    weights: Tensor  # (N,), how often each face is drawn

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


def draw_condition(data: Data, picks: Tensor, clip: Clip, config: TrainConfig, rng: Random) -> Tensor:
    """(N,) rows -> (N, 514) conditions: a fresh caption's embedding, or the empty text's, or the image's own; then flags."""
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


def draw_times(step: int, count: int, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """(count,) times in [0, 1]: one from each of `count` equal slices, or what the lecture or the target asks for."""
    steps = config.network.steps
    if config.walk_timesteps:
        return torch.full((count,), (step % steps + 1) / steps)
    times = (
        torch.arange(count) + torch.rand(count, generator=generator)
    ) / count  # less variance than independent ones
    times = times[torch.randperm(count, generator=generator)]
    return (times * steps).floor().add(1).clamp(max=steps) / steps if config.network.target == "previous" else times


def draw_batch(step: int, data: Data, clip: Clip, config: TrainConfig, rank: int, world: int):
    """This process's share of a step: (x_t, t, condition, wanted), a function of (seed, rank, step) alone."""
    count, device = config.batch // world, data.images.device
    of_batch = (
        step // config.network.steps if config.walk_timesteps else step
    )  # the lecture keeps a batch for 100 steps
    generator = torch.Generator().manual_seed(mixed_seed(config.seed, rank, of_batch))
    rng = Random(mixed_seed(config.seed, rank, of_batch))
    picks = torch.multinomial(data.weights, count, replacement=count > len(data.weights), generator=generator)
    flips = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    condition = draw_condition(data, picks.to(device), clip, config, rng)
    original = to_tensor(data.images[picks.to(device)])
    original = torch.where(flips.to(device), original.flip(-1), original)

    generator = torch.Generator().manual_seed(mixed_seed(config.seed, rank, step) + 1)
    t = draw_times(step, count, config, generator)
    noise, previous = torch.randn(2, *original.shape, generator=generator).to(device)
    x_t, wanted = training_pair(original, t, noise, config.network.target, previous, config.network.steps)
    return x_t, t.to(device), condition, wanted


@torch.no_grad()
def validation_loss(network: UNet, data: Data, clip: Clip, config: TrainConfig, batches: int = 8) -> float:
    """MSE on validation faces, on the same faces, times, noise and captions every time."""
    fixed = replace(config, seed=-1, walk_timesteps=False, batch=min(64, len(data.images)))
    losses = []
    for step in range(batches):
        x_t, t, condition, wanted = draw_batch(step, data, clip, fixed, 0, 1)
        losses.append(F.mse_loss(network(x_t, t, condition), wanted).item())
    return float(np.mean(losses))


GRID_PROMPTS = (
    "",
    "a smiling woman with blond hair",
    "a man with a beard",
    "photo of person eyeglasses, male, gray hair.",
    "a young woman with black hair, not smiling",
    "a bald man",
    "a woman wearing a hat",
    "a young man with brown hair",
)


@torch.no_grad()
def sample_grid(network: UNet, clip: Clip, path: Path) -> None:
    """A PNG of eight prompts (rows) by eight seeds, 25 steps of DPM-Solver++ at guidance 2."""
    texts = [prompt for prompt in GRID_PROMPTS for _ in range(8)]
    device = network.mean.device
    condition, empty = (condition_of(clip.encode_texts(some)).to(device) for some in (texts, [""]))
    noise = face_noise([torch.Generator().manual_seed(i % 8) for i in range(64)], (3, 64, 64), device)
    predictor = Predictor(network, network.config.target, network.config.steps)
    denoise = guided(predictor, condition, empty, Guidance(2.0))
    last = last_step(dpmpp(denoise, noise, time_grid(25, "dpmpp")))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(contact_sheet(to_pixels(last.denoised), 8)).save(path)


def start_with(network: UNet, path: Path, clip: Clip) -> dict[str, float]:
    """Fill the network from a weights file -> {"images", "seconds"} that these weights had seen.

    Raises InputError if they were trained with another CLIP or for another target, WeightsError if they do not fit.
    """
    tensors, built, info = checkpoint.load(path)
    if info.get("clip") != clip.hash:
        raise InputError(f"{path} was trained with another CLIP: carry it over by `python -m training.unet.transfer`.")
    if built.get("target") != network.config.target:
        raise InputError(
            f"{path} predicts the {built.get('target')}, this training's target is the {network.config.target}."
        )
    checkpoint.fill(network, tensors, path)
    return {name: info.get(name, 0) for name in ("images", "seconds")}


def optimizers_of(network: UNet, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW and, where the config wants it, Muon: that for all weights of two axes or more but the first and last convolution's."""
    ends = {network.input.weight, network.output[-1].weight}
    inner, rest = [], []
    for weight in network.parameters():
        (inner if config.muon and weight.ndim > 1 and weight not in ends else rest).append(weight)
    adam = torch.optim.AdamW(
        rest, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
    return [adam, Muon(inner, config.learning_rate, config.muon, config.weight_decay)] if inner else [adam]


def train_step(
    network: nn.Module, optimizers: list[torch.optim.Optimizer], batch: tuple[Tensor, ...], config: TrainConfig
) -> dict[str, float]:
    """One optimizer step on this process's share of a batch (see `draw_batch`), a micro-batch after the other -> its loss.

    Raises FacetError if it is not a number.
    """
    device, dtype, total = batch[0].device, amp_dtype(batch[0].device), 0.0
    network.train()
    network.zero_grad(set_to_none=True)
    for x_t, t, condition, wanted in zip(*(each.split(config.micro_batch) for each in batch)):
        share = len(x_t) / len(batch[0])
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            loss = share * F.mse_loss(network(x_t, t, condition).float(), wanted)
        finite(loss).backward()
        total += loss.item()
    follow_gradients(optimizers, network.parameters())
    return {"loss": total}


def train(
    prepared: Prepared,
    clip: Clip,
    config: TrainConfig,
    run: Path,
    out: Path | None,
    max_minutes: float = math.inf,
    device: str = "auto",
    start_from: Path | None = None,
    stop: Stop | None = None,
) -> UNet:
    """Train until the images or the minutes are spent or `stop` is requested. Returns the averaged network.

    Resumes exactly from `run/state.pt` if it is there; else starts from the weights `start_from`, if given. Writes the
    averaged network to `out` at every save. Raises InputError for faces embedded by another CLIP and where start_with does.
    """
    rank, world = rank_and_world(config.batch)
    device, log = pick_device(device), Log(run / "log.jsonl")
    config = replace(config, network=replace(config.network, embedding=clip.head.in_features))
    identity = {"recipe": asdict(config), "clip": clip.hash, "data": prepared.hash}
    if prepared.image_embeddings is None or prepared.clip != clip.hash:
        raise InputError(
            "the prepared faces have no embeddings of this CLIP: run `python -m training.data.prepare embed`."
        )
    clip = clip.to(device)
    data, held_out = (Data.of(prepared, rows, device) for rows in (~prepared.validation, prepared.validation))
    torch.manual_seed(config.seed)
    network = UNet(config.network).to(device, memory_format=torch.channels_last)
    network.mean, network.std = (value.to(device) for value in embedding_statistics(data, clip))
    done = Progress(before=start_with(network, start_from, clip)) if start_from else Progress()
    ema = EMA(network, config.half_life)
    optimizers = optimizers_of(network, config)
    parts = {"network": network, "ema": ema} | {type(each).__name__: each for each in optimizers}
    resume(run / "state.pt", identity, parts, done)
    config = replace(
        config, seed=config.seed + done.before["images"]
    )  # else a warm start would see the same noise once more
    fast = torch.compile(network) if device.type == "cuda" else network

    def export(path: Path, steps: int, loss: float | None = None):
        checkpoint.save(
            path,
            ema.network.state_dict(),
            asdict(config.network),
            {
                "kind": "unet",
                "clip": clip.hash,
                "images": done.before["images"] + steps * config.batch,
                "seconds": done.before["seconds"] + round(done.seconds),
                "device": device.type,
                "faces": len(data.images),
                "data": prepared.hash,
                "commit": commit(),
                "attributes": list(ATTRIBUTES),
                "validation_loss": loss,
                "recipe": {name: value for name, value in asdict(config).items() if name != "network"},
                "licence": "non-commercial research use; see weights/README.md",
            },
        )

    def save(finished: bool):
        keep(run / "state.pt", identity, parts, done)
        loss = validation_loss(ema.network, held_out, clip, config) if len(held_out.images) else None
        images = done.step * config.batch
        log.write(images=images, seconds=done.seconds, validation_loss=loss)
        sample_grid(ema.network, clip, run / "grids" / f"{images:09d}.png")
        if out:
            export(out, done.step, loss)

    def learn(step: int) -> dict[str, float]:
        found = train_step(fast, optimizers, draw_batch(step, data, clip, config, rank, world), config)
        if (step + 1) % config.average_every == 0:
            ema.update(network, config.batch * config.average_every)
        images = done.before["images"] + (step + 1) * config.batch
        if rank == 0 and is_milestone(images, config.batch):
            export(run / "snapshots" / f"{images:09d}.safetensors", step + 1)
        return found

    passes = config.epochs * len(data.images) * (config.network.steps if config.walk_timesteps else 1)  # images in them
    budget = Budget(
        passes or config.images,
        config.batch,
        max_minutes,
        config.learning_rate,
        decay=config.decay,
        save_seconds=config.checkpoint_seconds,
    )
    run_steps(done, budget, optimizers, learn, save, log, device, stop)
    return ema.network


def is_milestone(images: int, batch: int) -> bool:
    """Whether a step of `batch` images brought the number seen to or past 500, 707, 1,000, 1,414 and so on: moments of which a
    snapshot is kept, to watch the network learn (training/evaluation/sheet.py)."""

    def half_doublings(count: int) -> int:
        return math.floor(2 * math.log2(count / 500)) if count >= 500 else -1

    return half_doublings(images) > half_doublings(images - batch)


@torch.no_grad()
def embedding_statistics(data: Data, clip: Clip, count: int = 2048) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, each (512,), of the embeddings of `count` captions."""
    rng = Random(0)
    texts = [caption(data.attributes[i % len(data.attributes)], data.frequency, rng)[0] for i in range(count)]
    embeddings = torch.cat([clip.encode_texts(texts[i : i + 256]) for i in range(0, count, 256)])
    return embeddings.mean(0).clone(), embeddings.std(0).clamp(min=1e-4).clone()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.unet.train", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder with clip.safetensors")
    parser.add_argument("--out", type=Path, default=Path("runs/unet/unet.safetensors"), help="the averaged weights")
    parser.add_argument(
        "--state-dir", type=Path, default=Path("runs/unet"), help="state, log and grids; resumed if present"
    )
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    parser.add_argument("--target", choices=TARGETS, help="what the network predicts, instead of the recipe's")
    parser.add_argument("--start-from", type=Path, help="a U-Net to start from, where there is no state to resume")
    parser.add_argument(
        "--max-minutes",
        type=float,
        default=math.inf,
        help="minutes of training, all resumed parts together; without it the recipe's number of images counts",
    )
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    config = RECIPES[options.recipe]
    if options.target:
        config = replace(config, network=replace(config.network, target=options.target))
    try:
        with several_processes(), Stop() as stop:
            train(
                load_prepared(options.prepared),
                Clip.from_file(options.weights / "clip.safetensors"),
                config,
                options.state_dir,
                options.out,
                options.max_minutes,
                options.device,
                options.start_from,
                stop,
            )
    except FacetError as error:
        raise SystemExit(f"train_unet: {error}") from error


if __name__ == "__main__":
    main()
