"""PyTorch's compiler, which draws no face here but is imported on the way: a second, and 0.14 GB."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"


@contextmanager
def without_compiler() -> Iterator[None]:
    """Inside, the compiler is not imported where it is only told what to leave alone, or asked what it supports.

    torchvision and timm do so as they are imported, and some operations on the device "meta". Whoever asks later is
    answered by the compiler itself.
    """
    if COMPILER in sys.modules:
        yield
        return
    stand_ins = ModuleType(COMPILER), ModuleType(f"{COMPILER}.utils")
    vars(stand_ins[0])["disable"] = _disable
    vars(stand_ins[1])["is_compile_supported"] = _is_compile_supported
    sys.modules.update({stand_in.__name__: stand_in for stand_in in stand_ins})
    try:
        yield
    finally:
        for stand_in in stand_ins:
            sys.modules.pop(stand_in.__name__, None)


def _disable(function: Callable, *_: Any, **__: Any) -> Callable:
    return function


def _is_compile_supported(device: str) -> bool:
    return importlib.import_module(f"{COMPILER}.utils").is_compile_supported(device)
