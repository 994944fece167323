"""The tab "How it works": what its figures compute, on tiny weights, and the tab in a real browser."""

import importlib
import json
import re
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from model import checkpoint
from model.diffusion import TARGETS, add_noise, alpha_bar, from_original, posterior
from model.errors import FacetError
from model.pipeline import FacePipeline
from model.settings import Settings
from model.srresnet import bicubic
from model.unet import UNet
from tests.conftest import ROOT, save_unet, unets_of_moments
from training.evaluation.sheet import main as make_sheet
from training.unet.recipes import TINY
from ui.how import diffusion as how_diffusion
from ui.how import guidance as how_guidance
from ui.how import html as how_html
from ui.how import inside as how_inside
from ui.how import page as how
from ui.how import scale as how_scale
from ui.how import targets as how_targets
from ui.how.diffusion import OTHER_PROMPTS

ASKED = Settings("a smiling woman", seed=7, steps=2, sampler="dpmpp")
SECTIONS = (
    "which",
    "forward",
    "strips",
    "predictions",
    "targets",
    "unet",
    "guidance",
    "scale",
    "clip",
    "sobel",
    "srresnet",
    "bias",
)


@pytest.fixture(scope="module")
def pipe(tiny_weights) -> FacePipeline:
    return FacePipeline.from_pretrained(tiny_weights, "cpu")


# --- the record -------------------------------------------------------------------------------------------------------


def test_record_becomes_the_same_face(pipe):
    settings = how.wanted({"prompt": "an old man", "seed": 5, "steps": 3, "sampler": "ddim"})
    assert (settings.prompt, settings.seed, settings.steps, settings.sampler) == ("an old man", 5, 3, "ddim")
    assert np.array_equal(
        how_diffusion.face(pipe, settings), pipe.generate(["an old man"], [5], steps=3, sampler="ddim")[0]
    )
    assert not np.array_equal(how_diffusion.face(pipe, settings), how_diffusion.face(pipe, replace(settings, seed=6)))
    assert how_diffusion.face(pipe, settings) is how_diffusion.face(pipe, replace(settings))  # kept, not drawn again


def test_record_that_makes_no_sense_falls_back():
    assert how.wanted(None) == how.FIRST == how.wanted(how.FIRST.as_record())
    assert how.wanted({"seed": "x", "prompt": 3, "steps": -1, "more": 1}) == how.wanted({"prompt": ""})


# --- diffusion --------------------------------------------------------------------------------------------------------


def test_linear_schedule_is_the_papers_product():
    betas = np.linspace(1e-4, 0.02, 1000)
    for t in (0.0, 0.001, 0.25, 1.0):
        assert how_diffusion.linear_alpha_bar(t).item() == pytest.approx(
            np.prod(1 - betas[: round(1000 * t)]), rel=1e-9
        )
    assert how_diffusion.linear_alpha_bar(torch.rand(3, 2)).shape == (3, 2)


@pytest.mark.parametrize("step", [0, 1, 37, 100])
def test_noised_face_is_the_weighted_sum(pipe, step):
    state = how_diffusion.noised(pipe, ASKED, step)
    clean = torch.tensor(how_diffusion.face(pipe, ASKED)).permute(2, 0, 1)[None] / 127.5 - 1
    assert torch.equal(state.original, clean)
    linear = how_diffusion.linear_alpha_bar(step / 100).item()
    for x_t, share in ((state.x_t, alpha_bar(step / 100).item()), (state.linear, linear)):
        torch.testing.assert_close(x_t, share**0.5 * clean + (1 - share) ** 0.5 * state.noise, atol=1e-5, rtol=0)
    assert (how_diffusion.band(state) == round((2 * step / 100 - 1 + 1) * 127.5)).all()
    assert state.noise.std().item() == pytest.approx(1, abs=0.05)
    drawn_from = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(ASKED.seed))
    assert not torch.allclose(state.noise, drawn_from)


