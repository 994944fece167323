"""What one request may use of the machine: before every forward of a network, who left or asks for too much is stopped.

The queue begins a budget for each run; a context variable carries it into the threads that the run computes in.
"""

import contextvars
import time
from collections.abc import Callable

from model.errors import FacetError

# of a run, from its start
SECONDS = 120.0
# of these on the networks
COMPUTING = 90.0
# pictures through a network: faces x steps x branches of guidance. 16 faces of 200 steps with all branches fit in
ROWS = 8000


class Stopped(FacetError):
    """Nobody reads the answer any more, or the run is cancelled."""


class Budget:
    """Of one run. reason: says why the run should end, "" while it may go on; asked from any thread."""

    def __init__(self, reason: Callable[[], str] = lambda: ""):
        self.started, self.reason, self.rows, self.computed, self.over = time.monotonic(), reason, 0, 0.0, False

    def check(self, rows: int = 0) -> None:
        """Before the next `rows` pictures go through a network. Raises FacetError."""
        if self.over or (why := self.reason()):
            raise Stopped("Stopped." if self.over else why)
        self.rows += rows
        if self.rows > ROWS:
            raise FacetError(f"Stopped: a run may have {ROWS:,} pictures drawn. Use fewer steps or fewer faces.")
        if time.monotonic() - self.started > SECONDS or self.computed > COMPUTING:
            raise FacetError(f"Stopped: a run may take {SECONDS:.0f} seconds. Use fewer steps or fewer faces.")


_current: contextvars.ContextVar[Budget | None] = contextvars.ContextVar("budget", default=None)


def begin(reason: Callable[[], str] = lambda: "") -> Budget:
    """A budget for what this task, and the threads it calls, compute from now on."""
    budget = Budget(reason)
    _current.set(budget)
    return budget


def check(rows: int = 0) -> None:
    """Whether the run of this context may go on. Raises FacetError."""
    if budget := _current.get():
        budget.check(rows)


def spender() -> Callable[[float], None]:
    """What counts seconds of computing for the run of this context, from whichever thread it is called."""
    budget = _current.get()

    def spend(seconds: float) -> None:
        if budget:
            budget.computed += seconds

    return spend
