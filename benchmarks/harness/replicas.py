"""Several replicas of the app behind nginx, as deploy/compose.yaml runs them, on this machine's loopback address."""

import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.server import ROOT, Server, answers, running

CONFIG = ROOT / "deploy" / "nginx.conf"


@dataclass(frozen=True)
class Replicas:
    """Asked like one `Server`."""

    # nginx's
    address: str
    servers: tuple[Server, ...]

    @property
    def api(self) -> str:
        return f"{self.address}/gradio_api"

    @property
    def log(self) -> str:
        return "\n".join(server.log for server in self.servers)

    def figures(self) -> dict[str, int]:
        """Those of all replicas together."""
        total: Counter[str] = Counter()
        for server in self.servers:
            total.update(server.figures())
        return dict(total)


def nginx() -> str:
    """The path of nginx. Raises FileNotFoundError."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if not path:
        raise FileNotFoundError("No nginx found: install it (on Debian: apt-get install nginx).")
    return path


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def configured(addresses: list[str], port: int, folder: Path) -> str:
    """deploy/nginx.conf for these replicas (host:port), this port, and its own files in `folder`."""
    servers = "\n".join(f"        server {address} max_fails=2 fail_timeout=5s;" for address in addresses)
    text = re.sub(r"( +server app\d:.*\n)+", servers + "\n", CONFIG.read_text())
    return text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("/tmp/nginx", str(folder))


@contextmanager
def replicated(
    folder: Path, count: int = 2, environment: dict[str, str] | None = None, code: Path = ROOT
) -> Iterator[Replicas]:
    """Start `count` apps and nginx before them; end them afterwards. Raises FileNotFoundError without nginx."""
    program, port = nginx(), free_port()
    with ExitStack() as stack:
        servers = tuple(
            stack.enter_context(running(folder / f"replica{number}", environment, code)) for number in range(count)
        )
        own = folder / "nginx"
        own.mkdir()
        addresses = [server.address.removeprefix("http://") for server in servers]
        (own / "nginx.conf").write_text(configured(addresses, port, own))
        log = stack.enter_context((own / "log").open("w"))
        command = [program, "-p", str(own), "-c", str(own / "nginx.conf"), "-g", "daemon off;"]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)
        started = time.monotonic()
        while not answers(f"http://127.0.0.1:{port}"):
            if process.poll() is not None or time.monotonic() - started > 30:
                raise RuntimeError(f"nginx did not start:\n{(own / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield Replicas(f"http://127.0.0.1:{port}", servers)
