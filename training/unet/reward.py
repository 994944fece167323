"""Train the network with built-in guidance further, to draw whole faces: reward fine-tuning through the sampler.

    python -m training.unet.reward --guided runs/guided/guided.safetensors --max-minutes 40

The network draws faces from noise. Where the critic (model/critic.py) calls one broken, its score is the reward, and
the gradient of the reward flows back through every step of the sampler to the weights (DRaFT, Clark et al. 2024), so
that the same noise becomes a whole face. A second reward is CLIP's agreement with what the caption states. With rewards
alone all faces would soon look alike. So the squared distance to the predictions of the network that the training
started from is a penalty: a weak one for broken faces, a strong one for whole ones. Small changes that all go in
one direction escape it. So the squared drift of the mean of the whole faces is a second penalty.

As in training/unet/guided.py only the modulation is learnt, photographs play no part but through captions, and all
randomness of a step follows from (seed, process, step), so that a killed run resumes exactly on a CPU.
"""

import argparse
import inspect
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.clip import Clip
from model.critic import Critic, Scale, stages
from model.device import pick_device
from model.diffusion import to_original
from model.errors import exit_in_one_line
from model.files import checkpoint
from model.files.release import guided_network, with_change
from model.images import to_tensor
from model.sampler import last_step, time_grid, unipc
from model.settings import DEFAULTS
from model.unet import FLAGS, UNet
from training.core.budget import Budget, Progress
from training.core.log import Log, provenance
from training.core.loop import Steps, run_steps
from training.core.processes import rank_and_world, summed
from training.core.run import Run, add_run_options, running
from training.core.seeds import mixed_seed
from training.core.state import check_writable, keep, resume
from training.data.checks import check_embeddings, check_unet
from training.data.prepared import Prepared, load_prepared
from training.unet.batches import Data
from training.unet.guided import change, learning, predicted
from training.unet.learner import Learner, prediction_of
from training.unet.recipes import TINY, TrainConfig
from training.unet.student import sample_inputs

# Factor on what the weights have learnt here. The strong penalty keeps what is learnt small; lengthened, it mends more
# faces before it costs variety (docs/experiments.md).
STRENGTH = 1.5
# weight of a step in the running average of the drift
DRIFT_RATE = 0.1
# photographs that tell the usual distances of a face
PHOTOGRAPHS = 1000


@dataclass(frozen=True)
class RewardConfig(TrainConfig):
    """How to learn. An image here is a face that is drawn, whether or not it is broken. A micro-batch is drawn at once
    with gradient.
    """

    # lengths of the runs, the default's more often than others
    steps: tuple[int, ...] = (10, 12, 12, 12, 14)
    # A face whose wholeness is less is broken; see Reward.
    broken: float = -0.3
    # broken faces of a step that are drawn again with gradient, at most
    mended: int = 8
    # weight of CLIP's agreement beside the critic's reward
    agreement: float = 0.3
    # whole faces of a step that tell the drift, at most; a micro-batch of them is drawn again with gradient
    kept: int = 8
    # weight of the drift
    drift: float = 0.05
    # weights of the penalty for broken and for whole faces
    penalty_broken: float = 500.0
    penalty_whole: float = 2500.0


RECIPES = {
    "default": RewardConfig(
        images=1_000_000,
        batch=24,
        micro_batch=4,
        learning_rate=8e-5,
        weight_decay=0.0,
        half_life=1_500,
        average_every=1,
    ),
    "tiny": RewardConfig(
        network=TINY,
        images=32,
        batch=8,
        micro_batch=4,
        learning_rate=1e-3,
        weight_decay=0.0,
        half_life=64,
        average_every=1,
        steps=(6,),
        mended=4,
        kept=4,
        penalty_broken=1.0,
        penalty_whole=1.0,
    ),
}


