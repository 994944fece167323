"""Publishing, against a Hub on the loopback address: what goes there, what never does, and what comes back."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
import torch

from deploy import publish
from model.errors import InputError
from model.files.hub import FILES, OPTIONAL, release_hash
from model.pipeline import FacePipeline
from tests.conftest import ROOT, save_concepts, save_crisp, save_critic, save_guided, save_student
from tests.fake_hub import FakeHub


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
    save_critic(folder)
    save_concepts(folder, Red_Hair=torch.zeros(512))
    save_guided(folder)
    (folder / "targets").mkdir()
    shutil.copy(ROOT / "weights" / "targets" / "noise.safetensors", folder / "targets")
    (folder / "README.md").write_text("![Faces](../assets/pictures/faces.png) and [more](../docs/training.md)")
    (folder.parent / "assets" / "pictures").mkdir(parents=True)
    (folder.parent / "assets" / "pictures" / "faces.png").write_bytes(b"a picture")
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
        "README.md": b"![Faces](assets/pictures/faces.png) and [more](../docs/training.md)",
        "assets/pictures/faces.png": b"a picture",
    }
    code = f"""
import time
from model.files import hub
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
refused("me/half@{revision}")
"""
    hub.repos["me/half"] = {revision: {"clip.safetensors": b"no network"}}
    done = run(hub, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr[-2000:]
    fetched, wrong, nothing, half = done.stdout.strip().splitlines()
    assert fetched == FacePipeline.from_pretrained(tiny_weights).clip.hash
    assert "not the pinned ones" in wrong and "cannot be fetched from the Hub" in nothing
    assert half.endswith("the repository has no unet.safetensors")


def test_a_slow_hub_does_not_hold_up_the_start(hub, tmp_path):
    """The page's pipeline: after the time limit the bundled weights stand in, and it is said."""
    hub.delay = 30.0
    code = """
import time
from model.files import hub
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
    # what is no longer there goes
    assert "ui/old.py" in first and "ui/old.py" not in files and ".gitattributes" in files
    assert files["app.py"] == (ROOT / "app.py").read_bytes() and files["README.md"].startswith(b"---\ntitle: Facet")
    assert files["weights/unet.safetensors"] == (ROOT / "weights" / "unet.safetensors").read_bytes()
    assert not [name for name in files if name.startswith(("tests", "training", ".github", ".gitignore", "runs"))]


def test_what_cannot_be_published_is_one_line(tiny_weights, tmp_path, monkeypatch):
    shutil.copytree(tiny_weights, tmp_path / "weights")
    (tmp_path / "weights" / "unet.safetensors").write_bytes(b"damaged")
    damaged = ["--repo", "me/faces", "--weights", str(tmp_path / "weights")]
    for arguments, words in (
        (damaged, "damaged"),
        (["--repo", "faces"], "owner/name"),
        (["--repo", "me/fa ces"], "publish: "),
        (["--repo", "me/faces"], "publish: "),
    ):
        # the last: the tests are offline
        with pytest.raises(SystemExit, match=words) as error:
            publish.main(["weights", *arguments])
        assert "\n" not in str(error.value)
    # no network, and a Hub that refuses
    for error in (httpx.ConnectError("no route to host"), OSError("refused")):
        monkeypatch.setattr(publish.HfApi, "create_repo", Mock(side_effect=error))
        with pytest.raises(SystemExit, match=f"publish: {error}"):
            publish.main(["weights", "--repo", "me/faces"])
    with pytest.raises(SystemExit, match="leave out --weights"):
        publish.main(["space", "--repo", "me/page", "--weights", str(tiny_weights), "--dry-run"])


# --- what never goes ---


@pytest.fixture
def checkout(tmp_path):
    """A git checkout with one file that may be published; the page's folders are there."""
    root = tmp_path / "checkout"
    for name in ("ui", "weights"):
        (root / name).mkdir(parents=True)
    (root / "ui" / "page.py").write_text("page = 1\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


def test_only_what_git_tracks_is_published(checkout):
    for name in ("weights/token.txt", "ui/secrets.json", "ui/page.py.bak", "ui/notes.txt"):
        (checkout / name).write_text("x")
    files = publish.files_of(("ui", "weights"), checkout)
    assert [path.relative_to(checkout).as_posix() for path in files] == ["ui/page.py"]


@pytest.mark.parametrize(
    "name, text",
    [
        ("weights/token.txt", "x"),
        ("ui/secrets.json", "{}"),
        ("ui/my_password.txt", "x"),
        ("ui/page.py.bak", "x"),
        ("ui/id_rsa", "x"),
        ("ui/server.pem", "x"),
        ("ui/settings.py", "TOKEN = 'hf_" + "a" * 34 + "'"),
        ("ui/notes.md", "-----BEGIN RSA " + "PRIVATE KEY-----"),
    ],
)
def test_what_looks_like_a_secret_is_refused_by_name(checkout, name, text):
    (checkout / name).write_text(text)
    git(checkout, "add", "--force", name)
    with pytest.raises(InputError, match=re.escape(name)):
        publish.files_of(("ui", "weights"), checkout)


def test_a_link_that_leads_out_is_refused(checkout, tmp_path):
    (tmp_path / "passwords").write_text("x")
    (checkout / "ui" / "words.txt").symlink_to(tmp_path / "passwords")
    git(checkout, "add", ".")
    with pytest.raises(InputError, match="ui/words.txt is a link"):
        publish.files_of(("ui",), checkout)


def test_without_git_nothing_is_published(tmp_path):
    (tmp_path / "ui").mkdir()
    with pytest.raises(InputError, match="git"):
        publish.files_of(("ui",), tmp_path)


def test_nothing_of_the_project_looks_like_a_secret():
    assert publish.files_of(publish.SPACE, ROOT)
