"""The tab "How it works": what it shows of the training."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from model.diffusion import training_pair
from model.errors import FacetError
from model.pipeline import FacePipeline
from model.settings import Settings
from model.unet import UNet
from tests.conftest import unets_of_moments
from training.core import loop
from training.core.run import Run
from training.data.prepared import load_prepared
from training.evaluation import losses
from training.evaluation.sheet import main as make_sheet
from training.unet.recipes import RECIPES
from training.unet.train import train
from ui.how import face, learning

ASKED = Settings("a smiling woman", seed=7, steps=2, sampler="dpmpp")


@pytest.fixture(scope="module")
def pipe(tiny_weights) -> FacePipeline:
    return FacePipeline.from_pretrained(tiny_weights, "cpu")


def write_sheet(folder, columns: int, rows: int, images: list[int]):
    Image.new("RGB", (64 * columns, 64 * rows), "teal").save(folder / "learning.webp")
    (folder / "learning.json").write_text(
        json.dumps({"prompt": 'a "man"', "seed": 3, "images": images, "note": "<short>"})
    )


def test_learning_is_left_out_without_its_sheet(tmp_path):
    assert learning.learning(tmp_path) is None
    write_sheet(tmp_path, 3, 2, [0, 1000, 5000, 20000])
    page = learning.learning(tmp_path)
    assert (
        "[0, 1000, 5000, 20000]" in page
        and 'max="3"' in page
        and "--columns:3;--rows:2" in page
        and "&quot;man&quot;" in page
    )
    assert "as it was then. &lt;short&gt;</p>" in page
    write_sheet(tmp_path, 2, 1, [0, 1, 2])
    with pytest.raises(FacetError, match="has 2 tiles"):
        learning.learning(tmp_path)


def test_sheet_of_moments_is_what_the_page_reads(pipe, tiny_weights, tmp_path, capsys):
    """Files in any order; tiles by images seen, each as the network of that moment draws it."""
    files = unets_of_moments(tmp_path, pipe.clip.hash, (4000, 500, 1000))
    make_sheet([*map(str, files), "--weights", str(tiny_weights), "--seed", "3", "--out", str(tmp_path)])
    assert capsys.readouterr().out == "3 moments, from 500 to 4,000 images\n"
    assert 'data-images="[500, 1000, 4000]"' in learning.learning(tmp_path)
    learner = pipe.with_unet(UNet.from_file(files[0]))
    drawn = Image.fromarray(learner.generate(["a smiling woman with blond hair"], [3])[0])
    with Image.open(tmp_path / "learning.webp") as picture:
        assert picture.size == (192, 64)
        tiles = [np.asarray(picture.convert("L"))[:, left : left + 64] for left in (0, 64, 128)]
    alike = [np.corrcoef(tile.ravel(), np.asarray(drawn.convert("L")).ravel())[0, 1] for tile in tiles]
    # WebP is not exact
    assert alike[2] > 0.9 > max(alike[:2])
    with pytest.raises(SystemExit, match="has seen as many as another"):
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
    assert 'data-images="[500, 1000, 9000]"' in learning.learning(tmp_path)
    # WebP is not exact
    assert len(tiles()) == 3 and all(np.abs(now - then).mean() < 15 for now, then in zip(tiles(), whole))
    assert np.abs(tiles()[2] - before[2]).mean() > 30
    with pytest.raises(SystemExit, match="is of another prompt or seed"):
        make_sheet([str(files[3]), "--keep", "1000", "--seed", "5", *options])
    with pytest.raises(SystemExit, match="holds no sheet"):
        make_sheet([str(files[3]), "--keep", "1000", "--weights", str(tiny_weights), "--out", str(tmp_path / "new")])


# --- losses -----------------------------------------------------------------------------------------------------------


def test_losses_are_those_that_a_training_logs(pipe, tiny_weights, tmp_path, prepared_folder, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    often = replace(RECIPES["tiny"], images=32, checkpoint_seconds=1e-9)
    train(load_prepared(prepared_folder), pipe.clip, often, Run(tmp_path, device="cpu"))
    log = tmp_path / "log.jsonl"
    curve = losses.curve(log)
    assert curve["images"] == 32 and [images for images, _ in curve["loss"]] == [16, 32]
    assert [images for images, _ in curve["validation"]] == list(range(8, 33, 8))
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert curve["loss"][-1][1] == next(line["loss"] for line in said[::-1] if "loss" in line)
    assert curve["validation"][-1][1] == said[-1]["validation_loss"]
    # a killed run's lines are there twice
    log.write_text('{"images": 16, "seconds": 1, "loss": 9}\n' + log.read_text())
    assert losses.curve(log) == curve
    for text, words in (
        ('{"images": 1, "seconds": 1}', "no losses on training faces"),
        ("{}", "no log"),
        ("", "no log"),
    ):
        (tmp_path / "other.jsonl").write_text(text)
        with pytest.raises(SystemExit, match=words):
            losses.main([str(tmp_path / "other.jsonl"), "--where", "here"])
    folders = ["--prepared", str(prepared_folder), "--weights", str(tiny_weights)]
    with pytest.raises(SystemExit, match="a multiple of 64, up to the 4 prepared"):
        losses.main([str(log), "--where", "here", *folders])


def test_losses_are_drawn(pipe, tmp_path, prepared):
    curve = {"images": 250, "seconds": 3, "loss": [(100, 0.4), (200, 0.2)], "validation": [(200, 0.3)]}
    images = prepared.images[:64]
    parts = losses.by_noise(pipe.unet, images, torch.zeros(len(images), 514))
    assert len(parts) == losses.BINS and all(0 < value < 10 for value in parts)
    about = {**curve, "unet": pipe.unet.info["hash"], "where": "<b>", "faces": 64}
    about |= {"by_noise": parts, "by_noise_validation": parts}
    (tmp_path / "training.json").write_text(json.dumps(about))
    page = " ".join(learning.losses(pipe, ASKED, tmp_path).split())
    assert "250 images in 3 seconds on &lt;b&gt;" in page and page.count("<rect") == 2 * losses.BINS
    assert "another one is loaded" in learning.losses(pipe, ASKED, tmp_path / "none")


def test_training_step_shows_the_loss(pipe):
    page = learning.one_step(pipe, ASKED, 40)
    state, said = face.noised(pipe, ASKED, 40), face.answer(pipe, ASKED, 40)
    wanted = training_pair(state.original, state.t, state.noise, "velocity")[1]
    assert f"loss {face.error(said.velocity, wanted):.4f}" in page
