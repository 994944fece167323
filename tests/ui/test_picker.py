"""The picker, and what the page reads in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import attributes
from model.attributes import CONFLICTS, NAMES
from model.errors import InputError
from model.pipeline import FacePipeline
from tests.conftest import ROOT
from ui import component, picker, words
from ui.server import engine


def test_words_and_boxes_add_up():
    assert picker.combined("", [], []) == "" and picker.combined(None, [], []) == ""
    assert picker.combined("a woman", [], []) == "a woman"
    assert picker.combined("", ["Smiling"], ["Eyeglasses"]) == "Photo of person smiling, no eyeglasses."
    assert (
        picker.combined(" ... ", ["Smiling"], []) == "Photo of person smiling."
        and picker.combined("...", [], []) == "..."
    )
    assert picker.combined(" a woman. ", ["Smiling"], ["Eyeglasses"]) == "a woman, smiling, no eyeglasses."
    with pytest.raises(InputError, match="contradict"):
        picker.combined("free", ["Bald", "Bangs"], [])


@given(st.sets(st.sampled_from(NAMES), max_size=6), st.sets(st.sampled_from(NAMES), max_size=6))
def test_boxes_come_back_from_their_prompt(present, absent):
    if attributes.conflict(present, absent):
        return
    prompt = picker.combined("", list(present), list(absent))
    typed, found_present, found_absent = picker.parted(prompt)
    assert typed == "" and (set(found_present), set(found_absent)) == (present, absent)


def test_other_prompts_stay_words():
    for prompt in ("a smiling woman", "a woman, smiling.", "Photo of person flying.", "Photo of person smiling, bald"):
        assert picker.parted(prompt) == (prompt, [], [])


@pytest.mark.parametrize(
    "picks", [{"present": "Smiling"}, {"present": ["Flying"]}, {"absent": [3]}, {"present": [["Smiling"]]}]
)
def test_boxes_of_no_attribute_are_refused(picks):
    with pytest.raises(InputError):
        picker.chosen(picks)


def test_presets_are_possible_faces():
    for name, (present, absent) in picker.PRESETS.items():
        assert attributes.conflict(present, absent) is None, name
        assert set(present) | set(absent) <= set(NAMES)
    assert set(picker.FEMININE) | set(picker.MASCULINE) <= set(NAMES)


def test_the_picker_holds_every_attribute_and_its_other_names():
    page = picker._html()
    assert page.count('type="checkbox"') == len(NAMES) == page.count('aria-pressed="false"')
    assert all(f'data-name="{name}"' in page for name in NAMES)
    assert "spectacles" in picker._words("Eyeglasses") and "old" in picker._words("Young")


def test_templates_hold_nothing_that_gradio_would_fill_in():
    """gradio runs templates through Handlebars and as a JavaScript template string."""
    files = [path for path in component.ASSETS.glob("*/*") if path.suffix in (".html", ".css")]
    # page.css is plain CSS
    templates = {path.name: path.read_text() for path in files if path.name != "page.css"}
    for name, text in {**templates, "picker": picker._html()}.items():
        assert not [sign for sign in ("{{", "${", "`", "\\") if sign in text], name


def test_concepts_are_shown_like_attributes(monkeypatch):
    """With the bundled weights, which have vectors for all of them."""
    bundled = FacePipeline.from_pretrained(ROOT / "weights", device="cpu")
    monkeypatch.setattr(engine, "pipeline", lambda: bundled)
    shown = words.read("eine Frau mit roten Haaren", {"present": ["Sunglasses"], "absent": []})
    assert shown["prompt"] == "eine Frau mit roten Haaren, sunglasses."
    assert {"Red hair", "Sunglasses", "Eyeglasses", "Female"} == {chip["label"] for chip in shown["chips"]}
    assert shown["said"]["present"] == ["Red_Hair"] and not shown["near"] and not shown["unknown"]
    assert shown["drawn"] == "Photo of person eyeglasses, female, red hair. With: Red hair, Sunglasses."
    assert "contradict" in words.read("", {"present": ["Long_Hair", "Bald"]})["warning"]
    assert "no face has both" in words.read("a redhead", {"present": ["Blond_Hair"]})["warning"]
    assert picker.parted("Photo of person male, dark skin.") == ("", ["Male", "Dark_Skin"], [])
    assert "redhead" in picker._tables()["Red_Hair"] and "red hair" in picker.near_words("Red_Hair")


def test_what_the_page_reads_in_words(pipe):
    assert words.read("", None) == {"prompt": ""}
    shown = words.read("a smiling woman", {"present": ["Wearing_Hat"], "absent": []})
    assert shown["prompt"] == "a smiling woman, wearing hat."
    whole, typed = pipe.understood(shown["prompt"]), pipe.understood("a smiling woman")
    assert [chip["label"] for chip in shown["chips"]] == [attributes.label(name) for name in whole.present] + [
        attributes.lacking(name).capitalize() for name in whole.absent
    ]
    assert shown["said"] == {"present": list(typed.present), "absent": list(typed.absent)}
    assert "".join(part["text"] for part in shown["parts"]) == shown["prompt"]
    assert "beginning" in words.read("smiling " * 500, None)["cut"]
    shown = words.read("curly hair, blue eyes 😀", None)
    assert shown["near"] == ["curly hair as wavy hair"] and shown["unknown"] == ["blue eyes"]
    assert [one["name"] for one in shown["instead"]] == ["Narrow_Eyes", "Bags_Under_Eyes", "Eyeglasses"]
    assert "contradict" in words.read("", {"present": ["Bald", "Bangs"]})["warning"]


def test_the_search_finds_what_exists():
    assert "blue eyes" in picker.near_words("Narrow_Eyes") and "brille" in picker.near_words("Eyeglasses")


@pytest.mark.parametrize("bad", [3, ["a"], {"a": 1}])
def test_a_prompt_that_is_no_text(bad):
    with pytest.raises(InputError, match="must be text"):
        picker.combined(bad, [], [])


def test_words_against_boxes_are_told():
    said = {"present": {"Bald": 0.9}, "absent": {"Smiling": 0.8}}
    assert "your words say one thing" in words.disagreement(said, ["Smiling"], [])
    assert "your words say one thing" in words.disagreement(said, [], ["Bald"])
    assert words.disagreement(said, ["Wavy_Hair"], []) == "Your words say bald, the boxes wavy hair: no face has both."
    assert words.disagreement(said, ["Bald", "Male"], ["Smiling"]) == ""
    for pair in CONFLICTS:
        first, second = pair
        assert words.disagreement({"present": {first: 1}, "absent": {}}, [second], [])
