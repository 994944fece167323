"""The page's events as plain generators: runs, live mode, enlargements; what the app is made of."""

import shutil
import subprocess
import sys

import gradio as gr
import httpx
import numpy as np
import pytest

from model import device
from model.errors import FacetError
from model.pipeline import FacePipeline
from model.settings import Settings
from tests.conftest import ROOT, save_crisp
from tests.ui.asking import draw, frames_of, picture_of
from ui import opening, runs
from ui.frames import file_of, read_picture
from ui.server import engine
from ui.server.line import PLACES


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
        frame[kind].startswith("data:image/jpeg") for frame in frames_of(steps) for kind in ("denoised", "noisy")
    )
    # where the prompt acts is drawn when it is asked for
    assert not any("influence" in frame for frame in frames_of(steps))
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
    # few, or a screen reader never ends
    assert len(announced) <= 6 and len(set(announced)) == len(announced)


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
    # only those below the strength
    assert 1 <= steps < 10
    # the settings alone do not make that face
    assert next(draw(app, picture=picture_of("red")))[3] is None
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


def test_live_mode_keeps_the_seed_and_takes_few_network_calls(app, monkeypatch):
    # or its calls may be counted too
    opening.opening()
    # a call is one of the whole batch
    monkeypatch.setattr(device, "MOST_ON_CPU", 64)
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
    # nor this frame
    assert player["run"] == "x" and settled is None and "Step 3" in line["text"]
    [(_, _, settled)] = app.enlarge(
        gr.EventData(None, {"run": "x", "image": picture_of("red"), "record": Settings("hi", seed=4).as_record()})
    )
    assert settled == Settings("hi", seed=4).as_record()
    assert read_picture(file_of(player["large"]["srresnet"])).shape == (512, 512, 3)
    for bad in (None, [], {"image": "/etc/hostname"}, {"image": 3}):
        assert [line["kind"] for _, line, _ in app.enlarge(gr.EventData(None, bad))] == ["error"]


@pytest.mark.parametrize("count", [1, 4])
def test_where_the_prompt_acts_is_drawn_for_a_run_on_screen(app, count):
    record = Settings("a smiling woman", seed=4, steps=3).as_record()
    player, line = app.influence(gr.EventData(None, {"run": "x", "record": record, "count": count}))
    assert player["run"] == "x" and len(player["influence"]) == 3 and "Bright" in line["text"]
    pictures = [read_picture(file_of(shown)) for shown in player["influence"]]
    side = 64 if count == 1 else 128
    assert {picture.shape for picture in pictures} == {(side, side, 3)}
    # grey where guidance does not act, else colours
    coloured = [np.ptp(picture.astype(int), axis=-1).max() > 60 for picture in pictures]
    assert any(coloured) and not all(coloured)


def test_influence_of_what_is_no_run_is_refused(app):
    record = Settings("a smiling woman", steps=3).as_record()
    for bad in (None, [], {}, {"record": record}, {"record": record, "count": 3}, {"record": 3, "count": 1}):
        player, line = app.influence(gr.EventData(None, bad))
        assert line["kind"] == "error" and "influence" not in str(player)


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


def test_limits(app):
    assert set(PLACES) == {"networks", "light"} and max(PLACES.values()) <= 100
    assert not app.demo.allowed_paths and not app.demo.analytics_enabled
    shared = {fn.fn.__name__ for fn in app.demo.fns.values() if fn.concurrency_id == "networks"}
    assert shared >= {
        "animate",
        "redraw",
        "enlarge",
        "influence",
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
