"""Guidance that is built into the U-Net: what is learnt, exact resume, learning, and what the pipeline makes of it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.clip import Clip
from model.errors import InputError, WeightsError
from model.files import checkpoint
from model.files.release import with_change
from model.guidance import Guidance, Predictor, guided
from model.pipeline import FacePipeline
from model.settings import DEFAULTS, Settings
from model.unet import UNet, condition_of
from model.words.concepts import Concepts
from tests.conftest import StopAfter, save_guided, save_student
from tests.model.test_pipeline import close
from training.core.run import Run
from training.unet import guided as train_guided
from training.unet import learner
from training.unet.batches import Data
from training.unet.guided import RECIPES, TAUGHT, Lessons, guided_prediction, train

TINY = RECIPES["tiny"]


@pytest.fixture(scope="module")
def weights(tiny_weights):
    """CLIP and the U-Net."""
    return Clip.from_file(tiny_weights / "clip.safetensors"), UNet.from_file(tiny_weights / "unet.safetensors")


@pytest.fixture(scope="module")
def built_in(tiny_weights, tmp_path_factory):
    """A pipeline on the tiny weights with a guided network, and one without."""
    folder = shutil.copytree(tiny_weights, tmp_path_factory.mktemp("built_in") / "weights")
    save_guided(folder)
    return FacePipeline.from_pretrained(folder, "cpu"), FacePipeline.from_pretrained(tiny_weights, "cpu")


def lessons(weights, prepared, **changes) -> Lessons:
    clip, teacher = weights
    config = replace(TINY, network=teacher.config, **changes)
    return Lessons(teacher, Data.of(prepared, ~prepared.validation, clip), config, 0, faces=4)


# --- what is learnt ---------------------------------------------------------------------------------------------------


def test_the_modulation_is_all_that_differs(weights):
    _, unet = weights
    other = unet.with_modulation({name: value + 1 for name, value in unet.modulation.items()})
    own = {id(parameter) for parameter in unet.parameters()}
    assert {name for name, parameter in other.named_parameters() if id(parameter) not in own} == set(unet.modulation)
    assert all(torch.equal(other.modulation[name], value + 1) for name, value in unet.modulation.items())
    # neither the convolutions nor the U-Net itself have changed
    assert not any("conv" in name or "qkv" in name for name in unet.modulation)
    inputs = torch.randn(2, 3, 64, 64), torch.tensor([0.3, 0.9]), torch.randn(2, 514)
    same = unet.with_modulation(unet.modulation)
    with torch.inference_mode():
        assert torch.equal(same(*inputs), unet(*inputs)) and not torch.allclose(other(*inputs), unet(*inputs))


def test_a_change_keeps_the_largest_singular_values(weights, monkeypatch):
    _, unet = weights
    moved = unet.with_modulation(
        {name: value + torch.randn_like(value) / 50 for name, value in unet.modulation.items()}
    )
    for rank, exact in ((1024, True), (3, False)):
        monkeypatch.setattr(train_guided, "RANK", rank)
        tensors = train_guided.change(moved, unet, 2.0)
        network = with_change(unet, tensors)
        for name, before in unet.modulation.items():
            whole, kept = 2 * (moved.modulation[name] - before), network.modulation[name] - before
            assert torch.allclose(kept, whole, atol=1e-4) == (exact or before.ndim == 1), name
            if before.ndim == 2 and not exact:
                sizes = torch.linalg.svdvals(whole)
                assert torch.allclose(torch.linalg.svdvals(kept)[:3], sizes[:3], rtol=1e-2, atol=1e-4)
                assert tensors[f"{name}.up"].shape == (len(before), 3)


def test_the_teacher_tells_what_guidance_makes_of_both_branches(weights, monkeypatch):
    """As the sampler has it, where that is not clipped."""
    monkeypatch.setattr(learner, "half_precision", lambda device: None)
    clip, unet = weights
    conditions = condition_of(clip.encode_texts(["a man", ""]))
    x_t, t = torch.randn(2, 3, 64, 64) / 10, torch.full((2,), 0.6, dtype=torch.float64)
    wanted = guided_prediction(unet, (x_t, t.to(x_t)), conditions, conditions[1:].expand(2, -1))
    predictor, seen = Predictor(lambda *inputs: unet(*inputs), "original"), Guidance(DEFAULTS.guidance)
    with torch.inference_mode():
        blend = guided(predictor, conditions, conditions[1:], seen)(x_t, t)
    assert torch.allclose(wanted.clamp(-1, 1), blend, atol=1e-5)


def test_lessons_are_steps_of_the_own_runs_within_the_interval(weights, prepared):
    clip, teacher = weights
    taught, (low, high) = lessons(weights, prepared), DEFAULTS.guidance_interval
    for step in range(3):
        x_t, t, condition, wanted = taught.of(teacher, step)
        assert len(x_t) == len(t) == len(condition) == len(wanted) <= TAUGHT * 4
        assert len(t.unique()) * 4 == len(t) and low <= t.min() <= t.max() <= high
        empty = condition_of(clip.encode_texts([""])).expand(len(t), -1)
        assert torch.allclose(wanted, guided_prediction(teacher, (x_t, t), condition, empty), atol=0.05)
        # it can be learnt from
        assert not any(each.is_inference() for each in (x_t, t, condition, wanted))
    again = taught.of(teacher, 2)
    assert all(torch.equal(one, other) for one, other in zip(again, (x_t, t, condition, wanted)))


def test_resume_is_exact(weights, prepared, tmp_path):
    whole = train(weights, prepared, TINY, Run(tmp_path / "a"))
    train(weights, prepared, TINY, Run(tmp_path / "b", stop=StopAfter(3)))
    # whatever happened meanwhile must not matter
    torch.rand(7)
    resumed = train(weights, prepared, TINY, Run(tmp_path / "b"))
    assert all(torch.equal(value, resumed.modulation[name]) for name, value in whole.modulation.items())


def test_it_learns_guidance_and_leaves_the_rest_alone(weights, prepared, tmp_path, monkeypatch):
    """From a U-Net that follows its condition, as random weights hardly do."""
    monkeypatch.setattr(learner, "half_precision", lambda device: None)
    clip, unet = weights
    follows = {name: value * (6 if "condition" in name else 1) for name, value in unet.modulation.items()}
    follows, info = unet.with_modulation(follows), unet.info
    unet, unet.info = follows, info
    before, config = {name: value.clone() for name, value in unet.state_dict().items()}, replace(TINY, images=640)
    learnt = train((clip, unet), prepared, config, Run(tmp_path, tmp_path / "guided.safetensors"))
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    assert all(
        torch.equal(value, before[name]) for name, value in learnt.state_dict().items() if name not in unet.modulation
    )
    *_, last = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert last["gap_left"] < 0.8
    tensors, _, info = checkpoint.load(tmp_path / "guided.safetensors")
    read = with_change(unet, {name: value.float() for name, value in tensors.items()}).modulation
    assert all(torch.allclose(value, learnt.modulation[name], atol=2e-3) for name, value in read.items())
    assert info["unet"] == unet.info["hash"]
    assert info["gap_left"] == pytest.approx(last["gap_left"], abs=1e-4) and info["guidance"] == DEFAULTS.guidance


def test_faces_of_another_clip_are_refused(weights, prepared, tmp_path):
    with pytest.raises(InputError, match="prepare embed"):
        train(weights, replace(prepared, clip="another"), TINY, Run(tmp_path))


def test_a_unet_of_another_clip_is_refused(weights, prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(weights[1].info, "clip", "another")
    with pytest.raises(InputError, match="the U-Net was trained with another CLIP"):
        train(weights, prepared, TINY, Run(tmp_path))


def test_the_command_and_its_file(archive, tiny_weights, tmp_path):
    from training.data.prepare import embed, prepare_images

    prepare_images(archive, tmp_path / "prepared", limit=30)
    embed(tmp_path / "prepared", tiny_weights)
    folder = shutil.copytree(tiny_weights, tmp_path / "weights")
    options = ["--prepared", str(tmp_path / "prepared"), "--weights", str(folder), "--recipe", "tiny"]
    options += ["--device", "cpu", "--state-dir", str(tmp_path / "run")]
    train_guided.main([*options, "--out", str(folder / "guided.safetensors")])
    assert FacePipeline.from_pretrained(folder, "cpu").guided is not None
    with pytest.raises(SystemExit, match="training.unet.guided: .*missing"):
        train_guided.main([*options, "--weights", str(tmp_path)])


# --- in the pipeline --------------------------------------------------------------------------------------------------


def forwards(pipe: FacePipeline, draw) -> list[tuple[str, int]]:
    """What `draw()` computes: of which network, and of how many images at once."""
    seen, hooks = [], []
    for name in ("unet", "guided"):
        network = getattr(pipe, name)
        hooks.append(network.register_forward_hook(lambda _, __, out, name=name: seen.append((name, len(out)))))
    draw()
    for hook in hooks:
        hook.remove()
    return seen


def test_one_forward_a_step_at_the_default_guidance(built_in):
    pipe, plain = built_in
    seen = forwards(pipe, lambda: pipe.generate(["a man"], [5]))
    assert len(seen) == DEFAULTS.steps and {count for _, count in seen} == {1}
    assert {name for name, _ in seen} == {"unet", "guided"}
    assert not np.array_equal(pipe.generate(["a man"], [5]), plain.generate(["a man"], [5]))


@pytest.mark.parametrize("change", [{"guidance": 3.0}, {"negative_prompt": "bald"}, {"pag_scale": 0.5}])
def test_other_guidance_takes_both_branches(built_in, change):
    pipe, plain = built_in
    face = Settings("a man", seed=5, steps=6, **change)
    assert "guided" not in dict(forwards(pipe, lambda: pipe.generate_faces([face])))
    assert np.array_equal(pipe.generate_faces([face]), plain.generate_faces([face]))


@pytest.fixture
def with_red_hair(built_in):
    """Both pipelines, with a concept."""
    vector = torch.randn(512, generator=torch.Generator().manual_seed(0)) / 20
    for pipe in built_in:
        pipe.concepts = Concepts({"Red_Hair": vector})
    yield built_in
    for pipe in built_in:
        pipe.concepts = Concepts()


def test_a_concept_takes_both_branches(with_red_hair):
    """In the prompt, at a walk's end, as an edit: the guided network would draw it more weakly."""
    pipe, plain = with_red_hair
    man, red = (Settings(prompt, seed=5, steps=6) for prompt in ("a man", "a man with red hair"))
    edits = (("Red_Hair", 1.0),)
    for face in (red, replace(man, to_prompt=red.prompt, place=0.5), replace(man, edits=edits)):
        assert not pipe.covered(face) and np.array_equal(pipe.generate_faces([face]), plain.generate_faces([face]))
    way = [replace(man, to_prompt=red.prompt, place=index / 2) for index in range(3)]
    assert np.array_equal(pipe.generate_faces(way), plain.generate_faces(way))
    assert pipe.covered(man) and not np.array_equal(pipe.generate_faces([man]), plain.generate_faces([man]))
    assert "guided" in dict(forwards(pipe, lambda: pipe.generate_faces([replace(man, edits=(("Smiling", 1.0),))])))


