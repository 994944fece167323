"""The student: what it is taught, exact resume, learning, and what the pipeline and the page make of it."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import quality
from model.clip import Clip
from model.diffusion import to_original
from model.errors import InputError, WeightsError
from model.images import to_pixels
from model.pipeline import FacePipeline
from model.sampler import ddim, noise_of
from model.settings import DEFAULTS, STUDENT_STEPS, Settings
from model.unet import UNet, condition_of
from tests.conftest import StopAfter, random_unet, save_guided, save_student, save_unet
from training.core import measure
from training.core.run import Run
from training.evaluation.fidelity import draw
from training.unet import student as train_student
from training.unet.batches import Data
from training.unet.student import (
    STUDENTS,
    TEACHER_STEPS,
    Lessons,
    Teacher,
    distillation_pairs,
    distillation_target,
    in_parts,
    predictor_of,
    sample_inputs,
    train,
    trajectory,
)
from ui import explore
from ui.server import engine

TINY = STUDENTS["tiny"]


@pytest.fixture(scope="module")
def clip(tiny_weights):
    return Clip.from_file(tiny_weights / "clip.safetensors")


@pytest.fixture(scope="module")
def teacher(tiny_weights):
    return UNet.from_file(tiny_weights / "unet.safetensors")


@pytest.fixture(scope="module")
def asked(prepared, clip):
    """Conditions and noise of three faces, and the empty text's condition."""
    data = Data.of(prepared, ~prepared.validation, clip)
    return *sample_inputs(0, 3, data, TINY, 0), condition_of(clip.encode_texts([""]))


@pytest.fixture(scope="module")
def taught(tiny_weights, tmp_path_factory):
    """A pipeline on the tiny weights with a student."""
    folder = shutil.copytree(tiny_weights, tmp_path_factory.mktemp("taught") / "weights")
    save_student(folder)
    return FacePipeline.from_pretrained(folder, "cpu")


def test_a_step_along_the_distillation_target_ends_where_the_teacher_did():
    generator = torch.Generator().manual_seed(0)
    x_t, x_s = torch.randn(2, 5, 3, 8, 8, generator=generator, dtype=torch.float64)
    for times in torch.tensor([[0.99, 0.8], [0.5, 0.2], [0.1, 0.0]], dtype=torch.float64):
        target = distillation_target(x_t, x_s, *times[:, None].expand(2, 5))
        (step,) = ddim(lambda x, time, target=target: target, x_t, times)
        assert torch.allclose(step.noisy, x_s, atol=1e-9)


def test_the_trajectory_is_what_the_pipeline_draws(teacher, asked, tiny_weights, monkeypatch):
    monkeypatch.setattr(train_student, "half_precision", lambda device: None)
    pipe, seeds = FacePipeline.from_pretrained(tiny_weights, "cpu"), [4, 5]
    condition, empty = pipe.condition(["a man", "smiling"]), pipe.condition([""])
    states, times = trajectory(predictor_of(teacher), condition, empty, noise_of(seeds, (3, 64, 64), pipe.device)())
    assert states.shape == (STUDENT_STEPS + 1, 2, 3, 64, 64) and len(times) == STUDENT_STEPS + 1 and times[-1] == 0
    drawn = pipe.generate(["a man", "smiling"], seeds, TEACHER_STEPS, "unipc")
    assert np.abs(to_pixels(states[-1]).astype(int) - drawn).max() <= 1


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_the_teacher_has_guidance_built_in(tiny_weights, tmp_path, monkeypatch, precision):
    """Where there is a guided.safetensors: its faces are those of the app, not those of the U-Net's two branches."""
    monkeypatch.setattr(train_student, "half_precision", lambda device: precision)
    folder, noise = shutil.copytree(tiny_weights, tmp_path / "weights"), noise_of([4, 5], (3, 64, 64), "cpu")()
    unet = UNet.from_file(folder / "unet.safetensors")
    save_guided(folder)
    pipe = FacePipeline.from_pretrained(folder, "cpu")
    pipe.precision = precision
    condition, empty = pipe.condition(["a man", "smiling"]), pipe.condition([""])
    teachers = Teacher.from_folder(folder, torch.device("cpu")), Teacher(unet)
    built_in, both = (to_pixels(trajectory(one.predictor(empty), condition, empty, noise)[0][-1]) for one in teachers)
    shown = pipe.generate(["a man", "smiling"], [4, 5], TEACHER_STEPS, "unipc")
    assert np.abs(built_in.astype(int) - shown).mean() < 2 < np.abs(both.astype(int) - shown).mean()
    assert teachers[0].hashes == {"teacher": unet.info["hash"], "guided": pipe.guided.info["hash"]}


