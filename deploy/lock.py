"""Writes deploy/constraints.txt: every package that the image installs, at the version installed here.

    make lock

pip finds what the image's Python needs (it asks the package index, and downloads little); what is installed here, which
the tests ran with, says the versions.
"""

import json
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "deploy" / "constraints.txt"
# of the image
PYTHON = "3.12"
HEAD = """# Every package of the image at the version the tests ran with. CUDA's own come with PyTorch where they are
asked for.
# `make lock` writes this file anew.
"""
CUDA = re.compile(r"(nvidia|cuda|triton)(-|$)")


def needed() -> dict[str, str]:
    """Name -> version of what pip would install for the image."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = ["pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--only-binary=:all:"]
        command += ["--target", folder, "--python-version", PYTHON, "--report", str(report)]
        command += ["--requirement", str(ROOT / "requirements.txt")]
        subprocess.run([sys.executable, "-m", *command], check=True)
        packages = (item["metadata"] for item in json.loads(report.read_text())["install"])
        return {re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"] for each in packages}


def installed(name: str, otherwise: str) -> str:
    """The version here, without its local part (as "+cpu"); `otherwise` if it is not installed."""
    try:
        return metadata.version(name).split("+")[0]
    except metadata.PackageNotFoundError:
        return otherwise


def main() -> None:
    versions = {name: installed(name, version) for name, version in needed().items() if not CUDA.match(name)}
    CONSTRAINTS.write_text(HEAD + "".join(f"{name}=={version}\n" for name, version in sorted(versions.items())))


if __name__ == "__main__":
    main()
