"""Train the conditioned U-Net.

    python -m training.unet.train --prepared runs/prepared --weights weights --max-minutes 90
    torchrun --nproc-per-node 2 -m training.unet.train ...        several GPUs or machines

The default recipe draws one random time for every image of a batch, so that each optimizer step sees all noise levels.
`--recipe lecture` does what the lecture did: 100 epochs, batches of 1250, and every batch walks through all 100
timesteps, one optimizer step each; the timestep enters by the 4th band alone.

All randomness of a step follows from (seed, process, step), so that a killed run resumes exactly from its last state.
On a GPU the faces and several captions of each lie on it from the start, and Python waits for it only to log and save.
"""

import argparse
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from model.attributes import ATTRIBUTES
from model.clip import Clip
from model.device import pick_device
from model.diffusion import TARGETS
from model.errors import InputError, exit_in_one_line
from model.files import checkpoint
from model.guidance import Predictor, guided
from model.images import contact_sheet, to_pixels
from model.sampler import face_noise, last_step, time_grid, unipc
from model.settings import DEFAULTS
from model.unet import UNet, condition_of
from training.core.budget import Budget, Progress
from training.core.log import Log, provenance
from training.core.loop import Steps, run_steps
from training.core.measure import add_measure_option, measure
from training.core.processes import rank_and_world
from training.core.run import Run, add_run_options, running
from training.core.seeds import mixed_seed
from training.core.state import check_writable, keep, resume
from training.data.checks import check_embeddings
from training.data.prepared import Prepared, load_prepared
from training.unet.batches import Data, beside, sample_batch
from training.unet.conditions import embedding_statistics
from training.unet.learner import Learner
from training.unet.recipes import RECIPES, TrainConfig


@torch.no_grad()
def validation_loss(network: UNet, data: Data, config: TrainConfig, batches: int = 8) -> float:
    """MSE on validation faces, on the same faces, times, noise and captions every time."""
    fixed, device = replace(config, seed=-1, walk_timesteps=False, batch=min(64, len(data.images))), network.mean.device
    losses = []
    for step in range(batches):
        x_t, t, condition, wanted = (each.to(device) for each in sample_batch(step, data, fixed, 0, 1))
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
GRID_SEEDS = 4


@torch.no_grad()
def sample_grid(network: UNet, clip: Clip, path: Path) -> None:
    """A PNG of eight prompts (rows) by four seeds, with the app's default steps and guidance."""
    texts = [prompt for prompt in GRID_PROMPTS for _ in range(GRID_SEEDS)]
    device = network.mean.device
    condition, empty = (condition_of(clip.encode_texts(some)).to(device) for some in (texts, [""]))
    generators = [torch.Generator().manual_seed(index % GRID_SEEDS) for index in range(len(texts))]
    noise = face_noise(generators, (3, 64, 64), device)
    predictor = Predictor(network, network.config.target, network.config.steps)
    denoise = guided(predictor, condition, empty, DEFAULTS.as_guidance())
    last = last_step(unipc(denoise, noise, time_grid(DEFAULTS.steps, "unipc")))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(contact_sheet(to_pixels(last.denoised), GRID_SEEDS)).save(path)


def start_with(network: UNet, path: Path | None, clip: Clip) -> tuple[Progress, dict[str, str]]:
    """Fill the network from a weights file, if one is given.

    Returns a training's progress, which holds what these weights had seen, and what tells the run from one that started
    elsewhere.

    Raises InputError if they were trained with another CLIP or for another target, WeightsError if they do not fit.
    """
    if path is None:
        return Progress(), {}
    tensors, built, info = checkpoint.load(path)
    if info.get("clip") != clip.hash:
        raise InputError(f"{path} was trained with another CLIP: carry it over by `python -m training.unet.transfer`.")
    if built.get("target") != network.config.target:
        raise InputError(
            f"{path} predicts the {built.get('target')}, this training's target is the {network.config.target}."
        )
    checkpoint.fill(network, tensors, path)
    return Progress(before={name: info.get(name, 0) for name in ("images", "seconds")}), {"start": info["hash"]}


def budget_of(config: TrainConfig, faces: int, max_minutes: float) -> Budget:
    """What the config says of how long and how fast to learn from so many faces. Raises InputError as Budget does."""
    images = config.epochs * faces * (config.network.steps if config.walk_timesteps else 1) or config.images
    return Budget(
        images,
        config.batch,
        max_minutes,
        config.learning_rate,
        decay=config.decay,
        save_seconds=config.checkpoint_seconds,
    )


