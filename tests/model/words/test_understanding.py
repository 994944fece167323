"""What is understood of people's words; the figures over whole files of prompts are training.evaluation.evaluate's."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest

from model.clip import LONGEST, Clip, is_cut
from model.settings import Settings
from model.words.ages import ages
from model.words.marks import FOLLOWED, NEAR, UNKNOWN
from model.words.reading import read
from model.words.text import READABLE, clean, for_clip
from model.words.understanding import understand
from tests.conftest import ROOT
from training.clip.things import SETS, covered, read_set, spans, things


@pytest.fixture(scope="module")
def clip():
    return Clip.from_file(ROOT / "weights" / "clip.safetensors")


def kinds(prompt: str) -> dict[str, list[str]]:
    """Kind -> the prompt's words."""
    by_kind: dict[str, list[str]] = {"followed": [], "near": [], "unknown": [], "implied": []}
    for item in read(prompt).items:
        by_kind[item.kind].append(prompt[item.start : item.end])
    return by_kind


def states(prompt: str) -> dict[str, bool]:
    return {name: has for item in read(prompt).items for name, has in item.states}


@pytest.mark.parametrize(
    "prompt, present, absent",
    [
        ("a smiling woman with glasses", {"Smiling", "Eyeglasses"}, {"Male"}),
        (
            "Photo of person bushy eyebrows, mouth slightly open, wearing hat.",
            {"Bushy_Eyebrows", "Mouth_Slightly_Open", "Wearing_Hat"},
            set(),
        ),
        ("glasses, no beard", {"Eyeglasses", "No_Beard"}, set()),
        ("no glasses, beard", set(), {"Eyeglasses", "No_Beard"}),
        ("no hat, glasses", {"Eyeglasses"}, {"Wearing_Hat"}),
        ("a grandmother", set(), {"Male", "Young"}),
        ("grandpa", {"Male"}, {"Young"}),
        ("no earrings, lipstick", {"Wearing_Lipstick"}, {"Wearing_Earrings"}),
        ("she isn't smiling", set(), {"Smiling", "Male"}),
        ("a bald guy with a moustache", {"Bald", "Male", "Mustache"}, set()),
        ("a 5 year old boy", {"Male", "Young"}, set()),
        ("old man, not bald, gray hair", {"Male", "Gray_Hair"}, {"Young", "Bald"}),
        ("w/o glasses", set(), {"Eyeglasses"}),
        ("eine lächelnde Frau ohne Hut", {"Smiling"}, {"Male", "Wearing_Hat"}),
    ],
)
def test_plain_prompts_are_read_right(clip, prompt, present, absent):
    understood = understand(clip, prompt)
    assert (
        set(understood.present) == present
        and set(understood.absent) == absent
        and not understood.unknown
        and not understood.cut
    )
    assert all(0 < sure <= 1 for sure in [*understood.present.values(), *understood.absent.values()])


def test_a_prompt_that_clip_reads_right_stays_as_it_is(clip):
    for prompt in ("a smiling woman with blond hair", "a man, an astronaut", "Photo of person bald, smiling."):
        assert understand(clip, prompt).text == prompt
    understood = understand(clip, "eine alte Frau")
    assert understood.text == "Photo of person female, old."


def test_red_hair_is_said_in_words_too(clip):
    """The U-Net draws it better so; where the prompt itself goes to CLIP, it says so already."""
    vectors = {"Red_Hair", "Dark_Skin"}
    assert understand(clip, "eine rothaarige Frau", vectors).text == "Photo of person female, red hair."
    assert understand(clip, "a woman with red hair", vectors).text == "a woman with red hair"
    assert understand(clip, "eine Frau ohne rote Haare", vectors).text == "Photo of person female."
    assert understand(clip, "eine dunkelhäutige Frau", vectors).text == "Photo of person female, no pale skin."
    # not where another colour stands in
    assert understand(clip, "eine rothaarige Frau").text == "Photo of person brown hair, female."


def test_what_cannot_be_drawn_is_named_by_phrase(clip):
    understood = understand(clip, "an astronaut riding a horse")
    assert not understood.present and not understood.absent and understood.unknown == ["astronaut riding a horse"]
    understood = understand(clip, "A smiling woman, hyperrealistic, on a skateboard")
    assert set(understood.present) == {"Smiling"} and understood.unknown == ["hyperrealistic", "skateboard"]
    assert kinds("a woman with blue eyes and freckles")["unknown"] == ["blue eyes", "freckles"]
    assert "Narrow_Eyes" in read("blue eyes").items[0].instead


