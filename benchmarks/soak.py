"""An hour of everything at once: visitors, attacks, kills, restarts, a full store of pictures and cut connections.

Is every face right, and is nothing left?

    make soak                                   64 users for an hour
    python -m benchmarks.soak --seconds 300     a shorter one

The real app runs as a process of its own on this machine's loopback address; nothing else is ever asked, and every
attack is bounded. Prints JSON: faces right, wrong, refused, cut off by a kill, the longest wait of any user, memory,
and files left at the end. Ends with 1 if a face was wrong, a file was left, or the log holds a traceback or a prompt.
"""

import argparse
import asyncio
import contextlib
import json
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from benchmarks.harness.server import ROOT, Server, running
from benchmarks.load import FACES, TOLERANCE, face

STEPS = 8
# a word of the prompts that no log may hold
SECRET = "zanzibarquartz"


@dataclass(frozen=True)
class Plan:
    """How many visitors, for how long, of which app."""

    users: int
    seconds: float
    # how often the app is ended and started again
    kills: int
    # beside that of this process
    environment: dict[str, str] = field(default_factory=dict)
    # the folder that app.py lies in
    code: Path = ROOT


@dataclass
class Soak:
    """What is known of the run so far."""

    server: Server
    until: float
    # (prompt, seed) -> the face drawn with nothing else to do
    alone: dict = field(default_factory=dict)
    # right, wrong, refused, cut
    faces: Counter = field(default_factory=Counter)
    attacks: Counter = field(default_factory=Counter)
    # user -> seconds
    longest: dict[int, float] = field(default_factory=dict)
    memory_mb: int = 0
    logs: str = ""
    up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until


# --- visitors ---------------------------------------------------------------------------------------------------------


async def visitor(soak: Soak, client: httpx.AsyncClient, number: int) -> None:
    """Ask for one face after another; what a kill cuts off is asked again."""
    turn = number
    while not soak.over:
        await soak.up.wait()
        turn += 5
        prompt, seed = FACES[turn % len(FACES)]
        start = time.monotonic()
        try:
            drawn = await face(client, soak.server, prompt, seed, STEPS)
        except (ValueError, KeyError, httpx.HTTPError):
            soak.faces["cut"] += 1
            await asyncio.sleep(0.5)
            continue
        if drawn is None:
            soak.faces["refused"] += 1
            await asyncio.sleep(0.5)
            continue
        right = np.abs(drawn.astype(int) - soak.alone[prompt, seed]).max() <= TOLERANCE
        soak.faces["right" if right else "wrong"] += 1
        soak.longest[number] = max(soak.longest.get(number, 0.0), time.monotonic() - start)


# --- attacks: each a few requests -------------------------------------------------------------------------------------


async def nameless(client: httpx.AsyncClient, api: str) -> None:
    """Sessions without a name, at which the loop of gradio's own queue ends."""
    for session in ("", " ", "\x00", "a" * 10_000):
        await client.post(f"{api}/queue/join", json={"data": [], "fn_index": 0, "session_hash": session})


async def unread(client: httpx.AsyncClient, api: str) -> None:
    """Long runs that nobody reads."""
    for _ in range(5):
        await client.post(f"{api}/call/generate", json={"data": [SECRET, "", 1, 1000, 2.0, "ddpm"]})


async def cut(client: httpx.AsyncClient, api: str) -> None:
    """A long run whose visitor leaves in the middle."""
    asked = await client.post(f"{api}/call/generate", json={"data": [SECRET, "", 1, 1000, 2.0, "ddpm"]})
    if asked.status_code == 200:
        with contextlib.suppress(httpx.HTTPError):
            await client.get(f"{api}/call/generate/{asked.json()['event_id']}", timeout=1)


async def crowd(client: httpx.AsyncClient, api: str) -> None:
    """Many sessions, each with a tiny event."""
    for _ in range(60):
        await client.post(f"{api}/call/health", json={"data": []})


async def shapes(client: httpx.AsyncClient, api: str) -> None:
    """Requests of the wrong shape."""
    for body in (b'{"data": []}', f'{{"data": ["{SECRET}"]}}'.encode(), b'{"data": ["\\ud83d"]}', b"[" * 5000):
        for name in ("generate", "understand", "upscale"):
            asked = await client.post(f"{api}/call/{name}", content=body, headers={"content-type": "application/json"})
            if asked.status_code == 200:
                await client.get(f"{api}/call/{name}/{asked.json()['event_id']}")


async def large(client: httpx.AsyncClient, api: str) -> None:
    """Bodies that are too large."""
    for path in ("call/generate", "cancel", "upload"):
        await client.post(f"{api}/{path}", content=bytes(6 * 2**20))


