"""Nonsense for everything that takes input: endpoints, the page's own events, links, pictures' metadata, weights files.

Each answers rightly or refuses in one line, never with a traceback, and never hangs.
"""

import io
import json
import math
import struct
from types import SimpleNamespace

import httpx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

from model.clip import Clip
from model.errors import FacetError, InputError
from model.files import checkpoint
from model.settings import Settings
from model.srresnet import SRResNet
from model.unet import UNet
from ui import opening
from ui.frames import read_face
from ui.runs import counted

# after which an answer counts as a hang
SECONDS = 30
FUZZ = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 4),
    st.sampled_from([2**32 - 1, 2**32, -(2**63), 10**30]),
    st.floats(-1e3, 4),
    st.text(max_size=40),
    st.sampled_from(["dpmpp", "ddim", "ddpm", "nan", "../../etc/passwd"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def client(deployed):
    with httpx.Client(base_url=deployed.server.address, trust_env=False, timeout=SECONDS) as client:
        yield client


def checked_stream(text: str) -> None:
    """An event stream ends, rightly or with one readable line."""
    kind, data = text.strip().split("\n\n")[-1].split("\n", 1)
    assert kind in ("event: complete", "event: error"), text[-300:]
    assert "Traceback" not in text and "site-packages" not in text
    if kind == "event: error":
        error = json.loads(data.removeprefix("data: "))
        told = error if isinstance(error, str) else (error or {}).get("error")
        assert told is None or "\n" not in told


@settings(max_examples=60, **FUZZ)
@given(st.data())
def test_any_json_for_any_endpoint(client, data):
    endpoints = client.get("/gradio_api/info").json()["named_endpoints"]
    name = data.draw(st.sampled_from(sorted(endpoints)))
    count = len(endpoints[name]["parameters"])
    values = data.draw(st.one_of(st.lists(JSON, min_size=count, max_size=count), st.lists(JSON, max_size=8)))
    asked = client.post(f"/gradio_api/call{name}", json={"data": values})
    if asked.status_code == 200:
        checked_stream(client.get(f"/gradio_api/call{name}/{asked.json()['event_id']}").text)
    else:
        assert 400 <= asked.status_code < 500 or asked.status_code == 503


@settings(max_examples=40, **FUZZ)
@given(
    prompt=st.text(max_size=200),
    negative=st.text(max_size=50),
    seed=SCALARS,
    steps=SCALARS,
    guidance=SCALARS,
    sampler=SCALARS,
)
def test_generate_draws_or_says_what_is_wrong(client, prompt, negative, seed, steps, guidance, sampler):
    try:
        Settings(seed=seed, steps=steps, sampler=sampler, guidance=guidance)
        good = True
    except InputError:
        good = False
    asked = client.post("/gradio_api/call/generate", json={"data": [prompt, negative, seed, steps, guidance, sampler]})
    text = client.get(f"/gradio_api/call/generate/{asked.json()['event_id']}").text
    checked_stream(text)
    assert ("event: complete" in text) == good
    if not good:
        assert json.loads(text.strip().rsplit("data: ", 1)[1])["error"]


@settings(max_examples=60, **FUZZ)
@given(st.data())
def test_any_json_for_the_pages_own_events(client, data):
    """They are not in the API, but anybody can send them."""
    events = [event for event in client.get("/config").json()["dependencies"] if event["backend_fn"]]
    event = data.draw(st.sampled_from(events))
    count = len(event["inputs"])
    values = data.draw(st.one_of(st.lists(JSON, min_size=count, max_size=count), st.lists(JSON, max_size=4)))
    body = {
        "data": values,
        "fn_index": event["id"],
        "session_hash": data.draw(st.text("abc", min_size=4, max_size=9)),
        "event_data": data.draw(JSON),
        "trigger_id": None,
    }
    if not event["queue"]:
        response = client.post("/gradio_api/run/predict", json=body)
        assert "Traceback" not in response.text and "site-packages" not in response.text
        return
    asked = client.post("/gradio_api/queue/join", json=body)
    assert asked.status_code < 500 or asked.status_code == 503
    if asked.status_code == 200:
        with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": body["session_hash"]}) as stream:
            for line in stream.iter_lines():
                assert "Traceback" not in line and "site-packages" not in line
                if '"process_completed"' in line or '"close_stream"' in line:
                    break


@settings(max_examples=30, **FUZZ)
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(Settings.RECORDED), st.text(max_size=12)), st.text(max_size=60), max_size=8
    )
)
def test_any_link_opens_the_page(client, parameters):
    response = client.get("/", params=parameters)
    assert response.status_code == 200 and "Traceback" not in response.text
    # the browser then asks for what the link says
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "opening", lambda: {"kind": "opening"})
        _, player, line, *_ = opening.greet(SimpleNamespace(query_params=parameters))
    assert player == {"kind": "opening"} and "\n" not in line["text"]


