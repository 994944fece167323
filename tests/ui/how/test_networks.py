"""The tab "How it works": what its figures of the networks and of the whole model show, on tiny weights."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.pipeline import FacePipeline
from model.settings import Settings
from model.srresnet import bicubic
from tests.conftest import save_crisp
from ui.how import attention, bias, clip, face, html, scale, sobel, srresnet, unet

ASKED = Settings("a smiling woman", seed=7, steps=2, sampler="dpmpp")


@pytest.fixture(scope="module")
def pipe(tiny_weights) -> FacePipeline:
    return FacePipeline.from_pretrained(tiny_weights, "cpu")


def test_features_leave_the_network_alone(pipe):
    names = [name for _, _, name in face.unet_levels(pipe.unet)]
    inputs = torch.randn(1, 3, 64, 64), torch.tensor([0.5]), torch.zeros(1, 514)
    with torch.inference_mode():
        expected = pipe.unet(*inputs)
    kept, output = face.features(pipe.unet, names, *inputs)
    maps = list(kept.values())
    torch.testing.assert_close(output, expected)
    assert len(maps) == len(names) and all(one.ndim == 3 for one in maps)
    assert not any(module._forward_hooks for module in pipe.unet.modules())


def test_levels_halve_and_double(pipe):
    levels = face.unet_levels(pipe.unet)
    kept, _ = face.features(
        pipe.unet, [name for _, _, name in levels], torch.randn(1, 3, 64, 64), torch.tensor([0.5]), torch.zeros(1, 514)
    )
    maps = [kept[name] for _, _, name in levels]
    count, sizes = len(pipe.unet.config.channels), [one.shape[-1] for one in maps]
    down = [32 // 2**level for level in range(count)]
    assert sizes == [*down, down[-1], *reversed(down)]
    assert [one.shape[0] for one in maps[:count]] == list(pipe.unet.config.channels)
    assert [part for part, _, _ in levels] == ["Encoder"] * count + ["Middle"] + ["Decoder"] * count
    assert levels[-1][2] == f"decoder.{len(pipe.unet.decoder) - 1}"


def test_sobel_by_hand():
    step = np.zeros((4, 5))
    # dark on the left, bright on the right
    step[:, 3:] = 10
    right, down = sobel.sobel(step)
    assert right.tolist() == [[0, 0, 40, 40, 0]] * 4 and not down.any()
    again, along = sobel.sobel(step.T)
    assert np.array_equal(along, right.T) and not again.any()
    assert not any(part.any() for part in sobel.sobel(np.full((3, 3), 200.0)))
    # one more per pixel, times 8
    assert sobel.sobel(np.arange(12.0).reshape(3, 4))[0][1, 1] == 8


def test_sum_at_the_strongest_edge_is_right(pipe):
    page = sobel.edges(pipe, ASKED).replace("−", "-")
    window = np.array(re.findall(r"<td>(-?\d+)</td>", page)[-9:], int).reshape(3, 3)
    across, along, both = map(int, re.findall(r"<b>(-?\d+)</b>", page)[-3:])
    assert across == (window * sobel.SOBEL_X).sum() and along == (window * sobel.SOBEL_Y).sum()
    assert both == round(np.hypot(across, along)) > 0


def test_shuffle_is_four_channels_in_one_and_the_sum_is_the_face(pipe):
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    stages, smooth, detail = srresnet.shuffles(pipe.upscaler, x)
    with torch.inference_mode():
        maps = pipe.upscaler.head(x)
        maps = maps + pipe.upscaler.body(maps)
        for stage, shown in zip(pipe.upscaler.upsample, stages, strict=True):
            conv, shuffle, act = stage.children()
            before = conv(maps)
            after = shuffle(before)
            assert shown.count == len(after[0]) and shown.channel == after[0].flatten(1).std(1).argmax()
            torch.testing.assert_close(shown.after, after[0, shown.channel])
            torch.testing.assert_close(shown.before, before[0, 4 * shown.channel : 4 * shown.channel + 4])
            maps = act(after)
        torch.testing.assert_close(smooth + detail, pipe.upscaler(x)[0])
    assert [shown.before.shape[-1] for shown in stages] == [16, 32, 64]
    # nothing holds the other channels
    assert all(shown.after.untyped_storage().nbytes() == 4 * shown.after.numel() for shown in stages)
    assert torch.equal(smooth, bicubic(x, 8)[0])


def test_pictures_show_what_they_say():
    ramp = torch.linspace(-3, 5, 64 * 64).view(64, 64)
    shown = html.stretched(ramp)
    assert shown.min() == 0 and shown.max() == 255 and shown[32, 0] in range(120, 136)
    assert html.signed(torch.tensor([[-2.0, 0.0, 1.0]])).tolist() == [[0, 128, 191]]
    # nothing to stretch
    assert html.stretched(torch.ones(4, 4)).shape == (4, 4)
    assert html.colour(torch.tensor([-2.0, 0.0, 2.0]).view(3, 1, 1)).tolist() == [[[0, 128, 255]]]
    assert "&lt;b&gt;" in html.tile(np.zeros((2, 2), np.uint8), "<b>", alt='"')


def test_scale_is_of_the_loaded_weights(pipe):
    count = sum(tensor.numel() for tensor in pipe.unet.parameters())
    assert scale.parameters(pipe.unet) == count
    page = scale.scale(pipe, ASKED)
    # these weights say nothing of their training
    assert scale.millions(count) in page and "not recorded" in page
    assert scale.duration({"seconds": 5400, "device": "cpu"}) == "1.5 hours on a CPU"
    assert scale.duration({"seconds": 360, "device": "cuda (one NVIDIA H200)"}) == "6 minutes on one NVIDIA H200"
    assert scale.duration({"seconds": 7 * 3600, "device": "<H100>"}) == "7.0 hours on &lt;H100&gt;"


def test_matrix_of_texts_and_faces(pipe):
    faces = clip.examples(pipe)
    assert faces.shape == (len(clip.SEEN), 64, 64, 3)
    chances = clip.fits(pipe, faces, list(clip.SEEN[:3]))
    assert chances.shape == (3, len(faces)) and (chances > 0).all() and (chances < 1).all()
    with torch.inference_mode():
        odds = pipe.clip.logits(pipe.clip.encode_images(faces[1:2]), pipe.clip.encode_texts([clip.SEEN[2]]))
    assert chances[2, 1] == pytest.approx(odds.sigmoid().item(), abs=1e-4)
    page = clip.clip_matrix(pipe, ASKED, " <script>alert(1)</script> ")
    assert "<script>" not in page and "&lt;script&gt;" in page and page.count("<tr>") == 1 + 2 + len(clip.SEEN)
    same = clip.clip_matrix(pipe, replace(ASKED, prompt=clip.SEEN[0]), "")
    # no text twice
    assert same.count("<tr>") == 1 + len(clip.SEEN)


def test_same_noise_for_the_word_attractive(pipe):
    faces = bias.attractive(pipe)
    assert faces.shape == (12, 64, 64, 3) and not np.array_equal(faces[:6], faces[6:])
    assert np.abs(faces[1].astype(int) - pipe.generate([""], [2], steps=bias.STEPS)[0]).max() <= 2
    assert bias.bias(pipe, ASKED).count("<figure>") == 12


# --- attention --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", face.LAYERS)
def test_attention_shown_is_the_networks_own(pipe, layer):
    """With these weights and its values, the network's attention returns what it returns."""
    name = face.module(pipe.unet, layer)
    network, qkv = pipe.unet.get_submodule(name), face.answer(pipe, ASKED, 60).inside[f"{name}.qkv"]
    weights = attention.weights(pipe.unet, name, qkv)
    assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
    x = torch.randn(1, network.norm.num_channels, 8, 8)
    with torch.inference_mode():
        own = network.qkv(network.norm(x))[0]
        value = own.reshape(3, network.heads, -1, 64)[2]
        mixed = value @ attention.weights(pipe.unet, name, own).transpose(-1, -2)
        torch.testing.assert_close(x + network.out(mixed.reshape(1, -1, 8, 8)), network(x), atol=1e-4, rtol=1e-4)