class Reward:
    """How good a face is, with gradient. Images are (N, 3, 64, 64) in [-1, 1]."""

    def __init__(self, clip: Clip, critic: Critic, photographs: Tensor):
        """:param photographs: (M, 64, 64, 3) uint8."""
        self.clip, self.critic = clip, critic
        with torch.no_grad():
            self.directions = clip.attribute_directions().clone()
            parts = [to_tensor(part) for part in photographs.split(100)]
            self.scale = Scale.of(torch.cat([self.distances(part) for part in parts]), critic.config.weight)
            self.spread = torch.cat([self.clip.image_features((part + 1) / 2) for part in parts]).std(0)

    def wholeness(self, images: Tensor) -> Tensor:
        """(N,): photographs have mean 0 and standard deviation 1.

        As Critic.scores, but without the mirror image, and the Gaussians look at the face alone: else a rare background
        is called broken, and a hat.
        """
        return self.scale.scores(self.distances(images), self.critic.config.weight)

    def distances(self, images: Tensor) -> Tensor:
        """(N, 2 or 3), see Critic.distances: of the face alone."""
        return self.critic.distances(stages(self.clip, (images + 1) / 2), face_alone=True)

    def features(self, images: Tensor) -> Tensor:
        """(N, 512): CLIP's embedding, each number in standard deviations of the photographs'. See Drift."""
        return self.clip.image_features((images + 1) / 2) / self.spread

    def disagreement(self, images: Tensor, condition: Tensor) -> Tensor:
        """(N,): minus the log-likelihood, to CLIP, of the attributes that the caption states or denies, their mean.

        :param condition: (N, 514). 0 for one that says nothing, and for that of an image.
        """
        embedding, of_image = condition[:, :-FLAGS], condition[:, -FLAGS, None]
        # -1 for an attribute that is denied, 0 for one that is not mentioned, 1 for one that is stated
        said = (self.clip.read(embedding).argmax(-1) - 1) * (of_image == 0)
        logits = self.clip.attribute_logits(self.clip.image_features((images + 1) / 2), self.directions)
        return (F.softplus(-said * logits) * said.abs()).sum(1) / said.abs().sum(1).clamp(min=1)


class Drift(nn.Module):
    """How far the features of faces that are whole have moved, in the mean of some steps.

    What mends broken faces changes all others a little, and all in the same direction: fewer beards and glasses, more
    make-up. No single face shows it, but the Fréchet distance does.
    """

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))

    def follow(self, moved: Tensor) -> None:
        """
        :param moved: (N, size), of the whole faces of a step. There may be none.
        """
        # of all processes, so that they agree
        total = summed(torch.cat([moved.sum(0), moved.new_tensor([len(moved)])]))
        if total[-1]:
            self.mean.lerp_(total[:-1] / total[-1], DRIFT_RATE)


class Start(NamedTuple):
    """Where N faces begin."""

    # (N, 514)
    condition: Tensor
    # (N, 3, 64, 64)
    noise: Tensor
    # see sampler.time_grid
    times: Tensor

    def part(self, rows: Tensor) -> "Start":
        return Start(self.condition[rows], self.noise[rows], self.times)


class Point(NamedTuple):
    """Where N faces are on their way from noise, within the guidance interval."""

    # (N, 3, 64, 64)
    x_t: Tensor
    # (N,)
    t: Tensor


@dataclass(frozen=True)
class Lesson:
    """What a process learns from in a step."""

    teacher: UNet
    # the network with built-in guidance that the training started from
    reference: UNet
    reward: Reward
    drift: Drift
    # its numbers of faces are this process's share
    config: RewardConfig

    def draw(self, network: UNet, start: Start) -> tuple[Tensor, list[Point]]:
        """Draw faces by UniPC as the app does, by the network within the guidance interval, by the teacher outside.

        :return: (N, 3, 64, 64) in [-1, 1], with gradient; and the network's steps.
        """
        points, config, (low, high) = [], self.teacher.config, DEFAULTS.guidance_interval

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            inside = low <= t[0] <= high
            if inside:
                points.append(Point(x_t.detach(), t.to(x_t)))
            prediction = prediction_of(network if inside else self.teacher, x_t, t.to(x_t), start.condition)
            return to_original(prediction, x_t, t, config.target, config.steps).clamp(-1, 1)

        # without its inference mode, which knows no gradient
        return last_step(inspect.unwrap(unipc)(denoise, start.noise, start.times)).denoised, points

    def learn(self, network: UNet, condition: Tensor, noise: Tensor, rng: Random) -> dict[str, Tensor]:
        """Add the gradient of a step to the network's; returns what is logged.

        :param condition: (N, 514).
        :param noise:     (N, 3, 64, 64).
        """
        start = Start(condition, noise, time_grid(rng.choice(self.config.steps), "unipc"))
        with torch.no_grad():
            drawn, points = self.draw(network, start)
            wholeness = self.reward.wholeness(drawn)
            broken = wholeness < self.config.broken
            whole = (~broken).nonzero().flatten()[: self.config.kept]
            # none: nothing has moved
            before = self.draw(self.reference, start.part(whole))[0] if len(whole) else drawn[whole]
            self.drift.follow(self.reward.features(drawn[whole]) - self.reward.features(before))
        told = {"wholeness": wholeness.mean(), "broken": broken.float().mean(), "drift": self.drift.mean.norm()}
        again = broken.nonzero().flatten()[: self.config.mended]
        told["reward_loss"] = self.follow_reward(network, start.part(again), rng)
        self.stay_in_place(network, start.part(whole[: self.config.micro_batch]))
        chosen = [points[rng.randrange(len(points))] for _ in noise]
        at = Point(*(torch.stack([each[row] for row, each in enumerate(parts)]) for parts in zip(*chosen)))
        return told | {"penalty": self.stay_near(network, condition, at, broken)}

    def follow_reward(self, network: UNet, start: Start, rng: Random) -> Tensor:
        """Add the gradient of both rewards on broken faces, none or more; returns their loss, without axes."""
        total, count = start.noise.new_zeros(()), len(start.noise)
        for rows in torch.arange(count).split(self.config.micro_batch) if count else ():
            part = start.part(rows)
            face = moved(self.draw(network, part)[0], rng)
            # the logarithm: else the most broken one would count for all
            losses = torch.log1p(F.relu(self.config.broken - self.reward.wholeness(face)))
            losses = losses + self.config.agreement * self.reward.disagreement(face, part.condition)
            loss = losses.sum() / self.config.mended
            loss.backward()
            total += loss.detach()
        return total

    def stay_in_place(self, network: UNet, start: Start) -> None:
        """Add the gradient of the squared drift, as far as these whole faces, none or more, have a part in it."""
        if len(start.noise):
            features = self.reward.features(self.draw(network, start)[0])
            (self.config.drift * 2 * features.mean(0) @ self.drift.mean).backward()

    def stay_near(self, network: UNet, condition: Tensor, at: Point, broken: Tensor) -> Tensor:
        """Add the gradient of the penalty, each face at one of its steps; returns the penalty, without axes.

        :param broken: (N,) bool.
        """
        total = at.x_t.new_zeros(())
        weights = torch.where(broken, self.config.penalty_broken, self.config.penalty_whole)
        for part in torch.arange(len(weights)).split(self.config.micro_batch):
            inputs = at.x_t[part], at.t[part], condition[part]
            apart = (prediction_of(network, *inputs) - predicted(self.reference, *inputs)).square().mean((1, 2, 3))
            loss = (weights[part] * apart).sum() / len(weights)
            loss.backward()
            total += loss.detach()
        return total


