"""Spaces and Docker."""

import json
import os
import re
import subprocess
import sys
import types
from importlib import metadata

import gradio as gr
import pytest

from deploy import lock, pin, publish
from model.files import decode
from tests.conftest import ROOT
from tests.deployed import contents, dockerfile, environment
from ui import bounds
from ui.server import budget, connections, gpu, guard, line, store
from ui.server.doors import DOORS


def make(*arguments: str) -> str:
    """What make would run."""
    command = ["make", "--dry-run", "--always-make", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


# --- Docker: there is no engine here, so its file is read, and its steps are done by tests/deployed.py -------------


def test_the_image_is_slim_unprivileged_and_watched():
    lines = dockerfile()
    steps, one = [name for name, _ in lines], dict(lines)
    assert one["FROM"].partition("@")[0].endswith("-slim") and one["USER"] == "1000" and one["EXPOSE"] == "7860"
    assert steps.index("USER") < steps.index("CMD") and "ADD" not in steps
    assert json.loads(one["CMD"]) == ["python", "app.py"]
    assert "ui.server.health" in one["HEALTHCHECK"] and "--timeout" in one["HEALTHCHECK"]
    assert environment()["GRADIO_SERVER_NAME"] == "0.0.0.0" and environment()["GRADIO_SERVER_PORT"] == "7860"
    # all else is read-only
    assert all(environment()[name].startswith("/tmp") for name in ("HOME", "GRADIO_TEMP_DIR", "HF_HOME"))
    assert not re.search(r"(?i)token|password|secret", (ROOT / "Dockerfile").read_text())


def test_the_image_carries_no_cuda_unless_asked():
    """PyTorch comes first, from the index named by the build argument alone; the rest finds it installed."""
    one = dict(dockerfile())
    assert one["ARG"] == "TORCH_INDEX=https://download.pytorch.org/whl/cpu"
    torch_first, rest = [step for step in one["RUN"].split("&&") if "pip install" in step]
    assert (
        "--index-url ${TORCH_INDEX}" in torch_first and "torch.txt" in torch_first and "extra-index" not in one["RUN"]
    )
    assert "--requirement requirements.txt" in rest and "--no-cache-dir" in torch_first and "--no-cache-dir" in rest
    named = subprocess.run(["grep", "^torch", "requirements.txt"], cwd=ROOT, capture_output=True, text=True).stdout
    assert [line.split(">=")[0] for line in named.splitlines()] == ["torch", "torchvision"]


def test_what_the_image_installs_is_locked():
    """All that requirements.txt names, and what comes with it, at the versions that these tests run with."""
    lines = [line for line in (ROOT / "deploy" / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    locked = dict(line.split("==") for line in lines)
    named = re.findall(r"^([\w-]+)[>=]", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert set(named) <= set(locked) and {"starlette", "uvicorn", "fastapi", "pydantic"} <= set(locked)
    assert all(
        "--constraint constraints.txt" in step for step in dict(dockerfile())["RUN"].split("&&") if "pip " in step
    )
    assert locked["gradio"] == metadata.version("gradio")
    assert dict(dockerfile())["FROM"].startswith(f"python:{lock.IMAGE['python_version']}-")


def test_the_lock_follows_what_is_needed_in_the_image(monkeypatch):
    """Through extras and round circles, with the image's markers, without CUDA's packages and local parts."""
    installed = {
        "page": ("1.0", ["Web_Server[fast]>=2", "typing-old; python_version < '3.12'", "win; sys_platform == 'win32'"]),
        "web-server": ("2.1+cpu", ["page", "loop; extra == 'fast'", "slow; extra == 'other'", "nvidia-cublas"]),
        "loop": ("3.0", []),
    }
    needed = {name: needs for name, (_, needs) in installed.items()}
    monkeypatch.setattr(metadata, "requires", needed.__getitem__)

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name][0]

    monkeypatch.setattr(metadata, "version", version)
    page = lock.asked_for("# what the page needs\npage>=1,<2  # in the image\n")
    assert lock.locked(page) == {"page": "1.0", "web-server": "2.1", "loop": "3.0"}
    del installed["loop"]
    with pytest.raises(SystemExit, match="^lock: the image needs loop, which is not installed here"):
        lock.locked(page)


def test_base_images_are_pinned_by_their_digests(tmp_path, monkeypatch):
    """`make pin-image` with a Docker that answers as the real one does; a second time it takes the newer digest."""
    assert "deploy.pin" in make("pin-image")
    for name in pin.FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    before = (tmp_path / "Dockerfile").read_text()
    monkeypatch.setattr(pin, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="^pin: Docker is needed"):
        pin.main()
    docker = tmp_path / "docker"
    for answer, words in (("echo nothing", "named no digest"), ("echo no route >&2; exit 1", "looked up: no route")):
        docker.write_text(f"#!/bin/sh\n{answer}\n")
        docker.chmod(0o755)
        with pytest.raises(SystemExit, match=words):
            pin.main()
        assert (tmp_path / "Dockerfile").read_text() == before
    for digest in ("a" * 64, "b" * 64):
        docker.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "buildx imagetools inspect" ] && echo sha256:{digest}\n')
        pin.main()
        image = re.search(r"(?m)^FROM (.*)$", (tmp_path / "Dockerfile").read_text())
        assert image and re.fullmatch(rf"python:3\.12-slim@sha256:{digest}", image[1])
        assert f"image: nginx:1.28-alpine@sha256:{digest}\n" in (tmp_path / "deploy" / "compose.yaml").read_text()


def test_image_and_space_hold_the_same_files():
    copied = {source.rstrip("/") for name, rest in dockerfile() if name == "COPY" for source in rest.split()[:-1]}
    assert copied == {*publish.SPACE, "deploy/constraints.txt"}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied and "*" in ignored
    assert {f"weights/{name}" for name in publish.NOT_SHOWN} == {
        line for line in ignored if line.startswith("weights/")
    }


def test_the_images_command_runs_and_writes_nothing_beside_tmp(deployed):
    """The app of tests/deployed.py is the image's: its health check passes, and its folder is as it was."""
    check = json.loads(dict(dockerfile())["HEALTHCHECK"].split("CMD", 1)[1])
    port = deployed.server.address.rsplit(":", 1)[1]
    for where, well in ((port, True), ("9", False)):
        surroundings = {**os.environ, "GRADIO_SERVER_PORT": where}
        done = subprocess.run(
            [sys.executable, *check[1:]], cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode == 0) == well and "Traceback" not in done.stderr
    assert contents(deployed.code) == deployed.before
    # its home
    assert not (deployed.server.folder.parent / "nowhere").exists()


# --- Spaces -----------------------------------------------------------------------------------------------------------


def test_the_front_matter_is_complete():
    """What https://huggingface.co/docs/hub/spaces-config-reference knows, and nothing else."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    fields = dict(re.findall(r"^(\w+): *(.*)$", text, re.MULTILINE))
    assert {
        "title",
        "emoji",
        "colorFrom",
        "colorTo",
        "sdk",
        "sdk_version",
        "python_version",
        "app_file",
        "short_description",
        "license",
        "tags",
        "pinned",
        "suggested_hardware",
    } <= fields.keys()
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {fields["colorFrom"], fields["colorTo"]} <= colours and fields["python_version"].strip('"') in (
        "3.10",
        "3.12",
    )


def test_without_the_package_events_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(gpu, "spaces", None)
    demo, function = demo_of(lambda: 1)
    gpu.lend(demo, "networks")
    assert [event.fn for event in demo.fns.values()] == [function, function]


def test_on_zerogpu_the_networks_events_borrow_a_gpu(monkeypatch):
    lent = []
    fake = types.SimpleNamespace(GPU=lambda duration: lambda function: lent.append((function, duration)) or (lambda: 2))
    monkeypatch.setattr(gpu, "spaces", fake)
    demo, function = demo_of(lambda: 1)
    gpu.lend(demo, "networks")
    assert lent == [(function, gpu.SECONDS)]
    assert [event.fn() for event in demo.fns.values()] == [2, 1]


def demo_of(function):
    with gr.Blocks(analytics_enabled=False) as demo:
        button = gr.Button()
        button.click(function, concurrency_id="networks")
        button.click(function)
    return demo, function


def test_the_app_asks_for_a_gpu_before_torch_is_there(tmp_path):
    """With a package `spaces` that looks: it is imported before torch, and each event on the networks borrows a GPU."""
    (tmp_path / "spaces.py").write_text(
        "import sys\nassert 'torch' not in sys.modules\nlent = []\n"
        "def GPU(duration):\n    return lambda function: lent.append(function.__name__) or function\n"
    )
    # the warming-up goes on in a thread
    code = (
        "import app, spaces; print(sorted(spaces.lent)); "
        "networks = {event.fn.__name__ for event in app.demo.fns.values() "
        "if event.concurrency_id == 'networks'}; print(networks - set(spaces.lent), flush=True); "
        "import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-1000:]
    assert "'generate'" in done.stdout and done.stdout.splitlines()[-1] == "set()"


def test_the_line_that_spaces_installs_is_what_make_checks():
    version = re.search(r"^sdk_version: (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)[1]
    line = make("spaces-check")
    assert (
        '"gradio[oauth,mcp]==$(sed' in line and "uvicorn websockets spaces" in line and "--python-version 3.12" in line
    )
    assert f"gradio=={version}\n" in (ROOT / "requirements.txt").read_text()


def test_the_oldest_torch_is_the_one_requirements_allow():
    oldest = dict(re.findall(r"^(torch\w*)>=([\d.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert oldest.keys() == {"torch", "torchvision"}
    line = make("test-oldest")
    assert all(f'"{name}=={version}"' in line for name, version in oldest.items())


# --- SECURITY.md ---


def test_security_names_tests_that_are_there():
    text = (ROOT / "SECURITY.md").read_text()
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for file, name in re.findall(r"(tests/[\w/]+\.py)(?:::(test_\w+))?", text):
        assert file in sources and (not name or f"def {name}(" in sources[file]), f"{file}::{name}"
    for name in re.findall(r"`(test_\w+)`", text):
        assert any(f"def {name}(" in source for source in sources.values()), name


def test_every_line_of_security_names_what_holds_it():
    """Each row of its tables ends with a test, or with a target of make that measures."""
    text = (ROOT / "SECURITY.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not re.match(r"\| (what|from|---)", line)]
    lacking = [row[:60] for row in rows if not re.search(r"`tests/[\w/]+\.py|`make \w+`", row.rsplit(" | ", 1)[1])]
    assert len(rows) > 20 and not lacking


def test_the_figures_of_security_are_those_of_the_code():
    text = (ROOT / "SECURITY.md").read_text()
    mb = 2**20
    figures = (
        f"{line.PLACES['networks']} to draw, {line.PLACES['light']} for what is light",
        f"{line.CARRIED // mb} MB of requests in all, one client {line.SHARE * line.CARRIED / mb:.0f} MB",
        f"{line.SESSION_UNREAD // mb} MB a session, {line.UNREAD // mb} MB in all, {line.FORGOTTEN:.0f} s; "
        f"{line.SESSIONS} sessions",
        f"behind all others, and {line.PATIENCE:.0f} s",
        f"{line.LONGEST_TEXT:,} characters; {line.MOST_VALUES:,} values",
        f"{budget.SECONDS:.0f} s, {budget.COMPUTING:.0f} s of them on the networks, {budget.ROWS:,} pictures",
        f"{store.QUOTA // mb} MB, what is still to come included, one client three quarters of that; "
        f"{store.AGE / 60:.0f} minutes; {store.FILES} files an upload",
        f"{connections.MOST:,}, or as many as descriptors allow; one client half of them; {connections.SILENCE:.0f} s",
        f"{decode.MOST_PIXELS // 10**6} megapixels",
        f"{bounds.MOST_SCANS} scans of a JPEG; {bounds.OWN_SIDE} pixels a side",
        f"within {guard.BODY_SECONDS:.0f} s; of those still coming in {guard.ARRIVING // mb} MB in all, "
        f"one client {line.SHARE * guard.ARRIVING / mb:.0f} MB",
        f"{max(door.most for door in DOORS) // mb} MB where pictures travel in it",
    )
    assert not [figure for figure in figures if figure not in text]
    assert connections.SHARE == 0.5 and line.SHARE == 0.75 and "one client three quarters of them" in text
