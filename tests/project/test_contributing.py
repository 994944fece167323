"""What CONTRIBUTING.md promises a newcomer."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from model.attributes import ATTRIBUTES
from model.errors import InputError
from model.pipeline import FacePipeline
from model.sampler import SAMPLERS
from tests.conftest import ROOT, draw_face
from training.data.prepare import load_prepared, read_labels
from training.data.prepare import main as prepare
from training.unet import train as train_unet


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Forty drawings of other sizes and kinds than CelebA's, one file that is none, and labels for some."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(3)
    for index in range(40):
        size, kind = [((300, 200), "png"), ((90, 140), "jpg"), ((128, 128), "webp")][index % 3]
        draw_face(generator.random(40) < 0.4, generator).resize(size).save(folder / f"someone {index}.{kind}")
    (folder / "notes.txt").write_text("no picture")
    (folder / "labels.csv").write_text("file,Smiling,Eyeglasses\nsomeone 0.png,1,0\nsomeone 1.jpg,0,\nnobody.png,1,1\n")
    return folder


def test_training_on_a_folder_of_other_pictures(pictures, tiny_weights, tmp_path, capsys, monkeypatch):
    """The commands of the section, from the folder to a face drawn by the new weights."""
    # which takes longest
    monkeypatch.setattr(train_unet, "sample_grid", lambda *_: None)
    weights, mine, labels = ["--weights", str(tiny_weights)], str(tmp_path / "mine"), str(pictures / "labels.csv")
    prepare(["folder", "--data", str(pictures), "--labels", labels, "--out", mine, *weights])
    said = capsys.readouterr().out
    assert "no picture: 2 (labels.csv, notes.txt)" in said and "label without a picture: 1 (nobody.png)" in said
    prepared = load_prepared(tmp_path / "mine")
    assert len(prepared.names) == 40 and prepared.validation.sum() == 2
    smiling, glasses = (prepared.attributes[:, ATTRIBUTES.index(name)].tolist() for name in ("Smiling", "Eyeglasses"))
    names = sorted(path.name for path in pictures.iterdir() if path.suffix in (".png", ".jpg", ".webp"))
    clip = FacePipeline.from_pretrained(tiny_weights, device="cpu")
    read = clip.attribute_scores(prepared.images.numpy()) > 0.5
    first, second = names.index("someone 0.png"), names.index("someone 1.jpg")
    assert smiling[first] and not glasses[first] and not smiling[second]
    assert glasses[second] == read[second, ATTRIBUTES.index("Eyeglasses")]
    assert smiling[5] == read[5, ATTRIBUTES.index("Smiling")]
    prepare(["embed", "--out", mine, *weights])
    train_unet.main(
        [
            "--recipe",
            "tiny",
            "--prepared",
            mine,
            "--state-dir",
            str(tmp_path / "run"),
            "--device",
            "cpu",
            *weights,
            "--out",
            str(tmp_path / "new" / "unet.safetensors"),
            "--start-from",
            str(tiny_weights / "unet.safetensors"),
        ]
    )
    for name in ("clip", "srresnet"):
        shutil.copy(tiny_weights / f"{name}.safetensors", tmp_path / "new")
    new = FacePipeline.from_pretrained(tmp_path / "new", device="cpu")
    assert new.unet.info["faces"] == 38
    assert not np.array_equal(new.generate(["a man"], [1], 2), clip.generate(["a man"], [1], 2))


@pytest.mark.parametrize(
    "text, words",
    [
        ("name,Smiling\na,1\n", "name is none of the 40 attributes"),
        ("file,Happy\na,1\n", "Happy is none"),
        ("file,Smiling\na,perhaps\n", "perhaps"),
        ("file,Smiling\na,1\na,0\n", "twice"),
        ("", "column `file`"),
    ],
)
def test_labels_that_cannot_be_used_are_one_line(tmp_path, text, words):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=words) as error:
        read_labels(tmp_path / "labels.csv")
    assert "\n" not in str(error.value)


def test_the_sampler_of_the_example_draws(monkeypatch, tiny_weights):
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    before = dict(SAMPLERS)
    try:
        exec(code, {})
        pipe = FacePipeline.from_pretrained(tiny_weights, device="cpu")
        frames = list(pipe.stream("a man", 3, 5, sampler=(set(SAMPLERS) - set(before)).pop()))
        assert len(frames) == 5 and frames[-1].noise_level == 0
    finally:
        SAMPLERS.clear()
        SAMPLERS.update(before)


def test_every_command_of_the_guide_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for module in set(re.findall(r"-m (training[\w.]+)", text)):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
    for target in set(re.findall(r"make ([a-z-]+)", text)):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    assert "perfect_network" in text and "perfect_network" in (ROOT / "tests" / "model" / "test_sampler.py").read_text()
