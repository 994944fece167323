"""Pictures from and to the browser."""

import numpy as np
import pytest
from PIL import Image

from model.errors import InputError
from tests.conftest import ROOT
from tests.ui.asking import frame
from ui import frames


def test_sheets_lie_row_by_row():
    faces = [np.full((64, 64, 3), value, np.uint8) for value in range(9)]
    assert frames.sheet(faces)[::64, ::64, 0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert frames.sheet(faces[:1]).shape == (64, 64, 3)


def test_influence_glows_over_a_grey_face():
    quiet, loud = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    loud[10, 20] = 255
    still, plain, lit = (frames.heat(frame(influence=influence)) for influence in (quiet, None, loud))
    assert np.abs(still.astype(int) - plain).max() <= 1 and (plain[..., 0] == plain[..., 2]).all()
    assert tuple(lit[10, 20]) == tuple(frames.HEAT[-1]) and (lit[11:] == still[11:]).all()


@pytest.mark.parametrize("total, most", [(frames.LONG, frames.MESSAGES_PER_SECOND), (100, frames.SELDOM)])
def test_messages_come_seldom_in_a_long_run_and_lose_no_step(monkeypatch, total, most):
    """A step takes 20 ms here."""
    clock = [100.0]
    monkeypatch.setattr(frames.time, "monotonic", lambda: clock[0])

    def run():
        for index in range(1, total + 1):
            clock[0] += 0.02
            yield [frame(index=index, total=total)]

    sent = [message for message, _ in frames.messages(run(), {})]
    assert [one["step"] for message in sent for one in message["frames"]] == list(range(1, total + 1))
    # the first and the last come at once
    assert 0.6 * most < (len(sent) - 2) / (0.02 * total) <= most


@pytest.mark.parametrize(
    "bad",
    [
        None,
        3,
        "",
        "/etc/hostname",
        str(ROOT / "assets" / "pictures" / "faces.png"),
        "data:text/plain;base64,aGk=",
        "data:image/png;base64,*",
        "file:///etc/hostname",
    ],
)
def test_a_browser_cannot_name_a_file_of_the_server(bad):
    with pytest.raises(InputError, match="not an image"):
        frames.read_face(frames.file_of(bad))


def test_a_picture_that_is_too_large(tmp_path):
    Image.new("1", (8_200, 8_000)).save(tmp_path / "huge.png")
    with pytest.raises(InputError, match="larger than 65 megapixels"):
        frames.read_picture(str(tmp_path / "huge.png"))