@pytest.mark.parametrize("step", [1, 50, 100])
def test_answers_are_one_prediction_in_four_forms(pipe, step):
    state, said = how_diffusion.noised(pipe, ASKED, step), how_diffusion.answer(pipe, ASKED, step)
    signal, sigma = alpha_bar(step / 100).sqrt().item(), (1 - alpha_bar(step / 100)).sqrt().item()
    assert said.velocity.shape == (1 + len(OTHER_PROMPTS), 3, 64, 64)
    torch.testing.assert_close(said.original, signal * state.x_t - sigma * said.velocity, atol=1e-4, rtol=0)
    torch.testing.assert_close(said.noise, signal * said.velocity + sigma * state.x_t, atol=1e-4, rtol=0)
    mean, _ = posterior(said.original, state.x_t, state.t, state.t - 0.01)
    torch.testing.assert_close(said.previous, mean, atol=1e-4, rtol=0)

    condition = F.pad(pipe.clip.encode_texts([ASKED.prompt]), (0, 2))
    with torch.inference_mode():
        alone = pipe.unet(state.x_t, state.t.float(), condition)
    assert pipe.unet.config.target == "velocity"
    torch.testing.assert_close(said.velocity[:1], alone, atol=1e-4, rtol=0)
    assert (said.original[0] - said.original[2]).abs().max() > 1e-4  # another prompt, another answer


def test_errors_of_the_targets_are_one_error_weighted(pipe):
    state, said = how_diffusion.noised(pipe, ASKED, 40), how_diffusion.answer(pipe, ASKED, 40)
    assert torch.equal(state.x_t, add_noise(state.original, state.noise, state.t))
    errors = {
        target: how_diffusion.error(getattr(said, target), from_original(state.original, state.x_t, state.t, target))
        for target in TARGETS
    }
    snr = (alpha_bar(0.4) / (1 - alpha_bar(0.4))).item()
    assert errors["noise"] == pytest.approx(snr * errors["original"], rel=1e-3)
    assert errors["previous"] < 0.05 * errors["original"]
    assert how_diffusion.error(state.noise, from_original(state.original, state.x_t, state.t, "noise")) < 1e-8
    page = how_diffusion.targets(pipe, ASKED, 40)
    assert how_diffusion.number(errors["noise"]) in page and how_diffusion.number(errors["previous"]) in page


@pytest.fixture(scope="module")
def three(pipe, tmp_path_factory):
    """A folder with a small network for each of the lecture's targets."""
    folder = tmp_path_factory.mktemp("targets")
    for number, target in enumerate(how_targets.TITLES):
        assert not how_targets.present(folder)
        torch.manual_seed(number)
        unet = UNet(replace(TINY, target=target))
        checkpoint.save(
            folder / f"{target}.safetensors",
            unet.state_dict(),
            vars(unet.config),
            {"kind": "unet", "clip": pipe.clip.hash, "seconds": 240},
        )
    return folder


def test_each_targets_network_draws_the_same_prompt_and_seed(pipe, three):
    assert how_targets.present(three)
    films = how_targets.films(pipe, ASKED.prompt, ASKED.seed, three)
    assert list(films) == ["original", "previous", "noise"] and {film.shape for film in films.values()} == {
        (64, 320, 3)
    }
    for target, film in films.items():
        learner = pipe.with_unet(UNet.from_file(three / f"{target}.safetensors"))
        last = learner.generate([ASKED.prompt], [ASKED.seed], steps=100, sampler="ddpm")[0]
        assert np.abs(film[:, -64:].astype(int) - last).max() <= 2
    page = how_targets.draw(pipe, ASKED, three)
    assert (
        page.count("<figure>") == 3
        and "4 minutes" in page
        and all(title in page for title in how_targets.TITLES.values())
    )


def test_small_networks_of_another_clip_are_not_used(pipe, three, tmp_path):
    for target in how_targets.TITLES:
        save_unet(tmp_path / f"{target}.safetensors", UNet(replace(TINY, target=target)), "another")
    page = how_targets.draw(pipe, ASKED, tmp_path)
    assert "do not fit the CLIP" in page and "<figure" not in page
    assert how_targets.learners(pipe, three)


def test_curves_end_where_the_schedules_do():
    svg = how_diffusion.curves(100)
    cosine, linear = (
        re.search(rf'class="{name}" d="M(.+?)"', svg).group(1).split(" L") for name in ("cosine", "linear")
    )
    assert cosine[0] == linear[0] == "34.0 12.0" and cosine[-1] == linear[-1] == "334.0 142.0" and len(cosine) == 101
    assert float(linear[50].split()[1]) > float(cosine[50].split()[1])  # further down: less of the face is left


