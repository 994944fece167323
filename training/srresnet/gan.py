"""Sharpen SRResNet by adversarial training: SRGAN, Ledig et al. 2017, section 2.2 and figure 4.

    python -m training.srresnet.gan --data data --start-from weights/srresnet.safetensors --max-minutes 60
    python -m training.srresnet.gan --blend 0.5 --out weights/srresnet_crisp.safetensors
    torchrun --nproc-per-node 2 -m training.srresnet.gan ...        several GPUs or machines

Goes on from a network trained by training/srresnet/train.py and writes a second one, srresnet_crisp.safetensors. A run
that ends for whatever reason goes on where it stopped when the same command is given again. `--blend` mixes the
finished network's weights with those it started from (Wang et al. 2018, ESRGAN, section 3.4): 0 is the start, 1 is all
crisp.
"""

import argparse
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.device import half_precision, pick_device
from model.errors import InputError, exit_in_one_line
from model.files import checkpoint
from model.images import scaled
from model.srresnet import SRResNet
from training.core.budget import Progress
from training.core.ema import EMA
from training.core.log import Log
from training.core.loop import Steps, run_steps
from training.core.optimizer import descend
from training.core.processes import rank_and_world
from training.core.run import Run, add_run_options, running
from training.core.state import check_writable, keep, resume
from training.evaluation.judge import Judge
from training.srresnet.data import (
    GENERAL_FOLDERS,
    STUDIO,
    DataConfig,
    Source,
    generator_of,
    load_training_images,
    sample_batch,
)
from training.srresnet.perceptual import Perceptual
from training.srresnet.quality import FIDELITY, load_held_out, score_people
from training.srresnet.train import budget_of, story


@dataclass(frozen=True)
class TrainConfig:
    # Only sources at the network's own scale: detail can be told true from false only at full size.
    data: DataConfig = DataConfig(
        (replace(STUDIO, share=0.85), Source(GENERAL_FOLDERS, 8, 0.15, turned=True)), patch=16
    )
    # channels of the discriminator's first layer; the paper has 64
    width: int = 32
    # patches per step, all processes together
    batch: int = 4
    # the paper's, for both networks; rises over `warmup`, then falls to zero
    learning_rate: float = 1e-4
    # share of the budget
    warmup: float = 0.02
    # weight of the mean absolute error in [-1, 1] units
    pixel: float = 1.0
    # weight of the distance in the judge's features (training/srresnet/perceptual.py)
    perceptual: float = 1.0
    # weight of the discriminator's word; the paper has 0.001
    adversarial: float = 0.002
    # images (patches)
    ema_half_life: int = 1_500
    # budget in patches; or less, where the minutes end first
    images: int = 10_000_000
    # between validations, each of which saves everything
    checkpoint_seconds: float = 600
    # held-out photos per validation
    validation_images: int = 4
    seed: int = 0


RECIPES = {
    "default": TrainConfig(),
    "tiny": TrainConfig(
        DataConfig((replace(STUDIO, sides=(512,)),), patch=8, round_trip=0.0),
        width=4,
        batch=2,
        images=6,
        checkpoint_seconds=0,
        validation_images=1,
    ),
}


