"""The texts inside pictures: settings where they can be read, what was ignored by name, never a traceback."""

import gradio as gr
import pytest
from PIL import Image

from model.errors import InputError
from model.settings import Settings
from tests.conftest import CASES
from ui.metadata import LONGEST, settings_in
from ui.opening import restore

NOT_B, SEED = {"negative_prompt": "b"}, {"seed": 18}
OWN = {"prompt": "a man with a hat 🙂 é", "seed": 4242, "steps": 12, "guidance": 3.0, "sampler": "ddim"}


def restored(name: str):
    """Status, words, negative prompt and seed for a picture of tests/cases. (The browser reads the texts:
    tests/browser.)"""
    texts = dict(Image.open(CASES / "metadata" / name).text)
    line, words, _, negative, _, seed, *_ = restore(gr.EventData(None, {"texts": texts, "from": "png"}))
    return line, words, negative, seed


@pytest.mark.parametrize("name", ["own_itxt", "after_others", "compressed_itxt", "text_ascii"])
def test_facets_own(name):
    line, words, negative, seed = restored(f"{name}.png")
    assert line == {"text": "Settings restored from the picture.", "kind": "", "go": False, "redraw": False}
    assert words == OWN["prompt"] and negative == "" and seed == 4242


def test_newer_fields_are_ignored_by_name():
    line, words, _, seed = restored("newer_field.png")
    assert words == OWN["prompt"] and seed == 4242 and line["kind"] == ""
    assert "Ignored: 'model' is no setting. 'strength' is no setting." in line["text"]


def test_a_picture_of_the_web_ui():
    line, words, negative, seed = restored("webui.png")
    assert (words, negative, seed) == ("a portrait of a woman", "lowres", 12345)
    assert line["text"] == (
        "Settings restored from the picture of another program. "
        "Ignored: Steps, Sampler, CFG scale, Size of another program."
    )


@pytest.mark.parametrize(
    "name, words", [("broken_json", "damaged"), ("json_list", "none of Facet's"), ("json_number", "none of Facet's")]
)
def test_what_holds_no_settings_changes_none(name, words):
    texts = dict(Image.open(CASES / "metadata" / f"{name}.png").text)
    line, *controls = restore(gr.EventData(None, {"texts": texts, "from": "png"}))
    assert line["kind"] == "error" and words in line["text"] and controls == [gr.skip()] * 9


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a cat", {"prompt": "a cat"}),
        ("a\nb\nNegative prompt: c\nd\nSteps: 4, Seed: 5", {"prompt": "a\nb", "negative_prompt": "c\nd", "seed": 5}),
        ("Negative prompt: c\nSteps: 4, Seed: 5", {"prompt": "", "negative_prompt": "c", "seed": 5}),
        ("a\r\nSteps: 4, Seed: 5\r\n", {"prompt": "a", "seed": 5}),
        ("a\nSteps: 4, Seed: -1", {"prompt": "a"}),
        (f"a\nSteps: 4, Seed: {2**32}", {"prompt": "a"}),
        (f"a\nSteps: 4, Seed: {'9' * 9999}", {"prompt": "a"}),
        (f"a\nSteps: 4, Seed: {'0' * 9999}", {"prompt": "a"}),
        ('a\nSteps: 4, Seed: 5, Lora hashes: "x: 1, Seed: 7"', {"prompt": "a", "seed": 5}),
        ("Steps: to heaven, a ladder", {"prompt": "Steps: to heaven, a ladder"}),
        (
            "a\nNegative prompt: b\nSteps: 25 | Seed: 18 | Sampler: Euler a",
            {"prompt": "a"} | NOT_B | SEED,
        ),
        ("a <lora:face:1> (smile:1.2)\nSteps: 20, Seed: 0", {"prompt": "a <lora:face:1> (smile:1.2)", "seed": 0}),
    ],
)
def test_forms_of_the_web_ui(text, expected):
    values, _, whose = settings_in({"parameters": text})
    assert values == expected and whose == "another program"


def test_the_web_uis_place_in_jpeg_and_webp():
    """EXIF's comment counts where it looks like theirs; cameras write there too."""
    theirs = "a man\nNegative prompt: b\nSteps: 20, Sampler: Euler a, Seed: 18"
    values, _, whose = settings_in({"UserComment": theirs})
    assert values == {"prompt": "a man"} | NOT_B | SEED and whose == "another program"
    assert settings_in({"UserComment": theirs, "parameters": "a dog"})[0] == {"prompt": "a dog"}
    for camera in ("oplus_1048864", "Screenshot", '{"prompt": {}}', "Steps: to heaven"):
        with pytest.raises(InputError, match=r"\(workflow, UserComment\)"):
            settings_in({"UserComment": camera}, ["workflow"])


@pytest.mark.parametrize(
    "texts, others",
    [
        (None, None),
        ({}, []),
        ([], {}),
        ({"facet": 7}, "prompt"),
        ({}, ["prompt", "workflow"]),
        ({"facet": "{"}, []),
        ({"facet": "[" * 100_000}, []),
        ({"facet": "null"}, []),
        ({"facet": ""}, []),
        ({"facet": "x" * (LONGEST + 1)}, []),
        ({"parameters": ""}, []),
        ({"parameters": "Steps: 20, Sampler: Euler"}, []),
    ],
)
def test_anything_is_settings_or_one_line(texts, others):
    with pytest.raises(InputError, match="^This picture") as error:
        settings_in(texts, others)
    assert "\n" not in str(error.value)
    if others == ["prompt", "workflow"]:
        assert "(prompt, workflow)" in str(error.value)


@pytest.mark.parametrize("value", ["1e999", "NaN", "-1", '"7"', "null", "[]", "123456789012345678901234567890", "true"])
def test_odd_numbers_of_ones_own(value):
    values, _, _ = settings_in({"facet": f'{{"prompt": "a", "seed": {value}}}'})
    settings, ignored = Settings.read(values)
    assert settings.prompt == "a" and (settings.seed == 7 or len(ignored) == 1)


def test_what_facet_writes_it_reads():
    made = Settings("a woman – 顔 \u202e", "hat", 9, 12, "ddim", 3.0)
    assert settings_in({"facet": made.as_text()}) == (made.as_record(), [], "")