@pytest.mark.parametrize(
    "value, shown",
    [
        (0.0421, "0.0421"),
        (12.34, "12.3"),
        (4530.0, "4,530"),
        (0.0, "0"),
        (0.000034, "3.4 × 10<sup>−5</sup>"),
        (2.5e6, "2.5 × 10<sup>6</sup>"),
    ],
)
def test_numbers_are_readable(value, shown):
    assert how_diffusion.number(value) == shown


# --- inside -----------------------------------------------------------------------------------------------------------


def test_features_leave_the_network_alone(pipe):
    names = [name for _, _, name in how_inside.unet_levels(pipe.unet)]
    inputs = torch.randn(1, 3, 64, 64), torch.tensor([0.5]), torch.zeros(1, 514)
    with torch.inference_mode():
        expected = pipe.unet(*inputs)
    maps, output = how_inside.features(pipe.unet, names, *inputs)
    torch.testing.assert_close(output, expected)
    assert len(maps) == len(names) and all(one.ndim == 3 for one in maps)
    assert not any(module._forward_hooks for module in pipe.unet.modules())


def test_levels_halve_and_double(pipe):
    levels = how_inside.unet_levels(pipe.unet)
    maps, _ = how_inside.features(
        pipe.unet, [name for _, _, name in levels], torch.randn(1, 3, 64, 64), torch.tensor([0.5]), torch.zeros(1, 514)
    )
    count, sizes = len(pipe.unet.config.channels), [one.shape[-1] for one in maps]
    down = [32 // 2**level for level in range(count)]
    assert sizes == [*down, down[-1], *reversed(down)]
    assert [one.shape[0] for one in maps[:count]] == list(pipe.unet.config.channels)
    assert [part for part, _, _ in levels] == ["Encoder"] * count + ["Middle"] + ["Decoder"] * count
    assert levels[-1][2] == f"decoder.{len(pipe.unet.decoder) - 1}"


def test_sobel_by_hand():
    step = np.zeros((4, 5))
    step[:, 3:] = 10  # dark on the left, bright on the right
    right, down = how_inside.sobel(step)
    assert right.tolist() == [[0, 0, 40, 40, 0]] * 4 and not down.any()
    again, along = how_inside.sobel(step.T)
    assert np.array_equal(along, right.T) and not again.any()
    assert not any(part.any() for part in how_inside.sobel(np.full((3, 3), 200.0)))
    assert how_inside.sobel(np.arange(12.0).reshape(3, 4))[0][1, 1] == 8  # one more per pixel, times 8


def test_sum_at_the_strongest_edge_is_right(pipe):
    page = how_inside.edges(pipe, ASKED).replace("−", "-")
    window = np.array(re.findall(r"<td>(-?\d+)</td>", page)[-9:], int).reshape(3, 3)
    across, along, both = map(int, re.findall(r"<b>(-?\d+)</b>", page)[-3:])
    assert across == (window * how_inside.SOBEL_X).sum() and along == (window * how_inside.SOBEL_Y).sum()
    assert both == round(np.hypot(across, along)) > 0


def test_shuffle_is_four_channels_in_one_and_the_sum_is_the_face(pipe):
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    stages, smooth, detail = how_inside.shuffles(pipe.upscaler, x)
    assert [before.shape[-1] for before, _ in stages] == [16, 32, 64]
    for before, after in stages:
        assert torch.equal(after, F.pixel_shuffle(before[None], 2)[0])
    with torch.inference_mode():
        torch.testing.assert_close(smooth + detail, pipe.upscaler(x)[0])
    assert torch.equal(smooth, bicubic(x, 8)[0])


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_show_what_they_say():
    ramp = torch.linspace(-3, 5, 64 * 64).view(64, 64)
    shown = how_html.stretched(ramp)
    assert shown.min() == 0 and shown.max() == 255 and shown[32, 0] in range(120, 136)
    assert how_html.signed(torch.tensor([[-2.0, 0.0, 1.0]])).tolist() == [[0, 128, 191]]
    assert how_html.stretched(torch.ones(4, 4)).shape == (4, 4)  # nothing to stretch
    assert how_html.colour(torch.tensor([-2.0, 0.0, 2.0]).view(3, 1, 1)).tolist() == [[[0, 128, 255]]]
    assert "&lt;b&gt;" in how_html.tile(np.zeros((2, 2), np.uint8), "<b>", alt='"')


# --- the whole model --------------------------------------------------------------------------------------------------


def test_scale_is_of_the_loaded_weights(pipe):
    count = sum(tensor.numel() for tensor in pipe.unet.parameters())
    assert how_scale.parameters(pipe.unet) == count
    page = how_scale.scale(pipe, ASKED)
    assert how_scale.millions(count) in page and "not recorded" in page  # these weights say nothing of their training
    assert how_scale.duration({"seconds": 5400, "device": "cpu"}) == "1.5 hours on CPU"
    assert how_scale.duration({"seconds": 7 * 3600, "device": "<H100>"}) == "7.0 hours on &lt;H100&gt;"


def test_matrix_of_texts_and_faces(pipe):
    faces = how_scale.examples(pipe)
    assert faces.shape == (len(how_scale.SEEN), 64, 64, 3)
    chances = how_scale.fits(pipe, faces, list(how_scale.SEEN[:3]))
    assert chances.shape == (3, len(faces)) and (chances > 0).all() and (chances < 1).all()
    with torch.inference_mode():
        odds = pipe.clip.logits(pipe.clip.encode_images(faces[1:2]), pipe.clip.encode_texts([how_scale.SEEN[2]]))
    assert chances[2, 1] == pytest.approx(odds.sigmoid().item(), abs=1e-4)
    page = how_scale.clip_matrix(pipe, ASKED, " <script>alert(1)</script> ")
    assert "<script>" not in page and "&lt;script&gt;" in page and page.count("<tr>") == 1 + 2 + len(how_scale.SEEN)
    same = how_scale.clip_matrix(pipe, replace(ASKED, prompt=how_scale.SEEN[0]), "")
    assert same.count("<tr>") == 1 + len(how_scale.SEEN)  # no text twice


def test_same_noise_for_the_word_attractive(pipe):
    faces = how_scale.attractive(pipe)
    assert faces.shape == (12, 64, 64, 3) and not np.array_equal(faces[:6], faces[6:])
    assert np.abs(faces[1].astype(int) - pipe.generate([""], [2], steps=how_scale.STEPS)[0]).max() <= 2
    assert how_scale.bias(pipe, ASKED).count("<figure>") == 12


def write_sheet(folder, columns: int, rows: int, images: list[int]):
    Image.new("RGB", (64 * columns, 64 * rows), "teal").save(folder / "learning.webp")
    (folder / "learning.json").write_text(
        json.dumps({"prompt": 'a "man"', "seed": 3, "images": images, "note": "<short>"})
    )


def test_learning_is_left_out_without_its_sheet(tmp_path):
    assert how_scale.learning(tmp_path) is None
    write_sheet(tmp_path, 3, 2, [0, 1000, 5000, 20000])
    page = how_scale.learning(tmp_path)
    assert (
        "[0, 1000, 5000, 20000]" in page
        and 'max="3"' in page
        and "--columns:3;--rows:2" in page
        and "&quot;man&quot;" in page
    )
    assert "as it was then. &lt;short&gt;</p>" in page
    write_sheet(tmp_path, 2, 1, [0, 1, 2])
    with pytest.raises(FacetError, match="has 2 tiles"):
        how_scale.learning(tmp_path)


# --- words ------------------------------------------------------------------------------------------------------------


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


def test_guidance_shows_what_the_pipeline_draws(pipe):
    whole, promptless, blind = how_guidance.answers(pipe, ASKED)
    said = how_diffusion.answer(pipe, ASKED, how_guidance.STEP).original
    torch.testing.assert_close(torch.stack([whole, promptless]), said[:2], atol=1e-5, rtol=0)
    assert not torch.allclose(blind, whole, atol=1e-3)
    neither, by_prompt, by_attention, both = how_guidance.faces(pipe, "a man", 3, 4.0)
    assert np.array_equal(both, pipe.generate(["a man"], [3], how_guidance.STEPS, guidance=4.0)[0])
    assert np.array_equal(
        neither, pipe.generate_faces([Settings("a man", seed=3, steps=how_guidance.STEPS, guidance=1, pag_scale=0)])[0]
    )
    assert not np.array_equal(by_prompt, both) and not np.array_equal(by_attention, both)
    for guidance, told in ((3.0, "guidance 3<"), (1.0, "guidance 2<"), (0.0, "guidance 2<")):
        assert told in how_guidance.draw(pipe, replace(ASKED, guidance=guidance))


# --- the tab in a browser ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(app):
    """The app itself, in this process, on the tiny weights."""
    return app.demo.local_url


def opened(browser: Browser, address: str, scheme: str, **options):
    """The page with the tab open; afterwards its console must be empty."""
    context = browser.new_context(**options)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.goto(f"{address}?__theme={scheme}")
    yield page
    context.close()
    assert said == []


def mark(page: Page, name: str) -> str:
    """What a figure says it shows, once it has been computed."""
    figure = page.locator(f"#how-{name}")
    figure.scroll_into_view_if_needed()
    expect(figure.locator("[data-of]")).to_have_count(1, timeout=30_000)
    return figure.locator("[data-of]").get_attribute("data-of")


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 390)])
def test_tab(browser: Browser, address: str, scheme: str, width: int):
    for page in opened(browser, address, scheme, viewport={"width": width, "height": 900}):
        expect(page.locator("#generate")).to_be_visible()
        assert (
            page.locator("#how-forward").count() == 0 or not page.locator("#how-forward [data-of]").count()
        )  # nothing yet
        page.get_by_role("tab", name="How it works").click()
        before = {name: mark(page, name) for name in SECTIONS}
        assert page.locator("#how .problem").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#how img:not([alt]), #how img[alt='']").count() == 0
        levels = page.evaluate("[...document.querySelectorAll('#how h2, #how h3, #how h4')].map(h => +h.tagName[1])")
        assert levels[0] == 2 and max(b - a for a, b in zip(levels, levels[1:])) == 1

        for link in page.locator("#how nav a").all():
            assert page.locator(link.get_attribute("href")).count() == 1
        page.locator("#how summary").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#how [role=math]").first).to_be_visible()
        page.evaluate("document.querySelectorAll('#how details').forEach(part => part.open = true)")
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width

        page.locator("#how-forward").scroll_into_view_if_needed()
        picture = page.get_by_alt_text("Timestep 50, cosine schedule")
        expect(picture).to_be_visible()
        page.get_by_label("Timestep, 1 to 100").last.fill("20")
        expect(page.get_by_alt_text("Timestep 20, cosine schedule")).to_be_visible()
        page.locator("#how-targets").scroll_into_view_if_needed()
        expect(page.locator("#how-targets [data-of]")).not_to_have_attribute("data-of", before["targets"])
        assert mark(page, "sobel") == before["sobel"]

        own = page.get_by_label("A text of your own")
        own.fill("a bald man <b>")
        expect(page.locator("#how-clip tbody th").first).to_have_text("a bald man <b>")