def test_nothing_is_kept_of_the_unet_that_no_figure_shows(pipe, monkeypatch):
    class Watched(dict):
        read = set()

        def __getitem__(self, name):
            self.read.add(name)
            return super().__getitem__(name)

    said = face.ask(pipe, ASKED, 60)
    said = replace(said, inside=Watched(said.inside))
    for module in (unet, attention):
        monkeypatch.setattr(module, "answer", lambda pipe, settings, step: said)
    unet.unet_maps(pipe, ASKED, 60)
    for layer in face.LAYERS:
        attention.heads(pipe, ASKED, 60, layer)
    assert Watched.read == said.inside.keys()


def test_sheet_has_a_tile_for_each_place():
    maps = torch.zeros(16, 16)
    # the place in row 1, column 2 looks at row 2, column 1
    maps[6, 9], maps[6, 0] = 0.8, 0.2
    maps[torch.arange(16) != 6, 0] = 1
    tile = attention.sheet(maps)[4 * 1 : 4 * 2, 4 * 2 : 4 * 3]
    assert tile[2, 1] == 255 and tile[0, 0] == 128 and (tile > 0).sum() == 2


def test_attention_figures(pipe):
    page = attention.heads(pipe, ASKED, 60, face.LAYERS[1])
    heads = pipe.unet.get_submodule(face.module(pipe.unet, face.LAYERS[1])).heads
    assert page.count('class="lit"') == heads + 2
    assert attention.over_time(pipe, ASKED, face.LAYERS[1]).count('class="lit"') == len(attention.MOMENTS)
    whole, blind = attention.with_and_without(pipe, ASKED)
    torch.testing.assert_close(whole[:1], face.answer(pipe, ASKED, 75).original, atol=1e-4, rtol=0)
    assert not torch.allclose(whole, blind, atol=1e-3)


