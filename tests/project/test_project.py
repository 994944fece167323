"""The files around the code: what Hugging Face Spaces reads, and what the documents promise."""

import ast
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys

import pytest
import torch

from model import sampler
from tests.conftest import ROOT

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "weights/README.md")
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def front_matter() -> dict[str, str]:
    return dict(re.findall(r"^(\w+): (.+)$", read("README.md").split("---\n")[1], re.MULTILINE))


def anchors(name: str) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", read(name), flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_spaces_front_matter():
    fields = front_matter()
    assert fields["sdk"] == "gradio" and (ROOT / fields["app_file"]).is_file()
    assert len(fields["short_description"]) <= 60
    assert {"title", "emoji", "colorFrom", "colorTo", "license", "python_version"} <= fields.keys()
    # Spaces installs gradio==<sdk_version> together with requirements.txt: they must agree.
    assert f"gradio=={fields['sdk_version']}\n" in read("requirements.txt")


def test_every_documented_make_target_exists():
    targets = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    documented = set()
    for name in DOCUMENTS:
        documented |= set(re.findall(r"(?:^|`|=\S+ )make ([a-z-]+)", read(name), re.MULTILINE))
    assert {"app", "test", "lint"} <= documented <= {line.split()[0] for line in targets.splitlines()}


def commands() -> list[tuple[str, str]]:
    """Every (module, rest of the line) of `python -m module ...` and `torchrun ... -m module ...` in the documents, and
    in what the modules say of themselves."""
    rooms = ("benchmarks", "deploy", "model", "training")
    modules = [ast.parse(path.read_text(encoding="utf-8")) for room in rooms for path in (ROOT / room).rglob("*.py")]
    named = set()
    for text in (*map(read, DOCUMENTS), *(ast.get_docstring(module) or "" for module in modules)):
        text = text.replace("\\\n", " ")
        named |= set(re.findall(r"(?:python|torchrun)\b[^\n`]* ?-m ([\w.]+)([^\n`#]*)", text))
    return sorted(named)


def test_every_documented_module_exists():
    modules = {module for module, _ in commands()}
    assert {"model", "training.unet.train", "training.data.prepare"} <= modules
    assert not [module for module in modules if importlib.util.find_spec(module) is None]


@pytest.mark.parametrize(
    ("module", "rest"), [(module, rest) for module, rest in commands() if "--" in rest and module != "pytest"]
)
def test_every_documented_option_exists(module, rest, capsys, monkeypatch):
    """Asks each command, or its subcommand, for its help."""
    entry = importlib.import_module("model.__main__" if module == "model" else module)
    subcommand = [word for word in rest.split()[:1] if not word.startswith("-")]
    monkeypatch.setattr("sys.argv", [module, *subcommand, "--help"])
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 0
    assert set(re.findall(r"--[a-z-]+", rest)) <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


def test_weights_card_names_every_file():
    assert all(f"`{path.name}`" in read("weights/README.md") for path in (ROOT / "weights").glob("*.safetensors"))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_documents_lead_somewhere(name):
    for path, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", read(name)):
        file = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert file.exists(), path
        assert not anchor or anchor in anchors(file.relative_to(ROOT).as_posix()), f"{path}#{anchor}"


def test_paths_that_documents_and_code_name_are_there():
    """From the repository's root, as in `model/unet.py`; a pattern with a star is no path."""
    rooms = ("assets", "benchmarks", "deploy", "model", "training", "ui")
    code = [path for room in rooms for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".js", ".css")]
    named = re.compile(rf"(?<![\w./-])((?:{'|'.join(rooms)}|docs|tests|weights)/[\w./-]*\w)(?![\w*-])")
    names = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in (ROOT / "app.py", ROOT / "Makefile", *code, *map(ROOT.joinpath, DOCUMENTS))
        for name in named.findall(path.read_text(encoding="utf-8"))
    }
    assert len(names) > 100 and [pair for pair in sorted(names) if not (ROOT / pair[1]).exists()] == []


def test_the_project_has_one_version():
    version = re.search(r'^version = "(.+)"$', read("pyproject.toml"), re.MULTILINE)[1]
    assert f"\nversion: {version}\n" in read("CITATION.cff") and f"\n## {version}" in read("CHANGELOG.md")


def python_blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", read(name), re.MULTILINE | re.DOTALL)


def test_the_python_example_runs(tiny_weights):
    example = next(block for block in python_blocks("docs/usage.md") if "FacePipeline" in block)
    names = {}
    exec(example.replace('"weights"', repr(str(tiny_weights))), names)
    assert names["large"].shape == (1, 512, 512, 3) and names["scores"].shape == (2, 40)


def test_the_sampler_of_the_guide_reaches_the_face(monkeypatch):
    monkeypatch.setattr(sampler, "SAMPLERS", dict(sampler.SAMPLERS))
    exec(python_blocks("CONTRIBUTING.md")[0], {})
    noise, face = torch.randn(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    times = sampler.time_grid(5, "ddpm")
    steps = list(sampler.SAMPLERS["renoise"](lambda x, t: face, noise, times, lambda: torch.randn_like(noise)))
    assert [step.index for step in steps] == [1, 2, 3, 4, 5] and torch.equal(steps[-1].noisy, face)
    assert not torch.equal(steps[-2].noisy, face)


def test_a_half_made_environment_is_made_anew(tmp_path):
    """What a try without python3-venv leaves has no pip, and each later try ended there."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text("")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    command = ["make", ".venv/app", f"PYTHON={sys.executable}"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert subprocess.run([tmp_path / ".venv/bin/python", "-c", "import pip"]).returncode == 0
    assert not subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stderr


def test_a_python_that_makes_no_environments_is_one_line(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["make", ".venv/bin/python", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0 and "install python3-venv" in done.stdout and not (tmp_path / ".venv").exists()
