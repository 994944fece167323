"""Concepts: words that no label names, each a vector beside the text's embedding."""

import shutil

import numpy as np
import pytest
import torch

from model.attributes import ATTRIBUTES, CONCEPTS, NAMES, attributes_to_prompt, label
from model.errors import WeightsError
from model.files import checkpoint
from model.pipeline import FacePipeline
from model.settings import Settings
from model.words import lexicon, tables
from model.words.concepts import ALSO, ROUGHLY, Concepts
from model.words.marks import FOLLOWED, NEAR, UNKNOWN
from model.words.reading import read
from tests.conftest import ROOT, save_concepts


@pytest.fixture
def weights(tiny_weights, tmp_path):
    """The tiny weights with a vector of random numbers for red hair, and none for the others."""
    folder = tmp_path / "weights"
    shutil.copytree(tiny_weights, folder)
    save_concepts(folder, Red_Hair=torch.randn(512, generator=torch.Generator().manual_seed(0)) / 20)
    return folder


def test_every_name_in_the_tables_is_known():
    entries = [entry for table in (lexicon.CONCEPT_WORDS, lexicon.TABLE) for kind in table.values() for entry in kind]
    named = {state[1:] for entry in entries if isinstance(entry, dict) for state in entry.get("states", [])}
    for language in (*tables.languages(), tables.emoji()):
        phrases = [phrase for group in language.phrases.values() for phrase in group]
        for part in language.parts:
            phrases += [phrase for group in part.described.phrases.values() for phrase in group]
        named |= {name for phrase in phrases for name, _ in phrase.states}
    assert named <= set(NAMES) and set(CONCEPTS) <= named
    assert not set(CONCEPTS) & set(ATTRIBUTES) and set(ALSO) | set(ROUGHLY) <= set(CONCEPTS)


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_box_is_read_as_what_it_says(concept):
    for prompt in (attributes_to_prompt(["Smiling", concept]), f"a woman, {label(concept)}"):
        items = [item for item in read(prompt).items if (concept, True) in item.states]
        assert [item.kind for item in items] == [FOLLOWED], prompt


@pytest.mark.parametrize(
    "prompt, concepts",
    [
        ("a black woman with an afro", {"Dark_Skin"}),
        ("dark-skinned man", {"Dark_Skin"}),
        ("her skin is dark", {"Dark_Skin"}),
        ("a tanned surfer with long blond hair", {"Tanned_Skin", "Long_Hair"}),
        ("a redhead with short hair", {"Red_Hair", "Short_Hair"}),
        ("long red hair and sunglasses", {"Long_Hair", "Red_Hair", "Sunglasses"}),
        ("a Korean man in front of a white background", {"East_Asian", "White_Background"}),
        ("no sunglasses, not dark skinned, dark brown hair", set()),
        ("a black hat, a red tie, a short beard, long nose, white teeth", set()),
        ("eine dunkelhäutige Frau mit langen roten Haaren", {"Dark_Skin", "Long_Hair", "Red_Hair"}),
        ("mujer pelirroja con gafas de sol", {"Red_Hair", "Sunglasses"}),
        ("femme rousse aux cheveux longs", {"Red_Hair", "Long_Hair"}),
        ("uomo abbronzato con capelli corti", {"Tanned_Skin", "Short_Hair"}),
        ("mulher ruiva de cabelo curto", {"Red_Hair", "Short_Hair"}),
        ("长发女人 戴墨镜", {"Long_Hair", "Sunglasses"}),
        ("サングラスをかけた赤い髪の女性", {"Sunglasses", "Red_Hair"}),
        ("लंबे बालों वाली महिला", {"Long_Hair"}),
        ("امرأة بشعر أحمر طويل", {"Red_Hair", "Long_Hair"}),
        ("👩🏿", {"Dark_Skin"}),
    ],
)
def test_concepts_are_read_in_every_language(prompt, concepts):
    assert {name for item in read(prompt).items for name, has in item.states if has and name in CONCEPTS} == concepts


