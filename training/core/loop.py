"""What every training script shares: the loop itself, the running average of weights, learning rate, exact resume, log, stopping."""

import copy
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from model.errors import FacetError, InputError


class EMA:
    """Exponential moving average of a network's weights, with its half-life counted in images seen.

    Karras et al. 2022 (EDM): the decay of a step follows from the images in it. Early on the half-life is bounded by a
    tenth of the images seen so far, so that the random start is soon forgotten.
    """

    def __init__(self, network: nn.Module, half_life: float):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life = half_life  # images
        self.images = 0  # images seen by the average

    @torch.no_grad()
    def update(self, network: nn.Module, images: int):
        """Move the average towards `network` after a step (or a few) that saw `images` images."""
        self.images += images
        half_life = max(min(self.half_life, 0.1 * self.images), 1e-8)
        weight = 1 - 0.5 ** (images / half_life)
        averaged, current = list(self.network.state_dict().values()), list(network.state_dict().values())
        floats = [i for i, tensor in enumerate(averaged) if tensor.is_floating_point()]
        torch._foreach_lerp_([averaged[i] for i in floats], [current[i].float() for i in floats], weight)
        for average, value in zip(averaged, current):
            if not average.is_floating_point():
                average.copy_(value)

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "images": self.images}

    def load_state_dict(self, state: dict):
        self.network.load_state_dict(state["network"])
        self.images = state["images"]


def decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict]:
    """Parameter groups for AdamW: matrices and kernels decay, biases, gains and scales do not."""
    parameters = list(parameters)
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def warmup_then_linear(progress: float, warmup: float = 0.02) -> float:
    """Learning-rate factor at `progress` in [0, 1] of the budget: linear rise over `warmup`, then linear decay to 0."""
    progress = min(max(progress, 0.0), 1.0)
    return progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)


def save_state(path: str | Path, state: dict):
    """Write a training state atomically. A kill at any moment leaves the old file or the new one, whole.

    Raises FacetError where it cannot be written; the old file stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        torch.save(state, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise FacetError(f"{path} could not be written: is the disk full? What was saved before is whole.") from error
    finally:
        temporary.unlink(missing_ok=True)


def load_state(path: str | Path, identity: dict) -> dict | None:
    """Read a training state written by this project on this machine (it may hold pickles), or None if there is none.

    Raises InputError if its "identity" (recipe, data, CLIP) is another: such a run cannot go on.
    """
    if not Path(path).is_file():
        return None
    state = torch.load(path, map_location="cpu", weights_only=False)
    if state.get("identity") != identity:
        raise InputError(
            f"{path} belongs to another recipe, CLIP or other data: delete it or choose another --state-dir."
        )
    return state


def keep(path: Path, identity: dict, parts: dict[str, Any], done: "Progress"):
    """Write a training's state: each part's own (networks, averages, optimizers) and how far it is. Raises as save_state does."""
    save_state(
        path, {"identity": identity, **{name: part.state_dict() for name, part in parts.items()}, **asdict(done)}
    )


def resume(path: Path, identity: dict, parts: dict[str, Any], done: "Progress"):
    """Fill parts and progress from what `keep` wrote, if it did. Raises as load_state does."""
    state = load_state(path, identity)
    if state is None:
        return
    for name, part in parts.items():
        part.load_state_dict(state[name])
    done.step, done.seconds, done.before = state["step"], state["seconds"], state["before"]


@contextmanager
def several_processes() -> Iterator[None]:
    """Inside, the processes that torchrun started know of each other; without torchrun, nothing."""
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        yield
        if dist.is_initialized():
            dist.barrier()  # process 0 still writes files when the others are done: leaving early has aborted one of them
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def rank_and_world(batch: int) -> tuple[int, int]:
    """This process's number and how many there are, (0, 1) for one alone. Raises InputError if a batch cannot be shared evenly."""
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if batch % world:
        raise InputError(f"the batch of {batch} does not divide by {world} processes.")
    return rank, world


def agree(seconds: float, stopping: bool, device: torch.device) -> tuple[float, bool]:
    """What process 0 says of the time spent and of stopping: else learning rates drift apart, or one waits for ever."""
    if not dist.is_initialized():
        return seconds, stopping
    word = torch.tensor([seconds, float(stopping)], dtype=torch.float64, device=device)
    dist.broadcast(word, 0)
    return word[0].item(), bool(word[1])


def mixed_seed(*parts: int) -> int:
    """One 62-bit seed from several numbers, stable between runs and machines."""
    return int(np.random.SeedSequence([part % 2**32 for part in parts]).generate_state(1, np.uint64)[0] >> 2)


def seeded(*parts: int) -> Random:
    """A generator that follows from these numbers, and torch's own global one set by them: for what a training step draws."""
    seed = mixed_seed(*parts)
    torch.manual_seed(seed)
    return Random(seed)


def average_gradients(parameters: Iterable[nn.Parameter]):
    """Replace each gradient by its mean over the processes; a single process keeps its own."""
    if dist.is_initialized():
        for parameter in parameters:
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= dist.get_world_size()