def train(prepared: Prepared, clip: Clip, config: TrainConfig, run: Run) -> UNet:
    """Train until the images or the minutes are spent or a stop is requested. Returns the averaged network.

    Resumes exactly from `run.state` if it is there; else starts from the weights `run.start_from`, if given. Writes the
    averaged network to `run.out` at every save. Raises InputError for faces embedded by another CLIP and where
    start_with does. With `run.measure` it does neither, see `measure`.
    """
    check_embeddings(prepared, clip)
    budget = budget_of(config, int((~prepared.validation).sum()), run.minutes)
    if not run.measure:
        check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    device = pick_device(run.device)
    config = replace(config, network=replace(config.network, embedding=clip.head.in_features))
    identity = {"recipe": asdict(config), "clip": clip.hash, "data": prepared.hash}
    clip = clip.to(device)
    data, held_out = (Data.of(prepared, rows, clip) for rows in (~prepared.validation, prepared.validation))
    torch.manual_seed(config.seed)
    network = UNet(config.network).to(device, memory_format=torch.channels_last)
    network.mean, network.std = (value.to(device) for value in embedding_statistics(data.captions))
    done, start = start_with(network, run.start_from, clip)
    identity |= start
    learner = Learner.of(network, config)
    ema, parts = learner.ema, {"network": network, **learner.parts}
    if not run.measure:
        resume(run.state, identity, parts, done)
    # else a warm start would see the same noise once more
    config = replace(config, seed=config.seed + done.before["images"])
    data = beside(data, device, mixed_seed(config.seed, rank))

    def learn(step: int) -> dict[str, Tensor]:
        return learner.learn(step, sample_batch(step, data, config, rank, world))

    if run.measure:
        measure(learn, config.batch, device)
        return ema.network
    log = Log(run.folder / "log.jsonl")

    def export(path: Path, steps: int, loss: float | None = None):
        images = done.before["images"] + steps * config.batch
        checkpoint.save(
            path,
            ema.network.state_dict(),
            asdict(config.network),
            {
                "kind": "unet",
                "clip": clip.hash,
                **provenance(images, done.before["seconds"] + round(done.seconds), device.type, prepared.hash),
                "faces": len(data.images),
                "attributes": list(ATTRIBUTES),
                "validation_loss": loss,
                "recipe": {name: value for name, value in asdict(config).items() if name != "network"},
            },
        )

    def save(finished: bool):
        keep(run.state, identity, parts, done)
        loss = validation_loss(ema.network, held_out, config) if len(held_out.images) else None
        images = done.step * config.batch
        log.write(images=images, seconds=done.seconds, validation_loss=loss)
        sample_grid(ema.network, clip, run.folder / "grids" / f"{images:09d}.png")
        if run.out:
            export(run.out, done.step, loss)

    def learn_and_keep(step: int) -> dict[str, Tensor]:
        losses, images = learn(step), done.before["images"] + (step + 1) * config.batch
        if rank == 0 and is_milestone(images, config.batch):
            export(run.folder / "snapshots" / f"{images:09d}.safetensors", step + 1)
        return losses

    run_steps(Steps(learner.optimizers, learn_and_keep, save), done, budget, log, run.stop)
    return ema.network


def is_milestone(images: int, batch: int) -> bool:
    """Whether a step of `batch` images brought the number seen to or past 500, 707, 1,000, 1,414 and so on: moments of
    which a snapshot is kept, to watch the network learn (training/evaluation/sheet.py).
    """

    def half_doublings(count: int) -> int:
        return math.floor(2 * math.log2(count / 500)) if count >= 500 else -1

    return half_doublings(images) > half_doublings(images - batch)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.unet.train", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder with clip.safetensors")
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    parser.add_argument("--target", choices=TARGETS, help="what the network predicts, instead of the recipe's")
    parser.add_argument("--start-from", type=Path, help="a U-Net to start from, where there is no state to resume")
    parser.add_argument("--batch", type=int, help="images a step, instead of the recipe's")
    add_measure_option(parser)
    add_run_options(parser, "runs/unet", "unet.safetensors")
    options = parser.parse_args(arguments)
    config = RECIPES[options.recipe]
    if options.target:
        config = replace(config, network=replace(config.network, target=options.target))
    if options.batch is not None:
        config = replace(config, batch=options.batch)
    with exit_in_one_line("training.unet.train"), running(options) as run:
        prepared, clip = load_prepared(options.prepared), Clip.from_file(options.weights / "clip.safetensors")
        train(prepared, clip, config, run)


if __name__ == "__main__":
    main()
