"""How long a visitor waits: from the click on Generate to the first step on the screen, the last one, and the 512 px image;
and how long a prompt takes to be read.

    make bench

Starts the app on the bundled weights in a process of its own, drives it with Chromium, prints JSON: medians of several runs.
Nothing else should be running.
"""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from benchmarks.server import ROOT, running
from model.pipeline import FacePipeline

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


def understanding(prompts: Sequence[str] = ("a smiling woman with glasses", "old man, no hat, grey beard", "astronaut riding a horse")) -> float:
    """Milliseconds, the median, to read a prompt as the page does while one types."""
    pipe, taken = FacePipeline.from_pretrained(ROOT / "weights", "cpu"), []
    pipe.understood("")  # the first call wakes what is slow the first time
    for prompt in prompts * 10:
        start = time.perf_counter()
        pipe.understood(prompt)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)


def main() -> None:
    chromium = subprocess.run(["bash", "tests/install_chromium.sh"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    start = time.perf_counter()
    with TemporaryDirectory() as folder, running(Path(folder) / "run") as server:
        answered = time.perf_counter() - start
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(server.address)
            page.wait_for_function("() => window.facet?.face?.finished")  # the face that the page opens with
            page.evaluate(WATCH)
            runs = [one_run(page, 25) for _ in range(RUNS + 1)][1:]  # the first wakes what is slow the first time
            browser.close()
    print(json.dumps({"machine": f"{platform.machine()}, {platform.system()}", "runs": RUNS, "steps": 25,
                      "page_answers_s": round(answered, 1), "understood_ms": round(understanding(), 1),
                      **{f"{name}_ms": round(statistics.median(run[name] for run in runs)) for name in runs[0]}}, indent=1))


if __name__ == "__main__":
    main()
