"""Uploads: bounded, kept where they belong, and gone when they fail or the app ends."""

import io
import socket
import struct
import time
import zlib
from contextlib import ExitStack

import httpx
import pytest
from PIL import Image

from benchmarks.harness.server import running
from tests.conftest import ROOT
from tests.deployed import contents
from tests.safety.asking import answer, as_file, upload


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be `width` x `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_an_upload_is_bounded_in_pixels_before_it_is_decoded(client, deployed):
    [path] = upload(client, bomb(100, 1)).json()
    # what the app loads at its start is loaded
    answer(client, "upscale", [as_file(path)])
    before = deployed.server.figures()["memory_mb"]
    for width, height in ((60_000, 60_000), (2**31 - 1, 2**31 - 1), (8_000, 20)):
        [path] = upload(client, bomb(width, height)).json()
        stream = answer(client, "upscale", [as_file(path)])
        assert "event: error" in stream and ("larger than" in stream or "not an image" in stream)
    assert deployed.server.figures()["memory_mb"] < before + 100


def test_an_uploads_name_stays_in_the_cache(client, deployed):
    for name in ("../../../../evil.png", "/etc/evil.png", "..\\evil.png"):
        [path] = upload(client, b"x", name).json()
        assert path.startswith(str(deployed.server.folder / "temp"))
    assert contents(deployed.code) == deployed.before


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
    """SIGTERM, as Docker and Kubernetes send it: the app ends at once and leaves no picture of a visitor, also of one
    whose page is open or whose upload is on its way."""
    with (
        ExitStack() as visitors,
        running(tmp_path / "run", {"FACET_WEIGHTS": str(tiny_weights)}, deployed.code) as server,
    ):
        client = visitors.enter_context(httpx.Client(base_url=server.address, trust_env=False, timeout=60))
        [path] = upload(client, (ROOT / "assets" / "pictures" / "faces.png").read_bytes()[:4000]).json()
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
