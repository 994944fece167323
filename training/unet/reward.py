"""Teach the network with built-in guidance to draw whole faces: reward fine-tuning through the sampler.

    python -m training.unet.reward --guided runs/guided/guided.safetensors --max-minutes 40

The network draws faces from noise. Where the critic (model/critic.py) calls one broken, its score is the reward, and
the gradient of the reward flows back through every step of the sampler to the weights (Clark et al. 2024, section 4.1,
DRaFT), so that the same noise becomes a whole face. A second reward is CLIP's agreement with what the caption states.
A reward alone would make all faces alike, so two leashes hold the predictions near those of the network that the
training started from, by their squared distance: a loose one for broken faces, a tight one for whole ones.

As in training/unet/guided.py only the modulation is learnt, photographs play no part but through captions, and all
randomness of a step follows from (seed, process, step), so that a killed run resumes exactly.
"""

import argparse
import inspect
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from model.clip import Clip
from model.critic import Critic, of_face, stages
from model.device import pick_device
from model.diffusion import to_original
from model.errors import exit_in_one_line
from model.files import checkpoint
from model.files.release import guided_network
from model.images import to_tensor
from model.sampler import last_step, time_grid, unipc
from model.settings import DEFAULTS
from model.unet import FLAGS, UNet
from training.core.budget import Budget, Progress
from training.core.log import Log, provenance
from training.core.loop import Steps, run_steps
from training.core.optimizer import follow_gradients
from training.core.processes import rank_and_world
from training.core.run import Run, add_run_options, running
from training.core.seeds import mixed_seed
from training.core.state import check_writable, keep, resume
from training.data.checks import check_embeddings
from training.data.prepared import Prepared, load_prepared
from training.unet.batches import Data
from training.unet.guided import change, predicted, prediction_of
from training.unet.learner import Learner
from training.unet.recipes import TINY, TrainConfig
from training.unet.student import sample_inputs

# Factor on what the weights have learnt here (docs/experiments.md).
STRENGTH = 1.0
# photographs that tell the usual distances of a face
PHOTOGRAPHS = 1000


@dataclass(frozen=True)
class RewardConfig(TrainConfig):
    """How to learn. An image here is a face that is drawn, whether or not anything is learnt from it."""

    # lengths of the runs, the default's more often than others
    steps: tuple[int, ...] = (10, 12, 12, 12, 14)
    # A face that scores less is broken; in standard deviations of photographs, below their mean.
    broken: float = -0.3
    # broken faces of a step that are drawn again with gradient, at most
    mended: int = 8
    # weight of CLIP's agreement
    agreement: float = 0.3
    # weights of both leashes: for a broken face the squared distances of all its steps count, for a whole face that of
    # one step
    loose: float = 60.0
    tight: float = 2000.0


RECIPES = {
    "default": RewardConfig(
        images=1_000_000, batch=24, learning_rate=8e-5, weight_decay=0.0, half_life=1_500, average_every=1
    ),
    "tiny": RewardConfig(
        network=TINY,
        images=32,
        batch=8,
        learning_rate=1e-3,
        weight_decay=0.0,
        half_life=64,
        average_every=1,
        steps=(6,),
        mended=4,
        loose=1.0,
        tight=1.0,
    ),
}


class Reward:
    """How good a face is, with gradient. Images are (N, 3, 64, 64) in [-1, 1]."""

    def __init__(self, clip: Clip, critic: Critic, photographs: Tensor):
        """:param photographs: (M, 64, 64, 3) uint8."""
        self.clip, self.critic = clip, critic
        with torch.no_grad():
            self.directions = clip.attribute_directions().clone()
            distances = torch.cat([self.distances(to_tensor(part)) for part in photographs.split(100)])
            self.mean, self.std = distances.mean(0), distances.std(0)
            total = ((distances - self.mean) / self.std).sum(1)
            self.total_mean, self.total_std = total.mean(), total.std()

    def wholeness(self, images: Tensor) -> Tensor:
        """(N,): photographs have mean 0 and standard deviation 1.

        As Critic.scores, but for the face alone: the critic also calls a rare background broken, and a hat.
        """
        total = ((self.distances(images) - self.mean) / self.std).sum(1)
        return -(total - self.total_mean) / self.total_std

    def distances(self, images: Tensor) -> Tensor:
        """(N, 2) distances to photographs, as those of Critic.distances."""
        second, third = stages(self.clip, (images + 1) / 2)
        inner = of_face(self.critic.second(second)).mean((1, 2))
        return torch.stack([inner, of_face(self.critic.third(third)).amax((1, 2))], dim=1)

    def disagreement(self, images: Tensor, condition: Tensor) -> Tensor:
        """(N,): minus the log-likelihood, to CLIP, of the attributes that the caption states or denies, their mean.

        :param condition: (N, 514). 0 for one that says nothing, and for that of an image.
        """
        embedding, of_image = condition[:, :-FLAGS], condition[:, -FLAGS, None]
        # -1 for an attribute that is denied, 0 for one that is not mentioned, 1 for one that is stated
        said = (self.clip.read(embedding).argmax(-1) - 1) * (of_image == 0)
        logits = self.clip.attribute_logits(self.clip.image_features((images + 1) / 2), self.directions)
        return (F.softplus(-said * logits) * said.abs()).sum(1) / said.abs().sum(1).clamp(min=1)


