"""The tab "How it works": its words and its wiring."""

import importlib
import re
from dataclasses import replace

import numpy as np
import pytest

from model.pipeline import FacePipeline
from tests.conftest import ROOT
from ui.how import face
from ui.how import page as how
from ui.how.face import Recipe

RECIPE = Recipe("a smiling woman", "", 7, 2, 2.0, "dpmpp")


@pytest.fixture(scope="module")
def pipe(tiny_weights) -> FacePipeline:
    return FacePipeline.from_pretrained(tiny_weights, "cpu")


def test_record_becomes_the_same_face(pipe):
    recipe = how.wanted({"prompt": "an old man", "seed": 5, "steps": 3, "sampler": "ddim"})
    assert (recipe.prompt, recipe.seed, recipe.steps, recipe.sampler) == ("an old man", 5, 3, "ddim")
    assert np.array_equal(face.face(pipe, recipe), pipe.generate(["an old man"], [5], steps=3, sampler="ddim")[0])
    assert not np.array_equal(face.face(pipe, recipe), face.face(pipe, replace(recipe, seed=6)))
    assert face.face(pipe, recipe) is face.face(pipe, replace(recipe))  # kept, not drawn again


def test_record_that_makes_no_sense_falls_back():
    assert how.wanted(None) == how.FIRST == how.wanted(how.FIRST.as_record())
    assert how.wanted({"seed": "x", "prompt": 3, "steps": -1, "more": 1}) == how.wanted({"prompt": ""})


def test_every_section_has_two_depths():
    words = how.texts()
    assert list(words)[0] == "start" and len(words) == 12
    for name, text in words.items():
        if name != "start":
            assert [text.count(part) for part in ("<h3 ", 'class="depth"', "<details>", 'class="source"')] == [
                1,
                1,
                1,
                1,
            ]


def test_functions_that_the_words_name_exist():
    named = [code for text in how.texts().values() for code in re.findall(r"<code>([\w./]+)</code>", text)]
    assert len(named) > 20
    module = None
    for name in named:
        if "/" in name:
            assert (ROOT / name).exists(), name
            continue
        if name.startswith(("model.", "ui.")):
            module = importlib.import_module(".".join(name.split(".")[:2]))
            name = name.split(".", 2)[2]
        owner = module
        for part in name.split("."):
            found = getattr(owner, part, None) or getattr(getattr(module, "Clip", None), part, None)
            assert found is not None, f"{module.__name__} has no {name}"
            owner = found
