"""Which device the networks run on."""

import torch

from model.errors import InputError


def pick_device(name: str = "auto") -> torch.device:
    """ "auto" takes the GPU where there is one; else "cpu", "cuda", "cuda:1". Raises InputError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"There is no device {name[:40]!r} here: use auto, cpu or cuda.") from error
    return device
