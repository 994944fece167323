"""Train the small CLIP on faces and captions.

    python -m training.clip.train --prepared runs/prepared --out runs/clip/clip.safetensors --max-minutes 15

Every step draws a batch of faces, a fresh caption for each, and bare statements ("no hat", "no glasses, beard"). A
short text fits many faces, so the loss is the sigmoid loss of SigLIP (Zhai et al. 2023) over all pairs of faces and
texts, where every face that satisfies all that a text states is its positive. A linear head learns to read from a
text's embedding what the text states.
"""

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.attributes import ATTRIBUTES
from model.clip import Clip, ClipConfig, tokenizer
from model.device import half_precision, pick_device
from model.errors import exit_in_one_line
from training.clip.original import fit
from training.clip.quality import satisfies, validate
from training.core.budget import Budget, Progress
from training.core.ema import EMA
from training.core.log import Log, provenance
from training.core.loop import Steps, run_steps
from training.core.optimizer import decay_groups, descend
from training.core.processes import rank_and_world
from training.core.run import Run, add_run_options, run_of, running
from training.core.seeds import seeded
from training.core.state import check_writable, keep, load_state, resume
from training.data.captions import all_words, caption, statements
from training.data.checks import check_faces
from training.data.prepared import Prepared, load_prepared


@dataclass(frozen=True)
class TrainConfig:
    """How to train; budgets are counted in images."""

    # faces seen, each with one fresh caption; the learning rate falls to 0 over these
    images: int = 1_000_000
    # faces (and captions) a step: batch x batch pairs
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    # images, of the running average of the weights
    half_life: int = 25_000
    # of the text head's loss beside the pairs'
    head_weight: float = 0.5
    # what captions seldom teach, as 128 more texts a step (captions.statements)
    statements: bool = True
    # captions drawn to find the tokens that captions use
    vocabulary: int = 100_000
    # between saved states
    checkpoint_seconds: float = 120
    seed: int = 0


# the small CLIP's own architecture
SMALL = ClipConfig()
RECIPES = {"default": TrainConfig(), "tiny": TrainConfig(images=512, batch=32, half_life=64, vocabulary=2000)}


def known_tokens(attributes: np.ndarray, captions: int, least: int = 4) -> Tensor:
    """Sorted ids of the tokens that captions use at least `least` times, or that the table of words needs; start and
    end of text come last.

    (K,) int32.
    """
    rng, frequency = Random(0), attributes.mean(0)
    counts = np.zeros(len(tokenizer().encoder), dtype=np.int64)
    for index in range(captions):
        np.add.at(counts, tokenizer().encode(caption(attributes[index % len(attributes)], frequency, rng)[0]), 1)
    ids = set(np.flatnonzero(counts >= least).tolist()) - {0}
    ids.update(token for words in all_words() for token in tokenizer().encode(words))
    return torch.tensor(sorted(ids | {tokenizer().sot_token_id, tokenizer().eot_token_id}), dtype=torch.int32)