@pytest.mark.parametrize(
    "words", ["maroon hair", "shoulder-length hair", "black lipstick", "a smirk", "curly hair", "in her forties"]
)
def test_what_is_drawn_as_something_near(words):
    by_kind = kinds(words)
    assert len(by_kind["near"]) == 1 and not by_kind["followed"] and not by_kind["unknown"]


def test_a_colour_means_what_stands_behind_it():
    assert states("black hair") == {"Black_Hair": True}
    assert states("a black woman") == {"Male": False, "Dark_Skin": True}
    assert states("a tan jacket, a ginger cat") == {} and states("tan skin") == {"Tanned_Skin": True}
    assert states("a happy dog") == {} and states("a black dress") == {}


@pytest.mark.parametrize(
    "words, kind, young",
    [
        ("a 5 year old", "near", True),
        ("5-year-old", "near", True),
        ("70 years", "followed", False),
        ("in her forties", "near", False),
        ("25 yrs", "followed", True),
        ("aged sixty-four", "followed", False),
        ("late 60s", "followed", False),
        ("mid-thirties", "near", True),
        ("thirty-something", "near", True),
        ("about forty-five", "near", False),
    ],
)
def test_ages(words, kind, young):
    [age] = ages(words)
    assert (age.kind, age.states) == (kind, (("Young", young),))


def test_years_that_are_no_age():
    assert ages("in the 1980s, 85mm, 8k, --ar 16:9") == []


def test_weights_and_networks_of_other_programs_are_no_words():
    reading = read("(smiling:1.3), ((glasses)), [hat], BREAK, <lora:detail:0.8>")
    assert states("(smiling:1.3), ((glasses)), [hat]") == {"Smiling": True, "Eyeglasses": True, "Wearing_Hat": True}
    assert "not used" in reading.note and len([item for item in reading.items if item.kind == "unknown"]) == 2
    assert not read("a (smiling) woman").note


def test_places_are_those_of_the_prompt_as_it_was_typed():
    prompt = "a wo\u00adman 😀 with gla\u200dsses"
    by_kind = kinds(prompt)
    assert by_kind["followed"] == ["wo\u00adman", "😀", "gla\u200dsses"]
    assert states(prompt) == {"Male": False, "Smiling": True, "Eyeglasses": True}


def test_invisible_characters_and_marks_of_the_text_s_end_change_nothing(clip):
    assert for_clip("wo\u00adman \u200ewith\u200b glas\u200dses") == "woman with glasses"
    assert understand(clip, "a wo\u200dman").text == "a woman"
    understood = understand(clip, "a man <end_of_text> with glasses")
    assert set(understood.present) == {"Male", "Eyeglasses"} and understood.unknown == ["<end_of_text>"]
    assert clip.tokens(["a <start_of_text>hat"]).tolist() == clip.tokens(["a hat"]).tolist()


def test_a_typing_error_that_is_seen_through_is_not_reported(clip):
    understood = understand(clip, "a smilling woman")
    assert set(understood.present) == {"Smiling"} and understood.unknown == []


@pytest.mark.parametrize("word", ["blond haiir", "smiilng", "glases", "bearded", "earings"])
def test_typing_errors_are_seen_through(word):
    assert kinds(word)["followed"] == [word]


@pytest.mark.parametrize("word", ["handkerchief", "clunky", "wooded", "gunning", "aether"])
def test_a_word_that_is_one_letter_from_a_known_one_is_no_typing_error(word):
    assert not kinds(word)["followed"]


def test_a_reading_is_the_same_in_every_process():
    """The words of the tables stand in sets, and their order is no order of meanings."""
    prompt = "chica con mechas rosas, piercing en la nariz, labios carnosos"
    code = f"from model.words.reading import read; print(read({prompt!r}).items)"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "5")
    }
    assert len(said) == 1


