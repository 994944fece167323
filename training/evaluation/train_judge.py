"""Train the judge: a supervised classifier of the 40 attributes, the yardstick of `make evaluate`.

    python -m training.evaluation.train_judge --prepared runs/prepared --out weights/judge.safetensors --max-minutes 15

Trained once and frozen: distances and adherence are comparable only under the same judge. Short enough to start anew
rather than resume.
"""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.attributes import ATTRIBUTES
from model.device import half_precision, pick_device
from model.errors import exit_in_one_line
from training.core.budget import Budget, Progress
from training.core.ema import EMA
from training.core.log import Log, provenance
from training.core.loop import Steps, run_steps
from training.core.optimizer import descend
from training.core.processes import rank_and_world
from training.core.run import Run, add_run_options, running
from training.core.seeds import seeded
from training.core.state import check_writable
from training.data.checks import check_faces
from training.data.prepared import Prepared, load_prepared
from training.evaluation.judge import FEATURES, Judge, JudgeConfig, judged_by_halves


@dataclass(frozen=True)
class TrainConfig:
    """How to train; budgets are counted in images."""

    network: JudgeConfig = JudgeConfig()
    # images seen; the learning rate falls to 0 over these
    images: int = 400_000
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    # images, of the running average of the weights
    half_life: int = 10_000
    # another than CLIP's
    seed: int = 1


RECIPES = {
    "default": TrainConfig(),
    "tiny": TrainConfig(
        network=JudgeConfig(channels=(8, 8, 16), blocks=(1, 1, 1), places=4), images=256, batch=16, half_life=32
    ),
}


def augment(images: Tensor) -> Tensor:
    """(N, 3, 64, 64) in [0, 1]: flips, shifts up to 4 px, slight brightness and contrast. Same range."""
    images = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images, images.flip(-1))
    padded = F.pad(images, (4, 4, 4, 4), mode="replicate")
    dy, dx = torch.randint(0, 9, (2,)).tolist()
    images = padded[:, :, dy : dy + 64, dx : dx + 64]
    contrast = 1 + 0.2 * (torch.rand(len(images), 1, 1, 1) - 0.5)
    brightness = 0.1 * (torch.rand(len(images), 1, 1, 1) - 0.5)
    return ((images - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)


def train(
    prepared: Prepared,
    config: TrainConfig,
    run: Run,
) -> Judge:
    """Train until the images or the minutes are spent or a stop is requested; then measure real faces.

    Returns the averaged network.

    Raises FacetError if the loss is not a number.
    """
    budget = Budget(config.images, config.batch, run.minutes, config.learning_rate)
    check_faces(prepared)
    check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    device, log, share = pick_device(run.device), Log(run.folder / "log.jsonl"), config.batch // world
    rows = (~prepared.validation).nonzero().squeeze(1)
    torch.manual_seed(config.seed)
    judge = Judge(config.network).to(device, memory_format=torch.channels_last)
    ema, done, dtype = EMA(judge, config.half_life), Progress(), half_precision(device)
    optimizer = torch.optim.AdamW(
        judge.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )

    def learn(step: int) -> dict[str, float]:
        seeded(config.seed, rank, step)
        picks = rows[torch.randint(len(rows), (share,))]
        batch = augment(prepared.images[picks].permute(0, 3, 1, 2).float() / 255)
        judge.train()
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            logits = judge(batch.to(device))
        loss = F.binary_cross_entropy_with_logits(logits.float(), prepared.attributes[picks].to(device).float())
        descend(optimizer, judge.parameters(), loss)
        ema.update(judge, config.batch)
        return {"loss": loss.item()}

    def save(finished: bool):
        seen, figures = done.step * config.batch, measure(ema.network, prepared)
        log.write(
            images=seen,
            seconds=done.seconds,
            **{name: value for name, value in figures.items() if name != "balanced_accuracy"},
        )
        if run.out:
            ema.network.save(
                run.out,
                {
                    "kind": "judge",
                    **provenance(seen, done.seconds, device.type, prepared.hash),
                    "faces": len(rows),
                    "attributes": list(ATTRIBUTES),
                    "recipe": {name: value for name, value in asdict(config).items() if name != "network"},
                    "validation": figures,
                },
            )

    run_steps(Steps([optimizer], learn, save), done, budget, log, run.stop)
    return ema.network


def measure(judge: Judge, prepared: Prepared) -> dict:
    """Set the judge's thresholds and its statistics of the training faces; return what it measures on validation faces.

    Accuracy and balanced accuracy are those of every second validation face; the others set the thresholds.
    """
    train, held_out = ~prepared.validation, prepared.validation
    # the U-Net is trained on mirror images too
    faces = (
        judge.activations(prepared.images[train]),
        judge.activations(prepared.images[train].flip(2)),
    )
    for name in FEATURES:
        both = torch.from_numpy(np.concatenate([side[name] for side in faces])).double()
        getattr(judge, f"{name}_mean").copy_(both.mean(0))
        getattr(judge, f"{name}_covariance").copy_(both.T.cov())
    if held_out.sum() < 4:
        return {}
    wanted = prepared.attributes[held_out]
    logits = torch.from_numpy(judge.activations(prepared.images[held_out])["logits"])
    thresholds, rates = judged_by_halves(logits + judge.thresholds.cpu(), wanted)
    # at the logits' own zero
    accuracy = ((logits[1::2] > 0) == wanted[1::2]).float().mean().item()
    judge.thresholds.copy_(thresholds)
    return {
        "accuracy": round(accuracy, 4),
        "balanced_accuracy_mean": round(rates.nanmean().item(), 4),
        "balanced_accuracy": dict(zip(ATTRIBUTES, [round(rate, 3) for rate in rates.tolist()])),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.train_judge", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    add_run_options(parser, "runs/judge", "judge.safetensors", minutes=15)
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.evaluation.train_judge"), running(options) as run:
        train(load_prepared(options.prepared), RECIPES[options.recipe], run)


if __name__ == "__main__":
    main()