class Discriminator(nn.Module):
    """Patches (N, 3, side, side) in [-1, 1] -> (N,) logits that they are true, Ledig et al. 2017, figure 4.

    Eight 3x3 convolutions, every second one halving the side, each doubling the width after a halving; two dense
    layers.
    """

    def __init__(self, side: int, width: int):
        super().__init__()
        layers, channels = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.2)], width
        for outputs, stride in ((1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)):
            layers += [
                nn.Conv2d(channels, outputs * width, 3, stride, 1),
                nn.BatchNorm2d(outputs * width),
                nn.LeakyReLU(0.2),
            ]
            channels = outputs * width
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * (side // 16) ** 2, 16 * width),
            nn.LeakyReLU(0.2),
            nn.Linear(16 * width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.convolutions(x)).flatten()


@dataclass
class Players:
    """The two networks and what they learn with."""

    generator: SRResNet
    discriminator: Discriminator
    # the generator's, the discriminator's
    optimizers: list[torch.optim.Optimizer] = field(init=False)

    def __post_init__(self):
        self.optimizers = [
            torch.optim.Adam(network.parameters(), fused=True) for network in (self.generator, self.discriminator)
        ]

    def state_dict(self) -> dict:
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state_dict(self, state: dict):
        self.generator.load_state_dict(state["generator"]), self.discriminator.load_state_dict(state["discriminator"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def train_step(
    players: Players, perceptual: Perceptual, small: Tensor, true: Tensor, config: TrainConfig
) -> dict[str, float]:
    """One step of the generator, then one of the discriminator; returns the losses.

    Raises FacetError if one is no number.

    The game is the relativistic one, Jolicoeur-Martineau 2019, section 4.1: is the true patch more real than the drawn
    one of the same scene? Pairs of one scene differ in their detail alone, and no side can win by saturating, which
    keeps it stable in small batches.
    """
    device, dtype = small.device, half_precision(small.device)
    small, true = (scaled(x.to(memory_format=torch.channels_last)) for x in (small, true))
    amp = torch.autocast(device.type, dtype, enabled=dtype is not None)
    of_generator, of_discriminator = players.optimizers
    players.discriminator.requires_grad_(False)
    with amp:
        drawn = players.generator(small)
        # (N,)
        gap = players.discriminator(drawn).float() - players.discriminator(true).float()
        losses = {
            "pixel": F.l1_loss(drawn, true),
            "perceptual": perceptual(drawn, true).mean(),
            "adversarial": F.softplus(-gap).mean(),
        }
    descend(
        of_generator, players.generator.parameters(), sum(getattr(config, name) * loss for name, loss in losses.items())
    )
    players.discriminator.requires_grad_(True)
    with amp:
        gap = players.discriminator(true).float() - players.discriminator(drawn.detach()).float()
        losses["discriminator"] = F.softplus(-gap).mean()
    descend(of_discriminator, players.discriminator.parameters(), losses["discriminator"])
    return {name: loss.item() for name, loss in losses.items()}


def train(
    data: Path,
    judge: Path,
    config: TrainConfig,
    run: Run,
    round_trip: Path | None = None,
) -> None:
    """Train until the budget is spent or a stop is requested; writes `run.out`, and state, log and grids.

    Resumes from `run.state` if it is there. `run.start_from` is an x8 network; round_trip: see
    training/srresnet/data.py. Raises InputError for a network or patches of the wrong size.
    """
    budget, device = budget_of(config, run.minutes), pick_device(run.device)
    check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    photos, data_hash = load_training_images(data, config.data, round_trip)
    start = SRResNet.from_file(run.start_from, device)
    side = config.data.patch * start.config.scale
    if start.config.scale != 8 or side % 32:
        raise InputError(
            f"{run.start_from} must enlarge by 8, and a patch be a multiple of 4 px: here {start.config.scale} and "
            f"{config.data.patch}."
        )
    torch.manual_seed(config.seed)
    network = SRResNet(start.config).to(device, memory_format=torch.channels_last)
    network.start_from(start)
    players = Players(network, Discriminator(side, config.width).to(device, memory_format=torch.channels_last))
    perceptual = Perceptual(Judge.from_file(judge, device))
    ema = EMA(network, config.ema_half_life)
    done = Progress(before={name: start.info.get(name, 0) for name in ("images", "seconds")})
    parts = {"players": players, "ema": ema}
    identity = {"config": asdict(config), "data": data_hash, "start": start.info["hash"]}
    resume(run.state, identity, parts, done)

    def save(finished: bool):
        keep(run.state, identity, parts, done)
        images = done.step * config.batch
        people = load_held_out(data, round_trip if config.data.round_trip else None, config.validation_images)
        measures = {name: FIDELITY[name] for name in ("PSNR", "sharpness")} | {"perceptual": perceptual.of_pixels}
        networks = {"faithful": start, "crisp": ema.network}
        scores = score_people(networks, people, measures, run.folder / f"grid-{images:08d}.png")
        info = story(8, device, data_hash, done, config.batch)
        info |= {"start": start.info["hash"], "scores": scores["crisp"], "recipe": asdict(config)}
        if run.out:
            checkpoint.save(run.out, ema.network.state_dict(), asdict(network.config), info)
        log.write(
            images=images,
            seconds=done.seconds,
            **{f"{kind}_{measure}": value for kind, row in scores["crisp"].items() for measure, value in row.items()},
        )

    def learn(step: int) -> dict[str, float]:
        network.train()
        small, true = sample_batch(photos, config.data, config.batch // world, generator_of(config.seed, rank, step))
        losses = train_step(players, perceptual, small.to(device), true.to(device), config)
        ema.update(network, config.batch)
        return losses

    log = Log(run.folder / "log.jsonl")
    run_steps(Steps(players.optimizers, learn, save), done, budget, log, run.stop)


def blend(start_from: Path, crisp: Path, share: float, out: Path) -> None:
    """Write the network whose weights lie `share` of the way from one to the other. Raises InputError, WeightsError."""
    if not 0 <= share <= 1:
        raise InputError(f"the blend must be from 0 to 1, not {share:g}.")
    start, end = SRResNet.from_file(start_from), SRResNet.from_file(crisp)
    if start.config != end.config or end.info.get("start") != start.info["hash"]:
        raise InputError(f"{crisp} did not start from {start_from}: only such two can be mixed.")
    mixed = {
        name: value.lerp(end.state_dict()[name], share) if value.is_floating_point() else value
        for name, value in start.state_dict().items()
    }
    checkpoint.save(out, mixed, asdict(end.config), {**end.info, "blend": share})


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.srresnet.gan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with faces_hq/ and sr/")
    parser.add_argument(
        "--start-from", type=Path, default=Path("weights/srresnet.safetensors"), help="the faithful network"
    )
    parser.add_argument(
        "--judge", type=Path, default=Path("weights/judge.safetensors"), help="whose features measure distance"
    )
    parser.add_argument(
        "--round-trip",
        type=Path,
        default=Path("runs/srresnet/round_trip.safetensors"),
        help="faces that went through the U-Net, made by training.srresnet.round_trip",
    )
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    parser.add_argument(
        "--adversarial", type=float, help="weight of the discriminator's word, instead of the recipe's: more is crisper"
    )
    parser.add_argument(
        "--blend",
        type=float,
        metavar="SHARE",
        help="train nothing: mix srresnet_crisp.safetensors of --state-dir with --start-from, into --out",
    )
    add_run_options(parser, "runs/srgan", "srresnet_crisp.safetensors", minutes=60)
    args = parser.parse_args(arguments)
    config, trained = RECIPES[args.recipe], args.state_dir / "srresnet_crisp.safetensors"
    config = replace(
        config,
        adversarial=config.adversarial if args.adversarial is None else args.adversarial,
    )
    with exit_in_one_line("training.srresnet.gan"):
        if args.blend is not None:
            if args.out is None or args.out.resolve() == trained.resolve():
                raise InputError("--blend needs another file as --out: what it mixes must stay.")
            blend(args.start_from, trained, args.blend, args.out)
            return
        with running(args) as run:
            train(args.data, args.judge, config, run, args.round_trip)


if __name__ == "__main__":
    main()
