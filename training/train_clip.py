"""Train the small CLIP on faces and captions.

    python -m training.train_clip --prepared runs/prepared --out runs/clip/clip.safetensors --max-minutes 15

Every step draws a batch of faces, a fresh caption for each, and bare statements ("no hat", "no glasses, beard"). A short
text fits many faces, so the loss is the sigmoid loss of SigLIP (Zhai et al. 2023) over all pairs of faces and texts, where
every face that satisfies all that a text states is its positive. A linear head learns to read from a text's embedding
what the text states.
"""

import argparse
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.attributes import ATTRIBUTES
from model.clip import Clip, ClipConfig, tokenizer
from model.device import pick_device
from model.errors import FacetError
from training.captions import all_words, caption, statements
from training.clip_quality import satisfies, validate
from training.loop import (EMA, Clock, Log, Stop, agree, amp_dtype, average_gradients, commit, decay_groups, finite, load_state,
                           mixed_seed, random_state, rank_and_world, restore_random_state, save_state, several_processes,
                           warmup_then_linear)
from training.original_clip import fit
from training.prepare import Prepared, load_prepared


@dataclass(frozen=True)
class TrainConfig:
    """How to train; budgets are counted in images."""

    images: int = 1_000_000     # faces seen, each with one fresh caption; the learning rate falls to 0 over these
    batch: int = 128            # faces (and captions) a step: batch x batch pairs
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    half_life: int = 25_000     # images, of the running average of the weights
    head_weight: float = 0.5    # of the text head's loss beside the pairs'
    statements: bool = True     # what captions seldom teach, as 128 more texts a step (captions.statements)
    vocabulary: int = 100_000   # captions drawn to find the tokens that captions use
    save_every: float = 120.0   # seconds between saved states
    seed: int = 0


RECIPES = {"default": TrainConfig(), "tiny": TrainConfig(images=512, batch=32, half_life=64, vocabulary=2000)}


def known_tokens(attributes: np.ndarray, captions: int, least: int = 4) -> Tensor:
    """Sorted ids of the tokens that captions use at least `least` times, or that the table of words needs; start and end of
    text come last. (K,) int32."""
    rng, frequency = Random(0), attributes.mean(0)
    counts = np.zeros(len(tokenizer().encoder), dtype=np.int64)
    for index in range(captions):
        np.add.at(counts, tokenizer().encode(caption(attributes[index % len(attributes)], frequency, rng)[0]), 1)
    ids = set(np.flatnonzero(counts >= least).tolist()) - {0}
    ids.update(token for words in all_words() for token in tokenizer().encode(words))
    return torch.tensor(sorted(ids | {tokenizer().sot_token_id, tokenizer().eot_token_id}), dtype=torch.int32)


def augment(images: Tensor) -> Tensor:
    """(N, 3, 64, 64) in [0, 1]: flips, slight brightness and contrast; half of them also turned up to 8 degrees, scaled by up
    to 10 % and shifted up to 4 px (the others stay as sharp as they are). Same range."""
    count = len(images)
    images = torch.where(torch.rand(count, 1, 1, 1) < 0.5, images, images.flip(-1))
    angle, scale = (torch.rand(count) - 0.5) * 0.28, 1 + 0.2 * (torch.rand(count) - 0.5)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], 1)
    affine = torch.cat([turn * scale[:, None, None], (torch.rand(count, 2, 1) - 0.5) * 0.25], dim=2)
    warped = F.grid_sample(images, F.affine_grid(affine, images.shape, align_corners=False), padding_mode="border", align_corners=False)
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


