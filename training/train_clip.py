"""Train the small CLIP on faces and captions.

    python -m training.train_clip --prepared runs/prepared --out runs/clip/clip.safetensors --max-minutes 15

Every step draws a batch of faces and a fresh caption for each. A short caption fits many faces, so the loss is the
sigmoid loss of SigLIP (Zhai et al. 2023) over all pairs of the batch, where every face that satisfies all that a caption
states is its positive. A linear head learns to read from a text's embedding what the text states.
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
from training.captions import ABSENT, PRESENT, caption
from training.loop import (EMA, Clock, Log, Stop, amp_dtype, commit, finite, load_state, random_state,
                           restore_random_state, save_state, warmup_then_linear)
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
    vocabulary: int = 60_000    # captions drawn to find the tokens that captions use
    save_every: float = 120.0   # seconds between saved states
    seed: int = 0


RECIPES = {"default": TrainConfig(), "tiny": TrainConfig(images=512, batch=32, half_life=64, vocabulary=2000)}


def known_tokens(attributes: np.ndarray, captions: int, least: int = 4) -> Tensor:
    """Sorted ids of the tokens that captions use at least `least` times; start and end of text come last. (K,) int32."""
    rng, frequency = Random(0), attributes.mean(0)
    counts = np.zeros(len(tokenizer().encoder), dtype=np.int64)
    for index in range(captions):
        np.add.at(counts, tokenizer().encode(caption(attributes[index % len(attributes)], frequency, rng)[0]), 1)
    ids = set(np.flatnonzero(counts >= least).tolist()) - {0}
    return torch.tensor(sorted(ids | {tokenizer().sot_token_id, tokenizer().eot_token_id}), dtype=torch.int32)


def satisfies(attributes: Tensor, stated: Tensor) -> Tensor:
    """(N, 40) bool faces, (M, 40) stated captions -> (N, M) bool: the face has all that is stated, lacks what is denied."""
    faces = attributes.float()
    violations = (1 - faces) @ (stated == PRESENT).float().T + faces @ (stated == ABSENT).float().T
    return violations == 0


def augment(images: Tensor) -> Tensor:
    """(N, 3, 64, 64) in [0, 1]: flips, shifts up to 4 px, slight brightness and contrast. Same range."""
    images = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images, images.flip(-1))
    padded = F.pad(images, (4, 4, 4, 4), mode="replicate")
    dy, dx = torch.randint(0, 9, (2,)).tolist()
    images = padded[:, :, dy:dy + 64, dx:dx + 64]
    contrast = 1 + 0.2 * (torch.rand(len(images), 1, 1, 1) - 0.5)
    brightness = 0.1 * (torch.rand(len(images), 1, 1, 1) - 0.5)
    return ((images - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)


def losses(clip: Clip, images: Tensor, ids: Tensor, fits: Tensor, stated: Tensor) -> tuple[Tensor, Tensor]:
    """Multi-positive sigmoid loss over all pairs, and cross entropy of the text head (absent, unmentioned, present)."""
    texts = clip.text_features(ids)
    logits = clip.logits(clip.image_features(images), texts).float()
    pairs = F.binary_cross_entropy_with_logits(logits, fits.float())
    read = F.cross_entropy(clip.read(texts).float().flatten(0, 1), (stated.long() + 1).flatten())
    return pairs, read


@torch.inference_mode()
def validate(clip: Clip, prepared: Prepared) -> dict[str, float]:
    """Nothing if there are no validation faces; else on them: zero-shot balanced accuracy of the 40 attributes, from prompts alone, at its best threshold
    per attribute on half of the faces and measured on the other half; and how well the head reads the captions back."""
    rows = prepared.validation.nonzero().squeeze(1)
    if not len(rows):
        return {}
    images, attributes = prepared.images[rows], prepared.attributes[rows]
    features = torch.cat([clip.encode_images(part) for part in images.split(256)]).cpu()
    logits = clip.attribute_logits(features.to(clip.head.weight.device)).cpu()
    first = torch.arange(len(rows)) % 2 == 0
    accuracy = [balanced_accuracy(logits[:, i], attributes[:, i], first) for i in range(40)]

    rng, frequency = Random(1), prepared.attributes.float().mean(0).numpy()
    pairs = [caption(row, frequency, rng) for row in attributes.numpy()]
    read = clip.stated([text for text, _ in pairs]).argmax(-1).cpu() - 1
    stated = torch.from_numpy(np.stack([stated for _, stated in pairs]))
    hits = ((read == stated) & (stated != 0)).sum()
    return {"zero_shot": float(np.mean(accuracy)), "read_recall": float(hits / (stated != 0).sum()),
            "read_precision": float(hits / max((read != 0).sum(), 1))}


def balanced_accuracy(scores: Tensor, wanted: Tensor, first: Tensor) -> float:
    """Mean of the hit rates on both classes, at the threshold that is best on the rows of `first`, measured on the others."""
    def rate(threshold, rows):
        guess = scores[rows] > threshold
        return (guess[wanted[rows]].float().mean() + (~guess[~wanted[rows]]).float().mean()).item() / 2

    thresholds = scores[first].quantile(torch.linspace(0.01, 0.99, 99)).tolist()
    return rate(max(thresholds, key=lambda threshold: np.nan_to_num(rate(threshold, first))), ~first)


def train(prepared: Prepared, config: TrainConfig, run: Path, out: Path | None, max_minutes: float, device="auto",
          clip_config: ClipConfig = ClipConfig(), stop_after: int | None = None) -> Clip:
    """Train until the images or the minutes are spent, a signal comes, or `stop_after` steps are done (for tests).

    Resumes from `run` exactly (where the minutes are the budget, the learning rate follows the clock). Returns the averaged
    network. Raises InputError if `run` holds another recipe's state, FacetError if the loss is not a number.
    """
    device = pick_device(device)
    identity = {"recipe": asdict(config), "clip": asdict(clip_config), "data": prepared.hash}
    rows = (~prepared.validation).nonzero().squeeze(1)
    images, attributes = prepared.images[rows], prepared.attributes[rows]
    frequency = attributes.float().mean(0).numpy()
    torch.manual_seed(config.seed)
    state = load_state(run / "state.pt", identity)
    vocabulary = state["ema"]["network"]["vocabulary"] if state else known_tokens(attributes.numpy(), config.vocabulary)
    clip = Clip(replace(clip_config, tokens=len(vocabulary)), vocabulary).to(device)
    ema, rng, clock, log = EMA(clip, config.half_life), Random(config.seed), Clock(), Log(run / "log.jsonl")
    decayed = [p for p in clip.parameters() if p.ndim > 1]
    others = [p for p in clip.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": config.weight_decay},
                                   {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.98))
    seen = 0
    if state:
        clip.load_state_dict(state["clip"]), ema.load_state_dict(state["ema"]), optimizer.load_state_dict(state["optimizer"])
        restore_random_state(state["random"]), rng.setstate(state["captions"])
        seen, clock.seconds = state["seen"], state["seconds"]

    def keep():
        save_state(run / "state.pt", {"identity": identity, "clip": clip.state_dict(), "ema": ema.state_dict(), "seen": seen,
                                      "optimizer": optimizer.state_dict(), "random": random_state(),
                                      "captions": rng.getstate(), "seconds": clock.seconds})

    running, saved, autocast, first = None, time.perf_counter(), amp_dtype(device), seen
    with Stop() as stop:
        while seen < config.images and clock.seconds < 60 * max_minutes and not stop.requested:
            progress = max(seen / config.images, clock.seconds / (60 * max_minutes))
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * warmup_then_linear(progress)
            picks = torch.randint(len(rows), (config.batch,))
            pairs = [caption(row, frequency, rng) for row in attributes[picks].numpy()]
            stated = torch.from_numpy(np.stack([stated for _, stated in pairs]))
            batch = augment(images[picks].permute(0, 3, 1, 2).float() / 255)
            clip.train()
            with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                pair_loss, read_loss = losses(clip, batch.to(device), clip.tokens([text for text, _ in pairs]),
                                              satisfies(attributes[picks], stated).to(device), stated.to(device))
            optimizer.zero_grad(set_to_none=True)
            finite(pair_loss + config.head_weight * read_loss).backward()
            torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
            optimizer.step()
            ema.update(clip, config.batch)
            seen += config.batch
            clock.tick()
            now = np.array([pair_loss.item(), read_loss.item()])
            running = now if running is None else running + (now - running) * 0.02
            if seen // config.batch % 50 == 0:
                log.write(images=seen, seconds=clock.seconds, pair_loss=float(running[0]), read_loss=float(running[1]))
            if time.perf_counter() - saved > config.save_every:
                log.write(images=seen, seconds=clock.seconds, **validate(ema.network, prepared))
                keep()
                saved = time.perf_counter()
                clock.skip()
            if stop_after is not None and seen - first >= stop_after * config.batch:
                break
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
    parser.add_argument("--max-minutes", type=float, default=15.0, help="minutes of training, all resumed parts together")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    try:
        train(load_prepared(options.prepared), RECIPES[options.recipe], options.state_dir, options.out, options.max_minutes,
              options.device)
    except FacetError as error:
        raise SystemExit(f"train_clip: {error}") from error


if __name__ == "__main__":
    main()
