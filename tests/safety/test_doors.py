"""What the running app lets nobody do: the lines of SECURITY.md, asked over HTTP."""

import base64
import io
import json
import socket
import struct
import threading
import time
import zlib
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from PIL import Image

from benchmarks.server import running
from tests.conftest import ROOT
from tests.server import contents
from ui.server.doors import DOORS


@pytest.fixture(scope="module")
def client(deployed):
    # a connection for each request, as the server ends one on which it has refused something
    with httpx.Client(
        base_url=deployed.server.address, trust_env=False, timeout=60, headers={"connection": "close"}
    ) as client:
        yield client


def answer(client: httpx.Client, endpoint: str, data: list) -> str:
    """The event stream that a call of the API ends in."""
    asked = client.post(f"/gradio_api/call/{endpoint}", json={"data": data})
    assert asked.status_code == 200, asked.text
    return client.get(f"/gradio_api/call/{endpoint}/{asked.json()['event_id']}").text


def upload(client: httpx.Client, data: bytes, name: str = "face.png") -> httpx.Response:
    return client.post("/gradio_api/upload", files={"files": (name, data)})


def what_comes(client: httpx.Client, path: str) -> str:
    """The text of an answer, also of one that gradio cuts short."""
    text = ""
    try:
        with client.stream("GET", path) as stream:
            for part in stream.iter_text():
                text += part
    except httpx.TransportError:
        pass
    return text


def as_file(path: str) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


# --- what can be read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=app.py",
        "/gradio_api/file=weights/unet.safetensors",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/gradio_api/file//etc/passwd",
        "/gradio_api/file=/proc/self/environ",
        "/gradio_api/file=file:///etc/passwd",
        "/file=/etc/passwd",
        "/static/../../../../../../etc/passwd",
        "/static/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/%2e%2e/app.py",
        "/assets/../../../../../../etc/passwd",
        "/assets/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/svelte/..%2f..%2f..%2fetc%2fpasswd",
        "/gradio_api/custom_component/x/client/..%2f..%2fapp.py",
        "/app.py",
        "/.git/config",
        "/requirements.txt",
    ],
)
def test_no_file_of_the_server_can_be_read(client, path):
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())  # as it stands: httpx would tidy the dots away
    found = client.send(request)
    assert found.status_code in (400, 403, 404, 405), f"{found.status_code}: {found.text[:100]}"
    assert "root:" not in found.text and "import gradio" not in found.text


def test_no_file_of_the_server_can_be_an_input(client, deployed):
    for path in (
        "/etc/passwd",
        str(deployed.code / "assets" / "favicon.svg"),
        "../app.py",
        str(ROOT / "assets" / "faces.png"),
    ):
        assert "event: error" in answer(client, "upscale", [as_file(path)]), path