@pytest.mark.parametrize(
    "prompt, near, unknown",
    [
        # a kind of a thing that an attribute names, whatever stands before it
        ("a thin mustache, felt hat", ["thin mustache", "felt hat"], []),
        ("half-moon spectacles and a shark tooth necklace", ["half-moon spectacles", "shark tooth necklace"], []),
        ("a green mohawk", ["green mohawk"], []),
        (
            "gold hoop earrings, a Mexican hat, the king's crown",
            ["gold hoop earrings", "Mexican hat", "king's crown"],
            [],
        ),
        ("white-stubbled, ginger sideburns", ["white-stubbled", "ginger sideburns"], []),
        ("a toothless smile", ["toothless smile"], []),
        # how hair is worn
        ("her dark hair pinned up", ["dark hair pinned up"], []),
        ("hair lacquered", ["hair lacquered"], []),
        ("tie loosened, a jet black bob", ["tie loosened", "jet black bob"], []),
        ("wild grey curls, straight bangs", ["wild grey curls", "straight bangs"], []),
        ("messy black hair, gray hair in a tight bun", ["messy black hair", "gray hair in a tight bun"], []),
        ("gelled black hair, bleached messy hair", ["gelled black hair", "bleached messy hair"], []),
        ("tiny red lips", ["tiny red lips"], []),
        ("hair like a bird's nest", ["hair like a bird's nest"], []),
        # what trails behind
        (
            "hair wrapped in a towel, braids down to the waist",
            ["hair wrapped in a towel", "braids down to the waist"],
            [],
        ),
        ("a cap, worn backwards", ["cap, worn backwards"], []),
        ("a cap pulled low over his eyes", ["cap pulled low over his eyes"], []),
        ("helmet with a lamp, glasses on a chain", ["helmet with a lamp", "glasses on a chain"], []),
        ("an expression of mild amusement", ["expression of mild amusement"], []),
        ("suspicious of strangers, the king of thieves", ["suspicious of strangers", "king of thieves"], []),
        ("stubble, loosened tie", ["loosened tie"], []),
        ("ice in his beard, a feather in her hat", ["ice in his beard", "feather in her hat"], []),
        ("wisps of white hair", ["wisps of white hair"], []),
        # how much there is of a thing
        ("lots of necklaces, too much rouge", ["lots of necklaces", "much rouge"], []),
        ("really tired", ["really tired"], []),
        ("he looks kind", ["kind"], []),
        ("blonde, full beard", ["full beard"], []),
        ("anime hair", ["anime hair"], []),
        ("iron-grey hair", ["iron-grey hair"], []),
        # moods
        ("a haunted gaze, smug, bewildered", ["haunted gaze", "smug", "bewildered"], []),
        ("worried-looking, an angry look", ["worried-looking", "angry look"], []),
        # an end tells the sex
        ("an infantryman, the gamesmistress", ["infantryman", "gamesmistress"], []),
        # a thing lies on the face, and is none of it
        ("soot on his face", [], ["soot on his face"]),
        ("pale eyelashes", [], ["pale eyelashes"]),
        ("eyes cast down, eyes the colour of rain", [], ["eyes cast", "eyes the colour of rain"]),
        ("looking out of a window", [], ["looking out of a window"]),
        ("no teeth", [], ["no teeth"]),
        ("an unruly dog", [], ["unruly dog"]),
        ("food all over the cheeks", [], ["food all over the cheeks"]),
        ("leaves in her hair, chapped lips", ["leaves in her hair", "chapped lips"], []),
        ("a whistle round his neck", ["whistle round his neck"], []),
        ("small, mean eyes", ["small", "mean eyes"], []),
        ("squinting into the sun, a cap from a feed store", ["squinting into the sun", "cap from a feed store"], []),
        ("a lady of forty, she is eleven", ["of forty", "eleven"], []),
        ("scarf around her neck", [], ["scarf around her neck"]),
        ("nose pierced, eyebrow pierced", ["nose pierced"], ["eyebrow pierced"]),
        # an adjective of a person who wears a thing is the person's
        ("a young scientist in a lab coat", [], ["scientist in a lab coat"]),
        ("a bearded dragon slayer", [], ["dragon slayer"]),
        ("my uncle Bob", [], ["Bob"]),
        ("scar across left eye", [], ["scar across left eye"]),
        ("an old pirate with a pointy hat", ["pointy hat"], ["pirate"]),
        ("fangs", [], ["fangs"]),
        ("passport photo in warm light", [], ["passport photo in warm light"]),
        ("Kindly remember my late husband", [], []),
    ],
)
def test_how_things_are_bounded(prompt, near, unknown):
    by_kind = kinds(prompt)
    assert (by_kind["near"], by_kind["unknown"]) == (near, unknown)


