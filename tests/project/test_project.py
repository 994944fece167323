"""The files around the code: what Hugging Face Spaces reads, and what the Makefile promises."""

import re
import subprocess

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