def augment(images: Tensor) -> Tensor:
    """(N, 3, 64, 64) in [0, 1]: flips, slight brightness and contrast; half of them also turned up to 8 degrees,
    scaled by up to 10 % and shifted up to 4 px (the others stay as sharp as they are).

    Same range.
    """
    count = len(images)
    images = torch.where(torch.rand(count, 1, 1, 1) < 0.5, images, images.flip(-1))
    angle, scale = (torch.rand(count) - 0.5) * 0.28, 1 + 0.2 * (torch.rand(count) - 0.5)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], 1)
    affine = torch.cat([turn * scale[:, None, None], (torch.rand(count, 2, 1) - 0.5) * 0.25], dim=2)
    warped = F.grid_sample(
        images, F.affine_grid(affine, images.shape, align_corners=False), padding_mode="border", align_corners=False
    )
    images = torch.where(torch.rand(count, 1, 1, 1) < 0.5, images, warped)
    contrast = 1 + 0.2 * (torch.rand(count, 1, 1, 1) - 0.5)
    brightness = 0.1 * (torch.rand(count, 1, 1, 1) - 0.5)
    return ((images - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)


def losses(clip: Clip, images: Tensor, ids: list[Tensor], fits: Tensor, stated: Tensor) -> tuple[Tensor, Tensor]:
    """Multi-positive sigmoid loss over all pairs, and cross entropy of the text head (absent, unmentioned, present).

    :param ids: the texts' tokens, in parts of like length (short texts need no padding to the longest), M texts in all.
    :param fits, stated: (N, M) and (M, 40).
    """
    texts = torch.cat([clip.text_features(part) for part in ids])
    logits = clip.logits(clip.image_features(images), texts).float()
    pairs = F.binary_cross_entropy_with_logits(logits, fits.float())
    read = F.cross_entropy(clip.read(texts).float().flatten(0, 1), (stated.long() + 1).flatten())
    return pairs, read


def train(
    prepared: Prepared,
    config: TrainConfig,
    run: Run,
    clip_config: ClipConfig = SMALL,
) -> Clip:
    """Train until the images or the minutes are spent or a stop is requested. Returns the averaged network.

    Resumes exactly from `run.state` if it is there (where the minutes are the budget, the learning rate follows the
    clock). Raises InputError if that is another recipe's, FacetError if the loss is not a number.
    """
    budget = Budget(
        config.images, config.batch, run.minutes, config.learning_rate, save_seconds=config.checkpoint_seconds
    )
    check_faces(prepared)
    check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    device, log, share = pick_device(run.device), Log(run.folder / "log.jsonl"), config.batch // world
    identity = {"recipe": asdict(config), "clip": asdict(clip_config), "data": prepared.hash}
    rows = (~prepared.validation).nonzero().squeeze(1)
    images, attributes = prepared.images[rows], prepared.attributes[rows]
    frequency = attributes.float().mean(0).numpy()
    torch.manual_seed(config.seed)
    state = load_state(run.state, identity)
    vocabulary = state["ema"]["network"]["vocabulary"] if state else known_tokens(attributes.numpy(), config.vocabulary)
    clip = Clip(replace(clip_config, tokens=len(vocabulary)), vocabulary).to(device)
    ema, done, dtype = EMA(clip, config.half_life), Progress(), half_precision(device)
    optimizer = torch.optim.AdamW(decay_groups(clip.parameters(), config.weight_decay), betas=(0.9, 0.98))
    parts = {"clip": clip, "ema": ema, "optimizer": optimizer}
    resume(run.state, identity, parts, done)

    def learn(step: int) -> dict[str, float]:
        rng = seeded(config.seed, rank, step)
        picks = torch.randint(len(rows), (share,))
        pairs = [caption(row, frequency, rng) for row in attributes[picks].numpy()]
        texts, stated = [[text for text, _ in pairs]], np.stack([stated for _, stated in pairs])
        if config.statements:
            more, what = statements(rng)
            texts, stated = [*texts, more], np.concatenate([stated, what])
        stated = torch.from_numpy(stated)
        batch = augment(images[picks].permute(0, 3, 1, 2).float() / 255)
        clip.train()
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            pair_loss, read_loss = losses(
                clip,
                batch.to(device),
                [clip.tokens(part) for part in texts],
                satisfies(attributes[picks], stated).to(device),
                stated.to(device),
            )
        descend(optimizer, clip.parameters(), pair_loss + config.head_weight * read_loss)
        ema.update(clip, config.batch)
        return {"pair_loss": pair_loss.item(), "read_loss": read_loss.item()}

    def save(finished: bool):
        keep(run.state, identity, parts, done)
        seen, figures = done.step * config.batch, validate(ema.network, prepared)
        log.write(images=seen, seconds=done.seconds, **figures)
        if run.out:
            ema.network.save(
                run.out,
                {
                    "kind": "clip",
                    **provenance(seen, done.seconds, device.type, prepared.hash),
                    "faces": len(rows),
                    "attributes": list(ATTRIBUTES),
                    "recipe": asdict(config),
                    "validation": figures,
                },
            )

    run_steps(Steps([optimizer], learn, save), done, budget, log, run.stop)
    return ema.network


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.clip.train", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    parser.add_argument(
        "--clip", help="take this open_clip model instead, e.g. ViT-B-32-quickgelu, and only fit its head"
    )
    parser.add_argument("--pretrained", default="openai", help="its weights: a tag (fetched from the Hub) or a file")
    add_run_options(parser, "runs/clip", "clip.safetensors", minutes=15)
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.clip.train"):
        if options.clip:
            fit(options.clip, options.pretrained, load_prepared(options.prepared), run_of(options))
            return
        with running(options) as run:
            train(load_prepared(options.prepared), RECIPES[options.recipe], run)


if __name__ == "__main__":
    main()
