"""One thread computes for all events that run the networks, in steps, wherever they are called from."""

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import pytest
import torch

from model.errors import InputError
from ui import engine

WHO = contextvars.ContextVar("WHO", default="nobody")


def here(*_) -> int:
    return threading.get_ident()


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setattr(engine, "ONE_THREAD", True)


def test_whatever_asks_the_same_thread_computes():
    with ThreadPoolExecutor(4) as visitors:
        threads = set(visitors.map(engine.computing(here), range(20)))
    assert len(threads) == 1 and threads.isdisjoint({here()})


def test_the_computing_thread_may_ask_itself():
    assert engine.compute(lambda: engine.compute(here)) == engine.compute(here)


def test_two_runs_take_turns_by_steps():
    order, both = [], threading.Barrier(2)

    def run(name):
        for step in range(3):
            order.append((name, step, here()))
            yield step

    def visit(name):
        taken = []
        for step in engine.computing(run)(name):
            taken.append(step)
            both.wait(10)
        return taken

    with ThreadPoolExecutor(2) as visitors:
        assert list(visitors.map(visit, "ab")) == [[0, 1, 2]] * 2
    assert [step for _, step, _ in order] == [0, 0, 1, 1, 2, 2] and len({thread for *_, thread in order}) == 1


def test_a_run_that_is_left_ends_on_the_computing_thread():
    ended = []

    def run():
        try:
            yield 1
            yield 2
        finally:
            ended.append(here())

    steps = engine.computing(run)()
    assert next(steps) == 1
    steps.close()
    assert [engine.compute(here)] == ended  # what was asked later came after it


def test_errors_and_the_visitor_of_an_event_come_through():
    def refuse():
        raise InputError("no")

    def refuse_later():
        yield 1
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        engine.computing(refuse)()
    with pytest.raises(InputError, match="no"):
        list(engine.computing(refuse_later)())
    WHO.set("me")
    assert engine.computing(WHO.get)() == "me"  # gradio keeps the request there


def test_with_a_gpu_every_thread_computes_itself(monkeypatch):
    monkeypatch.setattr(engine, "ONE_THREAD", False)
    assert engine.compute(here) == here()
    demo, function = page()
    engine.on_one_thread(demo)
    assert [event.fn for event in demo.fns.values()] == [function, function]


def test_only_events_that_run_the_networks_are_moved():
    demo, function = page()
    engine.on_one_thread(demo)
    moved, stays = (event.fn for event in demo.fns.values())
    assert stays is function and moved() == engine.compute(here) != stays()


def page():
    with gr.Blocks(analytics_enabled=False) as demo:
        button = gr.Button()
        button.click(here, concurrency_id=engine.NETWORKS["concurrency_id"])
        button.click(here)
    return demo, here


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU every thread computes itself")
def test_the_app_computes_on_one_thread(app):
    events = [event.fn for event in app.demo.fns.values() if event.concurrency_id == engine.NETWORKS["concurrency_id"] and event.fn]
    assert len(events) > 10 and all(hasattr(function, "__wrapped__") for function in events)
