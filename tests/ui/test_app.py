"""The app in process: its API through gradio_client, its page's events as plain generators."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from model.attributes import ATTRIBUTES
from model.errors import FacetError
from model.pipeline import FacePipeline
from model.settings import DEFAULTS, Settings
from tests.conftest import ROOT, save_crisp
from ui import opening, runs
from ui.frames import file_of, png, read_picture
from ui.server import engine
from ui.server.line import PLACES


@pytest.fixture(scope="module")
def client(app):
    return Client(app.demo.local_url, verbose=False)


def frames_of(messages: list[dict]) -> list[dict]:
    return [frame for message in messages for frame in message["frames"]]


def refusal(client: Client, *args, api_name: str = "/generate", **kwargs) -> str:
    with pytest.raises(Exception) as caught:
        client.predict(*args, api_name=api_name, **kwargs)
    return str(caught.value)


def draw(
    app,
    words="",
    picks=None,
    negative="",
    count=1,
    new_seed=False,
    seed=3,
    steps=4,
    guidance=2.0,
    sampler="ddim",
    picture=None,
    strength=0.6,
):
    """The page's run."""
    return app.animate(words, picks, negative, count, new_seed, seed, steps, guidance, sampler, picture, strength)


def picture_of(colour: str, size: int = 64) -> str:
    return png(np.asarray(Image.new("RGB", (size, size), colour)))


# --- the API ----------------------------------------------------------------------------------------------------------


def test_every_frame_arrives_in_order(client):
    messages = list(client.submit("smiling", steps=30, seed=5, api_name="/generate"))
    frames = frames_of(messages)
    assert [frame["step"] for frame in frames] == list(range(1, 31))
    assert [message["step"] for message in messages] == [message["frames"][-1]["step"] for message in messages]
    assert {message["total"] for message in messages} == {30} and {message["seed"] for message in messages} == {5}
    levels = [frame["noise_level"] for frame in frames]
    assert levels == sorted(levels, reverse=True) and levels[-1] == 0
    assert all(frame[kind].startswith("data:image/jpeg;base64,") for frame in frames for kind in ("noisy", "denoised"))
    assert len(messages[0]["frames"]) == 1  # the first frame does not wait for others


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
    pipe, drawn, closed = app.pipeline(), [], threading.Event()
    stream = pipe.stream_faces

    def watched(*args, **kwargs):
        try:
            for frames in stream(*args, **kwargs):
                drawn.append(frames[0].index)
                time.sleep(0.05)
                yield frames
        finally:
            closed.set()

    monkeypatch.setattr(pipe, "stream_faces", watched)
    job = client.submit("smiling", steps=400, api_name="/generate")
    next(iter(job))
    job.cancel()
    seen = len(drawn)
    assert closed.wait(2), "the generator goes on"
    assert len(drawn) - seen <= 3  # what was drawn while the cancellation was on its way
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
        json={"data": [{"path": str(ROOT / "assets" / "favicon.svg"), "meta": {"_type": "gradio.FileData"}}]},
    )
    result = httpx.get(f"{app.demo.local_api_url}call/upscale/{answer.json()['event_id']}").text
    assert "event: error" in result
    assert httpx.get(f"{app.demo.local_api_url}file={ROOT / 'app.py'}").status_code in (403, 404)


def test_understand(app, client):
    pipe = app.pipeline()
    for prompt in ("", "a smiling woman with a skateboard", "😀 улыбка", "smiling " * 1250):
        found, read = client.predict(prompt, api_name="/understand"), pipe.understood(prompt)
        assert list(found["present"]) == list(read.present) and list(found["absent"]) == list(read.absent)
        assert found["unknown"] == read.unknown and found["cut"] == read.cut
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


# --- the page ---------------------------------------------------------------------------------------------------------


def test_page_opens_and_fetches_nothing_from_elsewhere(app):
    page = httpx.get(app.demo.local_url)
    assert page.status_code == 200 and "fonts.googleapis" not in page.text
    icon = httpx.get(app.demo.local_url + "favicon.ico")
    assert icon.status_code == 200 and icon.headers["content-type"].startswith("image/svg")


