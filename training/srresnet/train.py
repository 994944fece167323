"""Train SRResNet: x4 on general photographs as in the literature, x8 (64 -> 512 px) on faces.

    python -m training.srresnet.train --recipe x4 --data data --state-dir runs/srresnet-x4 --max-minutes 120
    python -m training.srresnet.train --data data --start-from weights/srresnet_x4.safetensors --max-minutes 120
    python -m training.srresnet.train --data data --evaluate weights/srresnet.safetensors
    torchrun --nproc-per-node 2 -m training.srresnet.train ...        several GPUs or machines

The faces recipe needs the file of training/srresnet/round_trip.py; training/srresnet/gan.py goes on from its result. A
run that ends for whatever reason goes on where it stopped when the same command is given again. All randomness of a
step follows from (seed, process, step), so a resumed run repeats an unbroken one exactly (as long as the budget in
images, not the clock, sets the learning rate).
"""

import argparse
import json
import platform
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from model.device import half_precision, pick_device
from model.errors import InputError, exit_in_one_line
from model.files import checkpoint
from model.images import scaled
from model.settings import whole
from model.srresnet import SRResNet, SRResNetConfig, upscale
from training.core.budget import Budget, Progress
from training.core.ema import EMA
from training.core.log import LICENCE, Log, commit
from training.core.loop import Steps, run_steps
from training.core.optimizer import descend
from training.core.processes import rank_and_world
from training.core.run import Run, add_run_options, running
from training.core.state import check_writable, keep, resume
from training.evaluation.judge import Judge
from training.srresnet.data import GENERAL, DataConfig, generator_of, load_training_images, sample_batch, shrink
from training.srresnet.perceptual import Perceptual
from training.srresnet.quality import FIDELITY, HeldOut, load_held_out, people_table, score_people, score_set


@dataclass(frozen=True)
class TrainConfig:
    network: SRResNetConfig = field(default_factory=SRResNetConfig)
    data: DataConfig = field(default_factory=DataConfig)
    # patches per step, all processes together; small, since here quality follows the number of steps
    batch: int = 6
    # Adam's peak; rises over `warmup`, then falls to zero at the end of the budget
    learning_rate: float = 5e-4
    # share of the budget
    warmup: float = 0.02
    # images (patches)
    ema_half_life: int = 1_500
    # budget in patches; or less, where the minutes end first
    images: int = 10_000_000
    # validate on this folder of the literature, at the network's scale; "" is held-out people
    test_set: str = ""
    # between validations, each of which saves everything
    checkpoint_seconds: float = 300
    # held-out photos per validation; all of them at the end
    validation_images: int = 12
    seed: int = 0


TINY = TrainConfig(
    SRResNetConfig(channels=8, blocks=2),
    DataConfig(patch=8, round_trip=0.0),
    batch=2,
    images=12,
    checkpoint_seconds=0,
    validation_images=1,
)
RECIPES = {
    "default": TrainConfig(),
    "x4": TrainConfig(
        SRResNetConfig(stages=2), DataConfig(GENERAL, round_trip=0.0, degraded=0.0), batch=8, test_set="sr/Set5"
    ),
    "tiny": TINY,
    "tiny-x4": replace(
        TINY,
        network=SRResNetConfig(channels=8, blocks=2, stages=2),
        test_set="sr/Set5",
        data=DataConfig(GENERAL, patch=8, round_trip=0.0, degraded=0.0),
    ),
}


# --- training ---------------------------------------------------------------------------------------------------------


