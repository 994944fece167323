"""Weights on the Hugging Face Hub: fetched within a time limit, pinned by revision and, if wanted, by hash.

owner/repo@revision            a commit's 40 digits; a branch or tag works too, but then pins nothing
owner/repo@revision#0123abcd   the same, refused unless `release_hash` of the files begins with these digits
"""

import hashlib
import queue
import re
import threading
from pathlib import Path

from model.errors import WeightsError

FILES = ("clip", "unet", "srresnet")
OPTIONAL = ("srresnet_crisp", "student")  # fetched and hashed where a release has it
SECONDS = 180.0  # that fetching may take in all; the Hub's client has only limits for each answer
SOURCE = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[^#@\s]+)(#(?P<hash>[0-9a-f]{8,64}))?")


def release_hash(folder: str | Path) -> str:
    """One SHA-256 (64 hex digits) for the weights files of a folder, over every byte: tensors, configs and stories."""
    digest = hashlib.sha256()
    for name in FILES + OPTIONAL:
        path = Path(folder) / f"{name}.safetensors"
        if name in FILES or path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def fetch(source: str, seconds: float = SECONDS) -> Path:
    """Bring the weights of `source` ("owner/repo@revision", see above) into the Hub's cache. Returns their folder.

    Raises WeightsError, one line, if the source is not of that form, the Hub cannot be reached, it takes more than
    `seconds`, or the files are not the pinned ones.
    """
    match = SOURCE.fullmatch(source)
    if not match:
        raise WeightsError(f"{source} is neither a folder with weights nor owner/repo@revision on the Hub.")
    answer: queue.Queue = queue.Queue(1)
    threading.Thread(target=_download, args=(match["repo"], match["revision"], answer), daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        found = f"no complete answer within {seconds:.0f} seconds"
    if isinstance(found, str):
        raise WeightsError(f"The weights {source} cannot be fetched from the Hub: {found}")
    if match["hash"] and not release_hash(found).startswith(match["hash"]):
        raise WeightsError(f"The weights {source} are not the pinned ones: their hash is {release_hash(found)[:16]}.")
    return found


def _download(repo: str, revision: str, answer: queue.Queue) -> None:
    """Put the folder, or one line saying why there is none, into `answer`."""
    try:
        from huggingface_hub import snapshot_download

        folder = Path(
            snapshot_download(
                repo, revision=revision, allow_patterns=[f"{name}.safetensors" for name in FILES + OPTIONAL]
            )
        )
        missing = [name for name in FILES if not (folder / f"{name}.safetensors").is_file()]
        answer.put(f"the repository has no {missing[0]}.safetensors" if missing else folder)
    except Exception as error:  # the client's own errors, the network's, the disk's
        answer.put((str(error).strip().split("\n")[0] or type(error).__name__)[:200])
