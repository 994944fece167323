"""Markdown of the model card and of what benchmarks print: tables, and the parts of a file that a program writes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from model.errors import InputError


def table(heading: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A heading and rows of as many cells."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


class Place(NamedTuple):
    """What lies between two lines of a file, which may not be there at all."""

    begin: str
    end: str

    def check(self, path: Path) -> None:
        """Raises InputError if the file lacks the lines. Called before hours of measuring, not after."""
        if path.is_file() and self.end not in path.read_text(encoding="utf-8").partition(self.begin)[2]:
            raise InputError(f"{path} has no lines {self.begin} and {self.end}: the tables go between them.")

    def write(self, path: Path, text: str) -> None:
        """Put the text between the lines of the file, if there is a file. Raises InputError as `check` does."""
        self.check(path)
        if path.is_file():
            before, _, rest = path.read_text(encoding="utf-8").partition(self.begin)
            path.write_text(f"{before}{self.begin}\n{text}\n{self.end}{rest.partition(self.end)[2]}", encoding="utf-8")
