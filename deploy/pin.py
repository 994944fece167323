"""Pins the images that the Dockerfile and deploy/compose.yaml start from by their digests, which never change.

    make pin-image

Needs Docker with buildx and the network. Run it anew to take an image's newer build.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = "Dockerfile", "deploy/compose.yaml"
# `FROM name:tag` and `image: name:tag`, with a digest or without one
NAMED = re.compile(r"(?m)^(FROM |\s+image: )([\w./-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?$")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(image: str) -> str:
    """The digest of an image for all its machines, asked of its registry. Ends with one line where it is not told."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise SystemExit("pin: Docker is needed, which knows the registry's digests.") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or ["no answer"])[-1]
        raise SystemExit(f"pin: {image} could not be looked up: {said}") from None
    digest = done.stdout.strip()
    if not DIGEST.fullmatch(digest):
        raise SystemExit(f"pin: {image}: Docker named no digest.")
    return digest


def pinned(text: str, digests: dict[str, str]) -> str:
    """A file's text with a digest behind the name of each image."""
    return NAMED.sub(lambda match: f"{match[1]}{match[2]}@{digests[match[2]]}", text)


def main() -> None:
    texts = {name: (ROOT / name).read_text() for name in FILES}
    images = sorted({match[2] for text in texts.values() for match in NAMED.finditer(text)})
    digests = {image: digest_of(image) for image in images}
    for name, text in texts.items():
        (ROOT / name).write_text(pinned(text, digests))
    print("\n".join(f"{image}@{digest}" for image, digest in digests.items()))


if __name__ == "__main__":
    main()