async def uploads(client: httpx.AsyncClient, api: str) -> None:
    """More pictures than there is room for, some without an end."""
    for number in range(30):
        await client.post(f"{api}/upload", files={"files": (f"{number}.png", bytes(4 * 2**20))})
    await client.post(
        f"{api}/upload",
        content=b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc',
        headers={"content-type": "multipart/form-data; boundary=x"},
    )


async def doors(client: httpx.AsyncClient, api: str) -> None:
    """What is closed."""
    for path in ("dev/reload", "deep_link?session_hash=a", "file=/etc/passwd", "proxy=http://127.0.0.1/"):
        await client.get(f"{api}/{path}")


async def silence(client: httpx.AsyncClient, api: str) -> None:
    """Connections that say nothing for a while."""
    host, port = api.split("/")[2].split(":")
    streams = []
    for _ in range(100):
        with contextlib.suppress(OSError):
            streams.append(await asyncio.open_connection(host, int(port)))
    await asyncio.sleep(1)
    for _, writer in streams:
        writer.close()


ATTACKS: dict[str, Callable[[httpx.AsyncClient, str], Awaitable[None]]] = {
    attack.__name__: attack for attack in (nameless, unread, cut, crowd, shapes, large, uploads, doors, silence)
}


async def attacker(soak: Soak, client: httpx.AsyncClient, chance: random.Random) -> None:
    """One attack after another."""
    while not soak.over:
        await soak.up.wait()
        name = chance.choice(list(ATTACKS))
        # the app may refuse, cut off, or be starting again
        with contextlib.suppress(httpx.HTTPError, OSError):
            await ATTACKS[name](client, soak.server.api)
        soak.attacks[name] += 1
        await asyncio.sleep(0.2)


# --- the app's life ---------------------------------------------------------------------------------------------------


async def life(soak: Soak, folder: Path, plan: Plan) -> None:
    """Start the app `kills` + 1 times in the same folder; end it by SIGKILL and by SIGTERM in turn.

    The seconds begin when it has drawn each face once with nothing else to do.
    """
    for turn in range(plan.kills + 1):
        place, last = folder / f"run{turn}", turn == plan.kills
        with running(place, plan.environment, plan.code, temp=folder / "pictures") as soak.server:
            if not soak.alone:
                async with httpx.AsyncClient(timeout=180, trust_env=False) as client:
                    for key in FACES:
                        soak.alone[key] = (await face(client, soak.server, *key, STEPS)).astype(int)
                soak.until = time.monotonic() + plan.seconds
            end = soak.until - plan.seconds * (plan.kills - turn) / (plan.kills + 1)
            soak.up.set()
            while time.monotonic() < end:
                soak.memory_mb = max(soak.memory_mb, soak.server.figures()["memory_mb"])
                await asyncio.sleep(0.2)
            # whoever waits still gets an answer
            if last:
                await asyncio.sleep(min(20.0, plan.seconds))
            soak.up.clear()
            soak.server.process.send_signal(signal.SIGTERM if last or turn % 2 else signal.SIGKILL)
            await asyncio.to_thread(soak.server.process.wait, 30)
        soak.logs += (place / "log").read_text(errors="replace")
    # whoever waits sees that it is over
    soak.up.set()


async def soak(folder: Path, plan: Plan) -> dict:
    """The visitors of a plan and two attackers for so many seconds. Returns what is printed."""
    (folder / "pictures").mkdir()
    state = Soak(server=None, until=float("inf"))  # type: ignore[arg-type]
    limits = httpx.Limits(max_connections=2 * plan.users + 20)
    async with httpx.AsyncClient(timeout=180, trust_env=False, limits=limits) as client:
        tasks = [asyncio.create_task(visitor(state, client, number)) for number in range(plan.users)]
        tasks += [asyncio.create_task(attacker(state, client, random.Random(number))) for number in range(2)]
        await life(state, folder, plan)
        await asyncio.wait(tasks, timeout=60)
    return {
        "users": plan.users,
        "seconds": plan.seconds,
        "kills_and_restarts": plan.kills,
        **{name: state.faces[name] for name in ("right", "wrong", "refused", "cut")},
        "users_with_a_face": len(state.longest),
        "longest_wait_s": round(max(state.longest.values(), default=0.0), 1),
        "memory_mb": state.memory_mb,
        "files_left": sum(path.is_file() for path in (folder / "pictures").rglob("*")),
        "attacks": dict(state.attacks),
        "log_lines": len(state.logs.splitlines()),
        "log_is_clean": SECRET not in state.logs and "Traceback" not in state.logs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--kills", type=int, default=5, help="how often the app is ended and started again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(soak(Path(folder), Plan(options.users, options.seconds, options.kills)))
    print(json.dumps(report, indent=1))
    if report["wrong"] or report["files_left"] or not report["log_is_clean"]:
        raise SystemExit("soak: see above")


if __name__ == "__main__":
    main()
