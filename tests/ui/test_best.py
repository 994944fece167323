"""The best of several seeds: where it is offered, what a run says and keeps."""

import shutil
from pathlib import Path

import pytest

from model.pipeline import FacePipeline
from model.settings import Settings
from tests.conftest import save_critic, save_student
from ui import runs
from ui.server import engine


@pytest.fixture(scope="module")
def choosing(tiny_weights, tmp_path_factory) -> FacePipeline:
    """Tiny weights with a student, and a critic of drawn noise."""
    folder = Path(shutil.copytree(tiny_weights, tmp_path_factory.mktemp("choosing") / "weights"))
    save_student(folder)
    save_critic(folder)
    return FacePipeline.from_pretrained(folder, device="cpu")


def run(pipe: FacePipeline, monkeypatch, **controls) -> tuple[list[str], int]:
    """What the status line says during a run, and the seed that it took."""
    monkeypatch.setattr(engine, "pipeline", lambda: pipe)
    values = runs.Controls(steps=2, **controls)
    messages = list(runs.animate(*values))
    said = [part["text"] for _, part, _, _ in messages if isinstance(part, dict) and part.get("text")]
    seed = next(part for _, _, part, _ in messages if isinstance(part, int))
    return said, seed


def test_a_new_seed_is_the_best_of_several(choosing, monkeypatch):
    asked = []
    best_seed = choosing.best_seed
    monkeypatch.setattr(choosing, "best_seed", lambda *given: asked.append(given[1]) or best_seed(*given))
    said, seed = run(choosing, monkeypatch, new_seed=True, best=True)
    assert said[0] == "Choosing among 4 seeds" and said[-1].endswith(f"seed {seed} (best of 4).")
    assert len(asked[0]) == 4 and seed == best_seed(Settings(steps=2), asked[0])


@pytest.mark.parametrize(
    "controls",
    [{"best": False}, {"count": 4}, {"sampler": "ddpm"}, {"new_seed": False}],
    ids=["switched off", "four faces", "a path with new noise", "a seed of one's own"],
)
def test_else_the_seed_is_not_chosen(choosing, monkeypatch, controls):
    monkeypatch.setattr(choosing, "best_seed", None)
    said, _ = run(choosing, monkeypatch, **{"new_seed": True, "best": True, **controls})
    assert not any("best" in line or "Choosing" in line for line in said)


def test_it_is_offered_where_the_weights_can(choosing, tiny_weights, monkeypatch):
    monkeypatch.setattr(engine, "pipeline", lambda: choosing)
    assert runs.offer_choice()["visible"] is True
    plain = FacePipeline.from_pretrained(tiny_weights, device="cpu")
    monkeypatch.setattr(engine, "pipeline", lambda: plain)
    assert runs.offer_choice()["visible"] is False
