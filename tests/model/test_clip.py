"""CLIP and its training: folded tokens, any text, unit vectors, the multi-positive loss, exact resume."""

import subprocess
import sys
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.clip import CONTEXT, FIRST_KNOWN, UNKNOWN, Clip, ClipConfig, is_cut, tokenizer
from model.errors import WeightsError
from model.files import checkpoint
from tests.conftest import ROOT, SMALL_CLIP, StopAfter
from training.clip.quality import retrieval, satisfies, steadiness, validate
from training.clip.train import RECIPES, augment, losses, train
from training.core.run import Run
from training.data.captions import caption, out_of_vocabulary


@pytest.fixture(scope="module")
def clip(tiny_weights):
    return Clip.from_file(tiny_weights / "clip.safetensors")


def test_texts_become_unit_vectors(clip):
    features = clip.encode_texts(["photo of person smiling", "", "a man"])
    assert features.shape == (3, 512) and torch.allclose(features.norm(dim=1), torch.ones(3), atol=1e-5)
    assert not torch.allclose(features[0], features[2], atol=1e-3)


def test_a_text_does_not_depend_on_its_batch(clip):
    alone = clip.encode_texts(["a smiling man"])
    among = clip.encode_texts(["a smiling man", "photo of person " + "bushy eyebrows, " * 30, ""])
    assert torch.allclose(alone[0], among[0], atol=1e-5)


def test_unknown_tokens_share_one_row_and_known_ones_do_not(clip):
    words = [word for word in out_of_vocabulary() if not {*tokenizer().encode(word)} & {*clip.vocabulary.tolist()}][:2]
    known, strange, odd = clip.tokens(["smiling", *words])
    assert known[1] >= FIRST_KNOWN and known[1] != UNKNOWN and strange[1] == odd[1] == UNKNOWN
    # start, end
    assert known[0] == strange[0] and known.max() == strange.max() == FIRST_KNOWN + len(clip.vocabulary) - 1
    assert torch.allclose(*clip.encode_texts(words), atol=1e-5)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=400))
def test_any_text_has_a_finite_embedding(clip, text):
    features = clip.encode_texts([text])
    assert torch.isfinite(features).all() and abs(features.norm().item() - 1) < 1e-4
    assert isinstance(is_cut(text), bool)


def test_an_exclamation_mark_is_a_word_not_padding(clip):
    """The tokenizer's id of "!" is also its padding."""
    texts = ["yes!😀 a man with a hat", "!@#$% a man", "hello !"]
    long = "photo of person " + "bushy eyebrows, " * 15
    for text in texts:
        ids = clip.tokens([text])[0]
        assert (ids != 0).all() and ids[-1] == FIRST_KNOWN + len(clip.vocabulary) - 1
        assert torch.allclose(clip.encode_texts([text])[0], clip.encode_texts([text, long])[0], atol=1e-5)
    assert not torch.allclose(*clip.encode_texts(["!@#$% a man", "!@#$% a woman"]), atol=1e-3)


def test_long_texts_are_cut_and_said(clip):
    short, long = "smiling " * 75, "smiling " * 76
    assert not is_cut(short) and is_cut(long) and is_cut("x" * 10_000)
    assert clip.tokens([long]).shape == (1, CONTEXT)
    assert torch.allclose(*clip.encode_texts([long, "smiling " * 1000]), atol=1e-6)


def test_images_become_unit_vectors_of_any_size(clip):
    faces = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    features = clip.encode_images(faces)
    assert features.shape == (2, 512) and torch.allclose(features.norm(dim=1), torch.ones(2), atol=1e-5)
    assert clip.encode_images(np.zeros((1, 100, 80, 3), np.uint8)).shape == (1, 512)