def test_a_concept_changes_the_faces_that_ask_for_it_and_no_other(weights, tiny_weights):
    plain, taught = (FacePipeline.from_pretrained(folder, device="cpu") for folder in (tiny_weights, weights))
    prompts = ["a woman", "a woman with red hair", "a woman with long hair"]
    # one by one: a text's embedding differs in its last digits with the length of the others in its batch
    before, after = (
        np.concatenate([pipe.generate([prompt], [3], steps=2) for prompt in prompts]) for pipe in (plain, taught)
    )
    np.testing.assert_array_equal(before[[0, 2]], after[[0, 2]])
    assert np.abs(before[1].astype(int) - after[1]).max() > 1
    condition = taught.condition(prompts)[:, :512]
    assert torch.allclose(condition.norm(dim=1), torch.ones(3), atol=1e-5)
    # in an edited prompt, a negative one and on a walk, too
    edits = Settings("a woman with red hair", seed=3, steps=2, edits=(("Smiling", 1.0),))
    assert (plain.generate_faces([edits]) != taught.generate_faces([edits])).any()
    moved = Settings("a woman", seed=3, steps=2, edits=(("Red_Hair", 2.0),))
    assert (plain.generate_faces([moved]) != taught.generate_faces([moved])).any()


def test_what_has_no_vector_is_told(weights, tiny_weights):
    taught, plain = (FacePipeline.from_pretrained(folder, device="cpu") for folder in (weights, tiny_weights))
    prompt = "red hair, long hair, no sunglasses"
    read_of = {pipe: pipe.understood(prompt) for pipe in (taught, plain)}
    assert [item.kind for item in read_of[taught].items] == [FOLLOWED, UNKNOWN, NEAR]
    assert read_of[taught].concepts == ("Red_Hair",) and read_of[taught].unknown == ["long hair"]
    assert [item.kind for item in read_of[plain].items] == [NEAR, UNKNOWN, NEAR]
    assert read_of[plain].items[0].states == (("Brown_Hair", True),)
    assert read_of[plain].items[2].states == (("Eyeglasses", False),) and read_of[plain].concepts == ()


def test_a_denial_says_no_more_than_it_does(weights):
    """Neither with a vector nor without does "not dark" mean "pale"."""
    for folder in (weights, ROOT / "weights"):
        understood = FacePipeline.from_pretrained(folder, device="cpu").understood("a man, not dark skinned")
        assert all(name != "Pale_Skin" for item in understood.items for name, _ in item.states)


def test_a_concept_says_what_goes_without_saying():
    pipe = FacePipeline.from_pretrained(ROOT / "weights", device="cpu")
    understood = pipe.understood("a black woman with sunglasses")
    assert "Eyeglasses" in understood.present and "Pale_Skin" in understood.absent
    assert understood.concepts == ("Dark_Skin", "Sunglasses")
    assert pipe.understood("a woman without sunglasses").absent.keys() >= {"Eyeglasses"}
    # brown hair is another colour
    assert "Brown_Hair" not in pipe.understood("a woman with red hair").present


def test_the_bundled_weights_draw_every_concept():
    assert set(FacePipeline.from_pretrained(ROOT / "weights", device="cpu").concepts) == set(CONCEPTS)


def test_vectors_of_other_weights_and_of_nothing_are_refused(weights):
    checkpoint.save(weights / "concepts.safetensors", {"Red_Hair": torch.zeros(512)}, {}, {"unet": "0123"})
    with pytest.raises(WeightsError, match="another U-Net") as error:
        FacePipeline.from_pretrained(weights, device="cpu")
    assert "\n" not in str(error.value)
    for wrong in ({"Blue_Hair": torch.zeros(512)}, {"Red_Hair": torch.zeros(2, 512)}, {"Red_Hair": torch.zeros(7)}):
        save_concepts(weights, **wrong)
        with pytest.raises(WeightsError, match="_Hair") as error:
            FacePipeline.from_pretrained(weights, device="cpu")
        assert "\n" not in str(error.value)


def test_vectors_are_added_to_the_texts_that_ask_for_them():
    texts = torch.nn.functional.normalize(torch.randn(3, 512), dim=1)
    concepts = Concepts({"Red_Hair": torch.ones(512) / 20, "Long_Hair": -torch.ones(512) / 20})
    moved = concepts.added(texts, [(), ("Red_Hair",), ("Red_Hair", "Long_Hair")])
    assert torch.equal(moved[0], texts[0]) and torch.allclose(moved[2], texts[2], atol=1e-6)
    wanted = torch.nn.functional.normalize(texts[1] + 1 / 20, dim=0)
    assert torch.allclose(moved[1], wanted, atol=1e-6)
