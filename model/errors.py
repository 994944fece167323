"""Every error a person can cause, as one readable line: what is wrong, where, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager


class FacetError(Exception):
    """Base of the project's own errors; its text is safe to show on the page."""


class InputError(FacetError, ValueError):
    """A prompt, attribute, number or image that cannot be used as it is."""


class WeightsError(FacetError):
    """A weights file that is missing, damaged, or does not fit the others."""


@contextmanager
def exit_in_one_line(command: str) -> Iterator[None]:
    """Inside, a FacetError ends the program with one line: the command's name, and what is wrong."""
    try:
        yield
    except FacetError as error:
        raise SystemExit(f"{command}: {error}") from error
