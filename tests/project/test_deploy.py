"""Spaces, Docker, publishing, and what CONTRIBUTING.md promises a newcomer."""

import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from deploy import publish
from model.attributes import ATTRIBUTES
from model.checkpoint import FILES, OPTIONAL, release_hash
from model.errors import InputError
from model.pipeline import FacePipeline
from model.sampler import SAMPLERS
from tests.conftest import ROOT, draw_face, save_crisp, save_student
from tests.deployed import contents, dockerfile, environment
from tests.fake_hub import FakeHub
from training.data.prepare import load_prepared, read_labels
from training.data.prepare import main as prepare
from training.unet import train as train_unet
from ui.server import gpu


def make(*arguments: str) -> str:
    """What make would run."""
    command = ["make", "--dry-run", "--always-make", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


# --- Docker: there is no engine here, so its file is read, and its steps are done by tests/deployed.py --------------------


def test_the_image_is_slim_unprivileged_and_watched():
    lines = dockerfile()
    steps, one = [name for name, _ in lines], dict(lines)
    assert one["FROM"].endswith("-slim") and one["USER"] == "1000" and one["EXPOSE"] == "7860"
    assert steps.index("USER") < steps.index("CMD") and "ADD" not in steps
    assert json.loads(one["CMD"]) == ["python", "app.py"]
    assert "/gradio_api/startup-events" in one["HEALTHCHECK"] and "--timeout" in one["HEALTHCHECK"]
    assert environment()["GRADIO_SERVER_NAME"] == "0.0.0.0" and environment()["GRADIO_SERVER_PORT"] == "7860"
    assert all(
        environment()[name].startswith("/tmp") for name in ("HOME", "GRADIO_TEMP_DIR", "HF_HOME")
    )  # all else is read-only
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


def test_image_and_space_hold_the_same_files():
    copied = {source.rstrip("/") for name, rest in dockerfile() if name == "COPY" for source in rest.split()[:-1]}
    assert copied == set(publish.SPACE)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied and "*" in ignored
    assert {f"weights/{name}" for name in publish.NOT_SHOWN} == {
        line for line in ignored if line.startswith("weights/")
    }


def test_the_images_command_runs_and_writes_nothing_beside_tmp(deployed):
    """The app of tests/deployed.py is the image's: its health check passes, and its folder is as it was."""
    check = json.loads(dict(dockerfile())["HEALTHCHECK"].split("CMD", 1)[1])
    port = deployed.server.address.rsplit(":", 1)[1]
    surroundings = {**os.environ, "no_proxy": "127.0.0.1"}
    done = subprocess.run([sys.executable, *check[1:]], env={**surroundings, "GRADIO_SERVER_PORT": port})
    assert done.returncode == 0
    failed = subprocess.run(
        [sys.executable, *check[1:]], env={**surroundings, "GRADIO_SERVER_PORT": "9"}, capture_output=True
    )
    assert failed.returncode != 0
    assert contents(deployed.code) == deployed.before
    assert not (deployed.server.folder.parent / "nowhere").exists()  # its home


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
    """With a package `spaces` that looks: it is imported before torch, and every event on the networks is lent a GPU."""
    (tmp_path / "spaces.py").write_text(
        "import sys\nassert 'torch' not in sys.modules\nlent = []\n"
        "def GPU(duration):\n    return lambda function: lent.append(function.__name__) or function\n"
    )
    code = (
        "import app, spaces; print(sorted(spaces.lent)); networks = {event.fn.__name__ for event in app.demo.fns.values() "
        "if event.concurrency_id == 'networks'}; print(networks - set(spaces.lent), flush=True); "
        "import os; os._exit(0)"
    )  # the warming-up goes on in a thread
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


# --- publishing, against a Hub on the loopback address ------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub():
    hub = FakeHub()
    yield hub
    hub.shutdown()


@pytest.fixture(scope="module")
def release(tiny_weights, tmp_path_factory) -> Path:
    """The tiny weights with a crisp SRResNet."""
    folder = Path(shutil.copytree(tiny_weights, tmp_path_factory.mktemp("release") / "weights"))
    save_crisp(folder)
    save_student(folder)
    (folder / "targets").mkdir()
    shutil.copy(ROOT / "weights" / "targets" / "noise.safetensors", folder / "targets")
    (folder / "README.md").write_text("![Faces](../assets/faces.png) and [more](../docs/training.md)")
    (folder.parent / "assets").mkdir()
    (folder.parent / "assets" / "faces.png").write_bytes(b"a picture")
    return folder


@pytest.fixture(scope="module")
def published(hub, release, tmp_path_factory) -> str:
    """Weights and page are published; returns what was printed."""
    assert hub.wrote == []
    code = f"""from deploy.publish import main
main(["weights", "--repo", "me/faces", "--weights", {str(release)!r}])
main(["space", "--repo", "me/page"])"""
    hub.repos["me/page"] = {"earlier": {"ui/old.py": b"", ".gitattributes": b""}}
    done = run(hub, tmp_path_factory.mktemp("home"), "-c", code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert hub.wrote == ["create model me/faces", "commit me/faces", "create space me/page", "commit me/page"]
    return done.stdout


def run(hub: FakeHub, folder: Path, *command: str) -> subprocess.CompletedProcess:
    surroundings = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "hf_fake",
        "HF_HOME": str(folder),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=120
    )


def test_a_dry_run_sends_nothing(hub, tiny_weights, capsys):
    publish.main(["weights", "--repo", "me/faces", "--weights", str(tiny_weights), "--dry-run"])
    publish.main(["space", "--repo", "me/page", "--dry-run"])
    said = capsys.readouterr().out
    assert (
        "unet.safetensors" in said
        and "app.py" in said
        and "ui/server/engine.py" in said
        and said.count("nothing was sent") == 2
    )
    assert (
        "tests/" not in said
        and "__pycache__" not in said
        and hub.wrote == []
        and not re.search("weights/(judge|srresnet_x4)", said)
    )


def test_weights_come_back_from_the_hub_as_they_were_pinned(published, hub, tiny_weights, release, tmp_path):
    """Fetched by the printed pin; with another hash, or where there is nothing, refused in one line."""
    pin, repo, revision, digest = re.search(
        r"FACET_WEIGHTS=((.+)@([0-9a-f]{40})#([0-9a-f]{16}))$", published, re.MULTILINE
    ).groups()
    assert (
        repo == "me/faces"
        and release_hash(release).startswith(digest)
        and not release_hash(tiny_weights).startswith(digest)
    )
    assert {name: hub.repos[repo][revision][f"{name}.safetensors"] for name in FILES + OPTIONAL} == {
        name: (release / f"{name}.safetensors").read_bytes() for name in FILES + OPTIONAL
    }
    others = {
        name: data
        for name, data in hub.repos[repo][revision].items()
        if name.removesuffix(".safetensors") not in FILES + OPTIONAL
    }
    assert others.pop("targets/noise.safetensors") == (ROOT / "weights" / "targets" / "noise.safetensors").read_bytes()
    assert others == {
        "README.md": b"![Faces](assets/faces.png) and [more](../docs/training.md)",
        "assets/faces.png": b"a picture",
    }
    code = f"""
import time
from model import hub
from model.errors import WeightsError
from model.pipeline import FacePipeline
pipe = FacePipeline.from_pretrained({pin!r}, device="cpu")
print(pipe.clip.hash if pipe.crisp else "no crisp SRResNet")
def refused(source):
    try:
        hub.fetch(source, seconds=2)
    except WeightsError as error:
        print(error)
refused({pin[:-16] + "0" * 16!r})
refused("me/nothing@{revision}")
"""
    done = run(hub, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr[-2000:]
    found, wrong, nothing = done.stdout.strip().splitlines()
    assert found == FacePipeline.from_pretrained(tiny_weights).clip.hash
    assert "not the pinned ones" in wrong and "cannot be fetched from the Hub" in nothing


def test_a_slow_hub_does_not_hold_up_the_start(hub, tmp_path):
    """The page's pipeline: after the time limit the bundled weights stand in, and it is said."""
    hub.delay = 30.0
    code = """
import time
from model import hub
hub.fetch.__defaults__ = (1.5,)
from ui.server import engine
start = time.monotonic()
engine.pipeline()
print(engine.notice)
print(time.monotonic() - start < 20)
"""
    try:
        surroundings = {"FACET_WEIGHTS": "me/faces@main"}
        os.environ.update(surroundings)
        done = run(hub, tmp_path, "-c", code)
    finally:
        hub.delay = 0.0
        os.environ.pop("FACET_WEIGHTS")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (
        "within 2 seconds" in done.stdout
        and "bundled weights are used" in done.stdout
        and done.stdout.strip().endswith("True")
    )


def test_the_page_goes_to_a_space(published, hub):
    first, files = hub.repos["me/page"].values()
    assert (
        "ui/old.py" in first and "ui/old.py" not in files and ".gitattributes" in files
    )  # what is no longer there goes
    assert files["app.py"] == (ROOT / "app.py").read_bytes() and files["README.md"].startswith(b"---\ntitle: Facet")
    assert files["weights/unet.safetensors"] == (ROOT / "weights" / "unet.safetensors").read_bytes()
    assert not [name for name in files if name.startswith(("tests", "training", ".github", ".gitignore", "runs"))]


def test_what_cannot_be_published_is_one_line(tiny_weights, tmp_path):
    shutil.copytree(tiny_weights, tmp_path / "weights")
    (tmp_path / "weights" / "unet.safetensors").write_bytes(b"damaged")
    damaged = ["--repo", "me/faces", "--weights", str(tmp_path / "weights")]
    for arguments, words in (
        (damaged, "damaged"),
        (["--repo", "faces"], "owner/name"),
        (["--repo", "me/fa ces"], "publish: "),
        (["--repo", "me/faces"], "publish: "),
    ):
        with pytest.raises(SystemExit, match=words) as error:  # the last: the tests are offline
            publish.main(["weights", *arguments])
        assert "\n" not in str(error.value)
    with pytest.raises(SystemExit, match="leave out --weights"):
        publish.main(["space", "--repo", "me/page", "--weights", str(tiny_weights), "--dry-run"])


# --- what CONTRIBUTING.md promises ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Forty drawings of other sizes and kinds than CelebA's, one file that is none, and labels for some."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(3)
    for index in range(40):
        size, kind = [((300, 200), "png"), ((90, 140), "jpg"), ((128, 128), "webp")][index % 3]
        draw_face(generator.random(40) < 0.4, generator).resize(size).save(folder / f"someone {index}.{kind}")
    (folder / "notes.txt").write_text("no picture")
    (folder / "labels.csv").write_text("file,Smiling,Eyeglasses\nsomeone 0.png,1,0\nsomeone 1.jpg,0,\nnobody.png,1,1\n")
    return folder


def test_training_on_a_folder_of_other_pictures(pictures, tiny_weights, tmp_path, capsys, monkeypatch):
    """The commands of the section, from the folder to a face drawn by the new weights."""
    monkeypatch.setattr(train_unet, "sample_grid", lambda *_: None)  # which takes longest
    weights, mine, labels = ["--weights", str(tiny_weights)], str(tmp_path / "mine"), str(pictures / "labels.csv")
    prepare(["folder", "--data", str(pictures), "--labels", labels, "--out", mine, *weights])
    said = capsys.readouterr().out
    assert "no picture: 2 (labels.csv, notes.txt)" in said and "label without a picture: 1 (nobody.png)" in said
    prepared = load_prepared(tmp_path / "mine")
    assert len(prepared.names) == 40 and prepared.validation.sum() == 2
    smiling, glasses = (prepared.attributes[:, ATTRIBUTES.index(name)].tolist() for name in ("Smiling", "Eyeglasses"))
    names = sorted(path.name for path in pictures.iterdir() if path.suffix in (".png", ".jpg", ".webp"))
    clip = FacePipeline.from_pretrained(tiny_weights, device="cpu")
    read = clip.attribute_scores(prepared.images.numpy()) > 0.5
    first, second = names.index("someone 0.png"), names.index("someone 1.jpg")
    assert smiling[first] and not glasses[first] and not smiling[second]
    assert glasses[second] == read[second, ATTRIBUTES.index("Eyeglasses")]
    assert smiling[5] == read[5, ATTRIBUTES.index("Smiling")]
    prepare(["embed", "--out", mine, *weights])
    train_unet.main(
        [
            "--recipe",
            "tiny",
            "--prepared",
            mine,
            "--state-dir",
            str(tmp_path / "run"),
            "--device",
            "cpu",
            *weights,
            "--out",
            str(tmp_path / "new" / "unet.safetensors"),
            "--start-from",
            str(tiny_weights / "unet.safetensors"),
        ]
    )
    for name in ("clip", "srresnet"):
        shutil.copy(tiny_weights / f"{name}.safetensors", tmp_path / "new")
    new = FacePipeline.from_pretrained(tmp_path / "new", device="cpu")
    assert new.unet.info["faces"] == 38
    assert not np.array_equal(new.generate(["a man"], [1], 2), clip.generate(["a man"], [1], 2))


@pytest.mark.parametrize(
    "text, words",
    [
        ("name,Smiling\na,1\n", "column `file`"),
        ("file,Happy\na,1\n", "Happy is none"),
        ("file,Smiling\na,maybe\n", "numbers"),
        ("file,Smiling\na,1\na,0\n", "twice"),
        ("", "column `file`"),
    ],
)
def test_labels_that_cannot_be_used_are_one_line(tmp_path, text, words):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=words) as error:
        read_labels(tmp_path / "labels.csv")
    assert "\n" not in str(error.value)


def test_the_sampler_of_the_example_draws(monkeypatch, tiny_weights):
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    before = dict(SAMPLERS)
    try:
        exec(code, {})
        pipe = FacePipeline.from_pretrained(tiny_weights, device="cpu")
        frames = list(pipe.stream("a man", 3, 5, sampler=(set(SAMPLERS) - set(before)).pop()))
        assert len(frames) == 5 and frames[-1].noise_level == 0
    finally:
        SAMPLERS.clear()
        SAMPLERS.update(before)


def test_every_command_of_the_guide_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for module in set(re.findall(r"-m (training[\w.]+)", text)):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
    for target in set(re.findall(r"make ([a-z-]+)", text)):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    assert "perfect_network" in text and "perfect_network" in (ROOT / "tests" / "model" / "test_sampler.py").read_text()