def test_page_run_ends_with_the_large_face(app):
    updates = list(draw(app, "a woman", {"present": ["Smiling"], "absent": ["Wearing_Hat"]}))
    players, lines, seeds, records = zip(*updates)
    steps = [value for value in players if "frames" in value]
    assert [frame["step"] for frame in frames_of(steps)] == [1, 2, 3, 4] and seeds[0] == 3
    assert all(
        frame[kind].startswith("data:image/jpeg")
        for frame in frames_of(steps)
        for kind in ("denoised", "noisy", "influence")
    )
    assert (
        records[0] == Settings("a woman, smiling, not wearing hat.", "", 3, 4, "ddim").as_record() == steps[0]["record"]
    )
    last = players[-1]
    assert last["run"] == steps[0]["run"] and {entry["label"] for entry in last["decided"]} >= {
        "Smiling",
        "Not wearing hat",
    }
    drawn = app.pipeline().generate([records[0]["prompt"]], [3], steps=4, sampler="ddim", guidance=2.0)[0]
    assert np.abs(read_picture(file_of(last["image"])).astype(int) - drawn).max() <= 2
    assert {read_picture(file_of(last["large"][name])).shape for name in ("srresnet", "bicubic")} == {(512, 512, 3)}
    assert lines[-1]["text"].startswith("Done in")
    announced = [line["text"] for line in lines if "text" in line]
    assert len(announced) <= 6 and len(set(announced)) == len(announced)  # few, or a screen reader never ends


def test_runs_have_names_of_their_own(app):
    assert next(draw(app))[0]["run"] != next(draw(app))[0]["run"]


