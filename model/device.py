"""Which device the networks run on, how their weights lie there, and what happens when its memory is full, since others
use it too.
"""

import platform
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model.errors import InputError

# that hold numbers and compute; "meta" is a device of PyTorch's too
KINDS = ("cpu", "cuda", "mps")
# Images of a forward on a CPU. More take as long each, and the memory of 32, once used, is not given back: 0.4 GB.
MOST_ON_CPU = 4
# network -> its copy on the CPU
_twins: "weakref.WeakKeyDictionary[nn.Module, nn.Module]" = weakref.WeakKeyDictionary()
_making = threading.Lock()
# time.monotonic() when a CPU last stood in
_last = -float("inf")


def pick_device(name: str = "auto") -> torch.device:
    """ "auto" takes an NVIDIA or AMD GPU where there is one, else the CPU; or "cpu", "cuda", "cuda:1", "mps".

    Apple's GPU has no float64 and the project was never tried there, so it is taken only where it is named. Raises
    InputError for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in KINDS:
            raise ValueError(device.type)
        torch.empty(1, device=device)
    except Exception as error:
        # each kind of device has errors of its own
        raise InputError(f"There is no device {str(name)[:40]!r} here: use auto, cpu, cuda or mps.") from error
    return device


def half_precision(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the hardware multiplies it faster than float32 (GPUs, CPUs with AVX512-BF16), else None."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None


class PackedConv2d(nn.Module):
    """A convolution whose weight lies in memory as oneDNN's kernels read it. For inference on the CPU.

    `nn.Conv2d` copies its weight into that layout at every call. For one 64x64 image that is a quarter of a forward.
    """

    def __init__(self, conv: nn.Conv2d, size: Sequence[int]):
        """size: of the input, (N, C, H, W), for which oneDNN chooses the layout; other sizes work as well."""
        super().__init__()
        self.form, self.size = (conv.padding, conv.stride, conv.dilation, conv.groups), size
        self.bias = conv.bias
        # only oneDNN can read it
        self.weight = nn.Parameter(self._layout(conv.weight), requires_grad=False)
        # the same in the number format of autocast, made when that is first asked for; a buffer, so that copies of the
        # network can share it as they share all weights
        self.half_weight: Tensor | None
        self.register_buffer("half_weight", None, persistent=False)
        self.register_state_dict_post_hook(_dense)

    def _layout(self, weight: Tensor) -> Tensor:
        return torch.ops.mkldnn._reorder_convolution_weight(weight, *self.form, self.size)

    # (N, C, H, W) -> (N, C', H', W')
    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            if self.half_weight is None or self.half_weight.dtype != dtype:
                self.half_weight = self._layout(self.weight.to_dense().to(dtype))
            weight, bias, x = self.half_weight, None if bias is None else bias.to(dtype), x.to(dtype)
        return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *self.form, "none", [], "")


def _dense(conv: PackedConv2d, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    """The state of a packed convolution is that of the plain one."""
    state[f"{prefix}weight"] = conv.weight.to_dense()


@torch.inference_mode()
def pack(network: nn.Module, *inputs: Tensor) -> None:
    """Replace the 3x3 convolutions of a network on the CPU by packed ones, where oneDNN is. No training afterwards.

    Those of 1x1 stay: their layouts differ from one size of batch to the next. inputs: what the network takes, one
    image.
    """
    if not (torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")):
        return
    sizes: dict[nn.Module, Sequence[int]] = {}
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)]
    hooks = [conv.register_forward_pre_hook(lambda conv, x: sizes.update({conv: x[0].shape})) for conv in convs]
    network(*inputs)
    for hook in hooks:
        hook.remove()
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d) and module in sizes:
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, PackedConv2d(module, sizes[module]))


def call(function: Callable[..., Any], *inputs: Any) -> Any:
    """function(*inputs) in this thread: what computes where nobody says otherwise (see FacePipeline.compute)."""
    return function(*inputs)


def run_in_parts(network: nn.Module, *inputs: Tensor, **options: Any) -> Tensor:
    """`network(*inputs, **options)`, inputs (N, ...), N at least 1, by as many rows at once as the device has room for.

    On the CPU that is MOST_ON_CPU. On a GPU all, on a full one halves, and one by one on the CPU. The network needs a
    `config` that its class builds it from, and must treat the rows of a batch apart.
    """
    if inputs[0].device.type == "cpu" and len(inputs[0]) > MOST_ON_CPU:
        parts = zip(*(rows.split(MOST_ON_CPU) for rows in inputs))
        return torch.cat([run_in_parts(network, *part, **options) for part in parts])
    try:
        return network(*inputs, **options)
    except torch.OutOfMemoryError:
        # the error holds on to what was computed: go on when it is gone
        pass
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    count = len(inputs[0])
    if count > 1:
        halves = zip(*(rows.split((count + 1) // 2) for rows in inputs))
        return torch.cat([run_in_parts(network, *half, **options) for half in halves])
    return _on_cpu(network)(*(rows.cpu() for rows in inputs), **options).to(inputs[0].device)


def full_note(since: float) -> str:
    """One line if a CPU stood in for a full GPU after the time.monotonic() `since`, else ""."""
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
