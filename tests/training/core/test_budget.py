"""How long a training lasts and how fast it learns."""

import math
import time
from importlib import import_module

import pytest

from model.errors import InputError
from training.core.budget import Budget, Clock, warmup_then_linear


def test_learning_rate_rises_then_falls_to_zero():
    values = [warmup_then_linear(p / 100, warmup=0.1) for p in range(101)]
    assert values[0] == 0 and values[10] == 1 and values[100] == 0 and values[55] == pytest.approx(0.5)
    assert values[:11] == sorted(values[:11]) and values[10:] == sorted(values[10:], reverse=True)
    assert warmup_then_linear(1.5) == 0


def test_a_pause_gains_no_training_time():
    clock = Clock(10.0, most=0.05)
    time.sleep(0.2)
    assert clock.tick() == pytest.approx(10.05)
    time.sleep(0.2)
    clock.skip()
    assert clock.tick() <= 10.1


def test_a_long_step_counts_if_the_one_before_was_long_too():
    clock = Clock(most=0.05)
    counted = []
    for _ in range(3):
        time.sleep(0.2)
        counted.append(clock.tick())
    assert (
        counted[0] == pytest.approx(0.05)
        and counted[1] - counted[0] == pytest.approx(0.15)
        and counted[2] - counted[1] >= 0.2
    )


@pytest.mark.parametrize("minutes", [0, -5, math.nan, -math.inf])
def test_minutes_that_are_no_time_are_refused_in_one_line(minutes):
    with pytest.raises(InputError, match="the minutes of training must be more than 0, not [^\\n]*$"):
        Budget(images=100, batch=4, minutes=minutes, learning_rate=0.1)


def test_a_budget_without_images_is_refused():
    with pytest.raises(InputError, match="at least 1 image, not 0"):
        Budget(images=100, batch=0, minutes=1, learning_rate=0.1)
    with pytest.raises(InputError, match="nothing to train on"):
        Budget(images=0, batch=4, minutes=1, learning_rate=0.1)


@pytest.mark.parametrize("name", ["unet.train", "unet.student", "clip.train", "clip.words", "evaluation.train_judge"])
def test_every_script_refuses_such_minutes(name, prepared_folder, tiny_weights, tmp_path):
    script = import_module(f"training.{name}")
    weights = (
        ["--start-from", str(tiny_weights / "clip.safetensors")]
        if name == "clip.words"
        else ["--weights", str(tiny_weights)]
        if "unet" in name
        else []
    )
    common = ["--recipe", "tiny", "--prepared", str(prepared_folder), "--state-dir", str(tmp_path / "run"), *weights]
    for minutes in ("0", "-5", "nan"):
        with pytest.raises(SystemExit) as ended:
            script.main([*common, "--out", str(tmp_path / "out.safetensors"), f"--max-minutes={minutes}"])
        assert str(ended.value) == f"training.{name}: the minutes of training must be more than 0, not {minutes}."
    # whatever cannot be written shows before the first step, too
    (tmp_path / "file").write_text("")
    for out, told in ((tmp_path, "is a folder"), (tmp_path / "file" / "x", "cannot be written")):
        with pytest.raises(SystemExit, match=told):
            script.main([*common, "--out", str(out), "--max-minutes", "1e6"])
    assert not (tmp_path / "run" / "state.pt").exists()