@pytest.mark.parametrize("count", [4, 16])
def test_a_batch_is_a_sheet_of_the_single_faces(app, count):
    *_, (first, *_), (_, _, _, _), (last, line, _, _) = list(draw(app, "a man", count=count, seed=2**32 - 2, steps=2))
    seeds = [(2**32 - 2 + index) % 2**32 for index in range(count)]
    assert first["seeds"] == seeds and "large" not in last
    sheet, side = read_picture(file_of(last["image"])), int(count**0.5)
    for index in (0, 1, side, count - 1):
        row, column = divmod(index, side)
        alone = app.pipeline().generate(["a man"], [seeds[index]], steps=2, sampler="ddim", guidance=2.0)[0]
        cell = sheet[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
        assert np.abs(cell.astype(int) - alone).max() <= 2


def test_a_picture_to_start_from(app):
    def steps_and_face(**settings):
        *parts, (last, *_) = list(draw(app, "a man", steps=10, **settings))
        return sum(len(part[0].get("frames", ())) for part in parts), read_picture(file_of(last["image"])).astype(int)

    steps, near = steps_and_face(picture=picture_of("red"), strength=0.2)
    assert 1 <= steps < 10  # only those below the strength
    assert next(draw(app, picture=picture_of("red")))[3] is None  # the settings alone do not make that face
    _, far = steps_and_face(picture=picture_of("red"), strength=0.9)
    red = np.array([255, 0, 0])
    assert np.abs(near - red).mean() < np.abs(far - red).mean()
    for bad in ("/etc/hostname", "data:image/png;base64,AAAA", 5):
        [(_, status, _, _)] = draw(app, picture=bad)
        assert status["kind"] == "error" and status["text"].startswith("This is not an image")
    assert [line for _, line, _, _ in draw(app, picture=picture_of("red"), strength=0)][-1]["kind"] == "error"


def test_contradiction_stops_before_anything_runs(app, monkeypatch):
    monkeypatch.setattr(engine, "pipeline", lambda: pytest.fail("the pipeline was asked for"))
    for settings in (
        {"picks": {"present": ["No_Beard", "Goatee"]}},
        {"picks": {"present": ["Flying"]}},
        {"seed": 1.5},
        {"seed": None},
        {"steps": 0},
        {"guidance": float("nan")},
        {"sampler": "euler"},
    ):
        [(player, status, seed, settled)] = draw(app, **settings)
        assert status["kind"] == "error" and "\n" not in status["text"]
        assert all("value" not in part for part in (player, seed, settled))
    monkeypatch.undo()
    [(_, status, _, _)] = draw(app, count=5)
    assert "number of faces" in status["text"]


def test_new_seed_is_written_back(app):
    seeds = [next(draw(app, new_seed=True, seed=None, steps=1))[2] for _ in range(3)]
    assert len(set(seeds)) == 3 and all(0 <= seed < 2**32 for seed in seeds)


def test_a_run_has_a_deadline(app, monkeypatch):
    monkeypatch.setattr("ui.frames.DEADLINE", 0.0)
    *_, (_, status, _, _) = draw(app, steps=50)
    assert status["kind"] == "error" and "Stopped at step 1 of 50" in status["text"]


def test_live_mode_keeps_the_seed_and_takes_few_network_calls(app):
    opening.opening()  # or its calls may be counted too
    pipe, calls = app.pipeline(), []
    hook = pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    try:
        player, line, settled = app.redraw("a woman", None, "", 16, True, 11, 100, 3.0, "ddpm", None, 0.6)
    finally:
        hook.remove()
    assert len(calls) <= runs.LIVE_STEPS == 8
    assert settled["seed"] == 11 and settled["steps"] == 8 and line["kind"] == "" and player["kind"] == "live"
    assert len(player["frames"]) == 8 and player["count"] == 16 and player["image"].startswith("data:image/png")
    for bad in ({"seed": None}, {"steps": 1.5}):
        asked = {"seed": 1, "steps": 5, **bad}
        assert (
            app.redraw("", None, "", 1, False, asked["seed"], asked["steps"], 2.0, "ddim", None, 0.6)[1]["kind"]
            == "error"
        )


def test_opened_faces_are_enlarged(app):
    ((player, line, settled),) = app.enlarge(
        gr.EventData(
            None, {"run": "x", "image": picture_of("red"), "record": Settings("hi", seed=4).as_record(), "step": 3}
        )
    )
    assert player["run"] == "x" and settled is None and "Step 3" in line["text"]  # nor this frame
    [(_, _, settled)] = app.enlarge(
        gr.EventData(None, {"run": "x", "image": picture_of("red"), "record": Settings("hi", seed=4).as_record()})
    )
    assert settled == Settings("hi", seed=4).as_record()
    assert read_picture(file_of(player["large"]["srresnet"])).shape == (512, 512, 3)
    for bad in (None, [], {"image": "/etc/hostname"}, {"image": 3}):
        assert [line["kind"] for _, line, _ in app.enlarge(gr.EventData(None, bad))] == ["error"]


def test_the_crisp_enlargement_comes_after_the_other(app, tiny_weights, tmp_path, monkeypatch):
    for path in tiny_weights.glob("*.safetensors"):
        shutil.copy(path, tmp_path)
    save_crisp(tmp_path)
    pipe = FacePipeline.from_pretrained(tmp_path, "cpu")
    monkeypatch.setattr(engine, "pipeline", lambda: pipe)
    first, (then, *rest) = list(app.enlarge(gr.EventData(None, {"run": "x", "image": picture_of("red")})))
    assert set(first[0]["large"]) == {"srresnet", "bicubic"} and set(then["large"]) == {"crisp"} and then["run"] == "x"
    *_, (done, line, _, _), (last, *rest) = list(draw(app, "a man", steps=2))
    assert line["text"].startswith("Done in") and set(done["large"]) == {"srresnet", "bicubic"}
    assert last["run"] == done["run"] and last["large"]["crisp"] != done["large"]["srresnet"]
    assert "crisp" not in str(list(draw(app, "a man", steps=2, count=4))[-1][0])


def test_settings_come_back(app):
    line, *controls = app.restore(
        gr.EventData(
            None, {"record": Settings("Photo of person smiling.", "hat", 9, 12, "ddim", 3.0).as_record(), "from": "png"}
        )
    )
    assert (
        controls == ["", {"present": ["Smiling"], "absent": []}, "hat", False, 9, 12, 3.0, "ddim", {}]
        and line["kind"] == ""
    )
    line, *controls = app.restore(gr.EventData(None, {"record": {"prompt": "a man", "steps": "x"}}))
    assert (
        "Ignored" in line["text"]
        and "steps" in line["text"]
        and controls[0] == "a man"
        and controls[5] == DEFAULTS.steps
    )


def greeted(app, **parameters):
    return app.greet(SimpleNamespace(query_params=parameters))


def test_the_page_opens_with_a_face_of_the_model(app):
    badge, player, line, settled, *controls = greeted(app)
    assert line == {"text": "", "kind": ""} and settled == opening.FIRST.as_record() and player["kind"] == "opening"
    assert len(player["frames"]) == opening.FIRST.steps and player["large"]["srresnet"].startswith("data:image/jpeg")
    assert controls[0] == opening.FIRST.prompt and controls[3:5] == [
        True,
        opening.FIRST.seed,
    ]  # the box says what it is
    assert greeted(app)[1] is player  # drawn once
    assert greeted(app, __theme="dark", view="api")[2] == {"text": "", "kind": ""}


def test_links(app):
    whole = Settings("an old man", "hat", 12, 9, "ddim", 3.5).as_record()
    _, _, line, _, *controls = greeted(app, **{name: str(value) for name, value in whole.items()})
    assert line["go"] and controls == [
        "an old man",
        {"present": [], "absent": []},
        "hat",
        False,
        12,
        9,
        3.5,
        "ddim",
        {},
    ]
    _, player, line, _, *controls = greeted(
        app, prompt="a man", seed="-4", steps="1e9", guidance="x", sampler="fast", colour="red"
    )
    assert player["kind"] == "opening" and "go" not in line and controls[0] == "a man" and controls[5] == DEFAULTS.steps
    assert (
        all(word in line["text"] for word in ("Ignored", "seed", "steps", "guidance", "sampler"))
        and "colour" not in line["text"]
    )
    _, _, line, settled, *controls = greeted(app, fbclid="x", utm_source="y")
    assert line == {"text": "", "kind": ""} and controls[0] == opening.FIRST.prompt
    _, _, line, _, *controls = greeted(app, seed="3", edits="Smiling:2", place="0.5", to_seed="4")
    assert line["go"] and controls[-1] == {"edits": "Smiling:2", "to_seed": 4, "place": 0.5}


@pytest.mark.parametrize("damage", ["missing", "broken"])
def test_without_weights_the_page_opens_and_says_so(app, client, tiny_weights, tmp_path, monkeypatch, damage):
    for file in tiny_weights.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if damage == "missing":
        (tmp_path / "unet.safetensors").unlink()
    else:
        (tmp_path / "unet.safetensors").write_bytes(b"not weights")
    monkeypatch.setenv("FACET_WEIGHTS", str(tmp_path))
    assert httpx.get(app.demo.local_url).status_code == 200
    line = greeted(app)[2]
    assert line["kind"] == "error" and "unet.safetensors" in line["text"] and "\n" not in line["text"]
    [(_, status, _, _)] = draw(app)
    assert status == line
    assert refusal(client, "smiling") == line["text"]
    monkeypatch.undo()
    assert greeted(app)[2] == {"text": "", "kind": ""}  # once cured, no restart is needed


def test_limits(app):
    assert set(PLACES) == {"networks", "light"} and max(PLACES.values()) <= 100
    assert not app.demo.allowed_paths and not app.demo.analytics_enabled
    shared = {fn.fn.__name__ for fn in app.demo.fns.values() if fn.concurrency_id == "networks"}
    assert shared >= {
        "animate",
        "redraw",
        "enlarge",
        "export",
        "strip",
        "sweep",
        "walk",
        "alike",
        "look",
        "describe",
        "generate",
        "upscale",
        "attributes",
    }


def test_importing_the_app_imports_no_training():
    code = (
        "import app, sys; print(sorted({name.split('.')[0] for name in sys.modules} & {'training', 'tests', 'pytest'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "[]" in result.stdout.splitlines()


def test_warm_up_says_what_is_wrong_and_goes_on(app, monkeypatch, capsys):
    def broken():
        raise FacetError("clip.safetensors is missing.")

    monkeypatch.setattr(engine, "pipeline", broken)
    app.warm_up()
    assert capsys.readouterr().out == "clip.safetensors is missing.\n"
