"""Evaluation: what is measured is what it says, the report keeps only what still holds, and the card agrees with it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from model.attributes import ATTRIBUTES
from model.errors import InputError
from model.pipeline import FacePipeline
from model.settings import Settings
from tests.conftest import ROOT
from training.data import prompts
from training.data.prepare import prepare_images
from training.data.prompts import CAPTIONS
from training.evaluation import adherence, card, evaluate, fidelity
from training.evaluation.judge import Judge, JudgeConfig
from training.evaluation.train_judge import measure as measure_judge

SMILING, GLASSES = ATTRIBUTES.index("Smiling"), ATTRIBUTES.index("Eyeglasses")


@pytest.fixture(scope="module")
def judge(prepared, tmp_path_factory) -> Judge:
    """A small judge with random filters and the drawn faces' statistics, from a file."""
    torch.manual_seed(1)
    judge = Judge(JudgeConfig(channels=(8, 8, 16), blocks=(1, 1, 1), places=4)).train()
    for module in judge.modules():
        if isinstance(module, nn.BatchNorm2d):
            # one pass over the faces sets the statistics
            module.momentum = 1.0
    judge(prepared.images.permute(0, 3, 1, 2).float() / 255)
    measure_judge(judge.eval(), prepared)
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    judge.save(path, {"validation": {"balanced_accuracy": dict.fromkeys(ATTRIBUTES, 0.8)}})
    return Judge.from_file(path)


@pytest.fixture(scope="module")
def photographs(judge, prepared, tmp_path_factory) -> fidelity.Photographs:
    """The drawn faces with half of them held out, since four are too few to say much."""
    half = replace(
        prepared,
        names=[f"{i % 2 * 20 or 1}.jpg" for i in range(len(prepared.names))],
        squashed=torch.arange(len(prepared.names)) % 3 == 0,
    )
    return fidelity.Photographs.of(judge, half, tmp_path_factory.mktemp("cache"))


# --- the fixed prompts ------------------------------------------------------------------------------------------------


def test_hand_written_prompts_are_well_formed_and_none_is_a_caption():
    pairs = prompts.read_prompts(prompts.UNDERSTANDING)
    assert len(pairs) >= 150 and len({prompt for prompt, _ in pairs}) == len(pairs)
    said = np.stack([stated for _, stated in pairs])
    # every attribute occurs, and there are many denials
    assert (said != 0).any(0).all() and (said == -1).sum() > 60


@pytest.mark.parametrize("path, count", [(prompts.CAPTIONS, 900), (prompts.THREES, 640)])
def test_drawn_prompts_state_and_deny_every_attribute(path, count):
    pairs = prompts.read_prompts(path)
    said = np.stack([stated for _, stated in pairs])
    assert len(pairs) == count and (said == 1).any(0).all() and (said == -1).any(0).all()
    if path == prompts.THREES:
        assert (np.abs(said).sum(1) == 3).all()


def test_prompts_survive_a_file(tmp_path):
    stated = np.zeros(40, np.int8)
    stated[[SMILING, GLASSES]] = 1, -1
    written = [("a | b, no glasses", stated), ("", np.zeros(40, np.int8))]
    prompts.write_prompts(tmp_path / "some.txt", written, "a remark")
    read = prompts.read_prompts(tmp_path / "some.txt")
    (tmp_path / "other.txt").write_text("a man | +Male -Happy\n")
    with pytest.raises(InputError, match="other.txt states '-Happy'"):
        prompts.read_prompts(tmp_path / "other.txt")
    assert [text for text, _ in read] == ["a | b, no glasses", ""]
    assert all((a == b).all() for (_, a), (_, b) in zip(written, read, strict=True))