def moved(images: Tensor, rng: Random) -> Tensor:
    """(N, 3, H, W), mirrored or not, and shifted by a pixel at most: no pattern of pixels shall please the critic."""
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

    :param weights: CLIP, critic, U-Net, and the network with built-in guidance that is trained further.
    :return:        the network that the file holds.

    Resumes exactly from `run.state` if it is there. At every save it writes to `run.out` by what the network differs
    from the U-Net, the guidance that was built in before included. Raises InputError for faces embedded by another
    CLIP, for a batch that the processes cannot share, and for a state of another run.
    """
    clip, critic, teacher, reference = weights
    budget = Budget(
        config.images, config.batch, run.minutes, config.learning_rate, save_seconds=config.checkpoint_seconds
    )
    check_embeddings(prepared, clip)
    check_unet(teacher, clip)
    check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    config = replace(config, network=teacher.config)
    identity = {"recipe": asdict(config), "guided": reference.info["hash"], "critic": critic.info["hash"]}
    identity |= {"data": prepared.hash}
    for part in (clip, critic, teacher, reference):
        part.requires_grad_(False)
    network, done, device = learning(reference), Progress(), teacher.mean.device
    data = Data.of(prepared, ~prepared.validation, clip)
    reward = Reward(clip, critic, data.images[:PHOTOGRAPHS].to(device))
    learner, drift = Learner.of(network, config), Drift(len(reward.spread)).to(device)
    parts = {"network": network, "drift": drift, **learner.parts}
    resume(run.state, identity, parts, done)
    share = replace(config, mended=max(1, config.mended // world), kept=max(1, config.kept // world))
    lesson = Lesson(teacher, reference, reward, drift, share)

    def learn(step: int) -> dict[str, Tensor]:
        network.zero_grad(set_to_none=True)
        condition, noise = sample_inputs(step, config.batch // world, data, config, rank)
        # another stream than that of the captions
        rng = Random(mixed_seed(config.seed, rank, step) + 1)
        told = lesson.learn(network, condition.to(device), noise.to(device), rng)
        learner.follow(step)
        return told

    def learnt() -> dict[str, Tensor]:
        return change(strengthened(learner.ema.network, reference), teacher, 1.0)

    def save(finished: bool) -> None:
        keep(run.state, identity, parts, done)
        if run.out:
            about = provenance(done.step * config.batch, done.seconds, device.type, prepared.hash)
            about |= {"guided": reference.info["hash"], "critic": critic.info["hash"], "strength": STRENGTH}
            about |= {"recipe": {name: value for name, value in asdict(config).items() if name != "network"}}
            # what was measured of the network before does not hold any more
            before = {name: value for name, value in reference.info.items() if name not in ("hash", "gap_left")}
            checkpoint.save(run.out, learnt(), {}, before | {"reward": about})

    run_steps(Steps(learner.optimizers, learn, save), done, budget, Log(run.folder / "log.jsonl"), run.stop)
    return with_change(teacher, learnt())


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
