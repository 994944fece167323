"""Where weights come from: a folder, or the Hub, which is asked within a time limit.

The Hub's are pinned by revision and, if wanted, by hash:

owner/repo@revision            a commit's 40 digits; a branch or tag works too, but then pins nothing
owner/repo@revision#0123abcd   the same, refused unless `release_hash` of the files begins with these digits
"""

import hashlib
import os
import queue
import re
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

from model.errors import WeightsError

# that every release has
FILES = ("clip", "unet", "srresnet")
# fetched and hashed where a release has it
OPTIONAL = ("srresnet_crisp", "student", "critic", "concepts", "guided")
# that fetching may take in all; the Hub's client has only limits for each answer
FETCH_SECONDS = 180.0
SOURCE = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[^#@\s]+)(#(?P<hash>[0-9a-f]{8,64}))?")


def plain(source: str | Path) -> str:
    """An address of weights as a shell reads it: quotes left off, ~ and $HOME filled in, file:// as a path."""
    text = str(source).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    if text.startswith("file:"):
        text = unquote(urlsplit(text).path)
    return os.path.expanduser(os.path.expandvars(text))


def release_hash(folder: str | Path) -> str:
    """One SHA-256 (64 hex digits) for the weights files of a folder, over every byte: tensors and metadata."""
    digest = hashlib.sha256()
    for name in FILES + OPTIONAL:
        path = Path(folder) / f"{name}.safetensors"
        if name in FILES or path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def fetch(source: str, seconds: float = FETCH_SECONDS) -> Path:
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
        fetched = answer.get(timeout=seconds)
    except queue.Empty:
        fetched = f"no complete answer within {seconds:.0f} seconds"
    if isinstance(fetched, str):
        raise WeightsError(f"The weights {source} cannot be fetched from the Hub: {fetched}")
    if match["hash"] and not release_hash(fetched).startswith(match["hash"]):
        raise WeightsError(f"The weights {source} are not the pinned ones: their hash is {release_hash(fetched)[:16]}.")
    return fetched


def _download(repo: str, revision: str, answer: queue.Queue) -> None:
    """Put the folder, or one line saying why there is none, into `answer`."""
    try:
        from huggingface_hub import snapshot_download

        wanted = [f"{name}.safetensors" for name in FILES + OPTIONAL]
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=wanted))
        missing = [name for name in FILES if not (folder / f"{name}.safetensors").is_file()]
        answer.put(f"the repository has no {missing[0]}.safetensors" if missing else folder)
    except Exception as error:
        # the client's own errors, the network's, the disk's
        answer.put((str(error).strip().split("\n")[0] or type(error).__name__)[:200])
