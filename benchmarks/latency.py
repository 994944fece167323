"""How long a visitor waits: from the click on Generate to the first step on the screen, the last one, and the 512 px image.

    make bench

Starts the app on the bundled weights in a process of its own, drives it with Chromium, prints JSON: medians of several runs.
Nothing else should be running.
"""

import json
import platform
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
RUNS = 7
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run"]
WATCH = """() => {
    const player = document.querySelector(".player");
    document.querySelector("#generate").addEventListener("click", () => { window.pressed = performance.now(); window.steps = []; });
    new MutationObserver(() => window.steps.push(performance.now() - window.pressed))
        .observe(player, {attributes: true, attributeFilter: ["data-step"]});
}"""


def one_run(page: Page, total: int) -> dict[str, float]:
    """Milliseconds from the click to the first step, the last step, and the word that all is done."""
    page.click("#generate")
    page.wait_for_function(f"() => window.steps && window.steps.length >= {total}", timeout=120_000)
    page.wait_for_function("() => document.querySelector('#status p').textContent.startsWith('Done')", timeout=120_000)
    done = page.evaluate("performance.now() - window.pressed")
    steps = page.evaluate("window.steps")
    return {"first_step": steps[0], "last_step": steps[total - 1], "done": done}


def answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False


def main() -> None:
    chromium = subprocess.run(["bash", "tests/install_chromium.sh"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.perf_counter()
    command = [sys.executable, "-c", f"import app; app.demo.launch(server_name='127.0.0.1', server_port={port}, **app.LAUNCH)"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not answers(f"http://127.0.0.1:{port}/"):
            if process.poll() is not None:
                raise SystemExit("latency: the app ended before it answered")
            time.sleep(0.05)
        answered = time.perf_counter() - start
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_selector(".player")
            page.evaluate(WATCH)
            runs = [one_run(page, 25) for _ in range(RUNS + 1)][1:]  # the first wakes what is slow the first time
            browser.close()
    finally:
        process.terminate()
        process.wait(20)
    print(json.dumps({"machine": f"{platform.machine()}, {platform.system()}", "runs": RUNS, "steps": 25,
                      "page_answers_s": round(answered, 1),
                      **{f"{name}_ms": round(statistics.median(run[name] for run in runs)) for name in runs[0]}}, indent=1))


if __name__ == "__main__":
    main()
