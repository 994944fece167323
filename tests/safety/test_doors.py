"""What the running app lets nobody do: the lines of SECURITY.md, asked over HTTP."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from benchmarks.harness.server import running
from tests.conftest import ROOT
from tests.safety.asking import answer, as_file, upload
from ui.server import guard
from ui.server.doors import DOORS

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
    # as it stands: httpx would tidy the dots away
    request.url = request.url.copy_with(raw_path=path.encode())
    response = client.send(request)
    assert response.status_code in (400, 403, 404, 405), f"{response.status_code}: {response.text[:100]}"
    assert "root:" not in response.text and "import gradio" not in response.text


def test_no_file_of_the_server_can_be_an_input(client, deployed):
    for path in (
        "/etc/passwd",
        str(deployed.code / "assets" / "page" / "favicon.svg"),
        "../app.py",
        str(ROOT / "assets" / "pictures" / "faces.png"),
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
            told = answer(client, "upscale", [value])
            assert "event: error" in told
            # by the app itself, before gradio's own rules for addresses
            assert "Send the picture itself" in told or value != as_file(address)
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
        response = visitor.request(method, where, content=b"{}" if method == "POST" else None)
        assert response.status_code == 404, f"{where}: {response.status_code}"


def test_the_doors_that_the_page_needs_are_open(client, below):
    for visitor, where in ((client, ""), (below, ""), (below, "/facet")):
        for path in (
            "/",
            "/config",
            "/theme.css",
            "/gradio_api/info",
            "/gradio_api/startup-events",
            "/favicon.ico",
            "/card.jpg",
        ):
            assert visitor.get(where + path).status_code == 200, where + path
        asked = visitor.post(f"{where}/gradio_api/call/health", json={"data": []})
        assert '"ok"' in visitor.get(f"{where}/gradio_api/call/health/{asked.json()['event_id']}").text


# --- what can be sent -------------------------------------------------------------------------------------------------


def test_every_body_is_bounded(deployed):
    """By its door, whether it says its size or not."""
    # its connections are cut
    with httpx.Client(base_url=deployed.server.address, trust_env=False) as client:
        assert upload(client, bytes(6 * 2**20)).status_code == 413
        for door in DOORS:
            path = (
                door.path.pattern.removesuffix("/?")
                .replace("(v2/)?\\w+", "generate")
                .replace("(cancel|reset)", "cancel")
            )
            if "POST" not in door.methods:
                continue
            assert client.post(path, content=bytes(door.most + 1)).status_code == 413, path
            endless = (bytes(2**16) for _ in range(door.most // 2**16 + 1))
            # an upload of another kind is not even read
            expected = 400 if path.endswith("upload") else 413
            assert client.post(path, content=endless).status_code == expected, path
        assert client.post("/gradio_api/cancel", content=bytes(5000)).status_code == 413


def test_the_queue_cannot_be_bypassed(client):
    for path in ("run/generate", "api/generate", "run/predict"):
        response = client.post(f"/gradio_api/{path}", json={"data": ["", "", 1, 1, 2.0, "dpmpp"], "fn_index": None})
        assert response.status_code in (404, 422, 500) and "denoised" not in response.text
    # by its number, which the page tells
    queued = [
        event["id"] for event in client.get("/config").json()["dependencies"] if event["queue"] and event["backend_fn"]
    ]
    assert len(queued) > 5
    for number in queued:
        body = {"data": ["", "", 1, 1, 2.0, "dpmpp"], "fn_index": number}
        response = client.post("/gradio_api/run/predict", json=body)
        assert response.status_code == 404 and "denoised" not in response.text


def test_a_tools_caller_does_not_choose_whom_it_counts_as():
    """Gradio hands a caller's headers on to itself, from this machine, which may say whom a request is from."""
    said = [(b"x-forwarded-for", b"1.2.3.4"), (b"accept", b"*/*"), (b"forwarded", b"for=1.2.3.4")]
    scope = {"type": "http", "path": "/gradio_api/mcp/", "query_string": b"", "client": ("9.9.9.9", 1), "headers": said}
    assert guard._as_itself(scope)["headers"] == [(b"accept", b"*/*"), (b"x-forwarded-for", b"9.9.9.9")]