def finite(loss: torch.Tensor) -> torch.Tensor:
    """The loss itself. Raises FacetError if it is not a number, before it can spoil weights or state."""
    if not torch.isfinite(loss):
        raise FacetError("the loss is not a number: lower the learning rate; the last saved state is good.")
    return loss


def descend(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], loss: torch.Tensor):
    """One optimizer step down the loss, its gradient averaged over the processes; only spikes are longer than 1 and cut.

    Raises FacetError if the loss is not a number.
    """
    optimizer.zero_grad(set_to_none=True)
    finite(loss).backward()
    follow_gradients([optimizer], parameters)


def follow_gradients(optimizers: Iterable[torch.optim.Optimizer], parameters: Iterable[nn.Parameter]):
    """The end of `descend`, for those who add gradients up over several parts of a batch."""
    parameters = list(parameters)
    average_gradients(parameters)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in optimizers:
        optimizer.step()


def commit() -> str:
    """The repository's commit, or "" where there is none."""
    done = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return done.stdout.strip() if done.returncode == 0 else ""


class Log:
    """A file of JSON lines: one dict of numbers per line, also printed."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **numbers):
        line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in numbers.items()})
        with self.path.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


class Clock:
    """Seconds spent in training, of one step after the other. A paused process gains nothing: a step counts at most `most`
    seconds, or three times the step before where that is more."""

    def __init__(self, seconds: float = 0.0, most: float = 10.0):
        self.seconds, self.most, self.step, self.last = seconds, most, 0.0, time.perf_counter()

    def skip(self):
        """What happened since the last tick (saving, validation) is not training."""
        self.last = time.perf_counter()

    def tick(self) -> float:
        now = time.perf_counter()
        self.step = min(now - self.last, max(self.most, 3 * self.step))
        self.seconds += self.step
        self.last = now
        return self.seconds


@dataclass(frozen=True)
class Budget:
    """How long to train, and how fast to learn meanwhile; the learning rate follows whichever limit is nearer."""

    images: float  # seen in all (texts, where a batch is of texts), over all resumes
    batch: int  # images a step, all processes together
    minutes: float  # of training over all resumes; math.inf: the images count alone
    learning_rate: float  # the peak
    warmup: float = 0.02  # share of the budget
    decay: bool = True  # warm-up and linear decay to 0; else constant
    save_seconds: float = math.inf  # of training, between saves


@dataclass
class Progress:
    """How far a training is, over all resumes."""

    step: int = 0  # optimizer steps
    seconds: float = 0.0  # of training; pauses, saving and validation do not count
    before: dict[str, float] = field(
        default_factory=lambda: {"images": 0, "seconds": 0}
    )  # what the weights it started from had seen


def run_steps(
    done: Progress,
    budget: Budget,
    optimizers: list[torch.optim.Optimizer],
    learn: Callable[[int], dict[str, float]],
    save: Callable[[bool], None],
    log: Log,
    device: torch.device,
    stop: "Stop | None" = None,
) -> None:
    """Go on from `done` until the budget is spent or `stop` is requested.

    :param learn: does one step, given its number, and returns the losses; their means are logged every 50 steps.
    :param save:  is called every save_seconds, and at the end with True if the budget is spent. Process 0 alone logs and saves.
    """
    first = not dist.is_initialized() or dist.get_rank() == 0
    clock, losses = Clock(done.seconds), []
    next_save, stopping = done.seconds + budget.save_seconds, stop is not None and stop.requested
    while True:
        progress = max(done.step * budget.batch / budget.images, done.seconds / (60 * budget.minutes))
        if progress >= 1 or stopping:
            break
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = budget.learning_rate * (warmup_then_linear(progress, budget.warmup) if budget.decay else 1.0)
        losses.append(learn(done.step))
        done.step += 1
        clock.tick()
        done.seconds, stopping = agree(clock.seconds, stop is not None and stop.requested, device)
        clock.seconds = done.seconds
        if len(losses) == 50:
            if first:
                log.write(
                    images=done.step * budget.batch,
                    seconds=done.seconds,
                    learning_rate=optimizers[0].param_groups[0]["lr"],
                    **{name: sum(found[name] for found in losses) / 50 for name in losses[0]},
                )
            losses.clear()
        if first and done.seconds >= next_save:
            save(False)
            clock.skip()
            next_save = done.seconds + budget.save_seconds
    if first:
        save(progress >= 1)


class Stop:
    """Turns the first SIGINT or SIGTERM inside its `with` into a flag, so that a loop saves its state and ends.

    The second one kills, as usual.
    """

    def __init__(self):
        self.requested, self.before = False, {}

    def __enter__(self) -> "Stop":
        self.before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _request(self, number, frame):
        self.requested = True
        signal.signal(number, signal.SIG_DFL)


def amp_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the hardware multiplies it faster than float32 (GPUs, CPUs with AVX512-BF16), else None."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None
