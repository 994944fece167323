"""What is read in languages other than English."""

import pytest

from model.attributes import NAMES
from model.words.reading import read
from model.words.tables import languages
from tests.model.words.test_understanding import kinds, states


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("junger Mann mit Brille, kein Bart", {"Young": True, "Male": True, "Eyeglasses": True, "No_Beard": True}),
        ("hombre calvo sin bigote", {"Male": True, "Bald": True, "Mustache": False}),
        ("une femme souriante avec des lunettes", {"Male": False, "Smiling": True, "Eyeglasses": True}),
        (
            "mulher jovem de chapéu, sem óculos",
            {"Male": False, "Young": True, "Wearing_Hat": True, "Eyeglasses": False},
        ),
        ("ragazza con capelli biondi e orecchini", {"Male": False, "Blond_Hair": True, "Wearing_Earrings": True}),
        ("一个戴眼镜的老男人", {"Eyeglasses": True, "Young": False, "Male": True}),
        (
            "眼鏡をかけた笑顔の女性、帽子なし",
            {"Eyeglasses": True, "Smiling": True, "Male": False, "Wearing_Hat": False},
        ),
        ("चश्मा पहने हुए लड़की", {"Eyeglasses": True, "Male": False}),
        ("امرأة مبتسمة بدون نظارة", {"Male": False, "Smiling": True, "Eyeglasses": False}),
        ("eine Frau mit Brille, wearing hat.", {"Male": False, "Eyeglasses": True, "Wearing_Hat": True}),
    ],
)
def test_other_languages(prompt, expected):
    assert states(prompt) == expected and not read(prompt).note


def test_every_language_knows_all_attributes_and_concepts():
    assert len(languages()) == 9
    for language in languages():
        tables = (language, *(part.described for part in language.parts))
        stated = {s for one in tables for group in one.phrases.values() for phrase in group for s in phrase.states}
        assert {name for name, has in stated if has} == set(NAMES), language.name


def test_a_language_that_is_not_read_is_said_in_one_line():
    reading = read("улыбающаяся женщина")
    assert reading.note.startswith("Nothing of this is read") and "\n" not in reading.note
    assert [item.kind for item in reading.items] == ["unknown"]


@pytest.mark.parametrize(
    "prompt, expected",
    [
        # adjectives before the noun, behind it, several at once
        ("lange blonde Haare", {"Long_Hair": True, "Blond_Hair": True}),
        ("seine Haare sind kurz und schwarz", {"Short_Hair": True, "Black_Hair": True}),
        ("el pelo largo y rubio", {"Long_Hair": True, "Blond_Hair": True}),
        ("de longs cheveux bruns bouclés", {"Long_Hair": True, "Brown_Hair": True, "Wavy_Hair": True}),
        ("cabelos curtos e grisalhos", {"Short_Hair": True, "Gray_Hair": True}),
        ("lunghi capelli neri", {"Long_Hair": True, "Black_Hair": True}),
        ("黑色的长头发", {"Black_Hair": True, "Long_Hair": True}),
        ("长長いくて黒い髪", {"Black_Hair": True}),
        ("घने लंबे काले बाल", {"Long_Hair": True, "Black_Hair": True}),
        ("شعر أسود طويل", {"Black_Hair": True, "Long_Hair": True}),
        # a thing with its colour, and the word behind it is none
        ("schwarze Brille, Hornbrille", {"Eyeglasses": True}),
        ("occhi azzurri, rossetto rosso", {"Wearing_Lipstick": True}),
        ("barba blanca larga", {"No_Beard": False}),
        # endings: of Hindi verbs, of Arabic cases and articles, of women and men
        ("मुस्कुराती हुई", {"Smiling": True}),
        ("رجلا مبتسما", {"Male": True, "Smiling": True}),
        ("ربطة العنق", {"Wearing_Necktie": True}),
        ("un anziano", {"Male": True, "Young": False}),
        ("junge Frau", {"Young": True, "Male": False}),
        ("un bel homme", {"Attractive": True, "Male": True}),
        # ages in figures
        ("25-jährige, 70 Jahre", {"Young": False}),
        ("una señora de 70 años", {"Male": False, "Young": False}),
        ("三十岁的男人", {"Male": True, "Young": True}),
        ("20代の女性", {"Young": True, "Male": False}),
        # what a "no" is not, and where it stands
        ("weder Hut noch Brille", {"Wearing_Hat": False, "Eyeglasses": False}),
        ("noch jung", {"Young": True}),
        ("笑っていない", {"Smiling": False}),
        ("若くない", {"Young": False}),
        # one word for two things
        ("nariz respingada", {"Big_Nose": False}),
        ("chauve-souris", {}),
        ("vestito di pizzo", {}),
        ("塗口紅", {"Wearing_Lipstick": True}),
    ],
)
def test_languages_as_their_speakers_write_them(prompt, expected):
    assert states(prompt) == expected


def test_a_mood_is_near_in_every_language():
    for words in ("sad", "traurig", "triste", "悲伤", "悲しそう", "उदास", "حزين"):
        assert kinds(words)["near"], words


@pytest.mark.parametrize(
    "prompt, near",
    [
        # one thing with all that is said of it
        ("wilde schwarze Haare", ["wilde schwarze Haare"]),
        ("青い黒髪", ["青い黒髪"]),
        ("capelli ricci neri", ["capelli ricci neri"]),
        # two things
        ("el pelo mojado y rubio", ["pelo mojado"]),
        # a shape is near what the attribute names
        ("dünne Lippen, kleine Nase", ["dünne Lippen", "kleine Nase"]),
        ("serio, labios finos", ["serio", "labios finos"]),
    ],
)
def test_what_is_near_in_other_languages(prompt, near):
    assert kinds(prompt)["near"] == near
