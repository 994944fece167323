"""What the page sends, and the app's run as a plain generator."""

import base64
import io
import time

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client
from PIL import Image

from model.pipeline import Frame
from model.settings import Settings
from ui.frames import png
from ui.server.line import line_of
from ui.server.queue import DRAWING

ASKED = Settings("a woman", seed=5, steps=3, sampler="ddim")
NOW = ASKED.as_record()


def sent(**data) -> gr.EventData:
    return gr.EventData(None, data)


def noise(seed: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def frame(index: int = 1, total: int = 1, influence: np.ndarray | None = None) -> Frame:
    return Frame(index, total, 0.5, noise(index), noise(index + 100), influence)


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def picture_of(colour: str, size: int = 64) -> str:
    return png(np.asarray(Image.new("RGB", (size, size), colour)))


def frames_of(messages: list[dict]) -> list[dict]:
    return [frame for message in messages for frame in message["frames"]]


def refusal(client: Client, *args, api_name: str = "/generate", **kwargs) -> str:
    with pytest.raises(Exception) as caught:
        client.predict(*args, api_name=api_name, **kwargs)
    return str(caught.value)


def until_nobody_wants_a_run(app, seconds: float = 60) -> None:
    """Until the server has been told that those who asked for the runs that go on have left or cancelled them."""
    queue, deadline = line_of(app.demo), time.monotonic() + seconds
    while any(not queue.why_end(event) for event in queue.running(DRAWING)):
        assert time.monotonic() < deadline, "somebody still wants it"
        time.sleep(0.01)


def draw(
    app,
    words="",
    picks=None,
    negative="",
    count=1,
    new_seed=False,
    seed=3,
    steps=4,
    guidance=2.0,
    sampler="ddim",
    picture=None,
    strength=0.6,
):
    """The page's run."""
    return app.animate(words, picks, negative, count, new_seed, seed, steps, guidance, sampler, picture, strength)
