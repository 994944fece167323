"""Training in several processes, started by torchrun: one batch shared, one gradient."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn

from model.errors import InputError


@contextmanager
def several_processes(device: str = "auto") -> Iterator[None]:
    """Inside, the processes that torchrun started know of each other; without torchrun, nothing.

    :param device: "auto", "cpu" or "cuda".
    :raises InputError: more processes on this machine than it has GPUs, where these are used.
    """
    if "WORLD_SIZE" in os.environ:
        by_gpu, place = device != "cpu" and torch.cuda.is_available(), int(os.environ["LOCAL_RANK"])
        if by_gpu and place >= torch.cuda.device_count():
            raise InputError(f"there are more processes than GPUs ({torch.cuda.device_count()}): start one for each.")
        # what is on the CPU goes by gloo, also beside GPUs: there it waits for no GPU
        dist.init_process_group("cpu:gloo,cuda:nccl" if by_gpu else "gloo")
        if by_gpu:
            torch.cuda.set_device(place)
    try:
        yield
        if dist.is_initialized():
            # process 0 still writes files when the others are done: leaving early has aborted one of them
            dist.barrier()
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def rank_and_world(batch: int) -> tuple[int, int]:
    """This process's number and how many there are, (0, 1) for one alone.

    Raises InputError if a batch cannot be shared evenly.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if batch % world:
        raise InputError(f"the batch of {batch} does not divide by {world} processes.")
    return rank, world


def is_first() -> bool:
    """Whether this is the process that logs and saves."""
    return not dist.is_initialized() or dist.get_rank() == 0


def agree(seconds: float, stopping: bool) -> tuple[float, bool]:
    """What process 0 says of the time spent and of stopping: else learning rates drift apart, or one waits for ever."""
    if not dist.is_initialized():
        return seconds, stopping
    word = torch.tensor([seconds, float(stopping)], dtype=torch.float64)
    dist.broadcast(word, 0)
    return word[0].item(), bool(word[1])


def summed(values: torch.Tensor) -> torch.Tensor:
    """The sum of the processes' tensors, in place; a single process keeps its own."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes; a single process keeps its own."""
    if dist.is_initialized():
        for parameter in parameters:
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= dist.get_world_size()
