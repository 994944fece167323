"""The app in process: its API through gradio_client, its page's events as plain generators."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from model.errors import FacetError
from model.pipeline import DEFAULTS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def app(tiny_weights):
    """The module `app`, launched on the tiny weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACET_WEIGHTS", str(tiny_weights))
        patch.syspath_prepend(str(ROOT))
        import app

        app.demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **app.LAUNCH)
        yield app
        app.demo.close()


@pytest.fixture(scope="module")
def client(app):
    return Client(app.demo.local_url, verbose=False)


def frames_of(messages: list[dict]) -> list[dict]:
    return [frame for message in messages for frame in message["frames"]]


def refusal(client: Client, *args, api_name: str = "/generate", **kwargs) -> str:
    with pytest.raises(Exception) as caught:
        client.predict(*args, api_name=api_name, **kwargs)
    return str(caught.value)


def draw(app, prompt="", made="", negative="", new_seed=False, seed=3, steps=4, guidance=2.0, sampler="ddim", ticked=()):
    """The page's run, with its boxes as one group."""
    return app.draw(prompt, made, negative, new_seed, seed, steps, guidance, sampler, list(ticked))


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


@pytest.mark.parametrize("settings, word", [
    ({"seed": 1.5}, "seed"), ({"seed": -1}, "seed"), ({"seed": "seven"}, "seed"), ({"seed": None}, "seed"),
    ({"steps": 0}, "steps"), ({"steps": 10_000}, "steps"), ({"guidance": "nan"}, "guidance"), ({"guidance": 99}, "guidance"),
    ({"sampler": "euler"}, "sampler"), ({"negative_prompt": 3}, "negative prompt"), ({"prompt": None}, "prompt")])
def test_bad_input_is_refused_in_one_line(client, settings, word):
    message = refusal(client, **{"prompt": "smiling", **settings})
    assert word in message and "\n" not in message and "verbose error" not in message


def test_not_a_number_in_raw_json(app):
    """gradio_client refuses to send NaN; other clients may."""
    start = httpx.post(f"{app.demo.local_api_url}call/generate", headers={"content-type": "application/json"},
                       content='{"data": ["smiling", "", 1, 5, NaN, "dpmpp"]}')
    answer = httpx.get(f"{app.demo.local_api_url}call/generate/{start.json()['event_id']}").text
    assert "event: error" in answer and "guidance must be a number" in answer


def test_cancelled_job_stops_within_a_step(app, client, monkeypatch):
    pipe, drawn, closed = app.pipeline(), [], threading.Event()
    stream = pipe.stream

    def watched(*args, **kwargs):
        try:
            for frame in stream(*args, **kwargs):
                drawn.append(frame.index)
                time.sleep(0.05)
                yield frame
        finally:
            closed.set()

    monkeypatch.setattr(pipe, "stream", watched)
    job = client.submit("smiling", steps=400, api_name="/generate")
    next(iter(job))
    job.cancel()
    seen = len(drawn)
    assert closed.wait(2), "the generator goes on"
    assert len(drawn) - seen <= 3  # what was drawn while the cancellation was on its way
    monkeypatch.undo()
    assert client.predict("smiling", steps=2, api_name="/generate")["step"] == 2


def test_upscale(client, tmp_path):
    for name, mode, size in (("face.png", "RGB", (64, 64)), ("wide.jpg", "L", (300, 120)), ("clear.webp", "RGBA", (40, 90))):
        Image.new(mode, size, 128 if mode == "L" else (10, 20, 30, 40)[:len(mode)]).save(tmp_path / name)
        large = Image.open(client.predict(handle_file(tmp_path / name), api_name="/upscale"))
        assert large.size == (512, 512) and large.mode == "RGB"


def test_upscale_refuses_what_is_no_image(client, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "nothing.png").write_bytes(b"")
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    Image.new("RGB", (64, 64)).save(tmp_path / "exif.png", exif=b"II*\0")  # a header with nothing behind it
    for name in ("text.png", "nothing.png", "half.png", "exif.png"):
        assert refusal(client, handle_file(tmp_path / name), api_name="/upscale").startswith("This is not an image")
    assert refusal(client, None, api_name="/upscale").startswith("This is not an image")
    Image.new("RGB", (5000, 8)).save(tmp_path / "long.png")
    assert refusal(client, handle_file(tmp_path / "long.png"), api_name="/upscale").startswith("The image is larger")


def test_files_of_the_server_stay_there(app):
    answer = httpx.post(f"{app.demo.local_api_url}call/upscale", json={
        "data": [{"path": str(ROOT / "assets" / "favicon.svg"), "meta": {"_type": "gradio.FileData"}}]})
    result = httpx.get(f"{app.demo.local_api_url}call/upscale/{answer.json()['event_id']}").text
    assert "event: error" in result
    assert httpx.get(f"{app.demo.local_api_url}file={ROOT / 'app.py'}").status_code in (403, 404)


