"""What the running app lets nobody do: the lines of SECURITY.md, asked over HTTP."""

import socket
import struct
import threading
import time
import zlib
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from benchmarks.harness.server import running
from tests.conftest import ROOT
from tests.deployed import contents
from ui.server.guard import LARGEST_BODY


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


def test_gradios_other_doors_are_closed(client):
    for path in (
        "/monitoring",
        "/monitoring/summary",
        "/gradio_api/deep_link?session_hash=a",
        "/gradio_api/vibe-code",
        "/gradio_api/dev/reload",
    ):
        assert client.get(path).status_code == 404, path
    for path in ("/gradio_api/process_recording", "/gradio_api/stream/a", "/gradio_api/vibe-edit"):
        assert client.post(path, content=b"{}").status_code == 404, path


# --- what can be sent -------------------------------------------------------------------------------------------------


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be `width` x `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_an_upload_is_bounded_in_bytes(deployed):
    client = httpx.Client(
        base_url=deployed.server.address, trust_env=False
    )  # its connections are cut, so not the others'
    assert upload(client, bytes(6 * 2**20)).status_code == 413  # a file
    assert client.post("/gradio_api/call/generate", content=bytes(LARGEST_BODY + 1)).status_code == 413  # a body
    endless = (bytes(2**20) for _ in range(LARGEST_BODY // 2**20 + 1))  # one that does not say how long it is
    assert client.post("/gradio_api/call/generate", content=endless).status_code == 413


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
    for path in ("/", "/config", "/theme.css", "/gradio_api/info", "/gradio_api/file=/etc/passwd", "/nowhere"):
        headers = client.get(path).headers
        assert {"default-src 'self'", "object-src 'none'"} <= set(headers["content-security-policy"].split("; "))
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
    strange = client.get("/config", headers={"origin": "http://evil.example", "host": "127.0.0.1"})
    assert strange.headers.get("access-control-allow-origin") != "http://evil.example"


def test_no_request_leaves_the_machine(client, deployed):
    """No analytics, no version check, no fonts: the proxy it was told to use has seen nothing."""
    assert client.get("/config").json()["analytics_enabled"] is False
    answer(client, "generate", ["smiling", "", 1, 2, 2.0, "dpmpp"])
    assert deployed.proxy.asked == []


def test_prompts_are_kept_nowhere(client, deployed):
    """Not in the log, not in a file."""
    secret = "zanzibarquartz"
    answer(client, "generate", [f"a man {secret}", secret, 1, 2, 2.0, "dpmpp"])
    answer(client, "generate", [f"a man {secret}", secret, -1, 2, 2.0, "dpmpp"])
    assert secret not in deployed.server.log
    files = [path for folder in (deployed.code, deployed.server.folder) for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if secret.encode() in path.read_bytes()]


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


def test_an_upload_that_fails_leaves_nothing(deployed):
    """Refused for its size, or broken off."""
    before = deployed.server.figures()["files"]
    with httpx.Client(base_url=deployed.server.address, trust_env=False) as client:
        assert upload(client, bytes(6 * 2**20)).status_code == 413
    assert settled(deployed.server, before)
    with begun_upload(deployed.server.address):
        assert settled(deployed.server, before + 1)
    assert settled(deployed.server, before)


@pytest.mark.parametrize("busy", [False, True])
def test_the_cache_is_emptied_when_the_app_ends(deployed, tiny_weights, tmp_path, busy):
    """SIGTERM, as Docker and Kubernetes send it: the app ends at once and leaves no picture of a visitor, also of one
    whose page is open or whose upload is on its way."""
    with (
        ExitStack() as visitors,
        running(tmp_path / "run", {"FACET_WEIGHTS": str(tiny_weights)}, deployed.code) as server,
    ):
        client = visitors.enter_context(httpx.Client(base_url=server.address, trust_env=False, timeout=60))
        [path] = upload(client, (ROOT / "assets" / "faces.png").read_bytes()[:4000]).json()
        assert settled(server, 1) and path.startswith(str(tmp_path))
        if busy:
            page = visitors.enter_context(client.stream("GET", "/gradio_api/heartbeat/a"))
            assert next(page.iter_text())
            visitors.enter_context(begun_upload(server.address))
            assert settled(server, 2)
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