@dataclass(frozen=True)
class Point:
    """A prediction within the guidance interval, on the way of N faces from noise."""

    # (N, 3, 64, 64)
    x_t: Tensor
    # (N,)
    t: Tensor
    # (N, 3, 64, 64)
    prediction: Tensor

    def apart(self, reference: UNet, condition: Tensor) -> Tensor:
        """(N,) mean squared distance to what another network predicts."""
        other = predicted(reference, self.x_t, self.t, condition)
        return (self.prediction - other).square().mean((1, 2, 3))


@dataclass(frozen=True)
class Lesson:
    """What a step learns from."""

    teacher: UNet
    # the network with built-in guidance that the training started from
    reference: UNet
    reward: Reward
    config: RewardConfig

    def draw(self, network: UNet, condition: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, list[Point]]:
        """Faces (N, 3, 64, 64) in [-1, 1] by UniPC, as the app draws them: by the network within the guidance interval,
        by the teacher outside; and the network's predictions.
        """
        points, config, (low, high) = [], self.teacher.config, DEFAULTS.guidance_interval

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            inside = low <= t[0] <= high
            prediction = prediction_of(network if inside else self.teacher, x_t, t.to(x_t), condition)
            if inside:
                points.append(Point(x_t.detach(), t.to(x_t), prediction))
            return to_original(prediction, x_t, t, config.target, config.steps).clamp(-1, 1)

        # without its inference mode, which knows no gradient
        return last_step(inspect.unwrap(unipc)(denoise, noise, times)).denoised, points

    def learn(self, network: UNet, condition: Tensor, noise: Tensor, rng: Random) -> dict[str, Tensor]:
        """Add the gradient of one step to the network's; returns what is logged."""
        times = time_grid(rng.choice(self.config.steps), "unipc")
        with torch.no_grad():
            drawn, points = self.draw(network, condition, noise, times)
            scores = self.reward.wholeness(drawn)
        broken = (scores < self.config.broken).nonzero().flatten()[: self.config.mended]
        if len(broken):
            self.mend(network, condition[broken], noise[broken], times, rng)
        whole = (scores >= self.config.broken).nonzero().flatten()
        if len(whole):
            self.hold(network, condition[whole], [points[rng.randrange(len(points))] for _ in whole], whole)
        return {"wholeness": scores.mean(), "broken": (scores < self.config.broken).float().mean()}

    def mend(self, network: UNet, condition: Tensor, noise: Tensor, times: Tensor, rng: Random) -> None:
        """Add the gradient of both rewards and of the loose leash on faces that are broken."""
        for part in torch.arange(len(noise)).split(4):
            face, points = self.draw(network, condition[part], noise[part], times)
            face = moved(face, rng)
            # the logarithm: else the most broken one would count for all
            penalty = torch.log1p(F.relu(self.config.broken - self.reward.wholeness(face)))
            penalty = penalty + self.config.agreement * self.reward.disagreement(face, condition[part])
            for point in points:
                penalty = penalty + self.config.loose * point.apart(self.reference, condition[part])
            (penalty.sum() / self.config.mended).backward()

    def hold(self, network: UNet, condition: Tensor, points: list[Point], rows: Tensor) -> None:
        """Add the gradient of the tight leash on faces that are whole.

        :param points: for each face one of its steps, whose rows are those of all faces.
        :param rows:   of the faces among them.
        """
        x_t = torch.stack([point.x_t[row] for point, row in zip(points, rows)])
        t = torch.stack([point.t[row] for point, row in zip(points, rows)])
        for part in torch.arange(len(rows)).split(8):
            at = Point(x_t[part], t[part], prediction_of(network, x_t[part], t[part], condition[part]))
            apart = at.apart(self.reference, condition[part])
            (self.config.tight * apart.sum() / len(rows)).backward()