def test_contract(client):
    api = client.view_api(print_info=False, return_format="dict")
    assert sorted(api["named_endpoints"]) == ["/generate", "/upscale"] and not api["unnamed_endpoints"]
    generate, upscale = api["named_endpoints"]["/generate"], api["named_endpoints"]["/upscale"]
    names = {part["parameter_name"]: part for part in generate["parameters"]}
    assert list(names) == ["prompt", "negative_prompt", "seed", "steps", "guidance", "sampler"]
    assert not names.pop("prompt")["parameter_has_default"]
    assert {name: part["parameter_default"] for name, part in names.items()} == {
        "negative_prompt": "", "seed": 0, "steps": DEFAULTS.steps, "guidance": DEFAULTS.guidance, "sampler": DEFAULTS.sampler}
    assert [part["parameter_name"] for part in upscale["parameters"]] == ["image"]
    assert "Draw one 64 x 64 face" in generate["description"] and "512 x 512" in upscale["description"]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_page_opens_and_fetches_nothing_from_elsewhere(app):
    page = httpx.get(app.demo.local_url)
    assert page.status_code == 200 and "fonts.googleapis" not in page.text
    icon = httpx.get(app.demo.local_url + "favicon.ico")
    assert icon.status_code == 200 and icon.headers["content-type"].startswith("image/svg")


def test_boxes_write_the_prompt(app):
    assert app.tick(["Smiling"], [], None, ["Wearing_Hat"])[0] == "Photo of person smiling, wearing hat."
    assert app.tick([], [])[:2] == ("", "")
    prompt, _, status = app.tick(["Bald", "Bangs"])
    assert prompt["__type__"] == "update" and "value" not in prompt  # left as it is
    assert status == {"text": "Bald and Bangs contradict each other: choose one.", "kind": "error"}


def test_page_run_ends_with_the_large_face(app):
    updates = list(draw(app, "Photo of person smiling.", "Photo of person smiling.", ticked=["Smiling"]))
    players, lines, seeds, larges = zip(*updates)
    assert [frame["step"] for frame in frames_of([value for value in players if "frames" in value])] == [1, 2, 3, 4]
    assert seeds[0] == 3 and larges[0] is None  # the old large face goes when a new run begins
    assert larges[-1].shape == (512, 512, 3) and larges[-1].dtype == np.uint8
    assert lines[-1]["text"].startswith("Done in")
    announced = [line["text"] for line in lines if "text" in line]
    assert len(announced) <= 6 and len(set(announced)) == len(announced)  # few, or a screen reader never ends


def test_what_the_prompt_is_made_of(app, monkeypatch):
    asked = []
    stream = app.pipeline().stream
    monkeypatch.setattr(app.pipeline(), "stream", lambda prompt, **settings: asked.append(prompt) or stream(prompt, **settings))
    list(draw(app, "", "", ticked=["Smiling"], steps=1))                              # ticked a moment ago: the prompt is on its way
    list(draw(app, "a bald woman", "Photo of person smiling.", ticked=["Smiling"], steps=1))   # edited: counts
    list(draw(app, "free", "", ticked=["Bald", "Bangs"], steps=1))                            # so do words beside contradictory boxes
    list(draw(app, steps=1))
    assert asked == ["Photo of person smiling.", "a bald woman", "free", ""]


def test_contradiction_stops_before_anything_runs(app, monkeypatch):
    monkeypatch.setattr(app, "pipeline", lambda: pytest.fail("the pipeline was asked for"))
    [(player, status, seed, large)] = draw(app, ticked=["No_Beard", "Goatee"])
    assert status["kind"] == "error" and "contradict" in status["text"]
    assert all("value" not in part for part in (player, seed, large))
    for settings in ({"seed": 1.5}, {"seed": None}, {"steps": 0}, {"guidance": float("nan")}, {"sampler": "euler"}):
        [(_, status, _, _)] = draw(app, **settings)
        assert status["kind"] == "error" and "\n" not in status["text"]


def test_new_seed_is_written_back(app):
    seeds = [next(draw(app, new_seed=True, seed=None, steps=1))[2] for _ in range(3)]
    assert len(set(seeds)) == 3 and all(0 <= seed < 2**32 for seed in seeds)


def test_a_run_has_a_deadline(app, monkeypatch):
    monkeypatch.setattr("ui.frames.DEADLINE", 0.0)
    *_, (_, status, _, _) = draw(app, steps=50)
    assert status["kind"] == "error" and "Stopped at step 1 of 50" in status["text"]


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
    line = app.greet()
    assert line["kind"] == "error" and "unet.safetensors" in line["text"] and "\n" not in line["text"]
    [(_, status, _, _)] = draw(app)
    assert status == line
    assert refusal(client, "smiling") == line["text"]
    monkeypatch.undo()
    assert app.greet() == {"text": "", "kind": ""}  # once cured, no restart is needed


def test_limits(app):
    assert app.demo._queue.max_size == app.QUEUE["max_size"] <= 100
    assert app.demo.delete_cache and not app.demo.allowed_paths and not app.demo.analytics_enabled
    shared = {fn.fn.__name__ for fn in app.demo.fns.values() if fn.concurrency_id == "networks"}
    assert shared == {"draw", "generate", "upscale"}


def test_importing_the_app_imports_no_training():
    code = "import app, sys; print(sorted({name.split('.')[0] for name in sys.modules} & {'training', 'tests', 'pytest'}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "[]" in result.stdout.splitlines()


def test_warm_up_says_what_is_wrong_and_goes_on(app, monkeypatch, capsys):
    def broken():
        raise FacetError("clip.safetensors is missing.")

    monkeypatch.setattr(app, "pipeline", broken)
    app.warm_up()
    assert capsys.readouterr().out == "clip.safetensors is missing.\n"
