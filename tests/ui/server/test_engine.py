"""On the CPU one thread runs the networks for everybody, in turns by forwards."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model.errors import InputError
from model.pipeline import FacePipeline
from model.settings import Settings
from ui.how.face import features
from ui.server import engine

FACE = np.full((1, 64, 64, 3), 128, np.uint8)
MAN = Settings("a man", seed=1, steps=2)


def here(*_) -> int:
    return threading.get_ident()


def elsewhere(function, *inputs):
    """What the function returns on a thread of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *inputs).result()


@pytest.fixture
def pipe(tiny_weights) -> FacePipeline:
    return FacePipeline.from_pretrained(tiny_weights, "cpu", engine.computing)


@pytest.fixture
def ran(pipe):
    """(network, thread) of each forward; for CLIP's towers "clip"."""
    seen = []
    for name in ("unet", "upscaler"):
        next(getattr(pipe, name).children()).register_forward_hook(lambda *_, name=name: seen.append((name, here())))
    for tower in (pipe.clip.towers.visual, pipe.clip.towers.text.transformer):
        tower.register_forward_hook(lambda *_: seen.append(("clip", here())))
    return seen


def test_whoever_asks_the_same_thread_computes(pipe):
    with ThreadPoolExecutor(4) as visitors:
        threads = set(visitors.map(lambda _: pipe.compute(here), range(20)))
    assert len(threads) == 1 and threads.isdisjoint({here()})


@pytest.mark.parametrize("inference", [True, False])
def test_inference_mode_options_and_errors_come_along(pipe, inference):
    with torch.inference_mode(inference):
        assert pipe.compute(lambda: torch.ones(1).is_inference()) is inference
    assert pipe.compute(lambda one, *, two: (one, two), 1, two=2) == (1, 2)
    with pytest.raises(InputError, match="no"):
        pipe.compute(lambda: (_ for _ in ()).throw(InputError("no")))


@pytest.mark.parametrize(
    "ask, networks",
    [
        (lambda pipe: pipe.generate(["a man"], [1], steps=2), {"clip", "unet"}),
        (lambda pipe: list(pipe.stream("a man", steps=2)), {"clip", "unet"}),
        (lambda pipe: pipe.generate_faces([replace(MAN, to_seed=2, place=0.5)]), {"clip", "unet"}),
        (lambda pipe: pipe.upscale(FACE), {"upscaler"}),
        (lambda pipe: pipe.attribute_scores(FACE), {"clip"}),
        (lambda pipe: pipe.label_scores(FACE, ["a hat"]), {"clip"}),
        (lambda pipe: pipe.understood("a man"), {"clip"}),
    ],
)
def test_every_network_runs_there(pipe, ran, ask, networks):
    elsewhere(ask, pipe)
    assert set(ran) == {(network, pipe.compute(here)) for network in networks}


def test_the_faces_are_the_same(tiny_weights, pipe):
    alone = FacePipeline.from_pretrained(tiny_weights, "cpu")
    for ask in (lambda pipe: pipe.generate(["a man"], [1], steps=3), lambda pipe: pipe.upscale(FACE)):
        assert np.array_equal(ask(alone), elsewhere(ask, pipe))


def test_a_copy_runs_there_with_its_own_hooks(pipe, ran):
    first = next(name for name, _ in pipe.upscaler.named_children())
    kept, _ = elsewhere(lambda: features(pipe.upscaler, [first], torch.zeros(1, 3, 8, 8), compute=pipe.compute))
    assert kept[first].ndim == 3 and {thread for _, thread in ran} == {pipe.compute(here)}


def test_a_run_goes_on_beside_a_long_one(pipe, ran):
    with ThreadPoolExecutor(1) as visitor:
        begun = threading.Event()
        pipe.unet.register_forward_pre_hook(lambda *_: begun.set())
        way = [replace(MAN, steps=80, to_seed=2, place=index / 23) for index in range(24)]
        walk = visitor.submit(pipe.generate_faces, way)
        begun.wait(10)
        assert len(list(pipe.stream("a woman", steps=3))) == 3 and not walk.done()
        assert walk.result().shape == (24, 64, 64, 3)


def test_all_cores_are_the_computing_thread_s():
    engine.one_core_each()
    assert elsewhere(torch.get_num_threads) == 1
    # this one had asked before
    assert engine.computing.submit(torch.get_num_threads).result() == torch.get_num_threads()


def test_a_gpu_is_for_every_thread(monkeypatch, tmp_path):
    # has no networks to move
    loaded = SimpleNamespace()
    monkeypatch.setattr(engine, "pick_device", lambda: torch.device("cuda"))
    given = []
    load = lambda source, executor: given.append(executor) or loaded  # noqa: E731
    monkeypatch.setattr(engine.FacePipeline, "from_pretrained", load)
    monkeypatch.setenv("FACET_WEIGHTS", str(tmp_path))
    assert engine.pipeline() is loaded
    assert given[0].submit(here).result() == here()


def test_the_number_format_of_the_environment(monkeypatch, capsys):
    cpu = torch.device("cpu")
    assert engine._precision(cpu) is None
    monkeypatch.setenv("FACET_PRECISION", "bfloat16")
    monkeypatch.setattr(engine, "half_precision", lambda device: torch.bfloat16)
    assert engine._precision(cpu) is torch.bfloat16 and not capsys.readouterr().out
    monkeypatch.setattr(engine, "half_precision", lambda device: None)
    assert engine._precision(cpu) is None
    assert capsys.readouterr().out == "facet: FACET_PRECISION=bfloat16 is not used: it is not faster on this machine.\n"


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU every thread computes itself")
def test_the_app_computes_on_one_thread(app):
    pipe, seen = app.pipeline(), []
    hook = next(pipe.unet.children()).register_forward_hook(lambda *_: seen.append(here()))
    elsewhere(lambda: pipe.generate([""], [1], steps=1))
    hook.remove()
    assert set(seen) == {engine.computing.submit(here).result()}
