"""How long a training lasts, how far it is, and how fast it learns at each moment."""

import math
import time
from dataclasses import dataclass, field

from model.errors import InputError


@dataclass(frozen=True)
class Budget:
    """How long to train, and how fast to learn meanwhile; the learning rate follows whichever limit is nearer.

    Raises InputError for a limit or a batch that is not more than 0.
    """

    # images (or texts, or patches) seen in all, over all resumes
    images: float
    # images a step, all processes together
    batch: int
    # minutes of training over all resumes; math.inf: the images count alone
    minutes: float
    # the peak
    learning_rate: float
    # share of the budget
    warmup: float = 0.02
    # warm-up and linear decay to 0; else constant
    decay: bool = True
    # seconds of training between saves
    save_seconds: float = math.inf

    def __post_init__(self):
        if not self.minutes > 0:
            raise InputError(f"the minutes of training must be more than 0, not {self.minutes:g}.")
        if self.batch < 1:
            raise InputError(f"a batch must have at least 1 image, not {self.batch}.")
        if not self.images > 0:
            raise InputError("there is nothing to train on: the recipe's images, or the training faces, are none.")

    def spent(self, done: "Progress") -> float:
        """The share of the budget that is used up, 0 to 1 and a little beyond."""
        return max(done.step * self.batch / self.images, done.seconds / (60 * self.minutes))

    def learning_rate_at(self, spent: float) -> float:
        """The learning rate when this share of the budget is spent."""
        return self.learning_rate * (warmup_then_linear(spent, self.warmup) if self.decay else 1.0)


@dataclass
class Progress:
    """How far a training is, over all resumes."""

    # optimizer steps
    step: int = 0
    # seconds of training; pauses, saving and validation do not count
    seconds: float = 0.0
    # what the weights it started from had seen
    before: dict[str, float] = field(default_factory=lambda: {"images": 0, "seconds": 0})


class Clock:
    """Seconds spent in training, of one step after the other.

    A paused process gains nothing: a step counts at most `most` seconds, or three times the step before where that is
    more.
    """

    def __init__(self, seconds: float = 0.0, most: float = 10.0):
        self.seconds, self.most, self.step, self.last = seconds, most, 0.0, time.perf_counter()

    def skip(self) -> None:
        """What happened since the last tick (saving, validation) is not training."""
        self.last = time.perf_counter()

    def tick(self) -> float:
        """Count the step that ends now; returns all seconds so far."""
        now = time.perf_counter()
        self.step = min(now - self.last, max(self.most, 3 * self.step))
        self.seconds += self.step
        self.last = now
        return self.seconds


def warmup_then_linear(progress: float, warmup: float = 0.02) -> float:
    """Learning-rate factor at `progress` in [0, 1] of the budget: linear rise over `warmup`, then linear decay to 0."""
    progress = min(max(progress, 0.0), 1.0)
    return progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)