# --- words and enlarging ----------------------------------------------------------------------------------------------


def test_tokens_known_folded_and_cut(pipe):
    said = clip.tokens(pipe.clip, "woman zxqv " + "smiling " * 80)
    assert said[0] == ("woman ", "known") and {kind for _, kind in said} == {"known", "folded", "cut"}
    assert [kind for _, kind in said].index("cut") == 75
    assert "".join(token for token, _ in said).startswith("woman zxqv smiling")


def test_clip_figures_show_the_text_that_clip_gets(pipe):
    page = " ".join(clip.words(pipe, replace(ASKED, prompt="eine alte Frau"), "").split())
    assert "Tokens of “eine alte Frau”" in page and "CLIP gets: “Photo of person female, old.”" in page
    shown = re.search(r'<ul class="tokens">(.*?)</ul>', page).group(1)
    assert ">old " in shown and "frau" not in shown.lower()
    vector = pipe.condition(["eine alte Frau"])[0, :-2].cpu()
    assert torch.allclose(vector, pipe.clip.encode_texts(["Photo of person female, old."])[0], atol=1e-5)


def test_words_that_move_the_embedding(pipe):
    said = clip.moved(pipe, "a smiling woman")
    whole, rest = pipe.clip.encode_texts(["a smiling woman", "a woman"])
    assert [word for word, _ in said] == ["a", "smiling", "woman"]
    assert said[1][1] == pytest.approx(1 - (whole @ rest).item(), abs=1e-5)
    page = clip.words(pipe, ASKED, " <b>hat</b> ")
    assert "<b>hat" not in page and page.count("<li") >= 40
    assert "no prompt" in clip.words(pipe, replace(ASKED, prompt=""), "")


def test_enlargements_side_by_side(pipe, tiny_weights, tmp_path):
    # no crisp one here
    assert srresnet.compared(pipe, ASKED).count("<figure>") == 6
    shutil.copytree(tiny_weights, tmp_path / "w")
    save_crisp(tmp_path / "w")
    page = srresnet.compared(FacePipeline.from_pretrained(tmp_path / "w", "cpu"), ASKED)
    assert page.count("<figure>") == 9 and "Invented" in page
    same = np.full((512, 512, 3), 90, np.uint8)
    assert "<b>0.0</b> grey levels" in srresnet.invented(same[:64, :64], same, same)


def test_u_has_the_networks_own_shapes(pipe):
    page = unet.unet_maps(pipe, ASKED, 50)
    shown = re.findall(r"<span>(\d+) × (\d+) × (\d+)</span>", page)
    assert shown[0] == ("4", "64", "64") and shown[1] == ("16", "32", "32") and shown[-1] == ("3", "64", "64")
    assert ("12", "32", "32") in shown and page.count('class="skip"') == len(pipe.unet.config.channels) - 1
