"""The real app as a process of its own on this machine's loopback address, and what it uses."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """A running app."""

    # http://127.0.0.1:port
    address: str
    process: subprocess.Popen
    # holds `temp` (gradio's cache) and `log` (all that the app prints)
    folder: Path

    @property
    def api(self) -> str:
        return f"{self.address}/gradio_api"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def figures(self) -> dict[str, int]:
        """Resident memory in MB, its peak, threads, open files, and files in gradio's cache. Linux only."""
        process = Path("/proc") / str(self.process.pid)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return {
            "memory_mb": int(status["VmRSS"].split()[0]) // 1024,
            "peak_mb": int(status["VmHWM"].split()[0]) // 1024,
            "threads": int(status["Threads"]),
            "descriptors": len(list((process / "fd").iterdir())),
            "files": sum(path.is_file() for path in (self.folder / "temp").rglob("*")),
        }


def answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def running(
    folder: Path,
    environment: dict[str, str] | None = None,
    code: Path = ROOT,
    command: Sequence[str] = (sys.executable, "app.py"),
    temp: Path | None = None,
) -> Iterator[Server]:
    """Start `command` in `code` and wait until it answers; end it afterwards. Its log goes into `folder`, and so do its
    pictures unless `temp` is another folder for them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "temp").mkdir(parents=True)
    environment = {
        **os.environ,
        # else the folder of the code would change
        "PYTHONDONTWRITEBYTECODE": "1",
        **(environment or {}),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(temp or folder / "temp"),
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=code, env=environment, stdout=log, stderr=subprocess.STDOUT)
    server = Server(f"http://127.0.0.1:{port}", process, folder)
    try:
        started = time.monotonic()
        while not answers(server.address):
            if process.poll() is not None or time.monotonic() - started > 120:
                raise RuntimeError(f"the app did not start:\n{server.log[-2000:]}")
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