def test_a_count_that_json_writes_as_a_fraction_is_that_count():
    assert type(counted(4.0)) is int and counted(4.0) == 4
    for wrong in (4.5, 0, None, "4", [4], {}, math.nan):
        with pytest.raises(InputError, match="number of faces"):
            counted(wrong)


def test_the_app_still_works(client):
    """After all of the above."""
    asked = client.post("/gradio_api/call/generate", json={"data": ["smiling", "", 1, 2, 2.0, "dpmpp"]})
    assert "event: complete" in client.get(f"/gradio_api/call/generate/{asked.json()['event_id']}").text


# --- records: links and pictures' metadata ----------------------------------------------------------------------------


@settings(max_examples=300, **FUZZ)
@given(st.dictionaries(st.one_of(st.sampled_from(Settings.RECORDED), st.text(max_size=50)), JSON, max_size=8))
def test_any_record_is_read_or_ignored_with_reason(values):
    kept, ignored = Settings.read(values)
    assert Settings.read(kept.as_record()) == (kept, [])
    assert all("\n" not in line and len(line) < 300 for line in ignored)
    assert all(name in Settings.RECORDED or ignored for name in values)


@settings(max_examples=60, **FUZZ)
@given(
    st.dictionaries(st.text("abcXYZ 1_:/", min_size=1, max_size=20), st.text(max_size=300), max_size=4),
    st.binary(max_size=60),
)
def test_a_picture_with_any_metadata_is_a_face_or_refused(metadata, rubbish):
    info = PngImagePlugin.PngInfo()
    for key, value in metadata.items():
        info.add_itxt(key, value, zip=len(value) % 2 == 0)
    buffer = io.BytesIO()
    Image.new("RGB", (70, 64), (200, 150, 120)).save(buffer, "PNG", pnginfo=info)
    assert read_face(io.BytesIO(buffer.getvalue())).shape == (64, 64, 3)
    at = len(buffer.getvalue()) // 2
    for broken in (
        buffer.getvalue()[:at] + rubbish,
        buffer.getvalue()[:at] + rubbish + buffer.getvalue()[at:],
        rubbish,
    ):
        try:
            assert read_face(io.BytesIO(broken)).shape == (64, 64, 3)
        except InputError as error:
            assert "\n" not in str(error)


# --- weights files ----------------------------------------------------------------------------------------------------

LOADERS = {"clip": Clip.from_file, "unet": UNet.from_file, "srresnet": SRResNet.from_file}


def loads_or_says_why(name: str, path) -> None:
    try:
        LOADERS[name](path, torch.device("cpu"))
    except FacetError as error:
        assert "\n" not in str(error) and str(path) in str(error)


@settings(max_examples=60, **FUZZ)
@given(name=st.sampled_from(sorted(LOADERS)), data=st.data())
def test_any_bytes_as_weights(tiny_weights, tmp_path, name, data):
    """Random bytes; a header of any length before them; a real file with a piece cut out, put in or overwritten."""
    raw = (tiny_weights / f"{name}.safetensors").read_bytes()
    rubbish, at = data.draw(st.binary(max_size=200)), data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(at, min(len(raw), at + 5000)))
    length = data.draw(st.sampled_from([0, 2, len(rubbish), 2**31, 2**63, 2**64 - 1]))
    path = tmp_path / f"{name}.safetensors"
    for damaged in (
        rubbish,
        struct.pack("<Q", length) + rubbish,
        raw[:at] + raw[end:],
        raw[:at] + rubbish + raw[at:],
        raw[:at] + rubbish + raw[at + len(rubbish) :],
    ):
        path.write_bytes(damaged)
        loads_or_says_why(name, path)


@settings(max_examples=60, **FUZZ)
@given(name=st.sampled_from(sorted(LOADERS)), data=st.data())
def test_any_config_in_weights(tiny_weights, tmp_path, name, data):
    """The right tensors under a config, an info and names that are not: the hash holds, so these must be checked
    themselves."""
    tensors, config, info = checkpoint.load(tiny_weights / f"{name}.safetensors")
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.one_of(st.sampled_from(sorted(config)), st.text(max_size=8)))
        config[key] = data.draw(JSON)
    if data.draw(st.booleans()):
        tensors.pop(data.draw(st.sampled_from(sorted(tensors))))
    path = tmp_path / f"{name}.safetensors"
    save_file(
        tensors,
        path,
        {
            "config": json.dumps(config),
            "info": json.dumps(data.draw(st.one_of(st.just(info), JSON))),
            "hash": checkpoint.tensor_hash(tensors),
        },
    )
    loads_or_says_why(name, path)
