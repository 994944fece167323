"""Training of the U-Net: batches, exact resume, overfitting, the lecture's recipe."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from model.clip import Clip, ClipConfig
from model.diffusion import add_noise
from model.errors import InputError
from model.files import checkpoint
from model.unet import UNet, UNetConfig
from tests.conftest import ROOT, SMALL_CLIP, StopAfter
from training.core import measure
from training.core.run import Run
from training.data.prepare import embed, load_prepared, prepare_images
from training.unet import batches, conditions
from training.unet import train as train_unet
from training.unet.batches import Data, beside, sample_batch, sample_faces, sample_times
from training.unet.conditions import CaptionTable, draw_tokens
from training.unet.learner import Learner
from training.unet.recipes import RECIPES
from training.unet.train import main, train

CPU = torch.device("cpu")
TINY = RECIPES["tiny"]


@pytest.fixture(scope="module")
def clip(tiny_weights):
    return Clip.from_file(tiny_weights / "clip.safetensors")


@pytest.fixture(scope="module")
def drawn_anew(prepared, clip):
    return Data.of(prepared, ~prepared.validation, clip)


@pytest.fixture(scope="module")
def from_table(drawn_anew):
    """The same with a table of captions, as beside a GPU."""
    return drawn_anew.to(CPU, seed=1)


@pytest.fixture(params=["drawn_anew", "from_table"])
def data(request):
    return request.getfixturevalue(request.param)


def test_no_validation_face_is_ever_drawn(prepared, data):
    assert prepared.validation.sum() == 4 and len(data.images) == 76
    held_out = {image.numpy().tobytes() for image in prepared.images[prepared.validation]}
    assert not held_out & {image.numpy().tobytes() for image in data.images}


def test_faces_are_drawn_as_torch_draws_them():
    """But without its checks, which read the weights."""
    weights = torch.rand(50, generator=torch.Generator().manual_seed(0)) + 0.1
    for count in (1, 20, 50, 80):
        ours = sample_faces(weights, count, torch.Generator().manual_seed(7))
        theirs = torch.multinomial(weights, count, count > 50, generator=torch.Generator().manual_seed(7))
        assert torch.equal(ours, theirs), count


def test_a_table_holds_captions_of_each_face_whoever_draws_them(drawn_anew, clip, monkeypatch):
    """Other processes draw them; here each part is drawn once more by this one."""
    monkeypatch.setattr(conditions, "CHUNK", 30)
    seeds = []
    monkeypatch.setattr(conditions, "mixed_seed", lambda *parts: seeds.append(sum(parts)) or seeds[-1])
    table, captions = CaptionTable.of(drawn_anew.captions, 3, 5, CPU), drawn_anew.captions
    assert table.embeddings.shape == (76, 3, 512) and len(set(seeds)) == 3
    for start, seed in zip((0, 30, 60), seeds):
        ids = draw_tokens(captions.attributes[start : start + 30], captions.frequency, 3, seed)
        with torch.inference_mode():
            wanted = clip.text_features(clip.fold(torch.from_numpy(ids.astype(np.int64))))
        assert torch.allclose(table.embeddings[start : start + 30].flatten(0, 1).float(), wanted, atol=1e-3)
    assert torch.equal(table.empty, clip.encode_texts([""])[0])


def test_conditions_from_a_table_are_the_faces_own(from_table):
    picks, config = torch.arange(76).repeat(20), replace(TINY, empty_share=0.0, image_share=0.0)
    texts, from_image = from_table.captions.choose(picks, config, torch.Generator().manual_seed(0))
    own = (from_table.captions.embeddings[picks].float() == texts[:, None]).all(2)
    # every caption of a face has its turn
    assert own.any(1).all() and not from_image.any() and len(own.nonzero()[:, 1].unique()) == batches.CAPTIONS


class Unread(TorchDispatchMode):
    """Inside, a value that Python would read from the device is an error: it would wait for it."""

    READING = (
        torch.ops.aten._local_scalar_dense.default,
        torch.ops.aten.nonzero.default,
        torch.ops.aten.masked_select.default,
        torch.ops.aten.multinomial.default,
    )
    CHOOSING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        masked = func in self.CHOOSING and any(each is not None and each.dtype == torch.bool for each in args[1])
        if func in self.READING or masked:
            raise AssertionError(f"{func} reads from the device")
        return func(*args, **(kwargs or {}))


def test_no_step_waits_for_its_device(drawn_anew, from_table):
    torch.manual_seed(0)
    learner = Learner.of(UNet(TINY.network), TINY)
    # the second also moves the average
    for step in range(2):
        with Unread():
            losses = learner.learn(step, sample_batch(step, from_table, TINY, 0, 1))
        assert 0.5 < losses["loss"].item() < 5
    assert learner.ema.images == 2 * TINY.batch
    with Unread(), pytest.raises(AssertionError, match="reads from the device"):
        sample_batch(0, drawn_anew, TINY, 0, 1)


def test_data_go_where_there_is_room_for_them(drawn_anew, monkeypatch):
    gpu, free = torch.device("cuda"), 10**9
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**12))
    monkeypatch.setattr(Data, "to", lambda data, device, seed: (device, seed))
    assert beside(drawn_anew, CPU, 3) is drawn_anew and beside(drawn_anew, gpu, 3) == (gpu, 3)
    # images, their embeddings and the table
    free = 2 * 76 * (64 * 64 * 3 + 512 * 4 + batches.CAPTIONS * 512 * 2)
    assert beside(drawn_anew, gpu, 3) is drawn_anew
    free += 1
    assert beside(drawn_anew, gpu, 3) == (gpu, 3)


def test_a_batch_is_a_function_of_seed_process_and_step(data):
    first, again = (sample_batch(5, data, TINY, 0, 1) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    for step, rank in ((6, 0), (5, 1)):
        assert not torch.equal(first[0], sample_batch(step, data, TINY, rank, 1)[0])


def test_a_batch_holds_real_faces_noised_to_their_time(data):
    config = replace(TINY, network=replace(TINY.network, target="original"))
    x_t, t, condition, wanted = sample_batch(0, data, config, 0, 1)
    known = {image.numpy().tobytes() for image in torch.cat([data.images, data.images.flip(2)])}
    pixels = ((wanted + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    assert {image.contiguous().numpy().tobytes() for image in pixels} <= known
    # what is left is noise of the time's size
    residual = x_t - add_noise(wanted, torch.zeros_like(wanted), t)
    sigma = (1 - add_noise(torch.ones(len(t), 1, 1, 1), torch.zeros(len(t), 1, 1, 1), t).flatten() ** 2).sqrt()
    assert torch.allclose(residual.flatten(1).std(1), sigma, rtol=0.05)
    assert condition.shape == (8, 514)


def test_shares_of_empty_and_image_conditions(data, clip):
    config = replace(TINY, batch=1000)
    _, _, condition, _ = sample_batch(0, data, config, 0, 1)
    from_image = condition[:, 512] == 1
    assert 0.11 < from_image.float().mean() < 0.19
    empty = (condition[:, :512] - clip.encode_texts([""])).abs().amax(1) < 1e-4
    # 10 %, and the captions that say nothing
    assert 0.09 < empty.float().mean() < 0.20
    own = {row.numpy().tobytes() for row in data.image_embeddings}
    assert {row.numpy().tobytes() for row in condition[from_image, :512]} <= own


def test_times_cover_all_noise_levels_evenly():
    t = sample_times(0, 64, TINY, torch.Generator().manual_seed(0))
    assert torch.equal((t.sort().values * 64).floor(), torch.arange(64.0))
    previous = replace(TINY, network=replace(TINY.network, target="previous"))
    grid = sample_times(0, 64, previous, torch.Generator().manual_seed(0)) * 100
    assert torch.allclose(grid, grid.round(), atol=1e-4) and grid.min() >= 1 and grid.max() <= 100


def test_lecture_walks_a_batch_through_all_timesteps(data):
    config = replace(RECIPES["lecture"], batch=4, network=replace(RECIPES["lecture"].network, target="original"))
    batches = [sample_batch(step, data, config, 0, 1) for step in (0, 1, 99, 100)]
    assert [round(t[0].item() * 100) for _, t, _, _ in batches] == [1, 2, 100, 1]
    assert all(len(t.unique()) == 1 for _, t, _, _ in batches)
    faces = [wanted for *_, wanted in batches]
    assert torch.equal(faces[0], faces[1]) and torch.equal(faces[0], faces[2]) and not torch.equal(faces[0], faces[3])


def test_lecture_recipe_trains_with_its_own_numbers(prepared, clip, tmp_path):
    lecture = RECIPES["lecture"]
    assert (lecture.epochs, lecture.network.steps, lecture.batch, lecture.learning_rate) == (100, 100, 1250, 1e-3)
    few = replace(lecture, network=replace(TINY.network, band_only=True, target="noise"), batch=6, micro_batch=4)
    train(prepared, clip, few, Run(tmp_path, tmp_path / "unet.safetensors", device="cpu", stop=StopAfter(3)))
    assert UNet.from_file(tmp_path / "unet.safetensors").config.target == "noise"


def test_micro_batches_make_the_same_step(drawn_anew):
    """Three parts of a batch, the last one smaller, change the weights as the whole does."""
    batch, results = sample_batch(0, drawn_anew, TINY, 0, 1), []
    for micro_batch in (8, 3):
        torch.manual_seed(0)
        network, config = UNet(TINY.network), replace(TINY, micro_batch=micro_batch)
        learner = replace(Learner.of(network, config), optimizers=[torch.optim.SGD(network.parameters(), lr=0.1)])
        results.append((learner.learn(0, batch)["loss"], network.state_dict()))
    (one, whole), (other, parts) = results
    assert torch.allclose(one, other, rtol=1e-2)
    for name in whole:
        assert torch.allclose(whole[name], parts[name], atol=1e-3), name


@pytest.mark.parametrize("target, table", [("velocity", False), ("previous", False), ("velocity", True)])
def test_resume_is_exact(prepared, clip, tmp_path, monkeypatch, target, table):
    """Eight steps at once, or three, a restart and five: the same weights and the same average, bit for bit."""
    if table:
        monkeypatch.setattr(batches, "CAPTIONS", 2)
        monkeypatch.setattr(train_unet, "beside", Data.to)
    config = replace(TINY, network=replace(TINY.network, target=target))
    whole = train(prepared, clip, config, Run(tmp_path / "a", device="cpu"))
    train(prepared, clip, config, Run(tmp_path / "b", device="cpu", stop=StopAfter(3)))
    # whatever happened meanwhile must not matter
    torch.rand(7), np.random.rand(7)
    resumed = train(prepared, clip, config, Run(tmp_path / "b", device="cpu"))
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values()):
        assert torch.equal(one, other)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in "ab"]
    assert states[0]["step"] == states[1]["step"] == 8
    assert all(torch.equal(states[0]["network"][key], states[1]["network"][key]) for key in states[0]["network"])


def test_a_snapshot_is_kept_of_a_milestone_though_it_be_the_last_step(prepared, clip, tmp_path):
    network = train(prepared, clip, replace(TINY, batch=250, images=500), Run(tmp_path, device="cpu"))
    (kept,) = (tmp_path / "snapshots").iterdir()
    assert kept.name == "000000500.safetensors" and checkpoint.load(kept)[2]["images"] == 500
    for one, other in zip(network.state_dict().values(), UNet.from_file(kept).state_dict().values()):
        # kept in half precision
        assert torch.allclose(one, other, atol=2e-3)


def test_a_half_written_state_does_not_replace_a_whole_one(prepared, clip, tmp_path, monkeypatch):
    train(prepared, clip, TINY, Run(tmp_path, device="cpu", stop=StopAfter(2)))

    def dies(state, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        train(prepared, clip, TINY, Run(tmp_path, device="cpu", stop=StopAfter(2)))
    monkeypatch.undo()
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 2


def test_one_batch_overfits(drawn_anew):
    """With one batch repeated, the loss must fall far below that of predicting nothing."""
    torch.manual_seed(0)
    network = UNet(TINY.network)
    x_t, t, condition, wanted = sample_batch(0, drawn_anew, TINY, 0, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        loss = F.mse_loss(network(x_t, t, condition), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.5 and losses[-1] < 0.25 * losses[0]


def test_embeddings_of_another_clip_are_refused(prepared, clip, tmp_path):
    with pytest.raises(InputError, match="prepare embed"):
        train(replace(prepared, clip="other"), clip, TINY, Run(tmp_path, device="cpu"))
    with pytest.raises(InputError, match="prepare embed"):
        train(replace(prepared, image_embeddings=None), clip, TINY, Run(tmp_path, device="cpu"))


def test_another_recipe_or_clip_does_not_go_on_from_a_state(prepared, clip, tmp_path):
    train(prepared, clip, TINY, Run(tmp_path, device="cpu", stop=StopAfter(1)))
    with pytest.raises(InputError, match="another recipe"):
        train(prepared, clip, replace(TINY, batch=4), Run(tmp_path, device="cpu"))


def test_start_from_begins_with_those_weights(prepared, clip, tiny_weights, tmp_path):
    start = tiny_weights / "unet.safetensors"
    begun = train(
        prepared,
        clip,
        replace(TINY, learning_rate=0.0, weight_decay=0.0),
        Run(tmp_path, device="cpu", start_from=start, stop=StopAfter(2)),
    )
    for one, other in zip(begun.state_dict().values(), UNet.from_file(start).state_dict().values()):
        assert torch.allclose(one, other, atol=1e-6)


def test_start_from_refuses_weights_that_mean_something_else(prepared, clip, tiny_weights, tmp_path):
    tensors, config, info = checkpoint.load(tiny_weights / "unet.safetensors")
    checkpoint.save(tmp_path / "old.safetensors", tensors, config, {**info, "clip": "0" * 16})
    for start, settings, words in (
        (tmp_path / "old.safetensors", TINY, "another CLIP"),
        (tiny_weights / "unet.safetensors", replace(TINY, network=replace(TINY.network, target="noise")), "velocity"),
    ):
        with pytest.raises(InputError, match=words) as error:
            train(prepared, clip, settings, Run(tmp_path / "run", device="cpu", start_from=start))
        assert "\n" not in str(error.value)


def test_the_network_is_as_wide_as_clips_embeddings(archive, tmp_path):
    Clip(ClipConfig(architecture={**SMALL_CLIP, "embed_dim": 96})).save(tmp_path / "clip.safetensors", {"kind": "clip"})
    prepare_images(archive, tmp_path / "prepared", limit=24)
    embed(tmp_path / "prepared", tmp_path)
    network = train(
        load_prepared(tmp_path / "prepared"),
        Clip.from_file(tmp_path / "clip.safetensors"),
        TINY,
        Run(tmp_path / "run", device="cpu", stop=StopAfter(1)),
    )
    assert network.config.embedding == 96 == len(network.mean)


def test_a_warm_start_counts_what_went_before(prepared, clip, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    train(prepared, clip, TINY, Run(tmp_path / "a", first, device="cpu", stop=StopAfter(2)))
    train(prepared, clip, TINY, Run(tmp_path / "b", second, device="cpu", start_from=first, stop=StopAfter(1)))
    # resumed
    train(prepared, clip, TINY, Run(tmp_path / "b", second, device="cpu", start_from=first, stop=StopAfter(2)))
    assert (
        UNet.from_file(first).info["images"] == 2 * TINY.batch
        and UNet.from_file(second).info["images"] == 5 * TINY.batch
    )


def test_two_processes_train_one_network(archive, tiny_weights, tmp_path):
    """Through torchrun: both end, one writes; the weights load and saw every image once."""
    prepare_images(archive, tmp_path / "prepared")
    embed(tmp_path / "prepared", tiny_weights)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        # a free port
        "--standalone",
        "-m",
        "training.unet.train",
        "--recipe",
        "tiny",
        "--prepared",
        str(tmp_path / "prepared"),
        "--weights",
        str(tiny_weights),
        "--state-dir",
        str(tmp_path / "run"),
        "--out",
        str(tmp_path / "unet.safetensors"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert UNet.from_file(tmp_path / "unet.safetensors").info["images"] == 64


def test_weights_carry_their_story(prepared, clip, tmp_path):
    train(prepared, clip, TINY, Run(tmp_path, tmp_path / "unet.safetensors", device="cpu"))
    network = UNet.from_file(tmp_path / "unet.safetensors")
    assert network.info["clip"] == clip.hash and network.info["images"] == 64 and network.info["faces"] == 76
    assert isinstance(network.config, UNetConfig) and network.config == TINY.network
    assert (tmp_path / "grids" / "000000064.png").is_file()


def test_measuring_tells_the_rate_and_writes_nothing(prepared_folder, tiny_weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(measure, "SECONDS", 0.2)
    options = ["--recipe", "tiny", "--prepared", str(prepared_folder), "--weights", str(tiny_weights)]
    # 500 images, of which a snapshot would be kept, are soon seen
    options += ["--device", "cpu", "--batch", "128", "--state-dir", str(tmp_path / "run")]
    main([*options, "--out", str(tmp_path / "unet.safetensors"), "--measure"])
    told = r"images a second: [0-9.]+; the device waits: not known \(a CPU never waits\); memory: [0-9.]+ GiB at most\n"
    assert re.fullmatch(told, capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []
