"""deploy/compose.yaml and its nginx: two replicas on the loopback address, driven as visitors drive them."""

import asyncio
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

from benchmarks.harness.replicas import CONFIG, free_port, nginx, replicated
from benchmarks.harness.server import answers, running
from benchmarks.load import load
from tests.browser.actions import DESKTOP, generate, opened, saved
from tests.conftest import ROOT

COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def replicas(deployed, tiny_weights, tmp_path_factory):
    try:
        nginx()
    except FileNotFoundError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    environment = {"FACET_WEIGHTS": str(tiny_weights)}
    with replicated(tmp_path_factory.mktemp("replicas"), environment=environment, code=deployed.code) as found:
        yield found


def test_only_nginx_can_be_reached_and_nothing_can_be_written():
    services = COMPOSE["services"]
    assert {name for name, service in services.items() if service.get("ports")} == {"web"}
    for service in services.values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    names = {name for name in services if name != "web"}
    assert set(re.findall(r"server (app\d):7860", CONFIG.read_text())) == names
    assert {services[name]["build"] for name in names} == {".."} and (ROOT / "Dockerfile").is_file()
    # else all visitors behind nginx are one to the app
    assert {services[name]["environment"]["FORWARDED_ALLOW_IPS"] for name in names} == {"*"}


def test_a_crowd_gets_the_right_faces_of_both(replicas):
    """Visitors with the page's cookie, and with none: a run is asked for and read at one replica."""
    tally, _, _ = asyncio.run(load(replicas, users=4, steps=2, requests=20))
    assert not tally.wrong and not tally.failed and len(tally.waits) == 20


def test_a_visitor_stays_with_one_replica(replicas):
    places = set()
    for _ in range(12):
        with httpx.Client(base_url=replicas.address, trust_env=False, timeout=60) as client:
            client.get("/")
            assert client.cookies["facet_place"]
            picture = client.post("/gradio_api/upload", files={"files": ("a.png", b"x")}).json()[0]
            places.add(next(server.folder.name for server in replicas.servers if str(server.folder) in picture))
            for _ in range(3):
                assert client.get(f"/gradio_api/file={picture}").status_code == 200
            assert "set-cookie" not in client.get("/").headers
    assert len(places) == 2, "both replicas have visitors"


def test_what_a_visitor_claims_to_be_is_not_believed(replicas):
    """An address that a visitor sends is replaced; the app still answers its own site alone, with its headers."""
    with httpx.Client(base_url=replicas.address, trust_env=False, timeout=60) as client:
        found = client.get("/config", headers={"x-forwarded-for": "9.9.9.9", "origin": "http://evil.example"})
        assert found.status_code == 200 and "content-security-policy" in found.headers
        assert not [name for name in found.headers if name.startswith("access-control-")]
        assert client.get("/gradio_api/dev/reload").status_code == 404
        assert client.post("/gradio_api/upload", content=bytes(9 * 2**20)).status_code == 413
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in CONFIG.read_text()


def test_a_flood_from_one_address_is_refused(replicas):
    found = set()

    def flood() -> None:
        with httpx.Client(base_url=replicas.address, trust_env=False, timeout=60) as client:
            for _ in range(3000):
                found.add(client.get("/robots.txt").status_code)
                if 429 in found:
                    return

    with ThreadPoolExecutor(4) as several:
        for each in [several.submit(flood) for _ in range(4)]:
            each.result()
    assert found == {200, 429}


def test_a_class_behind_one_router_loads_the_page(replicas):
    """Thirty browsers ask for the page's own files at once. As many as a page that opens asks for."""
    with httpx.Client(base_url=replicas.address, trust_env=False, timeout=60) as client:
        # after a flood there is room again within seconds
        deadline = time.monotonic() + 30
        while (opened := client.get("/")).status_code == 429 and time.monotonic() < deadline:
            time.sleep(0.1)
        page = opened.text
        files = set(re.findall(r'(?:src|href)="\.?(/(?:assets|static|svelte)/[^"]+)"', page))
        assert files
        found = [client.get(file).status_code for _ in range(2400 // len(files)) for file in files]
    assert set(found) == {200}


def test_a_replica_that_ends_leaves_the_other(deployed, tiny_weights, tmp_path, replicas):
    environment = {"FACET_WEIGHTS": str(tiny_weights)}
    with replicated(tmp_path, environment=environment, code=deployed.code) as own:
        own.servers[0].process.kill()
        own.servers[0].process.wait()
        for number in range(6):
            with httpx.Client(base_url=own.address, trust_env=False, timeout=60) as client:
                client.cookies["facet_place"] = f"visitor{number}"
                run = client.post("/gradio_api/call/health", json={"data": []}).json()["event_id"]
                assert '"ok"' in client.get(f"/gradio_api/call/health/{run}").text


PLAIN = """error_log stderr; pid {folder}/pid; worker_processes 1;
events {{}}
http {{
    access_log off; client_max_body_size 8m; client_body_buffer_size 8m;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; location {path}/ {{ proxy_pass {server}/; }} }}
}}
"""


@pytest.mark.parametrize("path", ["", "/facet"])
def test_the_page_works_behind_a_proxy_that_says_nothing(path, deployed, tiny_weights, tmp_path, browser):
    """nginx as it comes: it names neither host nor scheme and buffers answers. All requests go to its own address (see
    `opened`).
    """
    try:
        program = nginx()
    except FileNotFoundError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    own, port = tmp_path / "nginx", free_port()
    own.mkdir()
    environment = {"FACET_WEIGHTS": str(tiny_weights), "GRADIO_ROOT_PATH": path}
    with running(tmp_path / "run", environment, deployed.code) as server:
        (own / "nginx.conf").write_text(PLAIN.format(folder=own, port=port, server=server.address, path=path))
        command = [program, "-p", str(own), "-c", str(own / "nginx.conf"), "-g", "daemon off;"]
        proxy = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{port}{path}/"
            while not answers(address):
                assert proxy.poll() is None, "nginx did not start"
                time.sleep(0.1)
            for page in opened(browser, address, viewport=DESKTOP):
                generate(page)
                name, data = saved(page, "png")
                assert name.startswith("facet-") and data.startswith(b"\x89PNG")
        finally:
            proxy.terminate()
            proxy.wait(20)


def test_make_load_drives_replicas():
    command = ["make", "--dry-run", "--always-make", "load", "REPLICAS=2"]
    line = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "benchmarks.load --replicas 2" in line and "install.sh nginx" in line
