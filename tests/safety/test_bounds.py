"""What one request may use: bounded before anything is decoded, stopped within a step once nobody reads, and within
its budget.
"""

import io
import threading
import time
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image

from model.errors import FacetError, InputError
from ui import bounds
from ui.frames import own_file, png, read_face
from ui.server import budget, engine


def jpeg(progressive: bool, size: tuple[int, int] = (64, 64)) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8).astype(np.uint8))
    picture.save(buffer, "JPEG", progressive=progressive)
    return buffer.getvalue()


def with_empty_scans(data: bytes, count: int) -> bytes:
    """A progressive JPEG with so many scans more, each of a few bytes, that change nothing."""
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10" + b"\xff\x00" * 2
    return data[:-2] + scan * count + b"\xff\xd9"


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(monkeypatch):
    plain = jpeg(True)
    assert read_face(io.BytesIO(plain)).shape == read_face(io.BytesIO(jpeg(False))).shape == (64, 64, 3)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it is decoded"))
    with pytest.raises(InputError, match="too long to decode"):
        read_face(io.BytesIO(with_empty_scans(plain, 5000)))


def test_a_file_is_looked_at_like_its_bytes(tmp_path):
    (tmp_path / "a.jpg").write_bytes(with_empty_scans(jpeg(True), 100))
    with pytest.raises(InputError, match="too long to decode"):
        read_face(str(tmp_path / "a.jpg"))
    with pytest.raises(InputError):
        read_face(str(tmp_path / "nothing.jpg"))


def test_a_large_progressive_jpeg_is_refused_by_its_head():
    data = bytearray(jpeg(True))
    at = data.index(b"\xff\xc2")
    data[at + 5 : at + 9] = (5000).to_bytes(2) * 2
    with pytest.raises(InputError, match="too long to decode"):
        bounds.check_jpeg(bytes(data))
    bounds.check_jpeg(jpeg(True))


@pytest.mark.parametrize("before", [b"\xff", b"\xff\xd0", b"\0"])
def test_no_bytes_before_it_hide_a_large_progressive_jpeg(before):
    """What the decoder skips: a fill byte, a marker without a length, a stray byte."""
    data = jpeg(True)
    at = data.index(b"\xff\xc2")
    hidden = bytearray(data[:at] + before + data[at:])
    # as it is it can be read
    assert read_face(io.BytesIO(bytes(hidden))).shape == (64, 64, 3)
    at += len(before)
    hidden[at + 5 : at + 9] = (5000).to_bytes(2) * 2
    with pytest.raises(InputError, match="too long to decode"):
        bounds.check_jpeg(bytes(hidden))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc2", b"\xff\xd8\xff\xe0\x00\x00" * 3, b"\xff" * 99])
def test_damaged_heads_are_left_to_the_decoder(data):
    bounds.check_jpeg(data)


def test_pictures_that_come_many_at_once_are_small():
    assert own_file(png(np.zeros((512, 512, 3), np.uint8)))
    with pytest.raises(InputError, match="at most 512 pixels"):
        own_file(png(np.zeros((513, 16, 3), np.uint8)))


def test_no_text_in_a_file_hides_how_large_it_is():
    """Pillow refuses a file with this text, but the decoder leaves texts out."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 513)).save(buffer, "PNG")
    text = b"zTXt" + b"Comment\0\0" + zlib.compress(b" " * 2**21)
    chunk = (len(text) - 4).to_bytes(4) + text + zlib.crc32(text).to_bytes(4)
    hidden = io.BytesIO(buffer.getvalue()[:33] + chunk + buffer.getvalue()[33:])
    with pytest.raises(ValueError):
        Image.open(hidden)
    with pytest.raises(InputError, match="at most 512 pixels"):
        bounds.own(hidden)


# --- the budget -------------------------------------------------------------------------------------------------------


def test_a_run_has_a_budget(monkeypatch):
    own = budget.Budget()
    own.check(budget.ROWS)
    with pytest.raises(FacetError, match="pictures drawn"):
        own.check(1)
    late = budget.Budget()
    late.started -= budget.SECONDS + 1
    with pytest.raises(FacetError, match="120 seconds"):
        late.check()
    busy = budget.Budget()
    busy.computed = budget.COMPUTING + 1
    with pytest.raises(FacetError, match="120 seconds"):
        busy.check()
    with pytest.raises(budget.Stopped, match="nobody"):
        budget.Budget(lambda: "Stopped: nobody reads it.").check()
    # outside of a run all may
    budget.check(10**9)


def forwards(monkeypatch):
    """Counts the budget's questions."""
    asked, check = [], budget.Budget.check

    def counting(self, rows=0):
        asked.append(rows)
        time.sleep(0.02)
        return check(self, rows)

    monkeypatch.setattr(budget.Budget, "check", counting)
    return asked


