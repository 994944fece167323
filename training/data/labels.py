"""Labels of one's own pictures: a CSV as spreadsheets write it -> which attributes are known of which picture."""

import csv
import io
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from model.attributes import ATTRIBUTES
from model.errors import InputError

# names of the column of file names
FILE = ("file", "filename", "file_name", "image", "image_id")
# Also what spreadsheets write for TRUE and FALSE in other languages.
YES = ("yes", "y", "true", "t", "x", "✓", "✔", "ja", "oui", "sí", "wahr", "vrai", "vero", "verdadero")
NO = ("no", "n", "false", "f", "nein", "non", "falsch", "faux", "falso")
# what xlsx, ods and xls begin with
WORKBOOKS = (b"PK\3\4", b"\xd0\xcf\x11\xe0")
UNKNOWN = ("", "?", "-", "nan", "na", "n/a", "none", "null")


def read_labels(path: Path) -> pd.DataFrame:
    """A CSV of `file` and attributes -> numbers by file: above 0 where the face has it, NaN where that is unknown.

    Commas, semicolons or tabs; UTF-8, UTF-16 with its mark, or Windows' Latin letters; any case; decimal commas; yes
    and no. Raises InputError, which shows the row and says what to do, for what cannot be read without guessing.
    """
    try:
        data = path.read_bytes()
        if data.startswith(WORKBOOKS):
            raise InputError(f"{path} is a workbook of a spreadsheet and no CSV: save it as CSV there.")
        rows = _rows(data)
    except (OSError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV ({error}).") from error
    head, body = (rows[0][1], rows[1:]) if rows else ([], [])
    while head and not head[-1] and all(len(cells) < len(head) or not cells[len(head) - 1] for _, cells in body):
        # a comma at the end of every row
        width = len(head) - 1
        head, body = head[:width], [(line, cells[:width]) for line, cells in body]
    columns = [_column(cell, path) for cell in head]
    if "file" not in columns:
        raise InputError(f"{path} has no column `file` on its first line: write `file,Smiling,...` there.")
    if twice := [name for name, count in Counter(columns).items() if count > 1]:
        raise InputError(f"{path} has the column {twice[0]} twice: remove one.")
    by_name: dict[str, list[float]] = {}
    for line, cells in body:
        shown = f"{path}, line {line} ({' '.join(', '.join(cells).split())[:80]})"
        if len(cells) != len(columns):
            cure = "put numbers with a decimal comma in quotes, and leave what is unknown empty between commas"
            raise InputError(f"{shown}: {len(cells)} values under {len(columns)} columns; {cure}.")
        by_column = dict(zip(columns, cells))
        name = unicodedata.normalize("NFC", by_column.pop("file"))
        if not name:
            raise InputError(f"{shown}: the file name is missing; write it, or remove the row.")
        if name in by_name:
            raise InputError(f"{shown}: {name} is named twice; remove one row.")
        by_name[name] = [_value(cell, shown) for cell in by_column.values()]
    attributes = [name for name in columns if name != "file"]
    return pd.DataFrame(list(by_name.values()), index=list(by_name), columns=attributes, dtype=float)


def match_labels(labels: Sequence[str], pictures: Sequence[str]) -> dict[str, str]:
    """Label's file name -> picture's, for those that have one.

    By the whole name, then in any case, without the ending, and last by the number ("1" is 000001.jpg). Names that
    look alike are alike, however their accents are stored. Raises InputError where a name fits two pictures, or two
    names one.
    """
    ways: tuple[Callable[[str], str], ...] = (
        _inside,
        lambda name: _inside(name).casefold(),
        lambda name: _stem(_inside(name)).casefold(),
        lambda name: str(int(_stem(_inside(name)))) if _stem(_inside(name)).isdecimal() else name,
    )
    by_way = [defaultdict(list) for _ in ways]
    for picture in pictures:
        for way, by_key in zip(ways, by_way):
            by_key[way(picture)].append(picture)
    matched: dict[str, str] = {}
    for label in labels:
        # A name with an ending means a file of this ending.
        usable = list(zip(ways, by_way))[: 2 if _stem(label) != label else None]
        fitting = next((by_key[way(label)] for way, by_key in usable if way(label) in by_key), [])
        if len(fitting) > 1:
            raise InputError(f"The label {label} fits {fitting[0]} and {fitting[1]}: write the whole name.")
        matched |= {label: fitting[0]} if fitting else {}
    if twice := [name for name, count in Counter(matched.values()).items() if count > 1]:
        both = [label for label, picture in matched.items() if picture == twice[0]]
        raise InputError(f"The labels {both[0]} and {both[1]} both mean {twice[0]}: remove one row.")
    return matched


def _rows(data: bytes) -> list[tuple[int, list[str]]]:
    """(number of the line, its cells without the spaces around them) of all rows that hold anything."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            # what Excel writes as plain CSV in Western Europe
            text = data.decode("cp1252", errors="replace")
    first = text.lstrip().partition("\n")[0]
    mark = first.strip()[4:5] if first.lower().startswith("sep=") else max(",;\t|", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark or ",", skipinitialspace=True)
    rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    return rows[1:] if first.lower().startswith("sep=") else rows


def _column(cell: str, path: Path) -> str:
    name = cell.casefold().replace(" ", "_").replace("-", "_")
    if name in FILE:
        return "file"
    attribute_name = {attribute.casefold(): attribute for attribute in ATTRIBUTES}.get(name)
    if attribute_name is None:
        told = f"{cell[:40]} is" if cell else "a column without a name is"
        raise InputError(f"{path}: {told} none of the 40 attributes and not `file`; see model/attributes.py.")
    return attribute_name


def _value(cell: str, shown: str) -> float:
    word = cell.casefold()
    if word in UNKNOWN:
        return math.nan
    if word in YES + NO:
        return float(word in YES)
    try:
        value = float(word.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{shown}: {cell[:40]!r} is none of the numbers 1 and 0, yes and no, or nothing.")
    return value


def _inside(name: str) -> str:
    """The name without the folders before it, its accents stored in one way."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]


def _stem(name: str) -> str:
    """Without an ending of a few letters: "anna.b" has none."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and ending.lower() in ("jpg", "jpeg", "png", "webp") else name
