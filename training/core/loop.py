"""The loop itself: step after step, until the budget is spent."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.core.budget import Budget, Clock, Progress
from training.core.log import Log
from training.core.optimizer import finite
from training.core.processes import agree, is_first
from training.core.stop import Stop

# steps between two lines of the log
LOG_EVERY = 50


@dataclass(frozen=True)
class Steps:
    """What one training does at each step and at each save."""

    # whose learning rate follows the budget
    optimizers: list[torch.optim.Optimizer]
    # does one step, given its number -> the losses, numbers or tensors without axes that may still be computed
    learn: Callable[[int], dict[str, float | Tensor]]
    # saves everything
    save: Callable[[bool], None]


def run_steps(steps: Steps, done: Progress, budget: Budget, log: Log, stop: Stop | None = None) -> None:
    """Go on from `done` until the budget is spent or `stop` is requested.

    Process 0 alone logs and saves: the mean losses every LOG_EVERY steps, and `steps.save` every `budget.save_seconds`
    and at the end, then with True if the budget is spent. The losses are read then and only then. Raises FacetError if
    one is not a number, before anything is saved.
    """
    clock, losses = Clock(done.seconds), []
    next_save, stopping = done.seconds + budget.save_seconds, stop is not None and stop.requested
    while (spent := budget.spent(done)) < 1 and not stopping:
        set_learning_rate(steps.optimizers, budget.learning_rate_at(spent))
        losses.append(steps.learn(done.step))
        done.step += 1
        clock.tick()
        done.seconds, stopping = agree(clock.seconds, stop is not None and stop.requested)
        clock.seconds = done.seconds
        if len(losses) == LOG_EVERY:
            means = mean(losses)
            if is_first():
                log.write(
                    images=done.step * budget.batch,
                    seconds=done.seconds,
                    learning_rate=budget.learning_rate_at(spent),
                    **means,
                )
            losses.clear()
        if is_first() and done.seconds >= next_save:
            # raises before a spoilt state takes the good one's place
            mean(losses)
            steps.save(False)
            clock.skip()
            next_save = done.seconds + budget.save_seconds
    if is_first():
        mean(losses)
        steps.save(spent >= 1)


def set_learning_rate(optimizers: list[torch.optim.Optimizer], learning_rate: float) -> None:
    """The same for all parameter groups."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate


def mean(losses: list[dict[str, float | Tensor]]) -> dict[str, float]:
    """The mean of each loss over several steps, nothing of none. Waits until they are computed.

    Raises FacetError if one is not a number.
    """
    names = losses[0] if losses else ()
    columns = {name: [torch.as_tensor(step[name], dtype=torch.float64) for step in losses] for name in names}
    return {name: finite(torch.stack(column).mean()).item() for name, column in columns.items()}
