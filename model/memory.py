"""A GPU whose memory is full, since others use it too: the work is done in smaller parts, then on the CPU, and it is said."""

import threading
import time
import weakref

import torch
from torch import Tensor, nn

_twins: "weakref.WeakKeyDictionary[nn.Module, nn.Module]" = (
    weakref.WeakKeyDictionary()
)  # network -> its copy on the CPU
_making = threading.Lock()
_last = -float("inf")  # time.monotonic() when a CPU last stood in


def frugal(network: nn.Module, *inputs: Tensor, **settings) -> Tensor:
    """`network(*inputs, **settings)`, inputs (N, ...), N at least 1; where memory does not suffice, in halves, and one by one
    on the CPU.

    The network needs a `config` that its class builds it from, and must treat the rows of a batch apart.
    """
    try:
        return network(*inputs, **settings)
    except torch.OutOfMemoryError:
        pass  # the error holds on to what was computed: go on when it is gone
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    count = len(inputs[0])
    if count > 1:
        halves = zip(*(rows.split((count + 1) // 2) for rows in inputs))
        return torch.cat([frugal(network, *half, **settings) for half in halves])
    return _on_cpu(network)(*(rows.cpu() for rows in inputs), **settings).to(inputs[0].device)


def note(since: float) -> str:
    """One line if a CPU stood in for the GPU after the time.monotonic() `since`, else ""."""
    return "The GPU's memory is full, so part of this was drawn on the CPU, which is slower." if _last >= since else ""


def _on_cpu(network: nn.Module) -> nn.Module:
    global _last
    _last = time.monotonic()
    with _making:
        if network not in _twins:
            print("The GPU's memory is full: some of the work is done on the CPU, which is slower.", flush=True)
            twin = type(network)(network.config)
            twin.load_state_dict({name: value.cpu() for name, value in network.state_dict().items()})
            _twins[network] = twin.eval()
        return _twins[network]
