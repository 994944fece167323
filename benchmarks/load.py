"""Many visitors at once: is every answer right, how long do they wait, and does the app grow?

    make load                                            64 users for a minute, then 2,000 requests; some six minutes
    make load REPLICAS=2                                 the same, of two replicas behind nginx
    python -m benchmarks.load --limits 1 2 3 4           faces a second at each number of runs side by side

The real app runs as a process of its own on this machine's loopback address; nothing else is ever asked. Every answer
is compared with the one the app gave to the same prompt and seed when it had nothing else to do. Prints JSON; ends with
1 if an answer was wrong, something failed, or the app grew. Nothing else should be running.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks.harness.replicas import Replicas, replicated
from benchmarks.harness.server import Server, running
from model.settings import DEFAULTS

FACES = [(prompt, seed) for seed in range(4) for prompt in ("a smiling woman with blond hair", "an old man", "")]
# grey levels between the same face twice: 2 of the network in another batch, 4 of the JPEG
TOLERANCE = 6
# of memory, from the middle to the end of the long part
MOST_GROWTH = 0.05
# answers between two looks at the app's figures
EVERY = 100
# threads and open files at the end beyond those at the beginning
MORE = 20


@dataclass
class Tally:
    """What happened to the requests."""

    # seconds from asking to the last frame, of right answers
    waits: list[float] = field(default_factory=list)
    # user -> the longest of them
    longest: dict[int, float] = field(default_factory=dict)
    # seconds that /understand took meanwhile
    understood: list[float] = field(default_factory=list)
    # refused, since the queue was full
    full: int = 0
    # another face than the one this prompt and seed make
    wrong: list[str] = field(default_factory=list)
    # anything else
    failed: list[str] = field(default_factory=list)


def last_face(stream: str) -> np.ndarray:
    """The finished face in an answer's event stream: (64, 64, 3) uint8. Raises ValueError if the run ended badly."""
    events = stream.strip().split("\n\n")
    if not events[-1].startswith("event: complete"):
        raise ValueError(f"the answer ends with {events[-1][:200]!r}")
    generating = [event for event in events if event.startswith("event: generating")]
    message = json.loads(generating[-1].split("data: ", 1)[1])[0]
    if message["step"] != message["total"]:
        raise ValueError(f"the answer ends at step {message['step']} of {message['total']}")
    jpeg = base64.b64decode(message["frames"][-1]["denoised"].split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


async def face(
    client: httpx.AsyncClient, server: Server | Replicas, prompt: str, seed: int, steps: int
) -> np.ndarray | None:
    """One request over HTTP; None if the queue is full. Raises ValueError or httpx.HTTPError."""
    asked = await client.post(
        f"{server.api}/call/generate", json={"data": [prompt, "", seed, steps, DEFAULTS.guidance, DEFAULTS.sampler]}
    )
    if asked.status_code == 503 and "full" in asked.text:
        return None
    asked.raise_for_status()
    return last_face((await client.get(f"{server.api}/call/generate/{asked.json()['event_id']}")).text)


async def understand(client: httpx.AsyncClient, server: Server | Replicas, tally: Tally) -> None:
    """Ask the light endpoint twice a second, until cancelled."""
    while True:
        start = time.monotonic()
        try:
            asked = await client.post(f"{server.api}/call/understand", json={"data": ["a smiling man"]})
            told = await client.get(f"{server.api}/call/understand/{asked.json()['event_id']}")
            if "event: complete" not in told.text:
                raise ValueError(told.text[-200:])
            tally.understood.append(time.monotonic() - start)
        except (ValueError, KeyError, httpx.HTTPError) as error:
            tally.failed.append(f"/understand: {type(error).__name__}: {error}"[:200])
        await asyncio.sleep(0.5)


@dataclass
class Crowd:
    """What users who ask at once share."""

    client: httpx.AsyncClient
    server: Server | Replicas
    steps: int
    # (prompt, seed) -> the face drawn with nothing else to do
    alone: dict[tuple[str, int], np.ndarray]
    # the time.monotonic() at which nobody asks again
    until: float
    # requests that may still be made
    left: int
    tally: Tally


async def user(crowd: Crowd, number: int) -> None:
    """Ask for one face after another, until the time is over or nobody has a request left."""
    turn, tally = number, crowd.tally
    while time.monotonic() < crowd.until and crowd.left > 0:
        crowd.left, turn = crowd.left - 1, turn + 5
        prompt, seed = FACES[turn % len(FACES)]
        start = time.monotonic()
        try:
            drawn = await face(crowd.client, crowd.server, prompt, seed, crowd.steps)
        except (ValueError, httpx.HTTPError) as error:
            tally.failed.append(f"{type(error).__name__}: {error}"[:200])
            continue
        if drawn is None:
            tally.full += 1
            await asyncio.sleep(0.5)
        elif np.abs(drawn.astype(int) - crowd.alone[prompt, seed]).max() > TOLERANCE:
            tally.wrong.append(f"{prompt!r}, seed {seed}")
        else:
            tally.waits.append(time.monotonic() - start)
            tally.longest[number] = max(tally.longest.get(number, 0.0), tally.waits[-1])


async def load(
    server: Server | Replicas, users: int, steps: int, seconds: float = 3600, requests: int = 10**9
) -> tuple[Tally, list[dict[str, int]], float]:
    """`users` ask at once, for `seconds` or `requests`. Returns the tally, figures after EVERY answers, and seconds."""
    limits = httpx.Limits(max_connections=2 * users + 2)
    async with httpx.AsyncClient(timeout=180, trust_env=False, limits=limits) as client:
        alone = {key: (await face(client, server, *key, steps)).astype(int) for key in FACES}
        tally, figures = Tally(), [server.figures()]

        async def watch() -> None:
            while True:
                await asyncio.sleep(0.2)
                if len(tally.waits) >= EVERY * len(figures):
                    figures.append(server.figures())

        start = time.monotonic()
        watching = asyncio.gather(watch(), understand(client, server, tally))
        crowd = Crowd(client, server, steps, alone, start + seconds, requests, tally)
        await asyncio.gather(*(user(crowd, number) for number in range(users)))
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        took = time.monotonic() - start
    figures.append(server.figures())
    return tally, figures, took


def summary(tally: Tally, figures: list[dict[str, int]], took: float) -> dict:
    waits = sorted(tally.waits) or [0.0]
    return {
        "answers": len(tally.waits),
        "wrong": tally.wrong[:5],
        "failed": tally.failed[:5],
        "queue_full": tally.full,
        "seconds": round(took, 1),
        "faces_per_second": round(len(tally.waits) / took, 2),
        "wait_median_s": round(statistics.median(waits), 2),
        "wait_95_percent_s": round(waits[int(0.95 * (len(waits) - 1))], 2),
        "wait_longest_s": round(waits[-1], 2),
        "users_with_a_face": len(tally.longest),
        "understand_median_s": round(statistics.median(tally.understood or [0.0]), 3),
        "first": figures[0],
        "middle": figures[len(figures) // 2],
        "last": figures[-1],
    }


def grown(figures: list[dict[str, int]]) -> list[str]:
    """What grew in a long run: memory from its middle on (gradio first fills its stores), the rest from the start."""
    first, middle, last = figures[0], figures[len(figures) // 2], figures[-1]
    more = [name for name in ("threads", "descriptors") if last[name] > first[name] + MORE]
    growth = [f"{name} from {first[name]} to {last[name]}" for name in more]
    if last["files"] > first["files"]:
        growth.append(f"files from {first['files']} to {last['files']}")
    if last["memory_mb"] > (1 + MOST_GROWTH) * middle["memory_mb"]:
        growth.append(f"memory from {middle['memory_mb']} to {last['memory_mb']} MB")
    return growth


def measure_limits(limits: list[int], users: int, seconds: float) -> dict[int, dict]:
    """Faces a second and waits with each number of runs side by side."""
    by_limit = {}
    for limit in limits:
        with (
            tempfile.TemporaryDirectory() as folder,
            running(Path(folder) / "app", {"FACET_CONCURRENCY": str(limit)}) as server,
        ):
            result = summary(*asyncio.run(load(server, users, DEFAULTS.steps, seconds)))
            by_limit[limit] = {
                name: result[name] for name in ("faces_per_second", "wait_median_s", "wait_95_percent_s", "failed")
            }
            print(f"{limit} side by side: {by_limit[limit]}", flush=True)
    return by_limit


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__.split("\n")[0])
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the first part, at the default steps a face")
    parser.add_argument("--requests", type=int, default=2000, help="of the second part, at one step a face")
    parser.add_argument("--limits", type=int, nargs="+", help="only compare these numbers of runs side by side")
    parser.add_argument("--replicas", type=int, default=1, help="more than one: behind nginx, as deploy/ runs them")
    options = parser.parse_args()
    if options.limits:
        print(json.dumps(measure_limits(options.limits, options.users, options.seconds), indent=1))
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        many = options.replicas > 1
        server = stack.enter_context(replicated(folder, options.replicas) if many else running(folder / "app"))
        crowd = asyncio.run(load(server, options.users, DEFAULTS.steps, seconds=options.seconds))
        print(json.dumps({"users": options.users, "steps": DEFAULTS.steps, **summary(*crowd)}, indent=1), flush=True)
        long = asyncio.run(load(server, 8, 1, requests=options.requests))
        print(
            json.dumps(
                {
                    "users": 8,
                    "steps": 1,
                    **summary(*long),
                    "grown": grown(long[1]),
                    "memory_mb": [each["memory_mb"] for each in long[1]],
                },
                indent=1,
            )
        )
        log = server.log
    alone = [user for user in range(options.users) if user not in crowd[0].longest]
    if alone or crowd[0].wrong + crowd[0].failed + long[0].wrong + long[0].failed + grown(long[1]):
        raise SystemExit(f"load: see above, and what the app printed:\n{log[-5000:]}")


if __name__ == "__main__":
    main()
