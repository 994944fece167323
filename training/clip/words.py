"""Train the text side of CLIP further, while its image side keeps still.

    python -m training.clip.words --start-from runs/clip/clip.safetensors --prepared runs/prepared

The faces' embeddings are finished (`python -m training.data.prepare embed`), so a step costs no image network, and
texts, of which there are far more kinds than faces, get several times as many steps. Also the way to teach a finished
CLIP new words: add them to model/wording.toml and run this; afterwards training/unet/transfer.py carries the U-Net
over. The loss is that of training/clip/train.py.
"""

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.attributes import ATTRIBUTES
from model.clip import FIRST_KNOWN, UNKNOWN, Clip
from model.device import half_precision, pick_device
from model.errors import InputError, exit_in_one_line
from training.clip.quality import satisfies, validate
from training.clip.train import known_tokens
from training.core.budget import Budget, Progress
from training.core.ema import EMA
from training.core.log import Log, commit
from training.core.loop import Steps, run_steps
from training.core.optimizer import decay_groups, descend
from training.core.processes import rank_and_world
from training.core.run import Run, add_run_options, running
from training.core.seeds import seeded
from training.core.state import check_writable
from training.data.captions import caption, statements
from training.data.checks import check_embeddings
from training.data.prepared import Prepared, load_prepared

TABLE = "towers.text.token_embedding.weight"


@dataclass(frozen=True)
class TrainConfig:
    """How to train; budgets are counted in captions."""

    # the learning rate falls to 0 over these
    captions: int = 2_000_000
    # captions a step, besides the bare statements
    batch: int = 128
    # faces a step that all texts are compared with
    faces: int = 512
    learning_rate: float = 7e-4
    weight_decay: float = 0.05
    # captions, of the running average of the weights
    half_life: int = 20_000
    # captions drawn to find the tokens that captions use
    vocabulary: int = 100_000
    seed: int = 2


RECIPES = {
    "default": TrainConfig(),
    "tiny": TrainConfig(captions=256, batch=16, faces=32, half_life=32, vocabulary=2000),
}


def with_tokens(clip: Clip, vocabulary: Tensor) -> Clip:
    """The same CLIP over another token table, (K,) sorted ids; a new token starts as the unknown one did."""
    wider = Clip(replace(clip.config, tokens=len(vocabulary)), vocabulary)
    state, row = clip.state_dict(), {token: FIRST_KNOWN + i for i, token in enumerate(clip.vocabulary.tolist())}
    rows = list(range(FIRST_KNOWN)) + [row.get(token, UNKNOWN) for token in vocabulary.tolist()]
    wider.load_state_dict(state | {TABLE: state[TABLE][rows], "vocabulary": vocabulary})
    return wider


def train(
    prepared: Prepared,
    start: Clip,
    config: TrainConfig,
    run: Run,
) -> Clip:
    """Train until the captions or the minutes are spent or a stop is requested. Returns the averaged network.

    Raises InputError if the prepared faces have no embeddings of this CLIP or it has no table of words, FacetError if
    the loss is not a number.
    """
    budget = Budget(config.captions, config.batch, run.minutes, config.learning_rate)
    check_embeddings(prepared, start)
    if not start.config.tokens:
        raise InputError("this CLIP keeps all tokens of its own: there are no words to train.")
    check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    device, log, share = pick_device(run.device), Log(run.folder / "log.jsonl"), config.batch // world
    rows = (~prepared.validation).nonzero().squeeze(1)
    attributes, faces = prepared.attributes[rows], prepared.image_embeddings[rows].float()
    frequency = attributes.float().mean(0).numpy()
    torch.manual_seed(config.seed)
    clip = with_tokens(start, known_tokens(attributes.numpy(), config.vocabulary)).to(device).train()
    clip.towers.visual.requires_grad_(False).eval()
    learning = [p for p in clip.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(decay_groups(learning, config.weight_decay), betas=(0.9, 0.98))
    ema, done, dtype = EMA(clip, config.half_life), Progress(), half_precision(device)

    def learn(step: int) -> dict[str, float]:
        rng = seeded(config.seed, rank, step)
        picks = torch.randint(len(rows), (config.faces,))
        pairs = [caption(row, frequency, rng) for row in attributes[picks[:share]].numpy()]
        singles, what = statements(rng)
        stated = torch.from_numpy(np.concatenate([np.stack([stated for _, stated in pairs]), what])).to(device)
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            texts = torch.cat(
                [clip.text_features(clip.tokens(part)) for part in ([text for text, _ in pairs], singles)]
            )
            logits, read = clip.logits(faces[picks].to(device), texts), clip.read(texts)
        fits = satisfies(attributes[picks].to(device), stated)
        loss = F.binary_cross_entropy_with_logits(logits.float(), fits.float()) + F.cross_entropy(
            read.float().flatten(0, 1), (stated.long() + 1).flatten()
        )
        descend(optimizer, learning, loss)
        ema.update(clip, config.batch)
        return {"loss": loss.item()}

    def save(finished: bool):
        seen, figures = done.step * config.batch, validate(ema.network, prepared)
        log.write(images=seen, seconds=done.seconds, **figures)
        if run.out:
            # an earlier training of the words counts as well
            before = start.info.get("words", {})
            ema.network.save(
                run.out,
                {name: value for name, value in start.info.items() if name != "hash"}
                | {
                    "words": {
                        "captions": before.get("captions", 0) + seen,
                        "seconds": before.get("seconds", 0) + round(done.seconds),
                        "commit": commit(),
                        "recipe": asdict(config),
                    },
                    "attributes": list(ATTRIBUTES),
                    "validation": figures,
                },
            )

    run_steps(Steps([optimizer], learn, save), done, budget, log, run.stop)
    return ema.network


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.clip.words", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--start-from", type=Path, default=Path("weights/clip.safetensors"), help="the CLIP to go on from"
    )
    parser.add_argument(
        "--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote, embedded by it"
    )
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    add_run_options(parser, "runs/words", "clip.safetensors", minutes=15)
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.clip.words"), running(options) as run:
        prepared, start = load_prepared(options.prepared), Clip.from_file(options.start_from)
        train(prepared, start, RECIPES[options.recipe], run)


if __name__ == "__main__":
    main()
