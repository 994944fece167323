"""What tests run in processes of their own, to be killed or to be many.

They are forked from a server that has imported all this and nothing else, so that each begins at once. On one thread:
forked from a process that has used torch's own threads, they would wait for these for ever.
"""

import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from model.clip import ClipConfig
from model.files import checkpoint
from tests.conftest import SMALL_CLIP
from training.clip import train as train_clip
from training.clip import words as train_words
from training.core.processes import several_processes
from training.core.state import save_state
from training.data.prepare import main as prepare_main
from training.evaluation import train_judge as train_classifier
from training.unet import train as train_unet
from training.unet.reward import Drift

FORK = get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For the modules that import it."""
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, "1"))
    FORK.set_forkserver_preload([__name__, "open_clip"])
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def be_silent() -> None:
    """Send what this process prints nowhere."""
    silence = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (sys.__stdout__.fileno(), sys.__stderr__.fileno()):
        os.dup2(silence, descriptor)


def in_small_disk(limit: int, log: Path, work, *args) -> None:
    """In a child: `work(*args)` where no file may grow beyond `limit` bytes; its end is told in `log`."""
    be_silent()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        work(*args)
        log.write_text("done")
    except SystemExit as error:
        log.write_text(f"exit: {error}")
    except Exception as error:
        log.write_text(f"{type(error).__name__}: {error}")


def save_weights(path: Path) -> None:
    checkpoint.save(path, {"weight": torch.ones(100_000)}, {}, {})


def save_training_state(path: Path) -> None:
    save_state(path, {"weight": torch.ones(100_000)})


def child_prepares(archive: Path, out: Path) -> None:
    be_silent()
    prepare_main(["images", "--data", str(archive), "--out", str(out)])


def child_trains(script, recipe: dict, run: Path, out: Path, *more: str) -> None:
    """A script's own main() under its tiny recipe on a tiny network, saving after every step, without grids of
    samples.
    """
    be_silent()
    script.RECIPES["tiny"] = replace(script.RECIPES["tiny"], **recipe)
    if script is train_unet:
        script.sample_grid = lambda *_: None
        script.embedding_statistics = partial(script.embedding_statistics, count=64)
    else:
        script.train = partial(script.train, clip_config=ClipConfig(architecture=SMALL_CLIP))
    script.main(["--recipe", "tiny", "--state-dir", str(run), "--out", str(out), "--device", "cpu", *more])


def child_trains_unet(prepared: Path, weights: Path, run: Path, out: Path) -> None:
    child_trains(
        train_unet,
        {"checkpoint_seconds": 0, "images": 160},
        run,
        out,
        "--prepared",
        str(prepared),
        "--weights",
        str(weights),
    )


def child_trains_clip(prepared: Path, run: Path, out: Path) -> None:
    child_trains(
        train_clip,
        {"checkpoint_seconds": 0, "images": 800, "vocabulary": 400},
        run,
        out,
        "--prepared",
        str(prepared),
        "--max-minutes",
        "1e6",
    )


def be_one_of(rank: int, world: int, port: int) -> None:
    """Set torchrun's variables."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )


def child_follows_drift(rank: int, world: int, port: int, moved: list[torch.Tensor], told: Path) -> None:
    """Follow the drift of this process's faces, and write the drift to a file for each process."""
    be_one_of(rank, world, port)
    with several_processes("cpu"):
        drift = Drift(moved[rank].shape[1])
        drift.follow(moved[rank])
        torch.save(drift.mean, told / f"{rank}.pt")


def child_of_many(script: str, rank: int, world: int, port: int, prepared: Path, weights: Path, run: Path) -> None:
    """What torchrun starts: its variables, and the script's own main() under a short recipe that tells its loss all
    the time.
    """
    be_silent()
    be_one_of(rank, world, port)
    common = [
        "--prepared",
        str(prepared),
        "--state-dir",
        str(run),
        "--out",
        str(run / f"{script}.safetensors"),
        "--device",
        "cpu",
        "--recipe",
        "tiny",
    ]
    if script == "unet":
        train_unet.sample_grid = lambda *_: None
        train_unet.embedding_statistics = partial(train_unet.embedding_statistics, count=64)
        train_unet.RECIPES["tiny"] = replace(
            train_unet.RECIPES["tiny"],
            images=384,
            batch=16,
            learning_rate=4e-3,
            decay=False,
            average_every=1,
            half_life=32,
            checkpoint_seconds=0,
        )
        train_unet.main([*common, "--weights", str(weights)])
    elif script == "clip":
        train_clip.train = partial(train_clip.train, clip_config=ClipConfig(architecture=SMALL_CLIP))
        train_clip.RECIPES["tiny"] = replace(
            train_clip.RECIPES["tiny"], images=1600, batch=16, vocabulary=400, learning_rate=2e-3
        )
        train_clip.main([*common, "--max-minutes", "1e6"])
    elif script == "words":
        train_words.RECIPES["tiny"] = replace(
            train_words.RECIPES["tiny"], captions=1600, batch=16, faces=32, vocabulary=400
        )
        train_words.main([*common, "--start-from", str(weights / "clip.safetensors"), "--max-minutes", "1e6"])
    else:
        train_classifier.RECIPES["tiny"] = replace(train_classifier.RECIPES["tiny"], images=3200)
        train_classifier.main([*common, "--max-minutes", "1e6"])
