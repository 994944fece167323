"""The machine the app starts on: it starts, or says in one line why not."""

import inspect
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from model.errors import InputError
from tests.conftest import ROOT
from ui.server import health, start

GONE = "socks5://127.0.0.1:9"


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """What is left behind is seen and goes."""
    monkeypatch.setattr(start.tempfile, "tempdir", str(tmp_path))


def test_nothing_of_a_plain_environment_changes(tmp_path):
    environment = {"PATH": "/bin"}
    assert start.prepare(environment) is None
    assert environment.pop("GOMP_SPINCOUNT") and environment == {"PATH": "/bin"} and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_no_proxy_stands_between_the_app_and_itself(name):
    environment = {name: "http://proxy.example:8080", "NO_PROXY": "intranet, .example", "no_proxy": "intranet"}
    assert start.mend_proxies(environment) == [] and environment[name] == "http://proxy.example:8080"
    assert environment["no_proxy"] == environment["NO_PROXY"] == "intranet,.example,localhost,127.0.0.1,::1"
    environment["GRADIO_SERVER_NAME"] = "10.1.2.3"
    start.mend_proxies(environment)
    assert environment["no_proxy"].endswith("::1,10.1.2.3")


@pytest.mark.parametrize("address", ["socks6://host:1", "ftp://host:21", "http://host:eighty"])
def test_a_proxy_that_cannot_be_used_is_dropped_with_a_line(address):
    environment = {"ALL_PROXY": address}
    [line] = start.mend_proxies(environment)
    assert line.startswith("ALL_PROXY is not used: ") and "\n" not in line and "ALL_PROXY" not in environment


def test_a_socks_proxy_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "socksio", None)
    environment = {"all_proxy": GONE, "http_proxy": "proxy.example:3128", "https_proxy": ""}
    [line] = start.mend_proxies(environment)
    assert "socksio" in line and set(environment) == {"http_proxy", "https_proxy", "no_proxy", "NO_PROXY"}


def test_entries_of_no_proxy_that_end_httpx_are_left_out(monkeypatch):
    bad = ("fe80::/10", "[::1]", "host:port", "localhost:*")
    good = ("10.0.0.0/8", "::1", "*.corp", ".corp", "host:8080", "http://a", "*")
    environment = {"HTTP_PROXY": "http://proxy.example:1", "NO_PROXY": ",".join(bad + good)}
    [line] = start.mend_proxies(environment)
    assert line.startswith("NO_PROXY is used without fe80::/10, [::1], host:port, localhost:*: ")
    assert environment["no_proxy"].split(",")[: len(good)] == list(good)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    httpx.Client().close()
    alone = {"no_proxy": "[::1]"}
    assert len(start.mend_proxies(alone)) == 1 and "[" not in alone["no_proxy"]
    assert start.mend_proxies({"no_proxy": "localhost"}) == []


def test_certificates_that_are_gone_or_none_are_dropped(tmp_path):
    (tmp_path / "text.pem").write_text("no certificate")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        for path in (tmp_path / "gone", tmp_path / "text.pem", tmp_path / "x" / ("y" * 300)):
            environment = {name: str(path)}
            [line] = start.mend_certificates(environment)
            assert str(path) in line and "\n" not in line and not environment
    assert start.mend_certificates({"SSL_CERT_FILE": ""}) == []
    environment = {"SSLKEYLOGFILE": str(tmp_path / "gone" / "keys")}
    [line] = start.mend_certificates(environment)
    assert line.startswith("SSLKEYLOGFILE is not used") and not environment


@pytest.mark.parametrize(
    "name, most", [("GRADIO_SERVER_PORT", 65535), ("GRADIO_NUM_PORTS", 65535), ("FACET_CONCURRENCY", 64)]
)
def test_numbers(name, most):
    for text in ("abc", "0", "-1", "two", str(most + 1), "1.5", "7860/tcp", "tcp://10.0.0.1:7860", "1e3"):
        with pytest.raises(SystemExit, match=f"^facet: {name} must be a whole number from 1 to {most}, not") as error:
            start.prepare({name: text})
        assert "\n" not in str(error.value)
    environment = {name: ' "3" '}
    start.prepare(environment)
    assert environment[name] == "3" and start.whole_number(name, 2, 1, 9, {name: ""}) == 2