def test_a_face_does_not_depend_on_the_others_of_its_batch(with_red_hair):
    pipe, _ = with_red_hair
    run = Settings("a man", seed=5, steps=6)
    faces = [run, replace(run, guidance=3.0), replace(run, negative_prompt="bald"), replace(run, prompt="", seed=6)]
    faces.append(replace(run, prompt="a man with red hair"))
    together = pipe.generate_faces(faces)
    assert all(close(face, pipe.generate_faces([one])[0]) for face, one in zip(together, faces))


def test_influence_changes_no_face(built_in):
    pipe, _ = built_in
    face = Settings("a man", seed=5, steps=8)
    told, plain = (list(pipe.stream_faces([face], influence=influence)) for influence in (True, False))
    assert any(frame.influence is not None for (frame,) in told)
    assert all(close(one.denoised, other.denoised) for (one,), (other,) in zip(told, plain, strict=True))


def test_away_from_a_face_takes_both_branches(built_in):
    pipe, plain = built_in
    face = pipe.generate(["a man"], [5])[0]
    for away, same in ((True, True), (False, False)):
        ends = [[*each.stream_alike(face, [Settings(seed=1, steps=6)], away)][-1][0] for each in built_in]
        assert np.array_equal(ends[0].denoised, ends[1].denoised) == same