def moved(images: Tensor, rng: Random) -> Tensor:
    """Mirrored or not, and shifted by a pixel at most, so that no pattern of single pixels pleases the critic."""
    images = images.flip(-1) if rng.random() < 0.5 else images
    down, right, size = rng.randrange(3), rng.randrange(3), images.shape[-1]
    return F.pad(images, (1, 1, 1, 1), mode="replicate")[..., down : down + size, right : right + size]


def strengthened(learnt: UNet, reference: UNet) -> UNet:
    """The reference with STRENGTH times what was learnt from there on."""
    after = learnt.modulation
    return reference.with_modulation(
        {name: before + STRENGTH * (after[name] - before) for name, before in reference.modulation.items()}
    )


def train(weights: tuple[Clip, Critic, UNet, UNet], prepared: Prepared, config: RewardConfig, run: Run) -> UNet:
    """Train on the U-Net's device until the images or the minutes are spent or a stop is requested.

    :param weights: CLIP, critic, U-Net, and the network with built-in guidance, whose training goes on.
    :return:        that network as it is then.

    Resumes exactly from `run.state` if it is there. Writes its change of the U-Net's modulation to `run.out` at every
    save. Raises InputError for faces embedded by another CLIP.
    """
    clip, critic, teacher, reference = weights
    budget = Budget(
        config.images, config.batch, run.minutes, config.learning_rate, save_seconds=config.checkpoint_seconds
    )
    check_embeddings(prepared, clip)
    check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    config = replace(config, network=teacher.config)
    identity = {"recipe": asdict(config), "guided": reference.info["hash"], "data": prepared.hash}
    network, done = reference.with_modulation({}).requires_grad_(False), Progress()
    for part in (clip, critic, teacher, reference):
        part.requires_grad_(False)
    for name in teacher.modulation:
        network.get_parameter(name).requires_grad_(True)
    learner = Learner.of(network, config)
    parts = {"network": network, **learner.parts}
    resume(run.state, identity, parts, done)
    data, device = Data.of(prepared, ~prepared.validation, clip), teacher.mean.device
    lesson = Lesson(teacher, reference, Reward(clip, critic, data.images[:PHOTOGRAPHS].to(device)), config)

    def learn(step: int) -> dict[str, Tensor]:
        network.zero_grad(set_to_none=True)
        condition, noise = sample_inputs(step, config.batch // world, data, config, rank)
        rng = Random(mixed_seed(config.seed, rank, step))
        told = lesson.learn(network, condition.to(device), noise.to(device), rng)
        follow_gradients(learner.optimizers, network.parameters())
        learner.ema.update(network, config.batch)
        return told

    def save(finished: bool) -> None:
        keep(run.state, identity, parts, done)
        if run.out:
            learnt = change(strengthened(learner.ema.network, reference), teacher, 1.0)
            seen = done.step * config.batch
            recipe = {name: value for name, value in asdict(config).items() if name != "network"}
            reward = provenance(seen, done.seconds, device.type, prepared.hash)
            reward |= {"guided": reference.info["hash"], "critic": critic.info["hash"], "strength": STRENGTH}
            before = {name: value for name, value in reference.info.items() if name != "hash"}
            checkpoint.save(run.out, learnt, {}, before | {"reward": reward | {"recipe": recipe}})

    run_steps(Steps(learner.optimizers, learn, save), done, budget, Log(run.folder / "log.jsonl"), run.stop)
    return strengthened(learner.ema.network, reference)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.unet.reward", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder with CLIP, critic and U-Net")
    parser.add_argument(
        "--guided", type=Path, default=Path("runs/guided/guided.safetensors"), help="the network to start from"
    )
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    add_run_options(parser, "runs/reward", "guided.safetensors")
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.unet.reward"), running(options) as run:
        device = pick_device(run.device)
        clip = Clip.from_file(options.weights / "clip.safetensors", device)
        critic = Critic.from_file(options.weights / "critic.safetensors", clip)
        teacher = UNet.from_file(options.weights / "unet.safetensors", device)
        reference = guided_network(options.guided, teacher)
        prepared = load_prepared(options.prepared)
        train((clip, critic, teacher, reference), prepared, RECIPES[options.recipe], run)


if __name__ == "__main__":
    main()
