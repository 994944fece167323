"""Tables in Markdown, for the model card and for what benchmarks print."""

from collections.abc import Iterable, Sequence


def table(heading: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A heading and rows of as many cells."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