def loss_function(network: SRResNet, small: Tensor, true: Tensor) -> Tensor:
    """Mean error in [-1, 1] units. L1 is less blurred than the paper's MSE and, as EDSR found, ends at a PSNR no lower.
    Where the true patch is smaller than the output (scale 4 for x8), the output is reduced to its size."""
    large = network(scaled(small))
    if large.shape != true.shape:
        large = shrink(large, large.shape[-1] // true.shape[-1])
    return F.l1_loss(large, scaled(true))


def train_step(network: SRResNet, optimizer: torch.optim.Optimizer, small: Tensor, true: Tensor) -> float:
    """One optimizer step; returns the loss. Raises FacetError if it is not a number."""
    device = small.device
    dtype = half_precision(device)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        loss = loss_function(network, small.to(memory_format=torch.channels_last), true)
    descend(optimizer, network.parameters(), loss)
    return loss.item()


def train(
    data: Path,
    config: TrainConfig,
    run: Run,
    round_trip: Path | None = None,
) -> None:
    """Train until the budget is spent or a stop is requested; writes `run.out`, and state, log and grids.

    Resumes from `run.state` if it is there, else starts from the weights `run.start_from` (of any scale), if given.
    round_trip: the file of training/srresnet/round_trip.py, which a config with a share for it needs.
    """
    budget, device = budget_of(config, run.minutes), pick_device(run.device)
    check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    photos, data_hash = load_training_images(data, config.data, round_trip)
    torch.manual_seed(config.seed)
    network = SRResNet(config.network).to(device, memory_format=torch.channels_last)
    done, identity = Progress(), {"config": asdict(config), "data": data_hash}
    if run.start_from:
        other = SRResNet.from_file(run.start_from, device)
        network.start_from(other)
        done.before = {name: other.info.get(name, 0) for name in done.before}
        identity["start"] = other.info["hash"]
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, betas=(0.9, 0.99), fused=True)
    ema = EMA(network, config.ema_half_life)
    parts = {"network": network, "optimizer": optimizer, "ema": ema}
    resume(run.state, identity, parts, done)

    def save(finished: bool):
        """State first, then the averaged network as the weights file, with what validation says of it."""
        keep(run.state, identity, parts, done)
        images = done.step * config.batch
        most = None if finished else config.validation_images
        if config.test_set:
            scores = on_test_set(ema.network, data / config.test_set)
        else:
            people = load_held_out(data, round_trip if config.data.round_trip else None, most)
            scores = on_people(ema.network, people, run.folder / f"grid-{images:08d}.png")
        info = story(network.config.scale, device, data_hash, done, config.batch)
        info |= {"psnr": scores, "recipe": {name: value for name, value in asdict(config).items() if name != "network"}}
        if run.out:
            checkpoint.save(run.out, ema.network.state_dict(), asdict(config.network), info)
        log.write(
            images=images,
            seconds=done.seconds,
            **{f"{name}_{kind}": db for name, row in scores.items() for kind, db in row.items()},
        )

    def learn(step: int) -> dict[str, float]:
        network.train()
        small, true = sample_batch(photos, config.data, config.batch // world, generator_of(config.seed, rank, step))
        loss = train_step(network, optimizer, small.to(device), true.to(device))
        ema.update(network, config.batch)
        return {"loss": loss}

    log = Log(run.folder / "log.jsonl")
    run_steps(Steps([optimizer], learn, save), done, budget, log, run.stop)


def budget_of(config, minutes: float) -> Budget:
    """What a TrainConfig, here or of training/srresnet/gan.py, says of how long and how fast to learn."""
    return Budget(
        config.images,
        config.batch,
        minutes,
        config.learning_rate,
        config.warmup,
        save_seconds=config.checkpoint_seconds,
    )


def on_test_set(network: SRResNet, folder: Path) -> dict:
    """PSNR in dB of Y on a test set of the literature: {"srresnet": {"Set5": ..}, "bicubic": {"Set5": ..}}."""
    methods = {"srresnet": lambda small: upscale(network, small[None])[0], "bicubic": None}
    return {
        name: {folder.name: round(score_set(folder, network.config.scale, method)["psnr"], 3)}
        for name, method in methods.items()
    }


def on_people(network: SRResNet, people: HeldOut, grid: Path) -> dict:
    """PSNR in dB: {"srresnet": {"clean": .., "degraded": ..}, "bicubic": .., ..}. Writes examples to `grid`."""
    scores = score_people({"srresnet": network}, people, {"PSNR": FIDELITY["PSNR"]}, grid)
    return {name: {kind: round(value["PSNR"], 3) for kind, value in row.items()} for name, row in scores.items()}


def story(scale: int, device: torch.device, data_hash: str, done: Progress, batch: int) -> dict:
    """What every weights file says of itself."""
    return {
        "kind": "srresnet",
        "scale": scale,
        "commit": commit(),
        "images": done.before["images"] + done.step * batch,
        "seconds": done.before["seconds"] + round(done.seconds),
        "device": device_name(device),
        "data": data_hash,
        "licence": LICENCE,
    }


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    number_format = str(half_precision(device) or torch.float32).removeprefix("torch.")
    return f"CPU {platform.machine()}, {torch.get_num_threads()} threads, {number_format}"


# --- measuring --------------------------------------------------------------------------------------------------------


def evaluate(paths: list[Path], people: HeldOut, judge: Judge, out: Path) -> None:
    """Print the table of held-out people for weights files, each under its name; write JSON and a grid to `out`."""
    networks = {str(path.with_suffix("")): SRResNet.from_file(path, judge.head.weight.device) for path in paths}
    if wrong := [name for name, network in networks.items() if network.config.scale != 8]:
        raise InputError(f"{wrong[0]} does not enlarge by 8: the faces are 64 px and 512 px.")
    scores = score_people(networks, people, FIDELITY | {"perceptual": Perceptual(judge).of_pixels}, out / "people.png")
    print(f"{len(people.true)} photos of held-out people, 64 -> 512 px\n\n{people_table(scores)}")
    (out / "people.json").write_text(json.dumps({"photos": len(people.true), "scores": scores}, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.srresnet.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="folder with faces_hq/, faces_256/, portraits/, sr/"
    )
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    parser.add_argument("--patch", type=int, help="side of an input patch in px, instead of the recipe's")
    parser.add_argument("--batch", type=int, help="patches per step, instead of the recipe's")
    parser.add_argument(
        "--start-from", type=Path, help="weights of any scale to start from, where there is no state to resume"
    )
    parser.add_argument(
        "--round-trip",
        type=Path,
        default=Path("runs/srresnet/round_trip.safetensors"),
        help="faces that went through the U-Net, made by training.srresnet.round_trip",
    )
    parser.add_argument(
        "--evaluate",
        type=Path,
        nargs="+",
        metavar="WEIGHTS",
        help="print the table of held-out people and end; it goes into --state-dir as people.json and people.png",
    )
    parser.add_argument(
        "--judge", type=Path, default=Path("weights/judge.safetensors"), help="whose features measure distance"
    )
    add_run_options(parser, "runs/srresnet", "srresnet.safetensors", minutes=120)
    args = parser.parse_args(arguments)
    config = RECIPES[args.recipe]
    with exit_in_one_line("training.srresnet.train"):
        if args.batch is not None:
            config = replace(config, batch=args.batch)
        if args.patch is not None:
            config = replace(config, data=replace(config.data, patch=whole("--patch", args.patch, 1, 1000)))
        if args.evaluate:
            round_trip = args.round_trip if args.round_trip.is_file() else None
            people = load_held_out(args.data, round_trip)
            evaluate(args.evaluate, people, Judge.from_file(args.judge, pick_device(args.device)), args.state_dir)
            return
        with running(args) as run:
            train(args.data, config, run, args.round_trip)


if __name__ == "__main__":
    main()