def test_a_face_needs_no_compiler(tiny_weights):
    """torchvision, timm and the device "meta" would import PyTorch's: a second and 0.14 GB. Who asks for it has it."""
    code = f"""
import sys
from model.pipeline import FacePipeline
FacePipeline.from_pretrained({str(tiny_weights)!r}, "cpu").generate(["a man"], [1], steps=1)
import open_clip.timm_model
print("timm" in sys.modules, open_clip.timm_model.timm is not None, "torch._dynamo" in sys.modules)
from torchvision.ops.roi_align import is_compile_supported
print(is_compile_supported("cpu") == sys.modules["torch._dynamo.utils"].is_compile_supported("cpu"))
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert told.stdout == "True True False\nTrue\n", told.stderr


def test_openais_architecture_keeps_its_whole_table():
    """A standard open_clip model through the same class: causal mask, 77 positions, all 49,408 tokens."""
    architecture = {**SMALL_CLIP, "text_cfg": {"context_length": 77, "width": 32, "heads": 2, "layers": 1}}
    clip = Clip(ClipConfig(name="standard", architecture=architecture)).eval()
    assert clip.towers.vocab_size == 49408 and clip.tokens(["a"]).shape == (1, CONTEXT)
    assert clip.encode_texts(["zebra", "tractor"]).shape == (2, 512)


def test_saved_and_loaded_clip_is_the_same(clip, tmp_path):
    clip.save(tmp_path / "clip.safetensors", {"kind": "clip"})
    again = Clip.from_file(tmp_path / "clip.safetensors")
    assert again.hash == clip.hash
    assert torch.equal(again.encode_texts(["a man"]), clip.encode_texts(["a man"]))


def test_a_config_that_does_not_fit_is_one_line(clip, tmp_path):
    path = tmp_path / "clip.safetensors"
    checkpoint.save(path, clip.state_dict(), {"surprise": 1}, {})
    with pytest.raises(WeightsError, match="cannot build"):
        Clip.from_file(path)


# --- training ---------------------------------------------------------------------------------------------------------


def test_satisfies_means_has_all_stated_and_lacks_all_denied():
    faces = torch.tensor([[1, 0, 1], [0, 0, 1]], dtype=torch.bool)
    stated = torch.tensor([[0, 0, 0], [1, 0, 0], [0, -1, 1], [-1, 0, 1], [1, 1, 0]], dtype=torch.int8)
    assert satisfies(faces, stated).tolist() == [[True, True, True, False, False], [True, False, True, True, False]]


def test_the_loss_wants_every_fitting_face_near_the_caption(clip):
    images = torch.rand(2, 3, 64, 64)
    ids, stated = clip.tokens(["smiling", ""]), torch.zeros(2, 40, dtype=torch.int8)
    logits = clip.logits(clip.image_features(images), clip.text_features(ids))
    for fits in (torch.tensor([[1, 1], [0, 1]]), torch.tensor([[0, 1], [1, 1]])):
        signs = 2 * fits - 1
        wanted = -torch.nn.functional.logsigmoid(signs * logits).mean()
        assert torch.allclose(losses(clip, images, [ids], fits, stated)[0], wanted, atol=1e-5)


def test_augment_keeps_range_and_shape():
    torch.manual_seed(0)
    images = torch.rand(6, 3, 64, 64)
    changed = augment(images)
    assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= 1
    assert not torch.equal(changed, images)


def test_retrieval_is_perfect_for_embeddings_that_know_the_labels(clip, monkeypatch):
    """Texts and faces as vectors whose dot product counts the statements that hold: the ten best are always right
    ones."""
    rng = np.random.default_rng(0)
    attributes = torch.from_numpy(rng.random((300, 40)) < 0.4)
    said = []
    monkeypatch.setattr(
        "training.clip.quality.worded", lambda stated, rng: said.append(torch.from_numpy(stated).float()) or ""
    )
    monkeypatch.setattr(type(clip), "encode_texts", lambda self, texts: torch.stack(said))
    faces = attributes.float() * 2 - 1
    assert retrieval(clip, faces, attributes, np.full(40, 0.4)) > 0.95
    said.clear()
    assert retrieval(clip, faces[torch.randperm(300)], attributes, np.full(40, 0.4)) < 0.5


def test_figures_of_a_clip_are_shares(clip, prepared):
    figures = validate(clip, prepared) | steadiness(
        clip, np.eye(40, dtype=np.int8)[:8] - np.eye(40, dtype=np.int8)[8:16]
    )
    assert set(figures) == {"zero_shot", "retrieval", "read_recall", "read_precision", "order", "filler", "scope"}
    assert all(-1 <= value <= 1 for value in figures.values())


def test_training_learns_to_read_captions_and_resumes_exactly(prepared, tmp_path):
    config = replace(RECIPES["tiny"], images=256)
    small = ClipConfig(architecture=SMALL_CLIP)
    train(prepared, config, Run(tmp_path / "a", tmp_path / "clip.safetensors", device="cpu"), small)
    train(prepared, config, Run(tmp_path / "b", device="cpu", stop=StopAfter(3)), small)
    torch.rand(5)
    train(prepared, config, Run(tmp_path / "b", device="cpu"), small)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in "ab"]
    assert states[0]["step"] == states[1]["step"] == 8
    for key, value in states[0]["ema"]["network"].items():
        assert torch.equal(value, states[1]["ema"]["network"][key]), key
    assert Clip.from_file(tmp_path / "clip.safetensors").hash


def test_one_batch_overfits():
    """The head reads eight captions perfectly after a few steps on them alone, and faces find their captions."""
    torch.manual_seed(0)
    rng = Random(0)
    rows = np.random.default_rng(0).random((8, 40)) < 0.2
    pairs = [caption(row, np.full(40, 0.2), rng) for row in rows]
    ids = sorted({0, *(i for text, _ in pairs for i in tokenizer().encode(text))} - {0})
    vocabulary = torch.tensor([*ids, tokenizer().sot_token_id, tokenizer().eot_token_id])
    clip = Clip(ClipConfig(architecture=SMALL_CLIP, tokens=len(vocabulary)), vocabulary)
    stated = torch.from_numpy(np.stack([stated for _, stated in pairs]))
    images, fits = torch.rand(8, 3, 64, 64), satisfies(torch.from_numpy(rows), stated)
    optimizer = torch.optim.Adam(clip.parameters(), lr=3e-3)
    tokens = clip.tokens([text for text, _ in pairs])
    for _ in range(120):
        pair_loss, read_loss = losses(clip, images, [tokens], fits, stated)
        optimizer.zero_grad()
        (pair_loss + read_loss).backward()
        optimizer.step()
    read = clip.read(clip.text_features(tokens)).argmax(-1) - 1
    assert (read == stated).float().mean() > 0.99 and pair_loss < 0.2
