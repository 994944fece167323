"""What the page opens with: a face, a link, settings, nothing where there are no weights; the badge."""

from types import SimpleNamespace

import gradio as gr
import httpx
import pytest

from model.settings import DEFAULTS, Settings
from tests.ui.asking import draw, refusal
from ui import badge, opening


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
    # the box says what it is
    assert controls[0] == opening.FIRST.prompt and controls[3:5] == [
        True,
        opening.FIRST.seed,
    ]
    # drawn once
    assert greeted(app)[1] is player
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
    # once cured, no restart is needed
    assert greeted(app)[2] == {"text": "", "kind": ""}


def test_the_badge_says_what_the_weights_say():
    info = {"images": 310000, "seconds": 5400, "device": "cpu"}
    assert "310,000 images in 1.5 hours on a CPU" in badge.line(info, {})
    assert "in 1.5 hours on one NVIDIA H200" in badge.line({**info, "device": "cuda (one NVIDIA H200)"}, {})
    info["hash"] = "5" * 16
    report = {
        "memorisation": {"pixels": {"generated_median": 41.2, "validation_median": 39.8}},
        "weights": {"unet": {"hash": "5" * 16}},
    }
    assert "41 grey levels" in badge.line(info, report) and "40" in badge.line(info, report)
    # that was measured of other weights
    assert "grey levels" not in badge.line({**info, "hash": "6" * 16}, report)
    guided = {"hash": "7" * 16}
    assert "grey levels" not in badge.line(info, report, guided)
    report["weights"]["guided"] = guided
    assert "41 grey levels" in badge.line(info, report, guided)
    assert "grey levels" not in badge.line(info, report) + badge.line(info, report, {"hash": "8" * 16})
    for odd in (
        None,
        "x",
        [],
        {"images": "many"},
        {"images": [1]},
        {"images": -1},
        {"images": 10**400},
        {"images": {}},
    ):
        assert badge.line(odd, {}) == ""
    for odd in ("x", {}, [], None, float("nan")):
        assert badge.line({**info, "seconds": odd, "device": odd}, {"memorisation": odd, "weights": odd})
    assert badge.line({}, {}) == "" and "<script" not in badge.line({**info, "device": "<script>"}, {})
