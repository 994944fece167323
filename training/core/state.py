"""The saved state of a training, from which it goes on exactly."""

import os
import pickle
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from model.errors import FacetError, InputError
from training.core.budget import Progress


def save_state(path: Path, state: dict) -> None:
    """Write a training state atomically. A kill or a power cut at any moment leaves the old file or the new one, whole.

    Raises FacetError where it cannot be written; the old file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            # on disk before the new name is: else a power cut may leave that name to an empty file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    # torch reports a full disk as a RuntimeError
    except (OSError, RuntimeError) as error:
        raise FacetError(f"{path} could not be written: is the disk full? What was saved before is whole.") from error
    finally:
        temporary.unlink(missing_ok=True)


def load_state(path: Path, identity: dict) -> dict | None:
    """Read what `save_state` wrote, or None if there is no file.

    Only tensors and plain values are read; no code is run. Raises InputError for a file that is cut off, empty or
    another program's, and if its "identity" (recipe, data, CLIP, weights it started from) is another: such a run
    cannot go on.
    """
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, pickle.UnpicklingError) as error:
        raise unreadable(path) from error
    if not isinstance(state, dict) or "identity" not in state:
        raise unreadable(path)
    if state["identity"] != identity:
        raise InputError(
            f"{path} belongs to another recipe, CLIP, start or other data: delete it or choose another --state-dir."
        )
    return state


def keep(path: Path, identity: dict, parts: dict[str, Any], done: Progress) -> None:
    """Write a training's state: of each part (networks, averages, optimizers), and how far it is.

    Raises as save_state, and FacetError if a number among them is none: the loss that a loop looks at is that of the
    weights before its last step.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    if not all(bool(torch.isfinite(each).all()) for each in floats(states)):
        raise FacetError("the weights are not numbers: lower the learning rate; the last saved state is good.")
    save_state(path, {"identity": identity, **states, **asdict(done)})


def floats(value: Any) -> Iterator[torch.Tensor]:
    """All tensors of real numbers in nested dicts and lists."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from floats(each)


def resume(path: Path, identity: dict, parts: dict[str, Any], done: Progress) -> None:
    """Fill parts and progress from what `keep` wrote, if it did. Raises as load_state does."""
    state = load_state(path, identity)
    if state is None:
        return
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        done.step, done.seconds, done.before = state["step"], state["seconds"], state["before"]
    except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise unreadable(path) from error


def unreadable(path: Path) -> InputError:
    """The error that names the file and the cure."""
    return InputError(f"{path} is cut off or no state of this training: delete it or choose another --state-dir.")


def check_writable(run: Path, out: Path | None) -> None:
    """Try the folder of a training and its weights file before hours are spent.

    Raises InputError if either cannot be written, or if `out` is a folder.
    """
    files = {"--state-dir": run / "state.pt"} | ({"--out": out} if out else {})
    for option, file in files.items():
        try:
            # a file gets a name like this before it takes its own
            trial = file.with_name(f".{file.name}.tmp")
            file.parent.mkdir(parents=True, exist_ok=True)
            trial.touch()
            trial.unlink(missing_ok=True)
            is_folder = file.is_dir()
        # ValueError: a name with a null byte
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{option}: {file} cannot be written ({reason}).") from error
        if is_folder:
            raise InputError(f"{option}: {file} is a folder; name the file to write.")
