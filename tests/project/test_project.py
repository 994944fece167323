"""The files around the code: what Hugging Face Spaces reads, and what the Makefile promises."""

import re
import shutil
import subprocess
import sys

from tests.conftest import ROOT


def front_matter() -> dict[str, str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    return dict(re.findall(r"^(\w+): (.+)$", text, re.MULTILINE))


def test_spaces_front_matter():
    fields = front_matter()
    assert fields["sdk"] == "gradio" and (ROOT / fields["app_file"]).is_file()
    assert len(fields["short_description"]) <= 60
    assert {"title", "emoji", "colorFrom", "colorTo", "license", "python_version"} <= fields.keys()
    # Spaces installs gradio==<sdk_version> together with requirements.txt: they must agree.
    assert f"gradio=={fields['sdk_version']}\n" in (ROOT / "requirements.txt").read_text()


def test_every_documented_make_target_exists():
    targets = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    documented = set()
    for name in ("README.md", "docs/training.md", "weights/README.md"):
        documented |= set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
    assert {"app", "test"} <= documented <= {line.split()[0] for line in targets.splitlines()}


def test_weights_card_names_every_file():
    card = (ROOT / "weights" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in card for path in (ROOT / "weights").glob("*.safetensors"))


def test_files_the_readme_shows_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all((ROOT / path).is_file() for path in re.findall(r"\]\(((?!http)[^)#]+)\)", text))


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
