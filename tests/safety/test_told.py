"""What the app tells of itself and of its visitors: headers, other sites, the log, faults."""

import base64
import io
import json

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.safety.asking import answer, what_comes


def test_every_answer_carries_the_headers(client):
    """Also a refusal, a page that is not there, and a fault."""
    lone = {"data": ["\ud83d"] * 3, "fn_index": 10**30, "session_hash": "a"}
    responses = [client.get(path) for path in ("/", "/config", "/theme.css", "/gradio_api/info", "/nowhere")]
    responses += [
        client.post("/gradio_api/cancel", content=bytes(5000)),
        client.post("/gradio_api/queue/join", content=b"{"),
    ]
    fault = client.post("/gradio_api/call/nothing", json={"data": []})
    assert fault.status_code == 500
    responses += [fault, client.post("/gradio_api/queue/join", content=json.dumps(lone).encode())]
    for each in responses:
        headers = each.headers
        policy = set(headers["content-security-policy"].split("; "))
        assert {"default-src 'self'", "object-src 'none'", "base-uri 'self'", "form-action 'self'"} <= policy
        assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]


@pytest.mark.parametrize("host", ["127.0.0.1", "facet.example"])
def test_no_other_site_may_read_an_answer(client, host):
    for path in ("/config", "/gradio_api/info", "/nowhere"):
        response = client.get(path, headers={"origin": "http://evil.example", "host": host})
        assert not [name for name in response.headers if name.startswith("access-control-")]
    asking = {"origin": "http://evil.example", "access-control-request-method": "POST", "host": host}
    response = client.options("/gradio_api/queue/join", headers=asking)
    assert response.status_code == 404 and "access-control-allow-origin" not in response.headers


def test_no_request_leaves_the_machine(client, deployed):
    """No analytics, no version check, no fonts: the proxy it was told to use has seen nothing."""
    assert client.get("/config").json()["analytics_enabled"] is False
    answer(client, "generate", ["smiling", "", 1, 2, 2.0, "dpmpp"])
    assert deployed.proxy.asked == []


SECRET = "zanzibarquartz"
SHAPES = (
    ["{}", "{}", 1, 2, 2.0, "dpmpp"],
    ["{}", "{}", -1, 2, 2.0, "dpmpp"],
    ["{}"],
    [],
    ["{}", "{}", "{}", "{}", "{}", "{}"],
    [{"{}": "{}"}, ["{}"], None, 2, 2.0, "dpmpp"],
    ["\ud83d {}", "", 1, 2, 2.0, "dpmpp"],
    ["{}", "{} \udc00", 1, 2, 2.0, "{}"],
    ["{}" * 3000, "", 1, 2, 2.0, "dpmpp"],
    ["{}"] * 14,
    [{"path": "/tmp/{}", "meta": {"_type": "gradio.FileData"}}],
    [{"path": "{}", "url": "http://{}", "orig_name": "{}", "meta": {"_type": "gradio.FileData"}}, "{}"],
    "{}",
    {"{}": "{}"},
    None,
)


def test_prompts_are_kept_nowhere(client, deployed):
    """Not in the log, not in a file: whatever the shape of the request, for every event, right or wrong."""
    events = [event for event in client.get("/config").json()["dependencies"] if event["backend_fn"]]
    bodies = [json.dumps(shape).replace("{}", SECRET) for shape in SHAPES]
    for event in events:
        for number, body in enumerate(bodies):
            session = f"s{event['id']}-{number}"
            text = (
                f'{{"data": {body}, "fn_index": {event["id"]}, "session_hash": "{session}", '
                f'"event_data": {{"what": "png", "record": {{"prompt": "{SECRET}", "{SECRET}": 1}}, "image": {body}}}}}'
            )
            path = "queue/join" if event["queue"] else "run/predict"
            asked = client.post(
                f"/gradio_api/{path}", content=text.encode(), headers={"content-type": "application/json"}
            )
            if event["queue"] and asked.status_code == 200:
                with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
                    for _ in stream.iter_lines():
                        pass
    for name in ("generate", "understand", "nothing"):
        for body in bodies:
            asked = client.post(
                f"/gradio_api/call/{name}",
                content=f'{{"data": {body}}}'.encode(),
                headers={"content-type": "application/json"},
            )
            if asked.status_code == 200:
                what_comes(client, f"/gradio_api/call/{name}/{asked.json()['event_id']}")
    assert SECRET not in deployed.server.log and "Traceback" not in deployed.server.log
    files = [path for folder in (deployed.code, deployed.server.folder) for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_an_export_does_not_touch_the_disk(client, deployed):
    before = deployed.server.figures()["files"]
    event = next(
        event for event in client.get("/config").json()["dependencies"] if event["targets"][0][1:] == ["export"]
    )
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 150, 120)).save(picture, "PNG")
    image = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    sent = {"what": "png", "image": image, "record": {"prompt": SECRET}, "settings": True}
    body = {"data": [], "fn_index": event["id"], "session_hash": "exports", "event_data": sent}
    assert client.post("/gradio_api/queue/join", json=body).status_code == 200
    told = client.get("/gradio_api/queue/data", params={"session_hash": "exports"}).text
    assert "Saved as" in told and deployed.server.figures()["files"] == before


def test_an_unknown_endpoint_or_event_is_refused(client):
    for path in ("/gradio_api/call/nothing", "/gradio_api/run/nothing", "/gradio_api/queue/join"):
        response = client.post(path, json={"data": []})
        assert response.status_code >= 400 and "Traceback" not in response.text
    assert "denoised" not in what_comes(client, "/gradio_api/call/generate/0123456789abcdef")


def test_what_a_visitor_is_told_of_an_inner_error(client, deployed):
    """Nothing: no path, no traceback."""
    response = client.post(
        "/gradio_api/call/generate", content=b"not json", headers={"content-type": "application/json"}
    )
    assert 400 <= response.status_code < 500
    for text in (
        response.text,
        *(what_comes(client, path) for path in ("/gradio_api/queue/data?session_hash=none", "/nowhere")),
    ):
        assert "Traceback" not in text and str(ROOT) not in text and str(deployed.code) not in text