def test_who_predicts_what_is_wanted_goes_the_teachers_way(teacher, asked):
    condition, noise, empty = asked
    states, times = trajectory(predictor_of(teacher), condition, empty, noise)
    x_t, t, conditions, wanted = distillation_pairs(states, times, condition, teacher.config)
    assert len(x_t) == len(t) == len(conditions) == len(wanted) == 2 * 3 * STUDENT_STEPS
    original = to_original(wanted, x_t, t.double(), teacher.config.target)
    for index in range(STUDENT_STEPS):
        rows = slice(6 * index, 6 * index + 6)
        (step,) = ddim(lambda x, time, rows=rows: original[rows], x_t[rows], times[index : index + 2])
        assert torch.allclose(step.noisy[:3], states[index + 1], atol=1e-3)
        assert torch.allclose(step.noisy[3:], states[index + 1].flip(-1), atol=1e-3)
        assert torch.equal(conditions[rows], condition.repeat(2, 1))


def test_conditions_are_those_the_app_gives(prepared, clip):
    data = Data.of(prepared, prepared.squashed | True, clip)
    data = replace(data, squashed=torch.ones_like(data.squashed))
    condition, noise = sample_inputs(3, 50, data, TINY, 0)
    assert (condition[:, -1] == 0).all() and 0 < (condition[:, -2] == 1).sum() < 25
    assert abs(noise.std() - 1) < 0.01
    again, other = sample_inputs(3, 50, data, TINY, 0), sample_inputs(4, 50, data, TINY, 0)
    assert torch.equal(again[1], noise) and torch.equal(again[0], condition) and not torch.equal(other[1], noise)


def test_a_network_in_parts_predicts_what_it_does_at_once(teacher, asked):
    condition, noise, empty = asked
    sizes = []

    def watched(noisy, t, condition, perturbed):
        sizes.append(len(noisy))
        return teacher(noisy, t, condition, perturbed)

    in_pairs = predictor_of(teacher)._replace(network=in_parts(watched, 3))
    whole, parts = (trajectory(each, condition, empty, noise)[0] for each in (predictor_of(teacher), in_pairs))
    # guidance asks for more than one prediction of a face
    assert set(sizes) == {3} and len(sizes) > TEACHER_STEPS
    # random weights carry rounding far: the threads of a product differ with the size of its batch
    assert (whole - parts).abs().mean() < 1e-3
    inputs = torch.cat([noise, -noise]), torch.full((6,), 0.5), condition.repeat(2, 1)
    with torch.inference_mode():
        assert torch.allclose(in_parts(teacher, 3)(*inputs), teacher(*inputs), atol=1e-4)


def test_pairs_drawn_ahead_are_shared_out_among_the_steps(prepared, clip, teacher):
    """Each once; those of a step come from many faces."""
    data = Data.of(prepared, ~prepared.validation, clip)
    ahead = replace(TINY, network=teacher.config, drawn_ahead=4)
    lessons, anew = (Lessons(Teacher(teacher), data, ahead, 0, faces=2) for _ in range(2))
    steps = [lessons.of(step) for step in range(4)]
    assert [len(x_t) for x_t, *_ in steps] == [16] * 4
    condition, noise = sample_inputs(0, 8, data, ahead, 0)
    states, times = trajectory(predictor_of(teacher), condition, lessons.empty, noise)
    drawn = distillation_pairs(states, times, condition, teacher.config)
    # one number for each pair, in whatever order
    given, whole = (
        sum(each.flatten(1).sum(1) if each.ndim > 1 else each for each in pairs)
        for pairs in ([torch.cat(parts) for parts in zip(*steps)], drawn)
    )
    assert torch.equal(given.sort().values, whole.sort().values)
    assert all(len(condition.unique(dim=0)) > 2 for _, _, condition, _ in steps)
    # from the middle of a block, as a resumed training
    assert all(torch.equal(one, other) for one, other in zip(anew.of(2), steps[2]))
    assert not torch.equal(lessons.of(4)[0], steps[0][0])


@pytest.mark.parametrize("change", [{}, {"drawn_ahead": 2}, {"perceptual": 0.05}])
def test_resume_is_exact(prepared, clip, teacher, tmp_path, change):
    config = replace(TINY, **change)
    whole = train(prepared, clip, Teacher(teacher), config, Run(tmp_path / "a"))
    train(prepared, clip, Teacher(teacher), config, Run(tmp_path / "b", stop=StopAfter(3)))
    # whatever happened meanwhile must not matter
    torch.rand(7)
    resumed = train(prepared, clip, Teacher(teacher), config, Run(tmp_path / "b"))
    assert all(
        torch.equal(one, other) for one, other in zip(whole.state_dict().values(), resumed.state_dict().values())
    )


