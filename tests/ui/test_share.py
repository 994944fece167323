"""What is shared of the page: the card's place in gradio's page, a link's QR code."""

import io
import json
from types import SimpleNamespace

import pytest
from PIL import Image

from model.errors import InputError
from tests.conftest import ROOT
from ui import picker
from ui.share import card, qr


def test_a_page_without_a_place_for_the_card_is_refused():
    with pytest.raises(ValueError, match="no <style>"):
        card.head("<html></html>")


@pytest.mark.parametrize("link", [None, 7, "", "javascript:alert(1)", "file:///etc/passwd", ["https://a"]])
def test_only_a_web_address_becomes_a_code(link):
    with pytest.raises(InputError, match="web address"):
        qr.code(link)


def test_a_link_of_many_words_is_refused_in_one_line():
    link = "https://example.org/?prompt="
    assert qr.code(link + "a" * (qr.LONGEST - len(link))).startswith("data:image/svg+xml")
    with pytest.raises(InputError, match="too long"):
        qr.code(link + "é" * 600)
    shown, line = qr.draw(SimpleNamespace(_data={"link": "a" * 10}))
    assert line["kind"] == "error" and "image" not in shown


def test_each_preset_has_its_face():
    data = (ROOT / "assets" / "controls" / "presets.webp").read_bytes()
    assert len(data) < 40_000 and Image.open(io.BytesIO(data)).size == (64 * len(picker.PRESETS), 64)
    kept = json.loads((ROOT / "assets" / "controls" / "presets.json").read_text())
    assert list(kept) == list(picker.PRESETS) and all(isinstance(preset["seed"], int) for preset in kept.values())