def test_tab_follows_the_face_just_made(browser: Browser, address: str):
    for page in opened(browser, address, "light", viewport={"width": 1280, "height": 900}):
        page.get_by_role("tab", name="How it works").click()
        before = mark(page, "which")
        words = page.locator("#how-which p").text_content()
        page.get_by_role("tab", name="Make a face").click()
        page.click("#generate")
        expect(page.get_by_text("Done in")).to_be_visible(timeout=60_000)
        page.get_by_role("tab", name="How it works").click()
        expect(page.locator("#how-which p")).not_to_have_text(words)  # another seed
        expect(page.locator("#how-which [data-of]")).not_to_have_attribute("data-of", before)


def test_sheet_of_moments_is_what_the_page_reads(pipe, tiny_weights, tmp_path, capsys):
    """Files in any order; tiles by images seen, each as the network of that moment draws it."""
    files = unets_of_moments(tmp_path, pipe.clip.hash, (4000, 500, 1000))
    make_sheet([*map(str, files), "--weights", str(tiny_weights), "--seed", "3", "--out", str(tmp_path)])
    assert capsys.readouterr().out == "3 moments, from 500 to 4,000 images\n"
    assert 'data-images="[500, 1000, 4000]"' in how_scale.learning(tmp_path)
    learner = pipe.with_unet(UNet.from_file(files[0]))
    drawn = Image.fromarray(learner.generate(["a smiling woman with blond hair"], [3])[0])
    with Image.open(tmp_path / "learning.webp") as picture:
        assert picture.size == (192, 64)
        tiles = [np.asarray(picture.convert("L"))[:, left : left + 64] for left in (0, 64, 128)]
    alike = [np.corrcoef(tile.ravel(), np.asarray(drawn.convert("L")).ravel())[0, 1] for tile in tiles]
    assert alike[2] > 0.9 > max(alike[:2])  # WebP is not exact
    with pytest.raises(SystemExit, match="has seen as many images as another"):
        make_sheet([str(files[0]), str(files[0]), "--weights", str(tiny_weights), "--out", str(tmp_path)])


