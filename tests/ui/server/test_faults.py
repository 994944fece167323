"""What breaks from outside: full memory and disks, a failing run beside others, a visitor who leaves, SIGKILL, the Hub.

Damaged weights are in test_checkpoint.py, test_pipeline.py and test_fuzz.py; the Hub also in test_publish.py.
"""

import json
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image
from safetensors import safe_open

from benchmarks.load import last_face
from model import device
from model.__main__ import main as draw_main
from model.errors import FacetError
from model.files import checkpoint
from model.pipeline import FacePipeline
from tests.children import (  # noqa: F401
    FORK,
    child_prepares,
    child_trains_clip,
    child_trains_unet,
    in_small_disk,
    one_thread,
    save_training_state,
    save_weights,
)
from tests.conftest import ROOT, make_archive
from tests.ui.asking import until_nobody_wants_a_run
from training.core.state import save_state
from training.data.prepare import embed, load_prepared, prepare_images
from training.data.prepare import main as prepare_main
from ui.server import engine
from ui.server.line import SHARE, line_of
from ui.server.queue import DRAWING, full, place, refuser, told


@pytest.fixture(scope="module")
def pipe(tiny_weights):
    return FacePipeline.from_pretrained(tiny_weights, device="cpu")


def ask(app, seed: int, steps: int = 6) -> str:
    """One run over HTTP -> its event stream."""
    asked = httpx.post(
        f"{app.demo.local_api_url}call/generate", json={"data": ["a man", "", seed, steps, 2.0, "dpmpp"]}
    )
    return httpx.get(f"{app.demo.local_api_url}call/generate/{asked.json()['event_id']}", timeout=60).text


def watched(monkeypatch, pause: float | Callable[[], object], break_at: int | None = None):
    """Slow the sampler down, by so many seconds a step or as long as `pause` takes. May break seed 666.

    Returns the list of steps drawn and an event set when a run ends.
    """
    drawn, ended, stream_faces = [], threading.Event(), FacePipeline.stream_faces

    def slow(self, faces, *start):
        try:
            for frames in stream_faces(self, faces, *start):
                drawn.append(frames[0].index)
                pause() if callable(pause) else time.sleep(pause)
                if faces[0].seed == 666 and frames[0].index == break_at:
                    raise RuntimeError(f"secret of {ROOT}")
                yield frames
        finally:
            ended.set()

    monkeypatch.setattr(FacePipeline, "stream_faces", slow)
    return drawn, ended


# --- one run among others ---------------------------------------------------------------------------------------------