@pytest.mark.parametrize("perceptual", [0.0, 0.05])
def test_it_learns_to_draw_as_its_teacher_does(prepared, clip, teacher, tmp_path, perceptual):
    """From other random weights than its teacher's, by single steps and by finished faces."""
    config, logs, start = (
        replace(TINY, images=800, learning_rate=2e-3, checkpoint_seconds=math.inf, perceptual=perceptual),
        [],
        tmp_path / "start.safetensors",
    )
    torch.manual_seed(9)
    save_unet(start, random_unet(), clip.hash)
    train(prepared, clip, Teacher(teacher), config, Run(tmp_path / "none", start_from=start, stop=StopAfter(0)))
    train(
        prepared,
        clip,
        Teacher(teacher),
        config,
        Run(tmp_path / "some", tmp_path / "student.safetensors", start_from=start),
    )
    for name in ("none", "some"):
        logs.append((tmp_path / name / "log.jsonl").read_text().splitlines()[-1])
    before, after = (float(line.split('"validation_loss": ')[1].rstrip("}")) for line in logs)
    assert after < 0.7 * before
    student = UNet.from_file(tmp_path / "student.safetensors")
    assert student.info["teacher"] == teacher.info["hash"] and student.info["validation_loss"] == pytest.approx(
        after, abs=1e-4
    )


def test_what_cannot_be_trained_on_is_refused(prepared, clip, teacher, tmp_path):
    with pytest.raises(InputError, match="multiple of 8"):
        train(prepared, clip, Teacher(teacher), replace(TINY, batch=12), Run(tmp_path))
    with pytest.raises(InputError, match="prepare embed"):
        train(replace(prepared, clip="another"), clip, Teacher(teacher), TINY, Run(tmp_path))


def test_networks_of_another_clip_or_size_are_refused(prepared, clip, teacher, tmp_path, monkeypatch):
    start = tmp_path / "start.safetensors"
    save_unet(start, random_unet(), "another")
    with pytest.raises(InputError, match="trained with another CLIP"):
        train(prepared, clip, Teacher(teacher), TINY, Run(tmp_path / "run", start_from=start))
    save_unet(start, UNet(replace(teacher.config, hidden=16)), clip.hash)
    with pytest.raises(WeightsError):
        train(prepared, clip, Teacher(teacher), TINY, Run(tmp_path / "run", start_from=start))
    monkeypatch.setitem(teacher.info, "clip", "another")
    with pytest.raises(InputError, match="the U-Net was trained with another CLIP"):
        train(prepared, clip, Teacher(teacher), TINY, Run(tmp_path / "run"))


def test_an_earlier_student_goes_on_with_other_noise(prepared, clip, teacher, tmp_path, monkeypatch):
    """What it has seen counts on."""
    seeds = []

    def told(step, count, data, config, rank):
        seeds.append(config.seed)
        return sample_inputs(step, count, data, config, rank)

    monkeypatch.setattr(train_student, "sample_inputs", told)
    files = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    train(prepared, clip, Teacher(teacher), TINY, Run(tmp_path / "a", files[0]))
    first, before = {*seeds}, UNet.from_file(files[0]).info
    seeds.clear()
    train(prepared, clip, Teacher(teacher), TINY, Run(tmp_path / "b", files[1], start_from=files[0]))
    # but for validation, which is the same each time
    assert first & {*seeds} == {-1} and before["images"] == TINY.images
    assert UNet.from_file(files[1]).info["images"] == 2 * TINY.images


def test_the_command_and_its_file(prepared, archive, tiny_weights, tmp_path, monkeypatch):
    from training.data.prepare import embed, prepare_images

    prepare_images(archive, tmp_path / "prepared", limit=30)
    embed(tmp_path / "prepared", tiny_weights)
    weights = shutil.copytree(tiny_weights, tmp_path / "weights")
    options = [
        "--prepared",
        str(tmp_path / "prepared"),
        "--weights",
        str(weights),
        "--recipe",
        "tiny",
        "--device",
        "cpu",
    ]
    train_student.main([*options, "--out", str(weights / "student.safetensors"), "--state-dir", str(tmp_path / "run")])
    assert len(list(FacePipeline.from_pretrained(weights, "cpu").stream("a man", sampler="student"))) == STUDENT_STEPS
    # an earlier student goes on, under a teacher with guidance built in
    save_guided(weights)
    train_student.main(
        [
            *options,
            "--out",
            str(tmp_path / "next.safetensors"),
            "--state-dir",
            str(tmp_path / "next"),
            "--start-from",
            str(weights / "student.safetensors"),
        ]
    )
    guided = FacePipeline.from_pretrained(weights, "cpu").guided
    assert UNet.from_file(tmp_path / "next.safetensors").info["guided"] == guided.info["hash"]
    with pytest.raises(SystemExit, match="training.unet.student: .*missing"):
        train_student.main([*options, "--weights", str(tmp_path)])


