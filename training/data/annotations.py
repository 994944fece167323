"""CelebA's archive as people have it: its attribute table, checked row by row, and where its files lie."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from model.attributes import ATTRIBUTES
from model.errors import InputError

TABLES = ("list_attr_celeba.txt", "list_attr_celeba.csv", "Anno/list_attr_celeba.txt")
# Kaggle's archive has a folder inside the folder of the same name.
FOLDERS = ("img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba", "img_align_celeba_png")
ENDINGS = (".jpg", ".png", ".jpeg", ".webp")
PRESENT, ABSENT = {"1", "+1", "1.0"}, {"-1", "-1.0"}
# "absent" in tables that never say -1
ZERO = {"0", "0.0"}


@dataclass(frozen=True)
class Annotations:
    """The rows that can be used, and those that cannot.

    rows:    a frame of bools, index file name, columns the 40 attributes in CelebA's order
    skipped: reason -> names of rows
    """

    rows: pd.DataFrame
    skipped: dict[str, list[str]] = field(default_factory=dict)


def read_annotations(path: Path) -> Annotations:
    """Read `list_attr_celeba.txt` (a count, the columns' names, then `000001.jpg -1 1 ...`) or Kaggle's `.csv` of it.

    A row that is short, long, or has a value that is not 1 or -1 is left out and named: which attribute it means is not
    known. Raises InputError for a file in another format, or without a row that can be used.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        counted = int(lines[0]) if lines and lines[0].strip().isdecimal() else None
        head, *body = [_cells(line) for line in lines[counted is not None :] if line.strip()] or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} is not an annotation file in CelebA's format ({error}).") from error
    if not head:
        raise InputError(f"{path} is not an annotation file in CelebA's format (it has no rows).")
    columns, width = head[-len(ATTRIBUTES) :], max(len(head), len(ATTRIBUTES) + 1)
    if set(columns) != set(ATTRIBUTES) or width > len(ATTRIBUTES) + 2:
        line = "first" if counted is None else "second"
        raise InputError(f"{path} does not name CelebA's 40 attributes on its {line} line.")
    whole = pd.Series([len(row) == width for row in body], dtype=bool)
    # pandas writes its own numbers of rows before the names
    table = pd.DataFrame([row[width - len(ATTRIBUTES) - 1 :] for row in body], dtype=object)
    names = table[0] if len(body) else pd.Series(dtype=object)
    values = table.reindex(columns=range(1, len(ATTRIBUTES) + 1)).set_axis(columns, axis=1)
    absent = ABSENT if values.isin(ABSENT).to_numpy().any() else ABSENT | ZERO
    known = values.isin(PRESENT | absent).all(axis=1)
    twice = names.duplicated()
    skipped = {
        "row with too few or too many values": names[~whole],
        "row with a value that is not 1 or -1": names[whole & ~known],
        "row named twice (the first counts)": names[whole & known & twice],
    }
    skipped = {reason: list(left_out) for reason, left_out in skipped.items()}
    if counted is not None:
        lacking = range(len(body) + 1, counted + 1)
        skipped["row that the first line counts and the file lacks"] = [f"row {number}" for number in lacking]
        skipped["row beyond the first line's count (used all the same)"] = list(names[counted:])
    rows = values[whole & known & ~twice].isin(PRESENT).set_axis(names[whole & known & ~twice], axis=0)
    if not len(rows):
        raise InputError(f"{path} has no row of a name and 40 values, each 1 or -1.")
    return Annotations(
        rows[list(ATTRIBUTES)].rename_axis(None), {reason: left_out for reason, left_out in skipped.items() if left_out}
    )


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line]))] if "," in line else line.split()


def read_squashed(path: Path) -> set[str]:
    """Numbers ("000001") of the images that `sources.csv` (columns image_id, geometry) marks as squashed small JPEGs.

    The official archive has no such file and no such images; where both kinds are mixed, the U-Net is told which is
    which, so that the look of the JPEGs does not reach its samples. Raises InputError for a file of other columns.
    """
    if not path.is_file():
        return set()
    try:
        sources = pd.read_csv(path, dtype=str)
        squashed = sources.loc[sources["geometry"] == "squashed64", "image_id"].dropna()
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        raise InputError(f"{path} is no CSV with the columns image_id and geometry.") from error
    return {Path(name).stem for name in squashed}


def table_of(data: Path) -> Path:
    """Where the attribute table of an archive is. Raises InputError."""
    for name in TABLES:
        if (data / name).is_file():
            return data / name
    raise InputError(f"{data / TABLES[0]} is missing: --data must point at a folder in CelebA's own layout.")


def images_of(data: Path) -> Path:
    """Where the images of an archive are. Raises InputError."""
    for name in FOLDERS:
        if (data / name).is_dir():
            return data / name
    packed = next((path.name for path in sorted(data.glob("*.zip"))), None)
    cure = f"unpack {packed} first" if packed else "--data must point at a folder in CelebA's own layout"
    raise InputError(f"{data / 'img_align_celeba'} is missing: {cure}.")


def file_of(name: str, files: set[str]) -> str | None:
    """The file of a row: of its own name, or of its number with another ending (000001, 000001.png); or None."""
    stem = Path(name).stem
    return next((file for file in (name, *(stem + ending for ending in ENDINGS)) if file in files), None)
