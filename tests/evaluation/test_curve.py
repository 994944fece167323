"""The curve of learning (training/evaluation/curve.py): every moment measured by its own network, parts of a curve put
together.
"""

import json
import shutil

import pytest

from model.clip import Clip
from tests.conftest import ROOT, unets_of_moments
from training.evaluation import curve


def test_curve_of_learning(tiny_weights, tmp_path, capsys):
    weights = shutil.copytree(tiny_weights, tmp_path / "weights")
    shutil.copy(ROOT / "weights" / "judge.safetensors", weights)
    files = unets_of_moments(tmp_path, Clip.from_file(weights / "clip.safetensors").hash, (4000, 500, 11_000))
    options = ["--weights", str(weights), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path)]
    curve.main([*map(str, files[:2]), "--faces", "4", *options])
    first = json.loads((tmp_path / "curve.json").read_text())
    assert list(first["points"]) == ["500", "4000"] and first["points"]["500"] != first["points"]["4000"]
    assert all(distance > 0 for point in first["points"].values() for distance in point.values())
    assert "4,000 images {'pooled': " in capsys.readouterr().out
    curve.main([str(files[2]), "--faces", "4", *options])
    both = json.loads((tmp_path / "curve.json").read_text())["points"]
    assert list(both) == ["500", "4000", "11000"] and both["500"] == first["points"]["500"]
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    # other numbers of faces do not compare
    curve.main([str(files[2]), "--faces", "5", *options])
    assert list(json.loads((tmp_path / "curve.json").read_text())["points"]) == ["11000"]
    with pytest.raises(SystemExit, match="curve: .* serves for"):
        curve.main([str(files[2]), "--faces", "1", *options])
