"""The saved state of a training, and what else is written."""

import json
import math
import os
import pickle
import re

import pytest
import torch
from torch import nn

from model.errors import FacetError, InputError
from training.core.budget import Progress
from training.core.ema import EMA
from training.core.log import Log, commit
from training.core.state import check_writable, keep, load_state, resume, save_state


def test_log_and_state_round_trip(tmp_path):
    log = Log(tmp_path / "runs" / "log.jsonl")
    log.write(images=16, loss=0.123456789)
    log.write(images=32, loss=None)
    # what has nothing to measure
    log.write(images=48, loss=float("nan"))
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == [
        {"images": 16, "loss": 0.12346},
        {"images": 32, "loss": None},
        {"images": 48, "loss": None},
    ]
    assert load_state(tmp_path / "none.pt", {"recipe": 1}) is None
    save_state(tmp_path / "state.pt", {"identity": {"recipe": 1}, "step": 3})
    assert load_state(tmp_path / "state.pt", {"recipe": 1})["step"] == 3
    with pytest.raises(InputError, match="another recipe"):
        load_state(tmp_path / "state.pt", {"recipe": 2})
    assert not (tmp_path / "state.pt.tmp").exists()


class Unknown:
    """What another program may have pickled."""

    def __reduce__(self):
        return os.mkdir, ("made by a state",)


def test_a_state_that_is_none_is_told_in_one_line_and_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, identity = tmp_path / "state.pt", {"recipe": 1, "channels": (16, 32)}
    network, done = nn.Linear(2, 2), Progress(step=3)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    parts = {"network": network, "optimizer": optimizer, "ema": EMA(network, 10)}
    keep(path, identity, parts, done)
    whole = path.read_bytes()
    resume(path, identity, parts, done)
    texts = [whole[:100], whole[: len(whole) // 2], whole[:-10], b"", b"no state at all", bytes(1000)]
    for data in texts:
        path.write_bytes(data)
        with pytest.raises(InputError, match=f"^{re.escape(str(path))} is cut off or no state .*: delete it[^\n]*$"):
            resume(path, identity, parts, done)
    for other in ([1, 2], {"step": 3}, network.state_dict(), {"identity": identity}, Unknown(), pickle):
        if other is pickle:
            path.write_bytes(pickle.dumps(Unknown()))
        else:
            torch.save(other, path)
        with pytest.raises(InputError, match="is cut off or no state"):
            resume(path, identity, parts, done)
    assert not (tmp_path / "made by a state").exists()
    save_state(path, {"identity": identity, "network": nn.Linear(3, 3).state_dict(), "step": 1})
    with pytest.raises(InputError, match="is cut off or no state"):
        resume(path, identity, parts, done)


def test_a_state_is_on_disk_before_it_takes_the_old_ones_place(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    save_state(tmp_path / "state.pt", {"identity": {}})
    assert calls == ["fsync", "replace"]


def test_folders_that_cannot_be_written_are_told_before_a_training(tmp_path):
    (tmp_path / "file").write_text("")
    check_writable(tmp_path / "new" / "run", tmp_path / "other" / "x.safetensors")
    assert (tmp_path / "new" / "run").is_dir() and list((tmp_path / "other").iterdir()) == []
    for run, out, told in (
        (tmp_path / "file" / "run", None, "--state-dir: .* cannot be written"),
        (tmp_path, tmp_path / "file" / "x", "--out: .* cannot be written"),
        (tmp_path, tmp_path, "is a folder"),
        (tmp_path, tmp_path / ("x" * 300), "--out: .* cannot be written"),
        (tmp_path, tmp_path / "a\0b", "--out: .* cannot be written"),
    ):
        with pytest.raises(InputError, match=told):
            check_writable(run, out)


def test_weights_that_are_no_numbers_take_no_good_ones_place(tmp_path):
    """A gradient that is none spoils the weights after the loss was looked at."""
    network, path = nn.Linear(2, 2), tmp_path / "state.pt"
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    parts = {"network": network, "optimizer": optimizer}
    keep(path, {}, parts, Progress(step=1))
    good = path.read_bytes()
    for spoilt in (network.weight.data, optimizer.state[network.bias]["exp_avg"]):
        was, spoilt[0] = spoilt[0].clone(), math.nan
        with pytest.raises(FacetError, match="the last saved state is good"):
            keep(path, {}, parts, Progress(step=2))
        spoilt[0] = was
    assert path.read_bytes() == good


def test_without_git_the_commit_is_empty(monkeypatch, tmp_path):
    assert commit() == "" or len(commit()) >= 12
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == ""