def test_empty_long_and_strange_prompts(clip):
    nothing = understand(clip, "")
    assert not nothing.present and not nothing.absent and not nothing.unknown and not nothing.cut and not nothing.items
    assert understand(clip, "a man with a hat " * 40).cut
    # no copies of it are made
    assert understand(clip, "x" * 5_000_000 + " glasses").cut
    long = Settings("x" * 9000, "y" * 9000)
    assert len(long.prompt) == len(long.negative_prompt) == LONGEST
    assert set(understand(clip, "skateboard, " * 500).unknown) == {"skateboard"}
    assert understand(clip, "a 'zzzqx' man").unknown == ["zzzqx"]


@pytest.mark.parametrize(
    "prompt",
    [
        "x" * 1000,
        "smiling " * 1250,
        "\0" * 10_000,
        "مرحبا " * 2000,
        "é́́́" * 2500,
        "眼镜" * 5000,
        "((([[[<<<:::" * 800,
        "\ud800 a man",
    ],
)
def test_bad_input_is_read_and_never_an_error(clip, prompt):
    understood = understand(clip, prompt)
    assert all(0 <= item.start < item.end <= READABLE for item in understood.items)
    assert is_cut(prompt) in (True, False)


def test_clean_text_keeps_the_places_of_its_characters():
    text, places = clean("e\u0301a\u200db\u0000")
    assert text == "éab " and places == [0, 2, 4, 5, 6]


def test_prompts_written_blind_are_read():
    """Precision and recall of all three kinds over all sets; the figures are in docs/experiments.md."""
    asked = [one for path in SETS for one in read_set(path)]
    assert len(asked) == 2587
    for kind, figures in things(asked).items():
        assert min(figures.values()) > 0.94, (kind, figures)


def test_no_word_is_part_of_two_things():
    for prompt in [one["prompt"] for path in SETS for one in read_set(path)]:
        items = [item for item in read(prompt).items if item.kind != "implied"]
        assert all(first.end <= second.start for first, second in pairwise(items)), prompt


def test_a_thing_counts_only_where_half_of_it_is_covered():
    prompt = "a red hat, a red hat"
    assert spans(prompt, ["red hat", "red hat"]) == [(2, 9), (13, 20)]
    assert covered(prompt, (6, 9), [(2, 9)]) and not covered(prompt, (0, 20), [(2, 4)])


def test_a_thing_stands_in_its_prompt_as_whole_words():
    assert spans("in his sixties, a tie", ["tie"]) == [(18, 21)]


@pytest.mark.parametrize(
    ("prompt", "text", "states"),
    [
        ("a white man", "white", {"Pale_Skin": True}),
        ("a Korean woman", "Korean", {"East_Asian": True}),
        ("burgundy hair", "burgundy hair", {"Red_Hair": True}),
        ("chocolate brown hair", "chocolate brown hair", {"Brown_Hair": True}),
        ("hair in a bun", "hair in a bun", {}),
        ("a middle-aged man", "middle-aged", {"Young": False}),
        ("mujer de mediana edad", "de mediana edad", {"Young": False}),
        ("中年男人", "中年", {"Young": False}),
        ("a boy of ten", "of ten", {"Young": True}),
        ("blond hiar, stud in her nose", "stud in her nose", {"Wearing_Earrings": True}),
    ],
)
def test_what_no_label_names_is_said_with_the_nearest_that_one_does(prompt, text, states):
    items = {prompt[item.start : item.end]: item for item in read(prompt).items}
    assert items[text].kind == NEAR and dict(items[text].states) == states


def test_freckles_are_not_known():
    (item,) = read("freckles").items
    assert item.kind == UNKNOWN and item.instead


def test_names_of_roles_ask_for_nothing():
    assert [item.kind for item in read("NICK - a man").items] == [FOLLOWED]
    assert [item.kind for item in read("a man, DSLR, smiling").items] == [FOLLOWED, UNKNOWN, FOLLOWED]


def test_taking_a_thing_away_denies_it():
    (item,) = read("take the necklace away").items
    assert item.states == (("Wearing_Necklace", False),)


@pytest.mark.parametrize(
    "part", ["smiling ", "no hat, ", "a" * 9 + " ", "\u0301a ", "مرحبا ", "女", "( ", "hair in a "]
)
def test_reading_takes_no_longer_than_the_text_grows(part):
    """Calls, not seconds: ten times the text takes about ten times the work, never a hundred."""
    import cProfile

    def calls(length: int) -> int:
        profile = cProfile.Profile()
        profile.runcall(read, (part * length)[:length])
        return sum(entry.callcount for entry in profile.getstats())

    read(part)
    assert calls(10_000) < 20 * calls(1000)
