"""The short form of `make load` and of `make soak`: many at once, every answer right, nothing grows, and a queue with
an end.
"""

import asyncio
import time

import httpx

from benchmarks.load import FACES, grown, last_face, load
from benchmarks.soak import ATTACKS, Plan, soak
from ui.server.line import PLACES, SHARE


def test_a_crowd_gets_the_right_faces(deployed):
    tally, figures, _ = asyncio.run(load(deployed.server, users=12, steps=8, seconds=4))
    assert not tally.wrong and not tally.failed and not tally.full
    assert len(tally.waits) >= 12
    assert figures[-1]["files"] == figures[0]["files"]
    assert figures[-1]["threads"] <= figures[0]["threads"] + 20


def test_nobody_of_64_goes_without_a_face(deployed):
    """And the light endpoint answers meanwhile."""
    tally, _, _ = asyncio.run(load(deployed.server, users=64, steps=8, seconds=4))
    assert not tally.wrong and not tally.failed and not tally.full
    assert set(tally.longest) == set(range(64)), "somebody got nothing"
    assert tally.understood


def test_nothing_grows_over_many_requests(deployed):
    tally, figures, _ = asyncio.run(load(deployed.server, users=4, steps=1, requests=160))
    assert not tally.wrong and not tally.failed
    assert not [what for what in grown(figures) if not what.startswith("memory")]
    # 172 kB a new session, of which 500 are kept
    assert figures[-1]["memory_mb"] < figures[0]["memory_mb"] + 120


def test_the_queue_is_bounded_and_says_so(deployed):
    """What is beyond one client's places is refused at once with 503; the waiting leave by cancelling."""
    most = int(SHARE * PLACES["networks"])
    with httpx.Client(base_url=deployed.server.api, trust_env=False, timeout=60) as client:
        asked = [
            client.post(
                "/call/generate", json={"data": ["", "", seed, 1000, 2.0, "dpmpp"], "session_hash": f"full{seed}"}
            )
            for seed in range(most + 10)
        ]
        taken = [seed for seed, answer in enumerate(asked) if answer.status_code == 200]
        refused = [answer for answer in asked if answer.status_code != 200]
        # those that run come on top
        assert most <= len(taken) <= most + 6 and refused
        assert {answer.status_code for answer in refused} == {503} and "Queue is full" in refused[0].text
        event = next(
            item["id"] for item in client.get("../config").json()["dependencies"] if item["api_name"] == "generate"
        )
        for seed in reversed(taken):
            client.post(
                "/cancel",
                json={"session_hash": f"full{seed}", "fn_index": event, "event_id": asked[seed].json()["event_id"]},
            )
        start = time.monotonic()
        prompt, seed = FACES[0]
        again = client.post("/call/generate", json={"data": [prompt, "", seed, 1, 2.0, "dpmpp"]}).json()["event_id"]
        last_face(client.get(f"/call/generate/{again}").text)
        assert time.monotonic() - start < 10, "the cancelled runs were drawn all the same"


def test_a_short_soak(tiny_weights, deployed, tmp_path):
    """Visitors of all kinds while the attacks go on, with a kill and a restart."""
    plan = Plan(users=8, seconds=15, kills=1, environment={"FACET_WEIGHTS": str(tiny_weights)}, code=deployed.code)
    report = asyncio.run(soak(tmp_path, plan))
    assert report["wrong"] == 0 and report["files_left"] == 0 and report["right"] > 8
    assert set(report["attacks"]) <= set(ATTACKS) and len(report["attacks"]) > 1
    assert report["log_is_clean"]
