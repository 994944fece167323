"""Build guidance into the U-Net: teach its modulation to predict in one forward what guidance predicts in two.

    python -m training.unet.guided --prepared runs/prepared --weights weights --max-minutes 30

Guidance distillation (Meng et al. 2023, section 3.1) with one guidance, the default's. Only the layers through which
time and condition act are learnt (`UNet.modulation`), so the file is small and both networks share all others. The
network draws faces from noise, so that it learns where its own runs lead. At some of their steps the U-Net, its
teacher, tells its guided prediction. Photographs play no part but through the captions and CLIP's embeddings of their
faces. A face that asks for a concept is drawn by both branches (FacePipeline.covered), so no concept is learnt here.

All randomness of a step follows from (seed, process, step), so that a killed run resumes exactly from its last state.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from model.clip import Clip
from model.device import pick_device
from model.diffusion import to_original
from model.errors import exit_in_one_line
from model.files import checkpoint
from model.files.release import with_change
from model.sampler import time_grid, unipc
from model.settings import DEFAULTS
from model.unet import UNet, condition_of
from training.core.budget import Budget, Progress
from training.core.log import Log, provenance
from training.core.loop import Steps, run_steps
from training.core.processes import rank_and_world
from training.core.run import Run, add_run_options, running
from training.core.seeds import mixed_seed
from training.core.state import check_writable, keep, resume
from training.data.checks import check_embeddings, check_unet
from training.data.prepared import Prepared, load_prepared
from training.unet.batches import Data
from training.unet.learner import Learner, prediction_of
from training.unet.recipes import TINY, TrainConfig
from training.unet.student import sample_inputs

# Factor on what the weights have learnt. A network that predicts the mean of what it cannot tell guides a little too
# weakly: at 1 faces show what their captions state 2 % less than by both branches (docs/experiments.md).
STRENGTH = 1.15
# Of the change of each matrix, of some hundred rows and columns: the rest is 1 % of it and mostly noise.
RANK = 64
# of a run's steps within the guidance interval, those that the teacher looks at, at most
TAUGHT = 4


@dataclass(frozen=True)
class GuidedConfig(TrainConfig):
    """How to learn. An image here is one prediction of the teacher; a batch is that many at most, of batch / TAUGHT
    faces.
    """

    # lengths of the runs, the default's more often than others
    steps: tuple[int, ...] = (8, 10, 12, 12, 12, 12, 14, 16, 20)


RECIPES = {
    "default": GuidedConfig(
        images=100_000, batch=32, learning_rate=1e-4, weight_decay=0.0, half_life=1_500, average_every=1
    ),
    "tiny": GuidedConfig(
        network=TINY, images=128, batch=16, learning_rate=1e-3, weight_decay=0.0, half_life=64, average_every=1
    ),
}


@dataclass(frozen=True)
class Lessons:
    """What each step learns from, a function of (seed, process, step) and of the network that learns."""

    teacher: UNet
    data: Data
    config: GuidedConfig
    rank: int
    # of a step
    faces: int

    def of(self, network: UNet, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(x_t, t, condition, wanted prediction) of some steps of the network's own runs."""
        condition, noise = sample_inputs(step, self.faces, self.data, self.config, self.rank)
        rng, condition = Random(mixed_seed(self.config.seed, self.rank, step)), condition.to(self.teacher.mean.device)
        times = time_grid(rng.choice(self.config.steps), "unipc")
        low, high = DEFAULTS.guidance_interval
        inside = [place for place, time in enumerate(times[:-1]) if low <= time <= high]
        looked_at = set(rng.sample(inside, min(TAUGHT, len(inside))))
        seen: list[tuple[Tensor, ...]] = []
        predict = self._watched(network, condition, times[list(looked_at)].tolist(), seen)
        for place, _ in enumerate(unipc(predict, noise.to(condition.device), times)):
            if place == max(looked_at):
                break
        return tuple(torch.cat(parts) for parts in zip(*seen))

    def _watched(
        self, network: UNet, condition: Tensor, times: list[float], seen: list[tuple[Tensor, ...]]
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """A run's `denoise` by the network, or by the teacher outside the interval; at `times` it adds to `seen`."""
        empty = condition_of(self.data.captions.empty[None]).to(condition).expand_as(condition)
        config, (low, high) = self.teacher.config, DEFAULTS.guidance_interval

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            one = network if low <= t[0] <= high else self.teacher
            if t[0].item() in times:
                wanted = guided_prediction(self.teacher, (x_t, t.to(x_t)), condition, empty)
                seen.append((x_t, t.to(x_t), condition, wanted))
            prediction = predicted(one, x_t, t.to(x_t), condition)
            return to_original(prediction, x_t, t, config.target, config.steps).clamp(-1, 1)

        return denoise


@torch.no_grad()
def predicted(network: UNet, *inputs: Tensor) -> Tensor:
    """As prediction_of, without gradient."""
    return prediction_of(network, *inputs)


def guided_prediction(teacher: UNet, noisy: tuple[Tensor, Tensor], condition: Tensor, empty: Tensor) -> Tensor:
    """What the default guidance makes of both branches (Ho & Salimans 2022, equation 6).

    :param noisy: x_t (N, 3, H, W) and t (N,).
    """
    twice = (torch.cat([each, each]) for each in noisy)
    with_condition, without = predicted(teacher, *twice, torch.cat([condition, empty])).chunk(2)
    return without + DEFAULTS.guidance * (with_condition - without)


def learning(unet: UNet) -> UNet:
    """The network with a copy of its modulation, which alone takes gradients; all else is shared, and frozen."""
    network = unet.with_modulation({}).requires_grad_(False)
    for name in unet.modulation:
        network.get_parameter(name).requires_grad_(True)
    return network


@torch.no_grad()
def gap_left(network: UNet, lessons: Lessons, steps: int = 4) -> float:
    """Mean squared distance of the network's predictions to the guided ones, as a share of the teacher's own distance
    without guidance: 0 where guidance is wholly built in, 1 where nothing is. The same faces each time.
    """
    left = whole = 0.0
    for step in range(steps):
        x_t, t, condition, wanted = lessons.of(network, step)
        left += F.mse_loss(predicted(network, x_t, t, condition), wanted).item()
        whole += F.mse_loss(predicted(lessons.teacher, x_t, t, condition), wanted).item()
    return left / max(whole, 1e-12)


def change(learnt: UNet, teacher: UNet, strength: float) -> dict[str, Tensor]:
    """What was learnt, times a strength, as `with_change` takes it: matrices by their RANK largest singular values."""
    after, tensors = learnt.modulation, {}
    for name, before in teacher.modulation.items():
        tensors[name] = strength * (after[name] - before)
        if before.ndim == 2:
            up, size, down = torch.linalg.svd(tensors.pop(name), full_matrices=False)
            root = size[:RANK].sqrt()
            tensors |= {f"{name}.up": up[:, :RANK] * root, f"{name}.down": root[:, None] * down[:RANK]}
    return tensors


def train(weights: tuple[Clip, UNet], prepared: Prepared, config: GuidedConfig, run: Run) -> UNet:
    """Train on the U-Net's device until the images or the minutes are spent or a stop is requested.

    :param weights: CLIP and the U-Net.
    :return:        the U-Net with the change of its modulation that the file holds.

    Resumes exactly from `run.state` if it is there. Writes the change to `run.out` at every save. Raises InputError
    for faces embedded by another CLIP, and for a U-Net of another.
    """
    clip, teacher = weights
    budget = Budget(
        config.images, config.batch, run.minutes, config.learning_rate, save_seconds=config.checkpoint_seconds
    )
    check_embeddings(prepared, clip)
    check_unet(teacher, clip)
    check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    config = replace(config, network=teacher.config)
    identity = {"recipe": asdict(config), "unet": teacher.info["hash"], "data": prepared.hash}
    network, done = learning(teacher), Progress()
    learner = Learner.of(network, config)
    parts = {"network": network, **learner.parts}
    resume(run.state, identity, parts, done)
    data, held_out = (Data.of(prepared, rows, clip) for rows in (~prepared.validation, prepared.validation))
    lessons = Lessons(teacher, data, config, rank, max(1, config.batch // TAUGHT // world))
    unseen = replace(lessons, data=held_out, config=replace(config, seed=-1), rank=0)
    log = Log(run.folder / "log.jsonl")

    def learn(step: int) -> dict[str, Tensor]:
        return learner.learn(step, lessons.of(network, step))

    def save(finished: bool) -> None:
        keep(run.state, identity, parts, done)
        learnt = change(learner.ema.network, teacher, STRENGTH)
        left = gap_left(with_change(teacher, learnt), unseen) if len(held_out.images) else None
        seen = done.step * config.batch
        log.write(images=seen, seconds=done.seconds, gap_left=left)
        if run.out:
            info = {
                "kind": "guided",
                "clip": clip.hash,
                "unet": teacher.info["hash"],
                "guidance": DEFAULTS.guidance,
                "guidance_interval": DEFAULTS.guidance_interval,
                "strength": STRENGTH,
                "gap_left": left,
                **provenance(seen, done.seconds, teacher.mean.device.type, prepared.hash),
                "recipe": {name: value for name, value in asdict(config).items() if name != "network"},
            }
            checkpoint.save(run.out, learnt, {}, info)

    run_steps(Steps(learner.optimizers, learn, save), done, budget, log, run.stop)
    return with_change(teacher, change(learner.ema.network, teacher, STRENGTH))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.unet.guided", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder with CLIP and U-Net")
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    add_run_options(parser, "runs/guided", "guided.safetensors")
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.unet.guided"), running(options) as run:
        prepared, clip = load_prepared(options.prepared), Clip.from_file(options.weights / "clip.safetensors")
        teacher = UNet.from_file(options.weights / "unet.safetensors", pick_device(run.device))
        train((clip, teacher), prepared, RECIPES[options.recipe], run)


if __name__ == "__main__":
    main()