def train(prepared: Prepared, config: TrainConfig, run: Path, out: Path | None, max_minutes: float, device="auto",
          clip_config: ClipConfig = ClipConfig(), stop_after: int | None = None) -> Clip:
    """Train until the images or the minutes are spent, a signal comes, or `stop_after` steps are done (for tests).

    Resumes from `run` exactly (one process does; where the minutes are the budget, the learning rate follows the clock). Returns the averaged
    network. Raises InputError if `run` holds another recipe's state, FacetError if the loss is not a number.
    """
    rank, world = rank_and_world(config.batch)
    device, share = pick_device(device), config.batch // world
    identity = {"recipe": asdict(config), "clip": asdict(clip_config), "data": prepared.hash}
    rows = (~prepared.validation).nonzero().squeeze(1)
    images, attributes = prepared.images[rows], prepared.attributes[rows]
    frequency = attributes.float().mean(0).numpy()
    torch.manual_seed(config.seed)
    state = load_state(run / "state.pt", identity)
    vocabulary = state["ema"]["network"]["vocabulary"] if state else known_tokens(attributes.numpy(), config.vocabulary)
    clip = Clip(replace(clip_config, tokens=len(vocabulary)), vocabulary).to(device)
    ema, rng, clock, log = EMA(clip, config.half_life), Random(config.seed), Clock(), Log(run / "log.jsonl")
    optimizer = torch.optim.AdamW(decay_groups(clip.parameters(), config.weight_decay), betas=(0.9, 0.98))
    seen = 0
    if state:
        clip.load_state_dict(state["clip"]), ema.load_state_dict(state["ema"]), optimizer.load_state_dict(state["optimizer"])
        restore_random_state(state["random"]), rng.setstate(state["captions"])
        seen, clock.seconds = state["seen"], state["seconds"]
    if rank:  # the same network, other faces and captions
        torch.manual_seed(mixed_seed(config.seed, rank, seen)), rng.seed(mixed_seed(config.seed, rank, seen))

    def keep():
        save_state(run / "state.pt", {"identity": identity, "clip": clip.state_dict(), "ema": ema.state_dict(), "seen": seen,
                                      "optimizer": optimizer.state_dict(), "random": random_state(),
                                      "captions": rng.getstate(), "seconds": clock.seconds})

    running, saved, autocast, first, stopping = None, time.perf_counter(), amp_dtype(device), seen, False
    with Stop() as stop:
        while seen < config.images and clock.seconds < 60 * max_minutes and not stopping:
            progress = max(seen / config.images, clock.seconds / (60 * max_minutes))
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * warmup_then_linear(progress)
            picks = torch.randint(len(rows), (share,))
            pairs = [caption(row, frequency, rng) for row in attributes[picks].numpy()]
            texts, stated = [[text for text, _ in pairs]], np.stack([stated for _, stated in pairs])
            if config.statements:
                more, what = statements(rng)
                texts, stated = [*texts, more], np.concatenate([stated, what])
            stated = torch.from_numpy(stated)
            batch = augment(images[picks].permute(0, 3, 1, 2).float() / 255)
            clip.train()
            with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                pair_loss, read_loss = losses(clip, batch.to(device), [clip.tokens(part) for part in texts],
                                              satisfies(attributes[picks], stated).to(device), stated.to(device))
            optimizer.zero_grad(set_to_none=True)
            finite(pair_loss + config.head_weight * read_loss).backward()
            average_gradients(clip.parameters())
            torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
            optimizer.step()
            ema.update(clip, config.batch)
            seen += config.batch
            clock.tick()
            now = np.array([pair_loss.item(), read_loss.item()])
            running = now if running is None else running + (now - running) * 0.02
            if rank == 0 and seen // config.batch % 50 == 0:
                log.write(images=seen, seconds=clock.seconds, pair_loss=float(running[0]), read_loss=float(running[1]))
            if rank == 0 and time.perf_counter() - saved > config.save_every:
                log.write(images=seen, seconds=clock.seconds, **validate(ema.network, prepared))
                keep()
                saved = time.perf_counter()
                clock.skip()
            stopping = stop.requested or seen - first == (stop_after or 0) * config.batch
            clock.seconds, stopping = agree(clock.seconds, stopping, device)
    if rank:
        return ema.network
    keep()
    figures = validate(ema.network, prepared)
    log.write(images=seen, seconds=clock.seconds, **figures)
    if out:
        ema.network.save(out, {"kind": "clip", "images": seen, "seconds": round(clock.seconds), "device": device.type,
                               "faces": len(rows), "data": prepared.hash, "commit": commit(),
                               "attributes": list(ATTRIBUTES), "recipe": asdict(config), "validation": figures,
                               "licence": "non-commercial research use; see weights/README.md"})
    return ema.network


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.train_clip", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.prepare wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/clip/clip.safetensors"))
    parser.add_argument("--state-dir", type=Path, default=Path("runs/clip"), help="state and log; resumed if present")
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    parser.add_argument("--clip", help="take this open_clip model instead, e.g. ViT-B-32-quickgelu, and only fit its head")
    parser.add_argument("--pretrained", default="openai", help="its weights: a tag (fetched from the Hub) or a file")
    parser.add_argument("--max-minutes", type=float, default=15.0, help="minutes of training, all resumed parts together")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    try:
        if options.clip:
            fit(options.clip, options.pretrained, load_prepared(options.prepared), options.out, device=options.device)
            return
        with several_processes():
            train(load_prepared(options.prepared), RECIPES[options.recipe], options.state_dir, options.out, options.max_minutes,
                  options.device)
    except FacetError as error:
        raise SystemExit(f"train_clip: {error}") from error


if __name__ == "__main__":
    main()
