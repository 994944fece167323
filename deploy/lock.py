"""Writes deploy/constraints.txt: every package that the image installs, at the version installed here.

    make lock

What is installed here, which the tests ran with, says what requirements.txt needs, what that needs in turn, and every
version. Nothing is fetched.
"""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "deploy" / "constraints.txt"
# of the image, whatever runs here
IMAGE = {
    "python_version": "3.12",
    "python_full_version": "3.12.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
}
HEAD = """\
# Every package of the image at the version the tests ran with. CUDA's own come with PyTorch where they are asked for.
# `make lock` writes this file anew.
"""
CUDA = re.compile(r"(nvidia|cuda|triton)(-|$)")


def asked_for(lines: str) -> list[Requirement]:
    """What a requirements file names."""
    named = (line.partition("#")[0].strip() for line in lines.splitlines())
    return [Requirement(line) for line in named if line]


def needs(name: str, extra: str) -> Iterator[Requirement]:
    """What an installed package needs in the image; with an extra, what that adds as well."""
    for requirement in map(Requirement, metadata.requires(name) or ()):
        if requirement.marker is None or requirement.marker.evaluate({**IMAGE, "extra": extra}):
            yield requirement


def locked(requirements: list[Requirement]) -> dict[str, str]:
    """Name -> version here, without its local part (as "+cpu"), of all that is needed; ends with one line if one is not
    installed."""
    versions: dict[str, str] = {}
    waiting, seen = list(requirements), set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if CUDA.match(name) or (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                versions[name] = metadata.version(name).split("+")[0]
            except metadata.PackageNotFoundError:
                raise SystemExit(f"lock: the image needs {name}, which is not installed here.") from None
            waiting += needs(name, extra)
    return versions


def main() -> None:
    versions = locked(asked_for((ROOT / "requirements.txt").read_text()))
    CONSTRAINTS.write_text(HEAD + "".join(f"{name}=={version}\n" for name, version in sorted(versions.items())))


if __name__ == "__main__":
    main()
