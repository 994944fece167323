"""The app's API through gradio_client."""

import json
import os
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image

from model.attributes import ATTRIBUTES
from model.settings import DEFAULTS
from tests.conftest import ROOT
from tests.ui.asking import frames_of, refusal, until_nobody_wants_a_run


def test_every_frame_arrives_in_order(client):
    messages = list(client.submit("smiling", steps=30, seed=5, api_name="/generate"))
    frames = frames_of(messages)
    assert [frame["step"] for frame in frames] == list(range(1, 31))
    assert [message["step"] for message in messages] == [message["frames"][-1]["step"] for message in messages]
    assert {message["total"] for message in messages} == {30} and {message["seed"] for message in messages} == {5}
    levels = [frame["noise_level"] for frame in frames]
    assert levels == sorted(levels, reverse=True) and levels[-1] == 0
    assert all(frame[kind].startswith("data:image/jpeg;base64,") for frame in frames for kind in ("noisy", "denoised"))
    # the first frame does not wait for others
    assert len(messages[0]["frames"]) == 1


def test_same_seed_same_bytes_also_side_by_side(client):
    def run(seed):
        return client.submit("a man with a hat", seed=seed, steps=12, sampler="ddpm", api_name="/generate")

    alone = frames_of(list(run(1)))
    together = [frames_of(list(job)) for job in (run(1), run(2))]
    assert alone == together[0]
    assert alone != together[1]


def test_prompts_of_any_kind(client):
    for prompt in ("", "😀 улыбка 笑顔 ابتسامة", "smiling " * 1250):
        message = client.predict(prompt, steps=1, api_name="/generate")
        assert bool(message["note"]) == (len(prompt) > 1000)
        assert "\n" not in message["note"]
    message = client.predict("smiling", negative_prompt="hat " * 500, steps=1, api_name="/generate")
    assert message["note"].startswith("The negative prompt")


@pytest.mark.parametrize(
    "settings, word",
    [
        ({"seed": 1.5}, "seed"),
        ({"seed": -1}, "seed"),
        ({"seed": "seven"}, "seed"),
        ({"seed": None}, "seed"),
        ({"steps": 0}, "steps"),
        ({"steps": 10_000}, "steps"),
        ({"guidance": "nan"}, "guidance"),
        ({"guidance": 99}, "guidance"),
        ({"sampler": "euler"}, "sampler"),
        ({"negative_prompt": 3}, "negative prompt"),
        ({"prompt": None}, "prompt"),
    ],
)
def test_bad_input_is_refused_in_one_line(client, settings, word):
    message = refusal(client, **{"prompt": "smiling", **settings})
    assert word in message and "\n" not in message and "verbose error" not in message


def test_not_a_number_in_raw_json(app):
    """gradio_client refuses to send NaN; other clients may."""
    start = httpx.post(
        f"{app.demo.local_api_url}call/generate",
        headers={"content-type": "application/json"},
        content='{"data": ["smiling", "", 1, 5, NaN, "dpmpp"]}',
    )
    answer = httpx.get(f"{app.demo.local_api_url}call/generate/{start.json()['event_id']}").text
    assert "event: error" in answer and "guidance must be a number" in answer


def test_cancelled_job_stops_within_a_step(app, client, monkeypatch):
    pipe, drawn = app.pipeline(), []
    closed, leaving, told = threading.Event(), threading.Event(), threading.Event()
    stream = pipe.stream_faces

    def watched(*args, **kwargs):
        try:
            for frames in stream(*args, **kwargs):
                drawn.append(frames[0].index)
                # longer than a message gathers steps for
                time.sleep(0.15)
                # a step that lasts until the server has been told
                assert not leaving.is_set() or told.wait(60)
                yield frames
        finally:
            closed.set()

    monkeypatch.setattr(pipe, "stream_faces", watched)
    job = client.submit("smiling", steps=400, api_name="/generate")
    next(iter(job))
    leaving.set()
    seen = len(drawn)
    # it lasts as long as the step
    cancelling = threading.Thread(target=job.cancel)
    cancelling.start()
    until_nobody_wants_a_run(app)
    told.set()
    cancelling.join(60)
    assert closed.wait(60), "the generator goes on"
    assert len(drawn) <= seen + 2
    monkeypatch.undo()
    assert client.predict("smiling", steps=2, api_name="/generate")["step"] == 2


def test_upscale(client, tmp_path):
    for name, mode, size in (
        ("face.png", "RGB", (64, 64)),
        ("wide.jpg", "L", (300, 120)),
        ("clear.webp", "RGBA", (40, 90)),
    ):
        Image.new(mode, size, 128 if mode == "L" else (10, 20, 30, 40)[: len(mode)]).save(tmp_path / name)
        large = Image.open(client.predict(handle_file(tmp_path / name), api_name="/upscale"))
        assert large.size == (512, 512) and large.mode == "RGB"


