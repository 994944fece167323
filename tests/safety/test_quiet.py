"""The log: where something went wrong, never what a visitor sent, and the same fault once a minute."""

import logging
import warnings

import pytest

from ui.server import quiet

SECRET = "zanzibarquartz"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(quiet, "_said", {})


def fails() -> Exception:
    try:
        raise ValueError(f"Received inputs: [{SECRET}]\n    and more")
    except ValueError as error:
        return error


def test_an_error_is_its_type_and_its_lines(capsys):
    quiet.say(quiet.fault(fails()))
    quiet.say(quiet.fault(ExceptionGroup(SECRET, [fails()])))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("ValueError at safety/test_quiet.py:")
    assert SECRET not in said[0]


def test_the_same_line_comes_once_a_minute(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(quiet.time, "monotonic", lambda: now[0])
    for _ in range(1000):
        quiet.say("a fault")
    now[0] += quiet.MINUTE + 1
    quiet.say("a fault")
    assert capsys.readouterr().err == "a fault\n" * 2
    for number in range(5 * quiet.MOST):
        quiet.say(f"fault {number}")
    assert len(quiet._said) <= quiet.MOST


def test_loggers_say_no_more(capsys):
    logger = logging.Logger("uvicorn.error")
    logger.addHandler(logging.StreamHandler())
    logger.addFilter(quiet.Brief())
    logger.error("Exception in ASGI application\n", exc_info=fails())
    logger.error("Task exception was never retrieved\nfuture: <Task exception=ValueError('%s')>", SECRET)
    logger.warning("Invalid request: %s", SECRET)
    said = capsys.readouterr().err
    assert SECRET not in said and "Traceback" not in said and len(said.splitlines()) == 3
    assert "Invalid request: %s" in said and "Task exception was never retrieved" in said


def test_warnings_say_where_they_come_from(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = quiet.say_warning
        warnings.warn(f"input_value={SECRET!r}", stacklevel=1)
    said = capsys.readouterr().err
    assert said.startswith("UserWarning at safety/test_quiet.py:") and SECRET not in said