def test_waiting_threads_give_up_their_core():
    for given, spins in (({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)):
        start.wait_shortly(given)
        assert given.get("GOMP_SPINCOUNT") == spins
    # before the library that reads it is loaded
    code = "import sys; import ui.server.start; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_threads_share_what_glibc_keeps_of_freed_memory(monkeypatch):
    assert start.share_free_memory({}) is (platform.libc_ver()[0] == "glibc")
    assert not start.share_free_memory({"MALLOC_ARENA_MAX": "4"})
    monkeypatch.setattr(start.platform, "libc_ver", lambda: ("", ""))
    assert not start.share_free_memory({})


RETURNED = """
import ctypes, pathlib
from ui.server import health, start

def resident() -> int:
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
# each too small for a mapping of its own; the last one holds what is below it
blocks = [libc.malloc(100_000) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
for block in blocks[:-1]:
    libc.free(block)
before = resident()
print(start.give_back_memory(), before - resident() > 50_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_was_freed_goes_back_to_the_system():
    told = subprocess.run([sys.executable, "-c", RETURNED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "True"]


def test_number_formats():
    with pytest.raises(SystemExit, match="^facet: FACET_PRECISION must be float32 or bfloat16, not 'half'.$"):
        start.prepare({"FACET_PRECISION": "half"})
    for text, chosen in (("", "float32"), (" 'bfloat16' ", "bfloat16")):
        assert start.choice("FACET_PRECISION", start.PRECISIONS, {"FACET_PRECISION": text}) == chosen


@pytest.mark.parametrize("name", ["::1", "[::1]", "::", "[::]"])
def test_an_ipv6_address_goes_to_launch_in_brackets(name):
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").is_file():
        pytest.skip("no IPv6 here")
    environment = {"GRADIO_SERVER_NAME": name}
    assert start.own_address(environment) == f"[{name.strip('[]')}]" and not environment


@pytest.mark.parametrize(
    "name", ["192.0.2.7", "2001:db8::7", "http://0.0.0.0", "0.0.0.0:7860", "no such host", "fe80::1%lo", "x" * 300]
)
def test_an_address_that_is_not_ours_is_one_line(name):
    with pytest.raises(InputError, match="GRADIO_SERVER_NAME=.* is no address of this machine") as error:
        start.own_address({"GRADIO_SERVER_NAME": name})
    assert "\n" not in str(error.value)


def test_addresses_of_ipv4_stay(monkeypatch):
    for name in ("127.0.0.1", "0.0.0.0", "localhost", '"0.0.0.0"'):
        environment = {"GRADIO_SERVER_NAME": name}
        start.own_address(environment)
        # some machines know localhost by IPv6 alone
        assert environment in (
            {"GRADIO_SERVER_NAME": name.strip('"')},
            {},
        )


def test_a_temporary_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    for named in (tmp_path / "taken", tmp_path / "taken" / "below", "/proc/facet"):
        with pytest.raises(SystemExit, match="^facet: No temporary files can be written .* GRADIO_TEMP_DIR.$"):
            start.prepare({"GRADIO_TEMP_DIR": str(named)})
    monkeypatch.setattr(start.tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SystemExit, match="TMPDIR.$"):
        start.prepare({})


def test_the_app_starts_on_a_hard_machine(tiny_weights, tmp_path):
    """A proxy that never answers, one of a kind that needs a package, certificates that are gone, a temporary folder
    in which gradio's name is taken, IPv6, weights named as in an env file: it answers, says what it left out, and
    leaves nothing."""
    temp = tmp_path / "temp"
    temp.mkdir()
    (temp / "gradio").write_text("of another user")
    with socket.create_server(("127.0.0.1", 0)) as slow, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        six = Path("/proc/net/if_inet6").is_file()
        settings = {
            "HTTP_PROXY": f"http://127.0.0.1:{slow.getsockname()[1]}",
            "ALL_PROXY": "socks6://127.0.0.1:9",
            "SSL_CERT_FILE": "/gone/certificates.pem",
            "TMPDIR": str(temp),
            "GRADIO_SERVER_NAME": "::1" if six else "127.0.0.1",
            "GRADIO_SERVER_PORT": f'"{port}"',
            "FACET_CONCURRENCY": "",
            "FACET_WEIGHTS": f'"file://{tiny_weights}"',
        }
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GRADIO") and "proxy" not in name.lower()
        }
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=kept | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            address = f"http://{'[::1]' if six else '127.0.0.1'}:{port}"
            for line in iter(process.stdout.readline, ""):
                settings["said"] = settings.get("said", "") + line
                if "Running on" in line:
                    break
            assert address in settings["said"] and "ALL_PROXY is not used" in settings["said"]
            assert "SSL_CERT_FILE is not used" in settings["said"]
            with httpx.Client(trust_env=False, timeout=60) as client:
                for _ in range(600):
                    try:
                        page = client.get(address)
                        break
                    except httpx.TransportError:
                        time.sleep(0.1)
                assert page.status_code == 200
                sent = {"files": ("face.png", b"x", "image/png")}
                [path] = client.post(f"{address}/gradio_api/upload", files=sent).json()
            assert re.match(re.escape(str(temp)) + "/facet-[^/]+/", path)
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert [path.name for path in temp.iterdir() if path.name.startswith("facet-")] == []
    assert (temp / "gradio").read_text() == "of another user"


def test_gradio_parses_no_sources_as_it_is_imported(monkeypatch):
    """As it would, to write stubs for editors."""
    import gradio
    from gradio import component_meta

    parsed = []
    monkeypatch.setattr(component_meta, "extract_class_source_code", lambda *_: parsed.append(1) or ("", 1))
    monkeypatch.setattr(component_meta, "create_pyi", lambda *_: "")
    with start.without_stubs():
        component_meta.create_or_modify_pyi(gradio.Textbox, "Textbox", [])
        # nothing else is hidden
        assert inspect.getfile(Path)
    assert not parsed and inspect.getfile(gradio.Textbox).endswith("textbox.py")


@pytest.mark.parametrize(
    "name, port, address",
    [
        (None, None, "http://127.0.0.1:7860"),
        ("0.0.0.0", "", "http://127.0.0.1:7860"),
        ("", '"7861"', "http://127.0.0.1:7861"),
        ("[::]", "80", "http://[::1]:80"),
        ("10.1.2.3", "80", "http://10.1.2.3:80"),
    ],
)
def test_the_health_check_asks_where_the_app_listens(name, port, address):
    given = {"GRADIO_SERVER_NAME": name, "GRADIO_SERVER_PORT": port}
    assert start.own_page({key: value for key, value in given.items() if value is not None}) == address


class Stuck(BaseHTTPRequestHandler):
    """An app whose page answers, and whose event comes back as `said`."""

    said = b""

    def do_POST(self):
        self._answer(b'{"event_id": "1"}')

    def do_GET(self):
        self._answer(self.said)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_an_app_whose_event_does_not_come_back_is_not_well(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Stuck) as stuck:
        threading.Thread(target=stuck.serve_forever, daemon=True).start()
        monkeypatch.setenv("GRADIO_SERVER_PORT", str(stuck.server_port))
        for said in (b"", b"event: error\ndata: null\n\n", b"event: heartbeat\n\n"):
            monkeypatch.setattr(Stuck, "said", said)
            with pytest.raises(SystemExit, match="^health: the event did not come back$"):
                health.main()
        monkeypatch.setattr(Stuck, "said", b'event: complete\ndata: ["ok"]\n\n')
        health.main()
        stuck.shutdown()


def test_a_health_check_that_cannot_ask_ends_in_one_line(monkeypatch):
    for port in ("9", "none"):
        monkeypatch.setenv("GRADIO_SERVER_PORT", port)
        with pytest.raises(SystemExit, match="^health: .+") as ended:
            health.main()
        assert "\n" not in str(ended.value)