EVENTS = {
    "a walk": ("ui.explore", "walk", 3, lambda face: [face, "an old man", ""], None),
    "a strip": ("ui.explore", "strip", 2, lambda face: [face, "Smiling"], None),
    "a figure": ("ui.how.page", "look", 2, lambda face: [{**face, "steps": 1000}, 50], {"shown": ""}),
}


@pytest.mark.parametrize("what", EVENTS)
def test_what_computes_stops_when_its_visitor_leaves(app, monkeypatch, what):
    """Also what yields nothing on the way: no forward is begun once nobody reads."""
    module, name, inputs, data, sent = EVENTS[what]
    fn = next(
        fn
        for fn in app.demo.fns.values()
        if fn.fn is not None and (fn.fn.__module__, fn.fn.__name__, len(fn.inputs)) == (module, name, inputs)
    )
    face = {"prompt": f"a man {what}", "negative_prompt": "", "seed": 3, "steps": 90, "guidance": 2.0}
    asked = forwards(monkeypatch)
    url, session = app.demo.local_api_url, f"leaves{len(what)}"
    body = {
        "data": data(face | {"sampler": "ddim"}),
        "fn_index": fn._id,
        "session_hash": session,
        "event_data": sent,
    }
    assert httpx.post(f"{url}queue/join", json=body).status_code == 200
    with httpx.stream("GET", f"{url}queue/data", params={"session_hash": session}) as stream:
        # held: httpx closes the stream with it
        parts = stream.iter_raw()
        assert next(parts)
        deadline = time.monotonic() + 30
        while len(asked) <= 3:
            assert time.monotonic() < deadline, "it does not compute"
            time.sleep(0.01)
    deadline = time.monotonic() + 20
    while app.demo._queue.running("networks"):
        assert time.monotonic() < deadline, "the run goes on"
        time.sleep(0.02)
    assert len(asked) < 60


def test_every_forward_asks(app, monkeypatch):
    asked = forwards(monkeypatch)
    own = budget.begin()
    try:
        pipe = engine.pipeline()
        pipe.generate(["a man"] * 3, [1, 2, 3], 2)
        assert own.rows >= 6 and own.computed > 0
        before = len(asked)
        pipe.upscale(np.zeros((1, 64, 64, 3), np.uint8))
        pipe.attribute_scores(np.zeros((1, 64, 64, 3), np.uint8))
        assert len(asked) >= before + 2
        own.over = True
        with pytest.raises(budget.Stopped):
            pipe.generate(["a man"], [1], 2)
    finally:
        budget._current.set(None)


def test_nothing_computes_outside_the_queue(app):
    """Those of the page's events that pass it by ask no network."""
    loose = {fn.fn.__name__ for fn in app.demo.fns.values() if fn.fn is not None and not fn.queue}
    assert loose <= {"greet", "offer_choice", "restore", "tell", "refuse"}
    lanes = {fn.concurrency_id for fn in app.demo.fns.values() if fn.fn is not None and fn.queue}
    assert lanes == {"networks", "light"}


def test_the_light_lane_does_not_wait_behind_faces(app, monkeypatch):
    """Every place that draws is taken, and more wait; a prompt is still read."""
    asked, go_on = [], threading.Event()
    check = budget.Budget.check

    def held(self, rows=0):
        asked.append(rows)
        if rows:
            go_on.wait(20)
        return check(self, rows)

    monkeypatch.setattr(budget.Budget, "check", held)
    url, streams = app.demo.local_api_url, []

    def draw(number: int) -> None:
        run = httpx.post(f"{url}call/generate", json={"data": ["", "", number, 4, 2.0, "ddim"]}).json()["event_id"]
        httpx.get(f"{url}call/generate/{run}", timeout=60)

    for number in range(4):
        streams.append(threading.Thread(target=draw, args=(number,)))
        streams[-1].start()
    deadline = time.monotonic() + 30
    while (len(app.demo._queue.running("networks")) < 2 or not asked) and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        run = httpx.post(f"{url}call/health", json={"data": []}).json()["event_id"]
        assert "event: complete" in httpx.get(f"{url}call/health/{run}", timeout=15).text
        assert app.demo._queue.running("networks")
    finally:
        go_on.set()
        for stream in streams:
            stream.join(60)
