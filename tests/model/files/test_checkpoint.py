"""Weights files: what is written comes back, and every way a file can be bad is one line that names it."""

import pickle

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from model.errors import WeightsError
from model.files import checkpoint


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.safetensors"
    checkpoint.save(path, nn.Linear(3, 2).state_dict(), {"inputs": 3}, {"images": 7})
    return path


def test_round_trip(tmp_path):
    network = nn.Linear(3, 2)
    name = checkpoint.save(
        tmp_path / "a" / "net.safetensors", network.state_dict(), {"inputs": 3}, {"images": 7}, torch.float32
    )
    tensors, config, info = checkpoint.load(tmp_path / "a" / "net.safetensors")
    assert torch.equal(tensors["weight"], network.weight) and config == {"inputs": 3}
    assert info == {"images": 7, "hash": name}
    assert torch.equal(checkpoint.fill(nn.Linear(3, 2), tensors, "x").bias, network.bias)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["net.safetensors"]


def test_hash_is_over_tensors_only(tmp_path):
    tensors = {"w": torch.ones(2)}
    first = checkpoint.save(tmp_path / "a", tensors, {}, {"images": 1})
    assert first == checkpoint.save(tmp_path / "b", tensors, {}, {"images": 2})
    assert first != checkpoint.save(tmp_path / "c", {"w": torch.zeros(2)}, {}, {})
    assert first != checkpoint.save(tmp_path / "d", {"w": torch.ones(1, 2)}, {}, {})


def bad_pickle(path):
    path.write_bytes(pickle.dumps({"weight": [1, 2, 3]}))


def nan_inside(path):
    tensors = {"weight": torch.tensor([1.0, float("nan")])}
    save_file(tensors, path, {"config": "{}", "info": "{}", "hash": checkpoint.tensor_hash(tensors)})


def altered(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (bad_pickle, "is damaged"),
        (lambda path: save_file({"weight": torch.ones(2)}, path), "holds no Facet metadata"),
        (lambda path: save_file({"weight": torch.ones(2)}, path, {"config": "{", "info": "{}"}), "is damaged"),
        (lambda path: save_file({"weight": torch.ones(2)}, path, {"config": "[1]", "info": "{}"}), "is damaged"),
        (altered, "has been altered"),
        (nan_inside, "not numbers"),
    ],
)
def test_bad_files_are_one_line_with_name_and_cure(file, spoil, words):
    spoil(file)
    with pytest.raises(WeightsError, match=words) as error:
        checkpoint.load(file)
    assert str(file) in str(error.value) and "git checkout weights" in str(error.value) and "\n" not in str(error.value)


def test_a_pickle_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "net.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WeightsError):
        checkpoint.load(tmp_path / "net.safetensors")
    assert not (tmp_path / "sprung").exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_byte_is_noticed_or_harmless(file, data):
    """A flip in the header may hit a comment-like place (the info); then the tensors must be the same."""
    raw = file.read_bytes()
    at = data.draw(st.integers(0, len(raw) - 1))
    before = checkpoint.load(file)[0]
    file.write_bytes(raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :])
    try:
        after = checkpoint.load(file)[0]
        assert all(torch.equal(before[name], after[name]) for name in before)
    except WeightsError as error:
        assert "\n" not in str(error)
    finally:
        file.write_bytes(raw)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda tensors: tensors.pop("bias"), "lacks the tensor bias"),
        (lambda tensors: tensors.update(extra=torch.ones(1)), "does not know: extra"),
        (lambda tensors: tensors.update(bias=torch.ones(5)), r"bias has shape \(5,\), the network needs \(2,\)"),
    ],
)
def test_weights_that_do_not_fit_name_the_tensor(change, words):
    tensors = nn.Linear(3, 2).state_dict()
    change(tensors)
    with pytest.raises(WeightsError, match=words):
        checkpoint.fill(nn.Linear(3, 2), tensors, "net.safetensors")


def test_an_unbuildable_config_is_one_line():
    with pytest.raises(WeightsError, match="cannot build"):
        checkpoint.build(lambda: nn.Linear(wrong=1), "net.safetensors", {})


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.ModuleList(nn.ModuleList(nn.ReLU() for _ in range(200)) for _ in range(65_536)),
        lambda: nn.Linear(30_000, 30_000),
        lambda: nn.Linear(3, 4),
    ],
)
def test_a_network_larger_than_its_file_is_never_built(make, monkeypatch):
    """Not for longer than it takes to see that, and not in memory."""
    made = []
    monkeypatch.setattr(nn.ReLU, "__init__", lambda self, init=nn.ReLU.__init__: (made.append(1), init(self))[1])

    def in_memory():
        network = make()
        assert next(network.parameters()).is_meta, "it takes memory"
        return network

    with pytest.raises(WeightsError):
        checkpoint.build(in_memory, "net.safetensors", nn.Linear(3, 2).state_dict())
    assert len(made) < 3_000


@pytest.mark.parametrize(
    "deep", ["[" * 20_000 + "]" * 20_000, '{"a":' * 20_000 + "1" + "}" * 20_000, "[" * 20 + "]" * 20]
)
@pytest.mark.parametrize("key", ["config", "info"])
def test_deep_json_is_refused_in_one_line(tmp_path, key, deep):
    tensors = nn.Linear(3, 2).state_dict()
    stories = {"config": '{"inputs": 3}', "info": "{}", key: f'{{"a": {deep}}}'}
    save_file(tensors, tmp_path / "a", {**stories, "hash": checkpoint.tensor_hash(tensors)})
    if key == "info" and len(deep) == 40:
        checkpoint.load(tmp_path / "a")
        return
    with pytest.raises(WeightsError) as error:
        checkpoint.load(tmp_path / "a")
    assert "\n" not in str(error.value)


def test_weights_that_are_not_numbers_are_not_written(file):
    before = file.read_bytes()
    with pytest.raises(WeightsError, match="was not written: weight"):
        checkpoint.save(file, {"weight": torch.tensor([1.0, float("inf")])}, {}, {})
    assert file.read_bytes() == before


def test_a_failed_save_leaves_the_old_file_and_nothing_else(file, monkeypatch):
    def full(path, data):
        path.write_text("half")
        raise OSError("No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr(type(file), "write_bytes", full)
    with pytest.raises(OSError):
        checkpoint.save(file, {"weight": torch.ones(2)}, {}, {})
    assert file.read_bytes() == before and [path.name for path in file.parent.iterdir()] == [file.name]