def test_drawn_prompts_are_true_of_a_validation_face(prepared):
    everyone = replace(prepared, names=[f"{20 * i}.jpg" for i in range(60)] + prepared.names[60:])
    rows = prepared.attributes[everyone.validation].numpy()

    def fits(stated):
        return ((stated == 0) | (rows == (stated == 1))).all(1).any()

    # no face has everything
    assert not fits(np.ones(40))
    for pairs in (prompts.draw_captions(everyone, 30), prompts.draw_threes(everyone, 80)):
        assert all(fits(stated) for _, stated in pairs)
    first = [stated[i // 2] for i, (_, stated) in enumerate(prompts.draw_threes(everyone, 80))]
    # each attribute denied, then stated
    assert first == [-1, 1] * 40
    with pytest.raises(InputError, match="5000 captions need"):
        prompts.draw_captions(everyone, 5000)


# --- adherence --------------------------------------------------------------------------------------------------------


def test_adherence_tells_obeying_from_ignoring():
    stated = np.stack([row for _, row in adherence.single_prompts()])
    on_real = dict.fromkeys(ATTRIBUTES, 0.9)
    perfect = adherence.adherence(stated == 1, stated, on_real)
    assert perfect["balanced_accuracy"] == 1 and perfect["share_of_margin"] == 1.25 and len(perfect["attributes"]) == 40
    # the same face whatever the prompt
    always = adherence.adherence(np.ones((80, 40), bool), stated, on_real)
    assert always["balanced_accuracy"] == 0.5 and always["share_of_margin"] == 0
    assert adherence.adherence(stated == -1, stated, on_real)["share_of_margin"] == -1.25


def test_adherence_is_balanced_and_counts_only_what_is_stated():
    stated, seen = np.zeros((10, 40), np.int8), np.zeros((10, 40), bool)
    # eight asked to smile, two not to
    stated[:8, SMILING], stated[8:, SMILING] = 1, -1
    # six of the eight do
    seen[:6, SMILING] = True
    # nothing denies glasses: no balance to be had
    seen[:, GLASSES], stated[:, GLASSES] = True, 1
    report = adherence.adherence(seen, stated, dict.fromkeys(ATTRIBUTES, 1.0))
    assert report["attributes"] == {"Smiling": 0.875}
    with pytest.raises(InputError, match="too few"):
        adherence.adherence(seen[:8], stated[:8], dict.fromkeys(ATTRIBUTES, 1.0))


def test_single_prompts_state_then_deny():
    pairs = adherence.single_prompts()
    text, stated = pairs[2 * GLASSES + 1]
    assert text == "Photo of person no eyeglasses." and stated[GLASSES] == -1 and np.abs(stated).sum() == 1


# --- real faces -------------------------------------------------------------------------------------------------------


def test_damage_does_what_it_says():
    faces = np.full((2, 64, 64, 3), 100, np.uint8)
    assert fidelity.noisy(faces).std() == pytest.approx(12, abs=0.5)
    assert (fidelity.blurred(faces) == 100).all()
    faces[:, :, 32:] = 200
    edge = fidelity.blurred(faces)[0, 32, :, 0].astype(float)
    # the blurred edge is the Gaussian's integral: its slope is the Gaussian
    slope = np.diff(edge) / 100
    assert (slope * (np.arange(63) - 31) ** 2).sum() ** 0.5 == pytest.approx(1, abs=0.1)
    textured = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert 10 < np.abs(fidelity.compressed(textured).astype(int) - textured).mean() < 80


def test_distances_of_the_training_faces_themselves_are_0_and_damage_adds(judge, prepared):
    training = prepared.images[~prepared.validation].numpy()
    # as in the judge's statistics
    both = np.concatenate([training, training[:, :, ::-1]])
    distances = fidelity.to_training(judge, [judge.activations(both)])
    noisy = fidelity.to_training(judge, [judge.activations(fidelity.noisy(both))])
    for name in ("pooled", "spatial"):
        assert distances[name]["mean"] < 0.01 * noisy[name]["mean"] and distances[name]["spread"] is None


def test_scale_has_a_floor_and_both_sources(judge, photographs):
    report = fidelity.scale(judge, photographs, count=30, sets=2)
    assert report["count"] == 30 and report["as they are"]["pooled"]["spread"] > 0
    assert report["with noise of 12 grey levels"]["spatial"]["mean"] > report["as they are"]["spatial"]["mean"]
    assert set(report["sources"]) == {"count", "both", "small squashed JPEGs", "full-size sources"}
    # the rarer kind
    assert report["sources"]["count"] == photographs.squashed.sum()


def test_training_faces_pass_as_validation_faces_and_noise_does_not(judge, photographs):
    noise = np.random.default_rng(0).integers(0, 256, photographs.faces.shape, dtype=np.uint8)
    report = fidelity.beside_validation(photographs, [judge.activations(noise)])
    assert report["floor"]["recall"]["mean"] > 0.5 > report["generated"]["recall"]["mean"]
    assert report["generated"]["kernel"]["mean"] > abs(report["floor"]["kernel"]["mean"])


def test_copies_are_caught_mirrored_or_not(judge, photographs):
    fresh = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    copies = np.concatenate([photographs.training[:10], photographs.training[10:20, :, ::-1]])
    nearest = fidelity.nearest_training(judge, photographs, copies)
    others = fidelity.nearest_training(judge, photographs, fresh)
    assert (
        nearest["pixels"].max() < 0.5 < others["pixels"].min()
        and nearest["pooled"].max() < 0.01 * others["pooled"].min()
    )
    assert fidelity.memorisation(judge, photographs, np.concatenate([fresh, copies]))["pixels"]["ratio"] < 0.2
    assert fidelity.memorisation(judge, photographs, photographs.faces)["pooled"]["ratio"] == 1


def test_diversity_sees_one_face_drawn_again_and_again(judge, photographs):
    smiling = photographs.faces[photographs.attributes[:, SMILING]]
    report = fidelity.diversity(judge, photographs, {"Smiling": smiling, "Eyeglasses": smiling[:1].repeat(5, axis=0)})
    assert report["attributes"]["Smiling"] == 1 and report["attributes"]["Eyeglasses"] < 0.01
    assert report["ratio"] == pytest.approx(0.5, abs=0.2)
    assert fidelity.diversity(judge, photographs, {"Smiling": smiling[:1]}) == {}


@pytest.mark.parametrize("target", ["velocity", "previous"])
def test_loss_by_noise_is_the_training_loss(tiny_weights, prepared, target):
    pipe = FacePipeline.from_pretrained(tiny_weights, "cpu")
    pipe.unet.config = replace(pipe.unet.config, target=target)
    report = fidelity.loss_by_noise(pipe, prepared, count=20, bins=2)
    assert len(report["training"]) == len(report["validation"]) == 2 and report["t"] == [0.5, 1]
    # then the loss is the wanted prediction's mean square
    pipe.unet.forward = lambda x, t, condition: torch.zeros_like(x)
    silent = fidelity.loss_by_noise(pipe, prepared, count=20, bins=2)
    faces = (prepared.images[~prepared.validation].float() / 127.5 - 1).square().mean().item()
    low, high = silent["training"]
    # signal^2 x noise^2 + sigma^2 x face^2, the signal's share first
    if target == "velocity":
        assert low + high == pytest.approx(1 + faces, rel=0.1) and low > high
    else:
        # an image a little less noisy: nearly the face first, nearly noise at the end
        assert faces < low < high < 1.1


# --- drawing ----------------------------------------------------------------------------------------------------------


def test_fidelity_takes_other_samplers(tiny_weights, judge, tmp_path):
    pipe = FacePipeline.from_pretrained(tiny_weights, "cpu")
    runs = (Settings(steps=steps, sampler="ddim") for steps in (1, 4))
    sets = [[fidelity.face_set(["a man"] * 4, number, run) for number in (1, 2)] for run in runs]
    few, many = (fidelity.fidelity(pipe, judge, two, tmp_path) for two in sets)
    assert few["pooled"]["mean"] > 0 and few["spatial"] != many["spatial"] and few["pooled"]["spread"] > 0


def test_grid(tiny_weights, tmp_path):
    evaluate.main(["--weights", str(tiny_weights), "--grid", str(tmp_path / "grid.png")])
    with Image.open(tmp_path / "grid.png") as sheet:
        assert sheet.size == (1024, 1024)
        # second prompt, third seed
        shown = np.asarray(sheet)[128:256, 256:384].astype(int)
    with Image.open(tmp_path / "free-text.png") as sheet:
        assert sheet.size == (4 * 3 * 128, len(evaluate.FREE_TEXT) // 4 * 128) and len(evaluate.FREE_TEXT) == 20
    with Image.open(tmp_path / "unseen.png") as sheet:
        assert sheet.size == (1024, 1024)
        unseen = np.asarray(sheet)[128:256, 256:384].astype(int)
    captions, _ = evaluate.prompts_of(CAPTIONS, evaluate.UNSEEN)
    faces = FacePipeline.from_pretrained(tiny_weights).generate(
        [evaluate.GRID_PROMPTS[1], captions[10]], [evaluate.GRID_SEEDS[2], fidelity.face_set(captions, 1)[10].seed]
    )
    for tile, face in zip((shown, unseen), faces):
        twice = np.asarray(Image.fromarray(face).resize((128, 128), Image.Resampling.LANCZOS))
        # away from its neighbours in the sheet
        assert np.abs(tile - twice)[8:-8, 8:-8].max() <= 4


# --- the report and the card ------------------------------------------------------------------------------------------


def test_understanding_counts_what_is_read_right():
    class Reader:
        def stated(self, texts):
            read = torch.zeros(len(texts), 40, 3)
            # unmentioned
            read[:, :, 1] = 0.5
            # right
            read[0, SMILING, 2] = 1
            # wrong
            read[0, GLASSES, 0] = 1
            return read

    written = [("a smile", np.eye(40, dtype=np.int8)[SMILING]), ("a man", np.eye(40, dtype=np.int8)[20])]
    assert evaluate.understanding(Reader(), written) == {"prompts": 2, "precision": 0.5, "recall": 0.5}


def test_the_whole_evaluation(tiny_weights, judge, archive, inception_weights, tmp_path, capsys):
    """With photographs, then without: the second report keeps what still holds, and the card agrees with each."""
    weights = shutil.copytree(tiny_weights, tmp_path / "weights")
    judge.save(weights / "judge.safetensors", {key: value for key, value in judge.info.items() if key != "hash"})
    (weights / "README.md").write_text(f"# Card\n\n{card.PLACE.begin}\nold tables\n{card.PLACE.end}\n\nThe rest.\n")
    prepare_images(archive, tmp_path / "prepared")
    options = ["--quick", "--weights", str(weights), "--cache", str(tmp_path / "cache")]

    with pytest.raises(SystemExit, match="evaluate: Inception FID is a distance to photographs"):
        evaluate.main([*options, "--inception", str(inception_weights)])
    evaluate.main([*options, "--prepared", str(tmp_path / "prepared"), "--inception", str(inception_weights)])
    report = json.loads((weights / "evaluation.json").read_text())
    assert report["weights"]["unet"]["clip"] == report["weights"]["clip"]["hash"]
    assert report["frechet"]["pooled"]["mean"] > 0 and set(report["adherence"]["single"]["attributes"]) == set(
        ATTRIBUTES
    )
    assert {"scale", "inception_fid", *evaluate.NEED_PHOTOGRAPHS} <= report.keys() and report["inception_fid"][
        "generated"
    ] > 0
    text = (weights / "README.md").read_text()
    assert text == f"# Card\n\n{card.PLACE.begin}\n{card.card(report)}\n{card.PLACE.end}\n\nThe rest.\n"
    assert card.card(report) in capsys.readouterr().out

    evaluate.main(options)
    assert json.loads((weights / "evaluation.json").read_text()) == report

    evaluate.main([*options, "--count", "13"])
    other = json.loads((weights / "evaluation.json").read_text())
    assert other["size"]["count"] == 13 and not {"scale", "inception_fid", *evaluate.NEED_PHOTOGRAPHS} & other.keys()
    assert "Inception FID: not measured" in card.card(other) and card.card(other) in (weights / "README.md").read_text()


def test_what_still_holds_is_kept():
    before = {
        "weights": {name: {"hash": name} for name in ("clip", "unet", "srresnet", "judge")},
        "size": {"count": 9},
        "settings": {"steps": 25},
        "scale": 1,
        "memorisation": 2,
        "ddpm_100": 3,
        "frechet": 4,
    }
    report = {key: before[key] for key in ("weights", "size", "settings")} | {"frechet": 5}
    assert evaluate.keep(report, before) == before | {"frechet": 5}
    trained = report | {"weights": before["weights"] | {"unet": {"hash": "later"}}}
    assert evaluate.keep(trained, before) == trained | {"scale": 1}
    guided = report | {"weights": before["weights"] | {"guided": {"hash": "later"}}}
    assert evaluate.keep(guided, before) == guided | {"scale": 1}
    assert evaluate.keep(guided, before | {"weights": guided["weights"]}) == before | guided
    for change in ({"size": {"count": 8}}, {"weights": before["weights"] | {"judge": {"hash": "another"}}}):
        assert evaluate.keep(report | change, before) == report | change
    assert evaluate.keep(report | {"settings": {"steps": 9}}, before).keys() == report.keys() | {"scale"}
    # a report of an older kind
    old = {"settings": {"steps": 25}, "weights": {}}
    assert evaluate.keep(report, old) == report


def test_goals_are_held_or_missed():
    def figure(mean):
        return {"pooled": {"mean": mean, "spread": None}, "spatial": {"mean": mean, "spread": None}}

    report = {
        "weights": {"unet": {"validation_loss": None}},
        "frechet": figure(10.0),
        "adherence": {kind: {"share_of_margin": 1.0} for kind in card.KINDS},
        "understanding": {"precision": 0.95, "recall": 0.85, "order": 0.95, "filler": 0.9},
        "ddpm_100": {"defaults": figure(12.0), "ddpm_100": figure(10.0)},
        "memorisation": {"pixels": {"ratio": 1.01}},
    }
    held = [(goal.path, goal.held(value)) for goal, value in card.goals(report)]
    assert held == [
        (("frechet", "pooled", "mean"), False),
        (("frechet", "spatial", "mean"), True),
        (("adherence", "single", "share_of_margin"), False),
        (("adherence", "three", "share_of_margin"), False),
        (("adherence", "caption", "share_of_margin"), True),
        (("memorisation", "pixels", "ratio"), True),
        (("understanding", "precision"), True),
        (("understanding", "recall"), False),
        (("understanding", "order"), True),
        (("understanding", "filler"), True),
        (("ddpm_100", "ratio", "pooled"), False),
        (("ddpm_100", "ratio", "spatial"), False),
    ]
    assert "| Fréchet distance, spatial | 10 | at most 11.5 | yes |" in card.goals_table(report)


def test_bad_input_is_one_line_before_anything_is_drawn(tiny_weights, judge, prepared_folder, tmp_path, monkeypatch):
    weights = shutil.copytree(tiny_weights, tmp_path / "weights")
    monkeypatch.setattr(FacePipeline, "generate_faces", lambda *_, **__: pytest.fail("a face was drawn"))
    with pytest.raises(SystemExit, match="judge.safetensors is missing"):
        evaluate.main(["--weights", str(weights)])
    judge.save(weights / "judge.safetensors", judge.info)
    with pytest.raises(SystemExit, match="serves for 2 to 900 faces, not 5000"):
        evaluate.main(["--weights", str(weights), "--count", "5000"])
    with pytest.raises(SystemExit, match="at least 4 generated and validation faces"):
        evaluate.main(["--weights", str(weights), "--prepared", str(prepared_folder), "--count", "3"])
    for name in ("count", "sets", "each", "threes"):
        for wrong in ("0", "-1"):
            with pytest.raises(SystemExit, match=f"--{name} must be a whole number from 1"):
                evaluate.main(["--weights", str(weights), f"--{name}", wrong])
    judge.save(weights / "judge.safetensors", {})
    with pytest.raises(SystemExit, match="never measured on real faces"):
        evaluate.main(["--weights", str(weights)])
    with pytest.raises(SystemExit, match="make prepare"):
        evaluate.main(["--weights", str(weights), "--prepared", str(tmp_path / "nowhere")])
    (weights / "README.md").write_text(f"{card.PLACE.end} the wrong way round {card.PLACE.begin}")
    with pytest.raises(SystemExit, match="has no lines <!-- evaluate:begin -->"):
        evaluate.main(["--weights", str(weights)])


def test_the_committed_card_agrees_with_the_committed_report():
    report = json.loads((ROOT / "weights" / "evaluation.json").read_text())
    assert card.card(report) in (ROOT / "weights" / "README.md").read_text(encoding="utf-8")
