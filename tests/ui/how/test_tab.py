"""The tab "How it works": its words and its wiring."""

import importlib
import re
from dataclasses import replace

import numpy as np
import pytest

from model.pipeline import FacePipeline
from model.settings import Settings
from tests.conftest import ROOT
from ui.how import face
from ui.how import page as how
from ui.how.html import depths, heading, locate, section, source, without_docstring

ASKED = Settings("a smiling woman", seed=7, steps=2, sampler="dpmpp")


@pytest.fixture(scope="module")
def pipe(tiny_weights) -> FacePipeline:
    return FacePipeline.from_pretrained(tiny_weights, "cpu")


# --- the record -------------------------------------------------------------------------------------------------------


def test_record_becomes_the_same_face(pipe):
    settings = how.wanted({"prompt": "an old man", "seed": 5, "steps": 3, "sampler": "ddim"})
    assert (settings.prompt, settings.seed, settings.steps, settings.sampler) == ("an old man", 5, 3, "ddim")
    assert np.array_equal(face.face(pipe, settings), pipe.generate(["an old man"], [5], steps=3, sampler="ddim")[0])
    assert not np.array_equal(face.face(pipe, settings), face.face(pipe, replace(settings, seed=6)))
    # kept, not drawn again
    assert face.face(pipe, settings) is face.face(pipe, replace(settings))


def test_record_that_makes_no_sense_falls_back():
    assert how.wanted(None) == how.FIRST == how.wanted(how.FIRST.as_record())
    # others wait while it is drawn
    assert how.wanted({"steps": 1000}).steps == how.MOST
    assert how.wanted({"seed": "x", "prompt": 3, "steps": -1, "more": 1}) == how.wanted({"prompt": ""})


# --- the words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", how.SECTIONS)
def test_section_has_all_its_depths(name):
    words = section(name)
    page = heading(words) + depths(words)
    assert f'id="how-{name}-heading"' in page and f"?tab=how#{name}" in page
    assert [page.count(f'<details class="{kind}">') for kind in ("detail", "code", "question")] == [1, 1, 1]
    assert words.sentence and words.answer and words.question.endswith("?") and words.source.endswith(".")
    assert page.count("<math") == page.count("</math>") and 'class="frac"' not in page
    assert '<pre tabindex="0">' in page


def test_code_shown_is_the_apps_own():
    """The training is not there where the app alone is installed."""
    assert all(code.startswith(("model.", "ui.")) for name in how.SECTIONS for code in section(name).code)


def test_every_section_has_its_words():
    assert {path.stem for path in (ROOT / "assets" / "how" / "words").glob("*.html")} == {"start", "end", *how.SECTIONS}
    assert how.bar().count("?tab=how#") == len(how.SECTIONS)


def test_code_is_the_source_that_runs():
    """The text shown, compiled, does what the function does."""
    module, add_noise = locate("model.diffusion.add_noise")
    assert module == "model.diffusion"
    shown = re.search("<code>(.+?)</code>", source("model.diffusion.add_noise"), re.DOTALL)[1]
    assert (
        shown.startswith("def add_noise(")
        and '"""' not in shown
        and shown.endswith("signal * original + sigma * noise")
    )
    names = dict(vars(importlib.import_module(module)))
    exec(shown.replace("&gt;", ">"), names)
    assert names["add_noise"].__code__.co_code == add_noise.__code__.co_code
    assert "@torch.inference_mode()" in source("model.sampler.ddim") and "yield Step" in source("model.sampler.ddim")
    with pytest.raises(AttributeError):
        source("model.diffusion.no_such_function")


def test_docstring_is_left_out():
    assert (
        without_docstring('def f(x):\n    """Says.\n\n    More.\n    """\n\n    return x\n')
        == "def f(x):\n    return x"
    )
    assert without_docstring("def f(x):\n    return x\n") == "def f(x):\n    return x"


def test_code_in_the_words_exists():
    for name in how.SECTIONS:
        for path in re.findall(r"<code>([\w./]+\.\w+)</code>", heading(section(name)) + section(name).source):
            assert (ROOT / path).exists(), path


# --- the whole at a glance --------------------------------------------------------------------------------------------


def test_glance_is_the_visitors_own_run(pipe):
    page = how.glance(pipe, ASKED)
    assert page.count("<svg") == 2 and page.count('class="part"') == 2 * len(how.BOXES)
    assert 'max="2"' in page and page.count("data:image/jpeg") >= 4
    opened = set(re.findall(r"\?tab=how#(\w+)", page))
    assert opened <= set(how.SECTIONS) and {"clip", "unet", "reverse", "srresnet"} <= opened
    run = face.frames(pipe, ASKED)
    assert len(run) == 2 and np.array_equal(run[-1].denoised, face.face(pipe, ASKED))
    # what CLIP gets
    shown = how.glance(pipe, replace(ASKED, prompt="eine alte Frau"))
    assert ">alte<" not in shown and ">Photo<" in shown and "eine alte" in shown
    shown = how.glance(pipe, replace(ASKED, prompt="<b>&"))
    assert "<b>&" not in shown and "&lt;b&gt;&amp;" in shown


def test_arrows_end_at_the_boxes():
    assert how.arrow((0, 0), (200, 0)) == '<path class="arrow" d="M103 50 L197 50"/>'
    assert how.arrow((0, 0), (0, 200)) == f'<path class="arrow" d="M50 {103 + how.LABEL} L50 197"/>'


@pytest.mark.parametrize("prompt, lines", [("", ["(none)"]), ("a man", ["a man"]), ("a " * 200, 5), ("x" * 90, 5)])
def test_long_prompts_fit_their_box(prompt, lines):
    for split in (False, True):
        shown = how.wrapped(prompt, split)
        assert len(shown) <= 5 and all(len(line) <= 13 for line in shown)
    assert how.wrapped(prompt) == lines or len(how.wrapped(prompt)) == lines
