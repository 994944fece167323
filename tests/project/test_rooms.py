"""The rooms: who may import whom, how large a file and a folder may be, and the commands that lie in them."""

import ast
import importlib
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROOMS = ("model", "training", "ui", "benchmarks", "deploy", "tests")
# what a room may not import, besides the rooms above it
FORBIDDEN = {
    "model": ("training", "ui", "benchmarks", "deploy", "tests", "app", "gradio"),
    "training": ("ui", "benchmarks", "deploy", "tests", "app", "gradio"),
    "ui": ("training", "benchmarks", "deploy", "tests", "app"),
    "benchmarks": ("ui", "tests", "app"),
    "deploy": ("ui", "tests", "app"),
}
MOST_LINES, MOST_FILES, MOST_COLUMNS = 400, 16, 120
MOST_PARAMETERS = 5
MANY_PARAMETERS = {
    # an endpoint: gradio makes a field of each
    "ui/api.py generate",
}


def sources(room: str) -> list[Path]:
    return [path for path in sorted((ROOT / room).rglob("*.py")) if "__pycache__" not in path.parts]


def imports(path: Path) -> Iterator[str]:
    """The modules that a file names in its imports, wherever they stand."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", FORBIDDEN)
def test_arrows_run_one_way(room):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(room)
        for name in imports(path)
        if name.split(".")[0] in FORBIDDEN[room]
    ]
    assert wrong == []


def test_evaluation_imports_no_trainer():
    trainers = (
        "training.core.loop",
        "training.unet",
        "training.srresnet",
        "training.clip.train",
        "training.clip.words",
    )
    wrong = [
        f"{path.name} imports {name}"
        for path in sources("training/evaluation")
        for name in imports(path)
        if not path.name.startswith("train_") and name.startswith(trainers)
    ]
    assert wrong == []


def test_nobody_reaches_into_anothers_private_names():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for room in ROOMS
        for path in sources(room)
        for name in imports(path)
        if name.split(".")[0] in ROOMS and name.rpartition(".")[2].startswith("_")
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_files_and_folders_are_small(room):
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources(room)}
    assert {str(path.relative_to(ROOT)): lines for path, lines in counts.items() if lines > MOST_LINES} == {}
    assert crowded([path for path in counts if path.name != "__init__.py"]) == {}


def crowded(paths: list[Path]) -> dict[str, int]:
    """The folders that hold too many of these files, with their counts."""
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in paths)
    return {folder: count for folder, count in counts.items() if count > MOST_FILES}


def test_the_files_of_the_page_lie_in_rooms():
    paths = [path for path in (ROOT / "assets").rglob("*") if path.suffix in (".js", ".css", ".html")]
    assert len(paths) >= 60 and not [path for path in (ROOT / "assets").iterdir() if path.is_file()]
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {} and crowded(paths) == {}


def test_lines_of_the_page_are_short_and_comments_stand_above_the_code():
    """As ruff holds Python to it; markup may be longer."""
    paths = [path for path in (ROOT / "assets").rglob("*") if path.suffix in (".js", ".css")]
    lines = [(path.name, line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    assert [pair for pair in lines if len(pair[1]) > MOST_COLUMNS] == []
    assert [(name, line) for name, line in lines if re.match(r"\s*(?!//|/\*).*[;{}(),]\s+(//|/\*) ", line)] == []


def parameters(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file, also inside others, with the number of its parameters."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
            names = [one.arg for one in given if one is not None and one.arg not in ("self", "cls")]
            yield f"{path.relative_to(ROOT).as_posix()} {node.name}", len(names)


def test_functions_above_the_pipeline_take_at_most_five_parameters():
    paths = [ROOT / "app.py", *(path for room in ("training", "ui", "benchmarks", "deploy") for path in sources(room))]
    assert {name for path in paths for name, count in parameters(path) if count > MOST_PARAMETERS} == MANY_PARAMETERS


def behind_code(path: Path) -> Iterator[str]:
    """The comments that stand on a line of code. What a tool reads has its place there."""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            behind = token.type == tokenize.COMMENT and token.line[: token.start[1]].strip()
            if behind and not token.string.startswith(("# noqa", "# type:", "# fmt:", "# pyright:", "# isort:")):
                yield f"{path.relative_to(ROOT)}:{token.start[0]} {token.string}"


def test_comments_stand_above_the_code():
    paths = [ROOT / "app.py", *(path for room in ROOMS for path in sources(room))]
    assert [comment for path in paths for comment in behind_code(path)] == []


COMMANDS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for room in ("training", "benchmarks")
    for path in sources(room)
    if "ArgumentParser(" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_calls_itself_by_its_name(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["somewhere/else.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(command).main()
    assert ended.value.code == 0 and f"usage: python -m {command} " in capsys.readouterr().out


def test_a_command_runs_from_the_repository():
    done = subprocess.run([sys.executable, "-m", COMMANDS[0], "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and COMMANDS[0] in done.stdout