def test_a_guided_network_that_does_not_belong_is_refused(tiny_weights, tmp_path):
    folder = shutil.copytree(tiny_weights, tmp_path / "weights")
    save_guided(folder)
    path = folder / "guided.safetensors"
    tensors, config, info = checkpoint.load(path)
    own = {name: value for name, value in info.items() if name != "hash"}
    for changed, what in ((own | {"unet": "another"}, "another U-Net"), ({"unet": own["unet"]}, "which guidance")):
        checkpoint.save(path, tensors, config, changed)
        with pytest.raises(WeightsError, match=what) as error:
            FacePipeline.from_pretrained(folder, "cpu")
        assert len(str(error.value).splitlines()) == 1
    checkpoint.save(path, dict(list(tensors.items())[1:]), config, own)
    with pytest.raises(WeightsError, match="does not hold the modulation"):
        FacePipeline.from_pretrained(folder, "cpu")


def test_another_unet_has_no_guided_network(built_in):
    pipe, _ = built_in
    assert pipe.with_unet(pipe.unet).guided is None


def test_the_student_stays_as_it_is(built_in, tiny_weights, tmp_path):
    folder = shutil.copytree(tiny_weights, tmp_path / "weights")
    save_student(folder)
    drawn = []
    for save in (lambda _: None, save_guided):
        save(folder)
        drawn.append(FacePipeline.from_pretrained(folder, "cpu").generate(["a man"], [5], sampler="student"))
    assert np.array_equal(*drawn)
