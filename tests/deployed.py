"""The app as the Dockerfile would run it: the files it copies in a clean folder, its environment and command, on small
weights.

One process for all tests that ask the app from outside. It believes in a proxy that only counts, so that any attempt to
reach another machine is seen.
"""

import json
import re
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.harness.server import ROOT, Server, running


def dockerfile() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, arguments), comments gone and continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.strip().split(None, 1)) for line in text.splitlines() if line.strip()]


def environment() -> dict[str, str]:
    """What the Dockerfile's ENV lines set."""
    return dict(pair.split("=", 1) for name, rest in dockerfile() if name == "ENV" for pair in rest.split())


def copied(folder: Path) -> Path:
    """Do the Dockerfile's COPY lines into `folder`, caches left out as .dockerignore says."""
    folder.mkdir()
    for name, rest in dockerfile():
        if name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
                else:
                    shutil.copy(ROOT / source, folder / target)
    return folder


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below `folder`: path -> (size, time of change). Without the stubs that gradio writes beside its
    components where it may, which it may not in the image.
    """
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyi"
    }


class Proxy(threading.Thread):
    """Takes connections on the loopback address, closes them, and keeps what they asked for first."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket, self.asked = socket.create_server(("127.0.0.1", 0)), []
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.start()

    def run(self):
        while True:
            connection, _ = self.socket.accept()
            connection.settimeout(2)
            try:
                self.asked.append(connection.recv(200).split(b"\r\n")[0].decode(errors="replace"))
            except OSError:
                self.asked.append("nothing")
            connection.close()


@dataclass(frozen=True)
class Deployed:
    """The running app and what surrounds it."""

    server: Server
    # the clean folder
    code: Path
    # its contents before the app began
    before: dict[str, tuple[int, int]]
    proxy: Proxy


@pytest.fixture(scope="session")
def deployed(tiny_weights, tmp_path_factory) -> Iterator[Deployed]:
    folder, proxy = tmp_path_factory.mktemp("deployed"), Proxy()
    code = copied(folder / "app")
    before = contents(code)
    command = [sys.executable, *json.loads(dict(dockerfile())["CMD"])[1:]]
    outside = dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), proxy.address
    )
    settings = {
        **environment(),
        **outside,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "FACET_WEIGHTS": str(tiny_weights),
        "HOME": str(folder / "nowhere"),
        # which the image does not have
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "HF_HUB_OFFLINE": "0",
    }
    with running(folder / "run", settings, code, command) as server:
        yield Deployed(server, code, before, proxy)