def test_upscale_refuses_what_is_no_image(client, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "nothing.png").write_bytes(b"")
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    for name in ("text.png", "nothing.png", "half.png"):
        assert refusal(client, handle_file(tmp_path / name), api_name="/upscale").startswith("This is not an image")
    assert refusal(client, None, api_name="/upscale").startswith("This is not an image")
    Image.new("1", (8200, 8000)).save(tmp_path / "long.png")
    assert refusal(client, handle_file(tmp_path / "long.png"), api_name="/upscale").startswith("The image is larger")


def test_files_of_the_server_stay_there(app):
    answer = httpx.post(
        f"{app.demo.local_api_url}call/upscale",
        json={"data": [{"path": str(ROOT / "assets" / "page" / "favicon.svg"), "meta": {"_type": "gradio.FileData"}}]},
    )
    result = httpx.get(f"{app.demo.local_api_url}call/upscale/{answer.json()['event_id']}").text
    assert "event: error" in result
    assert httpx.get(f"{app.demo.local_api_url}file={ROOT / 'app.py'}").status_code in (403, 404)


def test_understand(app, client):
    pipe = app.pipeline()
    for prompt in ("", "a smiling woman with a skateboard", "😀 улыбка", "smiling " * 1250):
        answer, read = client.predict(prompt, api_name="/understand"), pipe.understood(prompt)
        assert list(answer["present"]) == list(read.present) and list(answer["absent"]) == list(read.absent)
        assert answer["unknown"] == read.unknown and answer["cut"] == read.cut
    assert "must be text" in refusal(client, None, api_name="/understand")


def test_attribute_scores(app, client, tmp_path):
    face = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(face).save(tmp_path / "face.png")
    scores = client.predict(handle_file(tmp_path / "face.png"), api_name="/attributes")
    assert list(scores) == list(ATTRIBUTES)
    assert list(scores.values()) == pytest.approx(app.pipeline().attribute_scores(face[None])[0].tolist(), abs=1e-3)
    assert refusal(client, None, api_name="/attributes").startswith("This is not an image")


def test_contract(client):
    api = client.view_api(print_info=False, return_format="dict")
    endpoints = api["named_endpoints"]
    assert sorted(endpoints) == ["/attributes", "/generate", "/understand", "/upscale"] and not api["unnamed_endpoints"]
    names = {part["parameter_name"]: part for part in endpoints["/generate"]["parameters"]}
    assert list(names) == ["prompt", "negative_prompt", "seed", "steps", "guidance", "sampler"]
    assert not names.pop("prompt")["parameter_has_default"]
    assert {name: part["parameter_default"] for name, part in names.items()} == {
        "negative_prompt": "",
        "seed": 0,
        "steps": DEFAULTS.steps,
        "guidance": DEFAULTS.guidance,
        "sampler": DEFAULTS.sampler,
    }
    assert [
        [part["parameter_name"] for part in endpoints[name]["parameters"]]
        for name in ("/upscale", "/attributes", "/understand")
    ] == [["image"], ["image"], ["prompt"]]
    for name, words in (
        ("/generate", "Draw one 64 x 64 face"),
        ("/upscale", "512 x 512"),
        ("/attributes", "40 CelebA"),
        ("/understand", "reads"),
    ):
        assert words in endpoints[name]["description"]


def test_tools_of_the_model_context_protocol(tiny_weights):
    """With gradio's extra the endpoints are tools, with their descriptions and defaults."""
    code = """if True:
        import asyncio, app, httpx, json
        app.demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", mcp_server=True, **app.LAUNCH)
        from mcp import ClientSession
        from mcp.client.streamable_http import streamablehttp_client
        async def ask():
            address = app.demo.local_url + "gradio_api/mcp/"
            async with streamablehttp_client(address) as (read, write, _), ClientSession(read, write) as session:
                await session.initialize()
                tools = (await session.list_tools()).tools
                answer = await session.call_tool("understand", {"prompt": "a smiling man"})
                told = {tool.name: [tool.description, sorted(tool.inputSchema["properties"])] for tool in tools}
                return told, answer.content[0].text
        print(json.dumps(asyncio.run(ask())))
        app.demo.close(verbose=False)"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "FACET_WEIGHTS": str(tiny_weights)},
    )
    tools, answer = json.loads(result.stdout.splitlines()[-1])
    assert sorted(tools) == ["attributes", "generate", "understand", "upscale"]
    assert tools["generate"][1] == ["guidance", "negative_prompt", "prompt", "sampler", "seed", "steps"]
    assert "present" in answer
