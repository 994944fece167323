"""Silent, slow and many connections: they end, they leave room for others, and they do not fill the log."""

import asyncio
import contextlib
import socket
import sys
import threading
import time
from collections import Counter

import httpx
import pytest
import uvicorn
from starlette.exceptions import HTTPException

from benchmarks.harness.server import answers, running
from ui.server import connections, guard
from ui.server.doors import Door

DOOR = Door(frozenset(), None, 10**6)


async def answering(scope, receive, send):
    """The smallest app: "hello"."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})


@contextlib.contextmanager
def served(trusted: str, most: int):
    config = uvicorn.Config(answering, port=0, log_level="warning", lifespan="off")
    config.load()
    config.http_protocol_class = connections.bounded(trusted, most)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join(10)


def is_closed(connection: socket.socket, seconds: float = 10) -> bool:
    """Whether the other end closes it within so many seconds."""
    connection.settimeout(seconds)
    try:
        while connection.recv(1000):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


def hello(address) -> bool:
    return httpx.get(f"http://{address[0]}:{address[1]}/", trust_env=False, timeout=10).text == "hello"


def hello_soon(address, seconds: float = 10) -> bool:
    """`hello`, once the server has seen that other connections are closed."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return hello(address)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)


def test_a_connection_that_says_nothing_ends(monkeypatch):
    """Nothing at all, half a head, or half a head after a whole request."""
    monkeypatch.setattr(connections, "SILENCE", 0.3)
    with served("", 100) as address:
        for said in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"):
            with socket.create_connection(address) as silent:
                silent.sendall(said)
                assert is_closed(silent), said
        assert hello(address)


@pytest.mark.parametrize("trusted, own", [("", 10), ("127.0.0.1", 20), ("*", 20)])
def test_connections_are_bounded_for_each_client_but_for_a_proxy(trusted, own):
    with served(trusted, 20) as address:
        held = [socket.create_connection(address) for _ in range(own)]
        with socket.create_connection(address) as more:
            assert is_closed(more)
        held.pop().close()
        assert hello_soon(address)
        for connection in held:
            connection.close()
        # all are counted out
        assert hello_soon(address)
        again = [socket.create_connection(address) for _ in range(own - 1)]
        assert hello_soon(address)
        for connection in again:
            connection.close()


def test_a_websocket_is_no_way_past_the_bounds():
    with served("", 4) as address:
        for _ in range(6):
            with socket.create_connection(address) as connection:
                connection.sendall(
                    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                assert b"101" not in connection.recv(100)
            time.sleep(0.05)
        assert hello(address)


def test_a_body_that_never_ends_is_cut_off(monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)

    async def read() -> str:
        async def receive():
            await asyncio.sleep(0.05)
            return {"type": "http.request", "body": b"x", "more_body": True}

        try:
            with guard._bounded(receive, request("1.2.3.4"), DOOR, Counter()) as bounded:
                while True:
                    await bounded()
        except HTTPException as error:
            return f"{error.status_code}"

    assert asyncio.run(read()) == "408"


def request(client: str) -> dict:
    return {"type": "http", "headers": [], "client": (client, 1)}


def test_bodies_that_are_coming_in_are_bounded_together(monkeypatch):
    """Of one client, and of all; one that has come, or was broken off, makes room."""
    monkeypatch.setattr(guard, "ARRIVING", 400)
    arriving, parts = Counter(), iter(())

    async def receive():
        return {"type": "http.request", "body": bytes(100), "more_body": next(parts, True)}

    async def begun(client: str, count: int) -> contextlib.ExitStack:
        """A body of which so many hundred bytes have come."""
        with contextlib.ExitStack() as stack:
            bounded = stack.enter_context(guard._bounded(receive, request(client), DOOR, arriving))
            for _ in range(count):
                await bounded()
            return stack.pop_all()

    async def come_and_go() -> None:
        nonlocal parts
        with await begun("1.1.1.1", 2):
            with await begun("1.1.1.1", 1):
                with pytest.raises(HTTPException) as refused:
                    await begun("1.1.1.1", 1)
                assert refused.value.status_code == 503
                with await begun("2.2.2.2", 1), pytest.raises(HTTPException):
                    await begun("3.3.3.3", 1)
                with await begun("2.2.2.2", 1):
                    pass
            with await begun("1.1.1.1", 1):
                assert arriving == {"1.1.1.1": 300}
        parts = iter((True, False))
        with await begun("1.1.1.1", 2):
            assert not arriving

    asyncio.run(come_and_go())


def test_silent_connections_beyond_the_systems_limit(deployed, tiny_weights, tmp_path):
    """With 300 descriptors: the page answers, and the log stays short."""
    command = ("bash", "-c", f"ulimit -n 300; exec {sys.executable} app.py")
    with running(tmp_path / "run", {"FACET_WEIGHTS": str(tiny_weights)}, deployed.code, command) as server:
        host, port = server.address.removeprefix("http://").split(":")
        silent, before = [], server.log.splitlines()
        for _ in range(400):
            with contextlib.suppress(OSError):
                silent.append(socket.create_connection((host, int(port)), 5))
        for connection in silent[:40]:
            connection.close()
        deadline = time.monotonic() + 120
        while not answers(f"{server.address}/config"):
            assert time.monotonic() < deadline, "nobody gets in"
            time.sleep(0.1)
        said = server.log.splitlines()[len(before) :]
        # Too many, what the system says to that, and what could not be opened meanwhile: each is said once.
        assert len(said) < 6 and len(set(said)) == len(said), said
        assert "Traceback" not in server.log
        for connection in silent:
            connection.close()