class Counting(BaseHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def test_the_server_fetches_no_address(client, deployed):
    """Neither another machine's nor one beside it, whichever way it is asked."""
    inside = HTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=inside.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{inside.server_port}/secret.png"
    before = len(deployed.proxy.asked)
    for address in (
        here,
        here.replace("127.0.0.1", "localhost"),
        "http://169.254.169.254/latest",
        "http://example.org/a.png",
    ):
        for way in ("file=", "file/", "proxy="):
            assert client.get(f"/gradio_api/{way}{address}").status_code in (403, 404)
        for value in (
            as_file(address),
            {"path": "a.png", "url": address, "meta": {"_type": "gradio.FileData"}},
            address,
        ):
            assert "event: error" in answer(client, "upscale", [value])
    inside.shutdown()
    assert not Counting.asked and len(deployed.proxy.asked) == before


CLOSED = (
    [
        ("GET", path)
        for path in (
            "/monitoring",
            "/monitoring/summary",
            "/gradio_api/deep_link?session_hash=a",
            "/gradio_api/vibe-code",
            "/gradio_api/dev/reload",
            "/gradio_api/proxy=https://example.org/a",
            "/gradio_api/file=http://127.0.0.1/a",
            "/gradio_api/file/http://127.0.0.1/a",
            "/gradio_api/upload_progress?upload_id=a",
            "/gradio_api/run-history/buckets",
            "/gradio_api/runs",
            "/gradio_api/token",
            "/gradio_api/mcp/",
            "/gradio_api/stream/a/1/2/playlist.m3u8",
            "/login",
            "/nowhere",
        )
    ]
    + [
        ("POST", path)
        for path in (
            "/gradio_api/process_recording",
            "/gradio_api/stream/a",
            "/gradio_api/vibe-edit",
            "/gradio_api/component_server",
            "/gradio_api/run/generate",
            "/gradio_api/api/predict",
            "/gradio_api/queue/data",
            "/login",
            "/config",
            "/",
        )
    ]
    + [("PUT", "/"), ("DELETE", "/gradio_api/queue/join"), ("OPTIONS", "/gradio_api/queue/join")]
)


@pytest.fixture(scope="module")
def below(deployed, tiny_weights, tmp_path_factory):
    """The same app under a root path, as a proxy shows it."""
    settings = {"FACET_WEIGHTS": str(tiny_weights), "GRADIO_ROOT_PATH": "/facet"}
    with (
        running(tmp_path_factory.mktemp("below") / "run", settings, deployed.code) as server,
        httpx.Client(base_url=server.address, trust_env=False, timeout=60) as client,
    ):
        yield client


@pytest.mark.parametrize("method, path", CLOSED)
def test_gradios_other_doors_are_closed(client, below, method, path):
    """With a root path and without one, in the path or not."""
    for visitor, where in ((client, path), (below, path), (below, f"/facet{path}"), (below, f"/facet/{path}")):
        found = visitor.request(method, where, content=b"{}" if method == "POST" else None)
        assert found.status_code == 404, f"{where}: {found.status_code}"


def test_the_doors_that_the_page_needs_are_open(client, below):
    for visitor, where in ((client, ""), (below, ""), (below, "/facet")):
        for path in ("/", "/config", "/theme.css", "/gradio_api/info", "/gradio_api/startup-events", "/favicon.ico"):
            assert visitor.get(where + path).status_code == 200, where + path
        asked = visitor.post(f"{where}/gradio_api/call/health", json={"data": []})
        assert '"ok"' in visitor.get(f"{where}/gradio_api/call/health/{asked.json()['event_id']}").text


# --- what can be sent -------------------------------------------------------------------------------------------------


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be `width` x `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_every_body_is_bounded(deployed):
    """By its door, whether it says its size or not."""
    with httpx.Client(base_url=deployed.server.address, trust_env=False) as client:  # its connections are cut
        assert upload(client, bytes(6 * 2**20)).status_code == 413
        for door in DOORS:
            path = door.path.pattern.removesuffix("/?").replace("(v2/)?\\w+", "generate").replace("(cancel|reset)", "cancel")
            if "POST" not in door.methods:
                continue
            assert client.post(path, content=bytes(door.most + 1)).status_code == 413, path
            endless = (bytes(2**16) for _ in range(door.most // 2**16 + 1))
            expected = 400 if path.endswith("upload") else 413  # an upload of another kind is not even read
            assert client.post(path, content=endless).status_code == expected, path
        assert client.post("/gradio_api/cancel", content=bytes(5000)).status_code == 413


def test_an_upload_is_bounded_in_pixels_before_it_is_decoded(client, deployed):
    [path] = upload(client, bomb(100, 1)).json()
    answer(client, "upscale", [as_file(path)])  # what the app loads at its start is loaded
    before = deployed.server.figures()["memory_mb"]
    for width, height in ((60_000, 60_000), (2**31 - 1, 2**31 - 1), (8_000, 20)):
        [path] = upload(client, bomb(width, height)).json()
        found = answer(client, "upscale", [as_file(path)])
        assert "event: error" in found and ("larger than" in found or "not an image" in found)
    assert deployed.server.figures()["memory_mb"] < before + 100


def test_an_uploads_name_stays_in_the_cache(client, deployed):
    for name in ("../../../../evil.png", "/etc/evil.png", "..\\evil.png"):
        [path] = upload(client, b"x", name).json()
        assert path.startswith(str(deployed.server.folder / "temp"))
    assert contents(deployed.code) == deployed.before


def test_the_queue_cannot_be_bypassed(client):
    for path in ("run/generate", "api/generate", "run/predict"):
        found = client.post(f"/gradio_api/{path}", json={"data": ["", "", 1, 1, 2.0, "dpmpp"], "fn_index": None})
        assert found.status_code in (404, 422, 500) and "denoised" not in found.text


# --- what is told -----------------------------------------------------------------------------------------------------


def test_every_answer_carries_the_headers(client):
    """Also a refusal, a page that is not there, and a fault."""
    lone = {"data": ["\ud83d"] * 3, "fn_index": 10**30, "session_hash": "a"}
    found = [client.get(path) for path in ("/", "/config", "/theme.css", "/gradio_api/info", "/nowhere")]
    found += [
        client.post("/gradio_api/cancel", content=bytes(5000)),
        client.post("/gradio_api/queue/join", content=b"{"),
    ]
    fault = client.post("/gradio_api/call/nothing", json={"data": []})
    assert fault.status_code == 500
    found += [fault, client.post("/gradio_api/queue/join", content=json.dumps(lone).encode())]
    for each in found:
        headers = each.headers
        assert {"default-src 'self'", "object-src 'none'"} <= set(headers["content-security-policy"].split("; "))
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]


@pytest.mark.parametrize("host", ["127.0.0.1", "facet.example"])
def test_no_other_site_may_read_an_answer(client, host):
    for path in ("/config", "/gradio_api/info", "/nowhere"):
        found = client.get(path, headers={"origin": "http://evil.example", "host": host})
        assert not [name for name in found.headers if name.startswith("access-control-")]
    asking = {"origin": "http://evil.example", "access-control-request-method": "POST", "host": host}
    found = client.options("/gradio_api/queue/join", headers=asking)
    assert found.status_code == 404 and "access-control-allow-origin" not in found.headers


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
        found = client.post(path, json={"data": []})
        assert found.status_code >= 400 and "Traceback" not in found.text
    assert "denoised" not in what_comes(client, "/gradio_api/call/generate/0123456789abcdef")


# --- what is left -----------------------------------------------------------------------------------------------------


def begun_upload(address: str) -> socket.socket:
    """A connection that has sent the beginning of a picture and is in no hurry to go on."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), 10)
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="face.png"\r\n\r\n' + bytes(100_000)
    connection.sendall(
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 200000\r\n\r\n" + body
    )
    return connection


def settled(server, files: int) -> bool:
    """Whether the cache comes to hold so many files within five seconds."""
    deadline = time.monotonic() + 5
    while server.figures()["files"] != files and time.monotonic() < deadline:
        time.sleep(0.05)
    return server.figures()["files"] == files


def multipart(name: str, filename: str, end: bytes = b"\r\n--x--\r\n") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
    return head.encode() + bytes(1000) + end


def test_an_upload_that_fails_leaves_nothing(deployed):
    """Refused for its size, under another name, without an end, or broken off."""
    before = deployed.server.figures()["files"]
    kind = {"content-type": "multipart/form-data; boundary=x"}
    with httpx.Client(base_url=deployed.server.address, trust_env=False) as client:
        assert upload(client, bytes(6 * 2**20)).status_code == 413
        for body in (
            multipart("other", "a.png"),
            multipart("files", ".."),
            multipart("files", "a.png", b""),
            multipart("files", "a.png", b"\r\n--x\r\n"),
            b"".join(multipart("files", f"{number}.png", b"\r\n") for number in range(20)) + b"--x--\r\n",
        ):
            client.post("/gradio_api/upload", content=body, headers=kind)
            assert settled(deployed.server, before), body[:60]
    with begun_upload(deployed.server.address):
        assert settled(deployed.server, before + 1)
    assert settled(deployed.server, before)


def test_an_upscale_leaves_no_empty_file(client, deployed):
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 150, 120)).save(picture, "PNG")
    [path] = upload(client, picture.getvalue()).json()
    assert "event: complete" in answer(client, "upscale", [as_file(path)])
    empty = [
        file for file in (deployed.server.folder / "temp").rglob("*") if file.is_file() and not file.stat().st_size
    ]
    assert not [file for file in empty if file.name != "vibe_edit_history"]


def test_progress_of_uploads_is_not_kept(client):
    """Gradio would keep 150 kB for each name a visitor gives one."""
    assert client.post("/gradio_api/upload?upload_id=abc", files={"files": ("a.png", b"x")}).status_code == 200
    assert client.get("/gradio_api/upload_progress?upload_id=abc").status_code == 404


@pytest.mark.parametrize("busy", [False, True])
def test_the_cache_is_emptied_when_the_app_ends(deployed, tiny_weights, tmp_path, busy):
    """SIGTERM, as Docker and Kubernetes send it: the app ends at once and leaves no picture of a visitor, also of one whose
    page is open or whose upload is on its way."""
    with (
        ExitStack() as visitors,
        running(tmp_path / "run", {"FACET_WEIGHTS": str(tiny_weights)}, deployed.code) as server,
    ):
        client = visitors.enter_context(httpx.Client(base_url=server.address, trust_env=False, timeout=60))
        [path] = upload(client, (ROOT / "assets" / "faces.png").read_bytes()[:4000]).json()
        started = server.figures()["files"]
        assert path.startswith(str(tmp_path))
        if busy:
            page = visitors.enter_context(client.stream("GET", "/gradio_api/heartbeat/a"))
            assert next(page.iter_text())
            visitors.enter_context(begun_upload(server.address))
            assert settled(server, started + 1)
        start = time.monotonic()
        server.process.terminate()
        assert server.process.wait(20) == 0
        assert time.monotonic() - start < 15 and (busy or "Traceback" not in server.log)
        assert not [file for file in (tmp_path / "run" / "temp").rglob("*") if file.is_file()]


def test_what_a_visitor_is_told_of_an_inner_error(client, deployed):
    """Nothing: no path, no traceback."""
    found = client.post("/gradio_api/call/generate", content=b"not json", headers={"content-type": "application/json"})
    assert 400 <= found.status_code < 500
    for text in (
        found.text,
        *(what_comes(client, path) for path in ("/gradio_api/queue/data?session_hash=none", "/nowhere")),
    ):
        assert "Traceback" not in text and str(ROOT) not in text and str(deployed.code) not in text
