"""Training of CLIP's text side alone: new tokens fit in, the image side keeps still, the words get better."""

from dataclasses import replace

import pytest
import torch

from model.clip import Clip, ClipConfig, tokenizer
from model.errors import InputError
from tests.conftest import SMALL_CLIP
from training.clip.words import RECIPES, train, with_tokens
from training.core.run import Run
from training.data.captions import out_of_vocabulary
from training.data.prepare import embed, load_prepared, prepare_images


@pytest.fixture(scope="module")
def clip(tiny_weights):
    return Clip.from_file(tiny_weights / "clip.safetensors")


def test_new_tokens_change_nothing_for_texts_without_them(clip):
    word = next(word for word in out_of_vocabulary() if not {*tokenizer().encode(word)} & {*clip.vocabulary.tolist()})
    new = tokenizer().encode(word)
    wider = with_tokens(clip, torch.tensor(sorted({*clip.vocabulary.tolist(), *new}), dtype=torch.int32)).eval()
    # an unknown word and a new one start alike
    texts = ["a smiling man", "", f"a {word}"]
    assert torch.allclose(wider.encode_texts(texts), clip.encode_texts(texts), atol=1e-5)
    assert wider.tokens([word])[0, 1] != clip.tokens([word])[0, 1]


def test_training_changes_the_words_and_not_the_faces(clip, prepared, tmp_path):
    config = replace(RECIPES["tiny"], captions=1600)
    trained = train(prepared, clip, config, Run(tmp_path, tmp_path / "clip.safetensors", device="cpu"))
    faces = prepared.images[:4]
    assert torch.allclose(trained.encode_images(faces), clip.encode_images(faces), atol=1e-5)
    assert not torch.allclose(trained.encode_texts(["smiling"]), clip.encode_texts(["smiling"]), atol=1e-2)
    losses = [
        float(line.split('"loss": ')[1].rstrip("}\n")) for line in (tmp_path / "log.jsonl").open() if '"loss"' in line
    ]
    # 1.79 = log 2 + log 3 knows nothing; it starts at several
    assert losses and losses[-1] < 2.0
    again = Clip.from_file(tmp_path / "clip.safetensors")
    assert again.info["words"]["captions"] == 1600 and again.hash != clip.hash


def test_faces_keep_their_embeddings_and_prompts_get_new_ones(clip, archive, tiny_weights, tmp_path, monkeypatch):
    prepare_images(archive, tmp_path / "prepared", limit=24)
    embed(tmp_path / "prepared", tiny_weights)
    before = load_prepared(tmp_path / "prepared")
    train(before, clip, RECIPES["tiny"], Run(tmp_path / "run", tmp_path / "clip.safetensors", device="cpu"))
    monkeypatch.setattr(Clip, "encode_images", lambda self, images: pytest.fail("the faces were embedded again"))
    embed(tmp_path / "prepared", tmp_path)
    after = load_prepared(tmp_path / "prepared")
    assert after.clip == Clip.from_file(tmp_path / "clip.safetensors").hash != before.clip
    assert torch.equal(after.image_embeddings, before.image_embeddings)
    assert not torch.equal(after.text_embeddings, before.text_embeddings)


def test_a_clip_with_all_words_is_refused(prepared, tmp_path):
    whole = Clip(ClipConfig(architecture=SMALL_CLIP))
    with pytest.raises(InputError, match="no words to train"):
        train(replace(prepared, clip=whole.hash), whole, RECIPES["tiny"], Run(tmp_path, device="cpu"))


def test_faces_of_another_clip_are_refused(clip, prepared, tmp_path):
    with pytest.raises(InputError, match="training.data.prepare embed"):
        train(replace(prepared, clip="another"), clip, RECIPES["tiny"], Run(tmp_path, device="cpu"))
