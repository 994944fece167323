"""Settings: what is refused, and the way through links, PNG files and JSON."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import InputError
from model.guidance import Guidance
from model.sampler import SAMPLERS
from model.settings import DEFAULTS, STUDENT, STUDENT_STEPS, Settings

NUMBERS = st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.booleans())


def test_settings_are_values():
    asked = Settings("a man", seed=7)
    assert Settings() == DEFAULTS and replace(asked, seed=8) == Settings("a man", seed=8) and len({asked, asked}) == 1
    with pytest.raises(FrozenInstanceError):
        asked.seed = 8
    with pytest.raises(InputError, match="seed"):
        replace(asked, seed=-1)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"prompt": 3}, "The prompt must be text"),
        ({"negative_prompt": None}, "The negative prompt must be text"),
        ({"guidance_interval": (0.9, 0.1)}, "guidance interval must rise"),
        ({"guidance_interval": (0, 2)}, "0 to 1"),
        ({"guidance_interval": 0.5}, "guidance interval"),
        ({"pag_interval": (0.9, 0.1)}, "PAG interval must rise"),
        ({"pag_scale": -1}, "PAG scale must be a number"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(wrong, words):
    with pytest.raises(InputError, match=words) as error:
        Settings(**wrong)
    assert "\n" not in str(error.value)


@settings(max_examples=200, deadline=None)
@given(NUMBERS, NUMBERS, st.one_of(st.text(), st.lists(st.text()), st.sampled_from([*SAMPLERS, STUDENT])), NUMBERS)
def test_settings_are_usable_or_refused(seed, steps, sampler, guidance):
    try:
        made = Settings(seed=seed, steps=steps, sampler=sampler, guidance=guidance)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert 0 <= made.seed < 2**32 and 1 <= made.steps <= 1000 and 0 <= made.guidance <= 20
        assert made.sampler in (*SAMPLERS, STUDENT) and type(made.seed) is type(made.steps) is int


def test_a_browsers_whole_numbers_are_ints():
    made = Settings(seed=7.0, steps=3.0, guidance=2)
    assert made == Settings(seed=7, steps=3, guidance=2.0) and type(made.seed) is int and type(made.guidance) is float


def test_the_students_steps_and_guidance_are_its_own():
    made = Settings(sampler=STUDENT, steps=100, guidance=7)
    assert (made.steps, made.guidance) == (STUDENT_STEPS, DEFAULTS.guidance)
    settings, ignored = Settings.read({"sampler": "student", "steps": "100", "guidance": "9", "seed": "3"})
    assert settings == replace(made, seed=3) and not ignored


def test_the_sampler_gets_both_kinds_of_guidance():
    made = Settings(guidance=3, guidance_interval=(0.1, 0.2), pag_scale=0.5, pag_interval=(0.3, 0.4))
    assert made.as_guidance() == Guidance(3, (0.1, 0.2), 0.5, (0.3, 0.4))
    assert set(made.sampling()) == {"steps", "sampler", "guidance", "guidance_interval", "pag_scale", "pag_interval"}


# --- links, PNG files, JSON -------------------------------------------------------------------------------------------


def test_settings_come_back_whole():
    whole = Settings("an old man", "hat", 4294967295, 30, "ddim", 3.5)
    assert Settings.read(whole.as_record()) == (whole, [])
    assert Settings.read(json.loads(whole.as_text())) == (whole, [])
    assert Settings.read(None) == Settings.read("x") == (DEFAULTS, [])
    # as a link
    assert Settings.read({name: str(value) for name, value in whole.as_record().items()}) == (whole, [])


@pytest.mark.parametrize(
    "values, words",
    [
        ({"seed": "-1"}, "seed"),
        ({"seed": "1e99"}, "seed"),
        ({"seed": [3]}, "seed"),
        ({"steps": "many"}, "steps"),
        ({"guidance": "nan"}, "guidance"),
        ({"sampler": "euler"}, "sampler"),
        ({"sampler": None}, "sampler"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "x" * 3000}, "prompt"),
        ({"colour": "blue"}, "colour"),
        ({"pag_scale": 3}, "pag_scale"),
    ],
)
def test_what_a_record_cannot_use_is_named_and_left_out(values, words):
    settings, ignored = Settings.read({"negative_prompt": "hat", **values})
    assert settings == Settings(negative_prompt="hat")
    assert len(ignored) == 1 and words in ignored[0] and "\n" not in ignored[0]


@given(
    st.dictionaries(
        st.text(max_size=20) | st.sampled_from(Settings.RECORDED),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
    )
)
def test_any_record_is_read(values):
    settings, ignored = Settings.read(values)
    assert len(ignored) <= len(values)
    assert Settings.read(settings.as_record()) == (settings, [])