def test_an_error_in_one_run_leaves_the_others_alone(app, monkeypatch):
    alone = last_face(ask(app, 5))
    watched(monkeypatch, 0.02, break_at=3)
    streams: dict[int, str] = {}
    threads = [threading.Thread(target=lambda seed=seed: streams.update({seed: ask(app, seed)})) for seed in (5, 666)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert np.array_equal(last_face(streams[5]), alone)
    assert "event: error" in streams[666] and "secret" not in streams[666] and "Traceback" not in streams[666]
    monkeypatch.undo()
    assert np.array_equal(last_face(ask(app, 5)), alone)


def test_the_run_of_a_visitor_who_left_stops_within_a_step(app, monkeypatch):
    leaving, known = threading.Event(), threading.Event()
    # steps longer than a message gathers them for, and one that lasts until the server has been told
    drawn, ended = watched(monkeypatch, lambda: known.wait(60 if leaving.is_set() else 0.15))
    asked = httpx.post(f"{app.demo.local_api_url}call/generate", json={"data": ["", "", 1, 500, 2.0, "dpmpp"]})
    with httpx.stream("GET", f"{app.demo.local_api_url}call/generate/{asked.json()['event_id']}") as stream:
        next(stream.iter_raw())
        leaving.set()
        seen = len(drawn)
    until_nobody_wants_a_run(app)
    known.set()
    assert ended.wait(60), "the run goes on"
    assert len(drawn) <= seen + 2


def test_those_who_wait_are_told_their_place(app, monkeypatch):
    # how long a run takes is known once one has ended
    ask(app, 1)
    watched(monkeypatch, 0.1)
    clients = [Client(app.demo.local_url, verbose=False) for _ in range(5)]
    jobs = []
    queue = line_of(app.demo)
    for number, client in enumerate(clients, 1):
        jobs.append(client.submit("", steps=100, api_name="/generate"))
        deadline = time.monotonic() + 60
        while len(queue.running(DRAWING)) + len(queue.waiting(DRAWING)) < number:
            assert time.monotonic() < deadline, "the run has not come"
            time.sleep(0.01)
    places = [place(app.demo, client.session_hash) for client in clients]
    # two run
    assert places[:2] == [None, None] and [waits[0] for waits in places[2:]] == [0, 1, 2]
    seconds = [waits[1] for waits in places[2:]]
    assert seconds == sorted(seconds) and seconds[-1] > seconds[0] > 0
    assert told(app.demo, clients[2].session_hash).startswith("You are next: about ")
    assert told(app.demo, clients[4].session_hash).startswith("2 runs are before yours: about ")
    assert told(app.demo, clients[0].session_hash) == "" and not full(app.demo)
    for job in jobs:
        job.cancel()


def test_who_is_turned_away_is_told_that_there_is_no_room(app, monkeypatch):
    waiting = int(SHARE * line_of(app.demo).places(DRAWING))
    for many, words in ((waiting - 1, None), (waiting, f"{waiting} runs are waiting already: try again in a minute.")):
        monkeypatch.setattr(type(line_of(app.demo)), "waiting", lambda self, lane, many=many: [None] * many)
        assert full(app.demo) == (words is not None) and refuser(app.demo)().get("text") == words


def test_a_full_disk_is_an_error_of_one_request(app, monkeypatch, tmp_path):
    Image.new("RGB", (64, 64), (200, 150, 120)).save(tmp_path / "face.png")
    client = Client(app.demo.local_url, verbose=False)

    def no_space(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", no_space)
    with pytest.raises(Exception) as error:
        client.predict(handle_file(tmp_path / "face.png"), api_name="/upscale")
    assert "Traceback" not in str(error.value) and str(ROOT) not in str(error.value)
    monkeypatch.undo()
    assert Image.open(client.predict(handle_file(tmp_path / "face.png"), api_name="/upscale")).size == (512, 512)


# --- memory -----------------------------------------------------------------------------------------------------------


def too_large(network: torch.nn.Module, most: int):
    """Let a network's batches of more than `most` fail as a full GPU does; returns what undoes it."""

    def refuse(module, inputs):
        if len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return network.register_forward_pre_hook(refuse)


@pytest.mark.parametrize("most", [3, 1, 0])
def test_a_full_gpu_means_smaller_batches_and_then_the_cpu(pipe, most, capsys, monkeypatch):
    """The same faces, in parts of 3, one by one, or with no room at all on a copy of the network."""
    monkeypatch.setattr(device, "_twins", type(device._twins)())
    prompts, seeds, start = ["a man", "", "smiling", "bald", "a woman"], [1, 2, 3, 4, 5], time.monotonic()
    faces = pipe.generate(prompts, seeds, 3)
    frames = [frame.denoised for frame in pipe.stream("a man", 1, 3)]
    large = pipe.upscale(faces[:1])
    handles = [too_large(pipe.unet, most), too_large(pipe.upscaler, most)]
    try:
        again = pipe.generate(prompts, seeds, 3)
        assert np.abs(again.astype(int) - faces).max() <= 2
        for frame, before in zip(pipe.stream("a man", 1, 3), frames, strict=True):
            assert np.abs(frame.denoised.astype(int) - before).max() <= 2
        assert np.abs(pipe.upscale(faces[:1]).astype(int) - large).max() <= 2
    finally:
        for handle in handles:
            handle.remove()
    if most:
        assert device.full_note(start) == "" and capsys.readouterr().out == ""
    else:
        # once per network
        assert "on the CPU" in device.full_note(start) and capsys.readouterr().out.count("on the CPU") == 2
    assert device.full_note(time.monotonic()) == ""


# --- disks: a limit on the size of files stands for the end of the disk -----------------------------------------------


def run_in_small_disk(limit: int, folder: Path, work, *args) -> str:
    child = FORK.Process(target=in_small_disk, args=(limit, folder / "said", work, *args))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    return (folder / "said").read_text()


def test_a_full_disk_leaves_what_was_there(tmp_path, tiny_weights):
    """Weights, prepared faces, pictures, a training's state: an error in one line, the old file whole, nothing
    half-written beside it."""
    archive = make_archive(tmp_path / "archive", 30)
    prepare_images(archive, tmp_path / "prepared", limit=3)
    checkpoint.save(tmp_path / "net.safetensors", {"weight": torch.ones(3)}, {}, {})
    Image.new("RGB", (8, 8)).save(tmp_path / "face.png")
    save_state(tmp_path / "state.pt", {"weight": torch.ones(3)})
    kept = [
        tmp_path / "prepared" / "faces.safetensors",
        tmp_path / "net.safetensors",
        tmp_path / "face.png",
        tmp_path / "state.pt",
    ]
    before = [path.read_bytes() for path in kept]
    arguments = (
        ["images", "--data", str(archive), "--out", str(tmp_path / "prepared")],
        ["a man", "--steps", "1", "--weights", str(tiny_weights), "--out", str(tmp_path / "face.png")],
    )
    said = [
        run_in_small_disk(50_000, tmp_path, work, argument)
        for work, argument in (
            (prepare_main, arguments[0]),
            (save_weights, kept[1]),
            (draw_main, arguments[1]),
            (save_training_state, kept[3]),
        )
    ]
    assert said[0].startswith("exit: prepare: ") and said[2].startswith("exit: facet: ") and said[1] != "done"
    assert said[3].startswith("FacetError: ") and said[3].endswith("What was saved before is whole.")
    assert all("\n" not in line for line in said)
    assert [path.read_bytes() for path in kept] == before
    left = {path.name for path in (tmp_path, tmp_path / "prepared") for path in path.iterdir()}
    assert left == {"archive", "prepared", "net.safetensors", "face.png", "state.pt", "said", "faces.safetensors"}


# --- SIGKILL ----------------------------------------------------------------------------------------------------------


def killed(work, args: tuple, seconds: float, begun=lambda: True) -> bool:
    """Start a child and SIGKILL it so many seconds after `begun()` is true. False if it ended before."""
    child = FORK.Process(target=work, args=args)
    child.start()
    deadline = time.monotonic() + 60
    while not begun() and child.is_alive():
        assert time.monotonic() < deadline, "the child does nothing"
        time.sleep(0.002)
    child.join(seconds)
    child.kill()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


def saved(run: Path) -> int:
    """When the state was last written, 0 before the first time."""
    return (run / "state.pt").stat().st_mtime_ns if (run / "state.pt").exists() else 0


def test_eight_kills_of_the_preparation(tmp_path):
    """The finished file is the old one or the new one, whole; the next run completes."""
    archive, chance, kills = make_archive(tmp_path / "archive", 250), random.Random(0), 0
    prepare_images(archive, tmp_path / "out", limit=5)
    for _ in range(40):
        kills += killed(child_prepares, (archive, tmp_path / "out"), chance.uniform(0, 0.4))
        with safe_open(tmp_path / "out" / "faces.safetensors", framework="pt") as file:
            assert len(json.loads(file.metadata()["names"])) in (5, 250)
        if kills == 8:
            break
    assert kills == 8
    assert prepare_images(archive, tmp_path / "out") == {}
    assert len(load_prepared(tmp_path / "out").names) == 250
    # nothing left of the killed ones
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["faces.safetensors"]


@pytest.mark.parametrize("kind, kills", [("unet", 5), ("clip", 7)])
def test_kills_of_a_training(prepared_folder, tiny_weights, tmp_path, kind, kills):
    """Each time the state and the weights are whole and go on from the last save; the end is that of an unbroken
    run."""
    work = {"unet": child_trains_unet, "clip": child_trains_clip}[kind]
    inputs = (prepared_folder, tiny_weights) if kind == "unet" else (prepared_folder,)
    chance, run, out, steps = random.Random(1), tmp_path / "run", tmp_path / f"{kind}.safetensors", 0
    for _ in range(kills):
        before = saved(run)
        assert killed(work, (*inputs, run, out), chance.uniform(0, 0.1), lambda before=before: saved(run) != before)
        done = torch.load(run / "state.pt", map_location="cpu", weights_only=True)["step"]
        assert done > steps, "a saved step was lost"
        steps = done
        if out.exists():
            checkpoint.load(out)
    for folder in (run, tmp_path / "whole"):
        child = FORK.Process(target=work, args=(*inputs, folder, folder / "net.safetensors"))
        child.start()
        child.join(120)
        assert child.exitcode == 0
    assert not list(run.rglob("*.tmp"))
    broken, whole = (checkpoint.load(folder / "net.safetensors") for folder in (run, tmp_path / "whole"))
    assert broken[2]["hash"] == whole[2]["hash"] and broken[2]["images"] == whole[2]["images"]


@pytest.fixture(scope="module")
def prepared_folder(archive, tiny_weights, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    prepare_images(archive, out)
    embed(out, tiny_weights)
    return out


# --- the Hub ----------------------------------------------------------------------------------------------------------


def test_without_the_hub_the_bundled_weights_stand_in(monkeypatch, capsys):
    """The tests are offline, so the Hub is out of reach."""
    monkeypatch.setenv("FACET_WEIGHTS", "owner/repo@main")
    monkeypatch.setattr(engine, "notice", "")
    assert engine.pipeline().clip.hash == checkpoint.load(ROOT / "weights" / "clip.safetensors")[2]["hash"]
    assert "cannot be fetched" in engine.notice and engine.notice.endswith("The bundled weights are used instead.")
    assert engine.notice in capsys.readouterr().out and "\n" not in engine.notice
    monkeypatch.setenv("FACET_WEIGHTS", "no/such/folder")
    with pytest.raises(FacetError):
        engine.pipeline()