def test_measuring_tells_the_rate_and_writes_nothing(prepared_folder, tiny_weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(measure, "SECONDS", 0.2)
    options = ["--recipe", "tiny", "--prepared", str(prepared_folder), "--weights", str(tiny_weights)]
    options += ["--device", "cpu", "--batch", "8"]
    train_student.main([*options, "--state-dir", str(tmp_path / "run"), "--measure"])
    assert capsys.readouterr().out.startswith("images a second: ") and list(tmp_path.iterdir()) == []


# --- in the pipeline --------------------------------------------------------------------------------------------------


def test_the_student_draws_in_its_four_steps(taught):
    calls = []
    hook = taught.student.register_forward_hook(lambda network, inputs, output: calls.append(len(output)))
    frames = list(taught.stream("a man", 5, steps=100, sampler="student", guidance=7.0))
    hook.remove()
    assert (
        calls == [1] * STUDENT_STEPS
        and [frame.index for frame in frames] == [1, 2, 3, 4]
        and frames[-1].noise_level == 0
    )
    assert all(frame.influence is None for frame in frames)
    assert np.array_equal(frames[-1].denoised, taught.generate(["a man"], [5], sampler="student")[0])
    assert not np.array_equal(frames[-1].denoised, taught.generate(["a man"], [5], 4, "ddim", 1.0)[0])
    assert not np.array_equal(frames[-1].denoised, taught.generate(["a woman"], [5], sampler="student")[0])
    man = Settings("a man", seed=1, sampler="student")
    way = [replace(man, to_prompt="a woman", to_seed=2, place=index / 2) for index in range(3)]
    assert taught.generate_faces(way).shape == (3, 64, 64, 3)
    *_, alike = taught.stream_alike(frames[-1].denoised, [man, replace(man, seed=2)])
    assert len(alike) == 2 and alike[0].denoised.shape == (64, 64, 3)


def test_what_the_student_cannot_do_is_refused_at_once(taught, tiny_weights):
    face = np.zeros((64, 64, 3), np.uint8)
    for wrong in ({"negative_prompt": "glasses"}, {"start_from": face}):
        with pytest.raises(InputError, match="choose another sampler"):
            taught.stream("a man", sampler="student", **wrong)
    with pytest.raises(InputError, match="choose another sampler"):
        taught.generate(["a man", "a man"], [1, 2], sampler="student", negative_prompts=["", "hat"])
    with pytest.raises(InputError, match="no student"):
        FacePipeline.from_pretrained(tiny_weights, "cpu").stream("a man", sampler="student")


def test_a_student_of_another_unet_is_refused(tiny_weights, tmp_path):
    weights = shutil.copytree(tiny_weights, tmp_path / "weights")
    save_student(weights)
    torch.manual_seed(9)
    save_unet(weights / "unet.safetensors", random_unet(), UNet.from_file(weights / "unet.safetensors").info["clip"])
    with pytest.raises(WeightsError, match="another U-Net .*train-student") as error:
        FacePipeline.from_pretrained(weights, "cpu")
    assert "\n" not in str(error.value)


def test_kept_faces_of_student_and_unet_are_not_confused(taught, tmp_path):
    asked = Settings("a man", seed=1, steps=STUDENT_STEPS)
    faces = [draw(taught, [replace(asked, sampler=sampler)], tmp_path) for sampler in ("student", "ddim", "student")]
    assert np.array_equal(faces[0], faces[2]) and not np.array_equal(faces[0], faces[1])
    assert quality.calls(STUDENT_STEPS, "student", built_in=True) == STUDENT_STEPS


# --- on the page ------------------------------------------------------------------------------------------------------


@pytest.fixture()
def page(app, taught, monkeypatch):
    monkeypatch.setattr(engine, "pipeline", lambda: taught)
    return app


def test_live_mode_asks_the_student_where_it_can(page):
    def settled(negative="", guidance=DEFAULTS.guidance, picture=None):
        return page.redraw("a woman", None, negative, 1, False, 11, 100, guidance, "ddpm", picture, 0.6)[2]

    assert (settled()["sampler"], settled()["steps"]) == ("student", STUDENT_STEPS)
    assert settled("glasses")["sampler"] == settled(guidance=3.0)["sampler"] == "unipc"


def test_a_guidance_sweep_of_a_face_of_the_student_is_drawn_by_another(page):
    strip, line = list(explore.sweep(Settings("a man", sampler="student").as_record()))[-1]
    assert line["kind"] == "" and {cell["record"]["sampler"] for cell in strip["faces"]} == {"unipc"}
    assert len({cell["image"] for cell in strip["faces"]}) == len(explore.GUIDANCES)
