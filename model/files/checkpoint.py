"""Weights on disk: safetensors with the network's config and training in the metadata, never pickles.

Metadata keys (all strings, as safetensors requires): `config` and `info` are JSON, `hash` is `tensor_hash` of the
stored tensors. `config` is what is needed to build the network again; `info` is how it was trained.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from model.errors import WeightsError
from model.files.compiler import without_compiler

N = TypeVar("N", bound=nn.Module)
# lists and objects inside one another, of a config
DEEPEST = 8
# What is made on the way to a network that fits a file's tensors, beside four modules for each and each number twice.
SPARE_MODULES, SPARE_NUMBERS = 2000, 10**8
CURE = "Restore it with `git checkout weights`, or train it again (see docs/training.md)."


def tensor_hash(tensors: dict[str, Tensor]) -> str:
    """SHA-256 (first 16 hex digits) over names, shapes, types and bytes of the tensors; metadata does not count."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def save(path: str | Path, tensors: dict[str, Tensor], config: dict, info: dict, dtype=torch.float16) -> str:
    """Write tensors atomically (temporary name, then rename); floats are stored as `dtype`. Returns the hash.

    Raises WeightsError, and leaves the old file, if a value is not a finite number.
    """
    path = Path(path)
    stored = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in tensors.items()
    }
    for name, tensor in stored.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"{path} was not written: {name} holds values that are not numbers.")
    metadata = {"config": json.dumps(config), "info": json.dumps(info), "hash": tensor_hash(stored)}
    write(path, stored, metadata)
    return metadata["hash"]


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file whole or not at all; the next time overwrites what a kill left under a temporary name.

    (safetensors' own way to a file takes a new temporary name each time, and leaves it there when killed.)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(serialise(tensors, metadata))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | Path) -> tuple[dict[str, Tensor], dict, dict]:
    """Read `(tensors, config, info)`; floats come back as float32. `info["hash"]` is the file's tensor hash.

    Raises WeightsError (one line) for a file that is missing, truncated, not safetensors, altered, or holds NaN.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path} is missing. {CURE}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no dict
        config, info = dict(json.loads(metadata["config"])), dict(json.loads(metadata["info"]))
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{path} is damaged or is not a safetensors file ({type(error).__name__}). {CURE}"
        ) from error
    except KeyError as error:
        raise WeightsError(f"{path} holds no Facet metadata ({error}). {CURE}") from error
    if not _bounded(config):
        raise WeightsError(f"{path} has a config with a number that no network here needs. {CURE}")
    if tensor_hash(stored) != metadata.get("hash"):
        raise WeightsError(f"{path} has been altered: its contents do not match the hash it carries. {CURE}")
    for name, tensor in stored.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"{path} holds values that are not numbers (in {name}). {CURE}")
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    return tensors, config, {**info, "hash": metadata["hash"]}


def _bounded(value, depth: int = 0) -> bool:
    """Not too deep, and no number beyond 65,536: such a config would keep a constructor busy before it failed."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth < DEEPEST and len(value) <= 64 and all(_bounded(each, depth + 1) for each in inner)
    return not isinstance(value, int | float) or abs(value) <= 2**16


def build(make: Callable[[], N], path: str | Path, tensors: dict[str, Tensor]) -> N:
    """Build a network from a file's config; one that does not suit code or tensors becomes a WeightsError.

    It is first built without memory, and no further than the tensors can fill it.
    """
    try:
        with torch.device("meta"), _no_larger_than(tensors), without_compiler():
            network = make()
    except Exception as error:
        # whatever a strange config makes a constructor do
        raise WeightsError(
            f"{path} has a config this version cannot build ({' '.join(str(error).split())[:200]}). {CURE}"
        ) from error
    check(network, tensors, path)
    return make()


@contextmanager
def _no_larger_than(tensors: dict[str, Tensor]) -> Iterator[None]:
    """Inside, this thread makes no more modules and parameters than these tensors fill. Raises ValueError."""
    thread, modules = threading.get_ident(), 4 * len(tensors) + SPARE_MODULES
    numbers, made = 2 * sum(tensor.numel() for tensor in tensors.values()) + SPARE_NUMBERS, [0, 0]

    def count(at: int, more: int, most: int) -> None:
        made[at] += more if threading.get_ident() == thread else 0
        if made[at] > most:
            raise ValueError(f"a network far larger than the file's {len(tensors)} tensors")

    hooks = (
        register_module_module_registration_hook(lambda *_: count(0, 1, modules)),
        register_module_parameter_registration_hook(
            lambda _, __, parameter: count(1, parameter.numel() if parameter is not None else 0, numbers)
        ),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def restore(path: str | Path, make: Callable[[dict], N]) -> N:
    """Read a file, build its network by `make(config)`, lists as tuples, and fill it; `info` is set, eval mode.

    Raises WeightsError, one line.
    """
    tensors, config, info = load(path)
    config = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    network = fill(build(lambda: make(config), path, tensors), tensors, path)
    # a plain attribute, which torch's types do not foresee
    vars(network)["info"] = info
    return network.eval()


def check(network: nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Compare names and shapes. Raises WeightsError naming the first tensor that does not fit."""
    wanted = network.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise WeightsError(f"{path} lacks the tensor {name}. {CURE}")
        if name not in wanted:
            raise WeightsError(f"{path} holds a tensor this network does not know: {name}. {CURE}")
        if wanted[name].shape != tensors[name].shape:
            raise WeightsError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)}, "
                f"the network needs {tuple(wanted[name].shape)}. {CURE}"
            )


def fill(network: N, tensors: dict[str, Tensor], path: str | Path) -> N:
    """Copy tensors into the network, strictly. Raises WeightsError naming the first tensor that does not fit."""
    check(network, tensors, path)
    network.load_state_dict(tensors)
    return network


def check_unet(path: str | Path, info: Mapping[str, Any], unet: str, command: str) -> None:
    """Raises WeightsError for a file that was learnt with another U-Net than the one with the hash `unet`.

    :param info:    the metadata of the file.
    :param command: learns it again.
    """
    if info.get("unet") != unet:
        raise WeightsError(
            f"{path} was learnt with another U-Net ({info.get('unet', 'unnamed')}) than the one beside it "
            f"({unet}): delete it, or learn it again by `{command}`."
        )
