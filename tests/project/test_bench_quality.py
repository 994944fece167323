"""Quality against network calls (benchmarks/quality.py): the calls are counted right, and the whole runs."""

import json
import shutil

import pytest

from benchmarks import quality
from model.errors import InputError
from model.pipeline import FacePipeline
from model.sampler import SAMPLERS
from tests.conftest import ROOT, save_guided, save_student


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", (1, 7, 25))
@pytest.mark.parametrize("built_in", (False, True))
def test_calls_are_those_that_the_networks_get(tiny_weights, tmp_path, sampler, steps, built_in):
    weights, seen = shutil.copytree(tiny_weights, tmp_path / "weights"), []
    if built_in:
        save_guided(weights)
    pipe = FacePipeline.from_pretrained(weights, "cpu")
    for network in filter(None, (pipe.unet, pipe.guided)):
        network.register_forward_hook(lambda network, inputs, output: seen.append(len(output)))
    pipe.generate(["a man"], [0], steps=steps, sampler=sampler)
    assert quality.calls(steps, sampler, built_in) == sum(seen)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_budget_is_used_as_far_as_it_goes(sampler):
    for budget in quality.BUDGETS:
        steps = quality.steps_within(budget, sampler, built_in=False)
        assert quality.calls(steps, sampler, False) <= budget < quality.calls(steps + 1, sampler, False)
        assert quality.steps_within(budget, sampler, built_in=True) == budget
    with pytest.raises(InputError, match="too few"):
        quality.steps_within(0, sampler, built_in=True)


def test_the_whole_benchmark(tiny_weights, tmp_path, capsys):
    weights = shutil.copytree(tiny_weights, tmp_path / "weights")
    shutil.copy(ROOT / "weights" / "judge.safetensors", weights)
    save_student(weights)
    save_guided(weights)
    options = [
        "--faces",
        "4",
        "--budgets",
        "4",
        "9",
        "--samplers",
        "unipc",
        "ddpm",
        "--weights",
        str(weights),
        "--cache",
        str(tmp_path / "cache"),
        "--out",
        str(tmp_path / "new"),
    ]
    quality.main(options)
    about = json.loads((tmp_path / "new" / "quality.json").read_text())
    assert {"unet", "guided", "student"} <= {*about}
    results = about["found"]
    assert set(results) == {quality.REFERENCE, quality.STUDENT, "unipc 4", "unipc 9", "ddpm 4", "ddpm 9"}
    assert all(row["pooled"] > 0 and row["spatial"] > 0 for row in results.values())
    assert results["unipc 4"]["pooled"] != results["unipc 9"]["pooled"]
    assert (tmp_path / "new" / "quality.png").read_bytes()[:4] == b"\x89PNG"
    assert f"| 9 | {results['unipc 9']['steps']}, " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="quality: .* serves for"):
        quality.main([*options, "--faces", "1"])
