"""Put the weights, or the page, on the Hugging Face Hub.

    python -m deploy.publish weights --repo owner/facet-weights [--dry-run]
    python -m deploy.publish space   --repo owner/facet         [--dry-run]

Both make the repository if it is not there, send one commit and print its address; a Space then holds nothing else, the
weights' repository keeps what else is in it. `weights` also prints the line that pins exactly these files. A dry run
checks everything that can be checked here, lists the files, and sends nothing. The account is huggingface_hub's own:
`hf auth login`, or a token in HF_TOKEN.
"""

import argparse
import os
import re
import subprocess
from pathlib import Path

import httpx
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from model.errors import FacetError, InputError
from model.files.hub import FILES, OPTIONAL, release_hash
from model.pipeline import FacePipeline

ROOT = Path(__file__).parent.parent
# what the page runs on
SPACE = (
    "README.md",
    "LICENSE",
    "requirements.txt",
    "app.py",
    "model",
    "ui",
    "assets",
    "weights",
)
# but these weights, which only measure or begin a training
NOT_SHOWN = (
    "judge.safetensors",
    "srresnet_x4.safetensors",
)


SECRET_NAME = re.compile(
    r"(?i)(^|[._-])(tokens?|secrets?|passwords?|passwd|credentials?|htpasswd|id_(rsa|dsa|ecdsa|ed25519))([._-]|$)"
    r"|^\.?env(\.|$)|\.(pem|key|p12|pfx|jks|kdbx|bak|orig|swp)$|~$"
)
TEXTS = (".py", ".json", ".toml", ".txt", ".md", ".html", ".css", ".js", ".cfg", ".ini", ".yaml", ".yml", ".sh", "")
SECRET_TEXT = re.compile(
    r"\b(hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}"
    r"|xox[baprs]-[A-Za-z0-9-]{20,}|sk-[A-Za-z0-9_-]{32,})\b|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)


def files_of(names: tuple[str, ...], root: Path) -> list[Path]:
    """The files of these files and folders under `root` that git tracks, sorted. Raises InputError (see `refuse`)."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--", *names], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        raise InputError(f"{root} is no git checkout: only what git tracks is published.")
    paths = [root / name for name in listed.stdout.split("\0") if name]
    paths = [path for path in paths if not path.relative_to(root).parts[-1].startswith(".") and os.path.lexists(path)]
    refuse(paths, root)
    return sorted(paths)


def refuse(files: list[Path], root: Path) -> None:
    """Raises InputError for a link that leads out of `root`, and for what looks like a secret, naming the file."""
    for path in files:
        name = path.relative_to(root).as_posix()
        if not path.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{name} is a link that leads out of the project: nothing is published.")
        if SECRET_NAME.search(path.name):
            raise InputError(f"{name} is named like a secret: nothing is published.")
        if path.suffix in TEXTS and SECRET_TEXT.search(path.read_text(encoding="utf-8", errors="replace")):
            raise InputError(f"{name} holds what looks like a secret: nothing is published.")


def named(files: list[Path], root: Path) -> dict[str, Path | bytes]:
    """Files by their names in the repository, which are relative to `root`."""
    return {path.relative_to(root).as_posix(): path for path in files}


def weights_files(folder: Path) -> dict[str, Path | bytes]:
    """What `weights` publishes: every weights file, the figures and the model card with its pictures.

    Raises WeightsError if they do not fit.
    """
    FacePipeline.from_pretrained(folder, device="cpu")
    if folder == ROOT / "weights":
        files = [
            path for path in files_of(("weights",), ROOT) if path.name.endswith((".safetensors", "evaluation.json"))
        ]
    else:
        # somebody's own, which git need not know: the files that the page reads
        names = [f"{name}.safetensors" for name in FILES + OPTIONAL] + ["evaluation.json"]
        files = [folder / name for name in names] + [*folder.glob("targets/*.safetensors")]
        files = [path for path in files if path.is_file()]
        refuse(files, folder)
    upload = named(files, folder)
    if (folder / "README.md").is_file():
        card = (folder / "README.md").read_text(encoding="utf-8")
        shown = [folder.parent / name for name in re.findall(r"\]\(\.\./(assets/[\w./-]+)\)", card)]
        refuse([folder / "README.md", *shown], folder.parent)
        upload |= named(shown, folder.parent)
        upload["README.md"] = card.replace("](../assets/", "](assets/").encode()
    return upload


def publish(repo: str, kind: str, files: dict[str, Path | bytes], message: str) -> tuple[str, str]:
    """One commit that holds `files`. Returns the commit's id and address."""
    api = HfApi()
    api.create_repo(repo, repo_type=kind, exist_ok=True, space_sdk="gradio" if kind == "space" else None)
    changes = [CommitOperationAdd(name, file) for name, file in files.items()]
    # what an earlier version of the page had would be served on
    if kind == "space":
        there = set(api.list_repo_files(repo, repo_type=kind)) - {".gitattributes"}
        changes += [CommitOperationDelete(name) for name in sorted(there - set(files))]
    commit = api.create_commit(repo, changes, commit_message=message, repo_type=kind)
    return commit.oid, commit.commit_url


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.publish", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("weights", "space"))
    parser.add_argument("--repo", required=True, help="owner/name on the Hub")
    parser.add_argument("--weights", type=Path, default=ROOT / "weights", help="folder of the weights to publish")
    parser.add_argument("--dry-run", action="store_true", help="send nothing")
    options = parser.parse_args(arguments)
    try:
        validate_repo_id(options.repo)
        if "/" not in options.repo:
            raise InputError(f"--repo must be owner/name, not {options.repo}.")
        weights = options.weights.resolve()
        files = weights_files(weights)
        if options.what == "space":
            if weights != ROOT / "weights":
                raise InputError("A Space takes the weights beside the code: leave out --weights.")
            files = named(
                [path for path in files_of(SPACE, ROOT) if path not in [weights / name for name in NOT_SHOWN]], ROOT
            )
        for name, file in sorted(files.items()):
            print(f"{len(file) if isinstance(file, bytes) else file.stat().st_size:>12,}  {name}")
        pin = release_hash(weights)
        if options.dry_run:
            print(f"Dry run: nothing was sent. The weights' hash is {pin}.")
            return
        kind = "model" if options.what == "weights" else "space"
        oid, address = publish(options.repo, kind, files, f"Facet, weights {pin[:16]}")
    except (FacetError, httpx.HTTPError, HFValidationError, OSError) as error:
        raise SystemExit(f"publish: {str(error).strip().splitlines()[0]}") from error
    print(address)
    if options.what == "weights":
        print(f"FACET_WEIGHTS={options.repo}@{oid}#{pin[:16]}")


if __name__ == "__main__":
    main()