def test_a_part_of_the_sheet_is_kept(pipe, tiny_weights, tmp_path):
    """Of the sheet before, only the moments that are to be kept; the rest as if all had been drawn together."""
    files = unets_of_moments(tmp_path, pipe.clip.hash, (500, 1000, 4000, 9000))
    options = ["--weights", str(tiny_weights), "--out", str(tmp_path)]

    def tiles() -> list[np.ndarray]:
        with Image.open(tmp_path / "learning.webp") as picture:
            return np.split(np.asarray(picture.convert("RGB")).astype(int), picture.width // 64, axis=1)

    make_sheet([str(files[0]), str(files[1]), str(files[3]), *options])
    whole = tiles()
    make_sheet([*map(str, files[:3]), *options])
    before = tiles()
    make_sheet([str(files[3]), "--keep", "1000", *options])
    assert 'data-images="[500, 1000, 9000]"' in how_scale.learning(tmp_path)
    assert len(tiles()) == 3 and all(
        np.abs(now - then).mean() < 15 for now, then in zip(tiles(), whole)
    )  # WebP is not exact
    assert np.abs(tiles()[2] - before[2]).mean() > 30
    with pytest.raises(SystemExit, match="is of another prompt or seed"):
        make_sheet([str(files[3]), "--keep", "1000", "--seed", "5", *options])
    with pytest.raises(SystemExit, match="holds no sheet"):
        make_sheet([str(files[3]), "--keep", "1000", "--weights", str(tiny_weights), "--out", str(tmp_path / "new")])


def test_learning_plays_in_the_browser(browser: Browser, tiny_weights, tmp_path, monkeypatch):
    write_sheet(tmp_path, 2, 2, [0, 1000, 20000])
    monkeypatch.setattr(how, "ASSETS", tmp_path)
    monkeypatch.setenv("FACET_WEIGHTS", str(tiny_weights))
    with gr.Blocks(analytics_enabled=False) as demo:
        how.build(gr.JSON(None, visible=False))
    try:
        for page in opened(browser, demo.launch(prevent_thread_lock=True, quiet=True)[1], "light"):
            sheet, seen = page.locator("#how-learning .sheet"), page.locator("#how-learning output")
            expect(page.get_by_role("link", name="Watch it learn")).to_be_visible()
            expect(seen).to_have_text("0")
            page.get_by_label("Images seen in training").fill("2")
            expect(seen).to_have_text("20,000")
            place = sheet.evaluate("sheet => getComputedStyle(sheet).backgroundPosition")
            assert place == "0px -256px"  # the first tile of the second row
            page.evaluate("""() => {
                const seen = document.querySelector("#how-learning output");
                window.shown = [];
                new MutationObserver(() => window.shown.push(seen.textContent)).observe(seen, {childList: true});
            }""")
            page.get_by_role("button", name="Play").click()
            expect(page.get_by_role("button", name="Pause")).to_be_visible()
            expect(page.get_by_role("button", name="Play")).to_be_visible()
            assert page.evaluate("window.shown") == ["0", "1,000", "20,000"]  # from the beginning, and stops at the end
    finally:
        demo.close()


# Every text of the tab whose contrast with what lies behind it, half-transparent layers mixed in, is below WCAG's 4.5 to 1.
CONTRAST = """() => {
    const parts = colour => { const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        if (!element) return [255, 255, 255];
        const [r, g, b, a] = parts(getComputedStyle(element).backgroundColor);
        return a === 1 ? [r, g, b] : behind(element.parentElement).map((v, i) => v * (1 - a) + [r, g, b][i] * a);
    };
    const words = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    return [...document.querySelectorAll("#how *")].filter(words).filter(element => element.checkVisibility()).flatMap(element => {
        const style = getComputedStyle(element), colour = element.closest("svg") ? style.fill : style.color;
        const [a, b] = [light(parts(colour)), light(behind(element))].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
        return ratio < 4.5 ? [`${element.tagName}.${element.className} ${ratio.toFixed(2)} ${element.textContent.slice(0, 40)}`] : [];
    });
}"""
