"""How long a visitor waits.

From the click on Generate to the first step on the screen, to the last one, and to the 512 px image; for a redraw in
live mode; for the page itself; and how long a prompt takes to be read.

    make bench

Starts the app on the bundled weights in a process of its own, drives it with Chromium, and prints JSON and a table
with the goals: medians of several runs. Nothing else should be running.
"""

import json
import platform
import statistics
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page

from benchmarks.harness.browser import chromium, setting
from benchmarks.harness.server import ROOT, running
from model.clip import Clip
from model.settings import DEFAULTS
from model.words.reading import read
from model.words.understanding import shortened, understand
from training.evaluation import markdown

RUNS, LONG_RUNS = 7, 3
# figure -> what it is, the most it should be on two cores
GOALS = {
    "first_step_ms": ("first step on the screen after the click, ms", 100),
    "best_first_step_ms": ("the same where the best of several seeds is chosen before, ms", 350),
    "last_step_ms": (f"last of {DEFAULTS.steps} steps, ms", 750),
    "done_ms": ("512 px image, ms", 1200),
    "long_done_ms": ("100 steps of DDPM and the 512 px image, ms", 6000),
    "live_ms": ("live mode: a redraw on the screen, ms", 130),
    "figure_ms": ("How it works: a figure after its slider has moved, ms", 150),
    "understood_ms": ("a prompt is read, ms", None),
    "bad_input_ms": ("bad input is read, the slowest of its kinds, ms", 20),
    "page_answers_s": ("page answers after `python app.py`, s", 4),
    "memory_mb": ("resident memory of the app at the end, MB", 1500),
}
WATCH = """() => {
    const player = document.querySelector(".player"), line = document.querySelector("#status");
    const since = () => performance.now() - window.pressed;
    document.querySelector("#generate").addEventListener("click", () => {
        [window.pressed, window.steps, window.done] = [performance.now(), [], null];
    });
    new MutationObserver(() => window.steps.push([Number(player.dataset.step), since()]))
        .observe(player, {attributes: true, attributeFilter: ["data-step"]});
    new MutationObserver(() => { if (line.textContent.trim().startsWith("Done")) window.done ??= since(); })
        .observe(line, {childList: true, characterData: true, subtree: true});
}"""
# nothing that a person means, all of which must be read
BAD = (
    "smiling woman, no hat, " * 435,
    "a" * 1000,
    "امرأة مبتسمة بدون قبعة " * 20,
    "e\u0301" * 1000,
    "a\0woman\0" * 200,
)
LIVE = """() => new Promise(done => {  // milliseconds from asking for a redraw to its face on the screen
    const start = performance.now();
    new MutationObserver((_, observer) => { observer.disconnect(); done(performance.now() - start); })
        .observe(document.querySelector(".player .picture"), {attributes: true, attributeFilter: ["src"]});
    window.facet.redraw();
})"""
FIGURE = """step => new Promise(done => {  // milliseconds from moving the slider to the figure's new picture
    const slider = document.querySelector("#how-time input[type=range]");
    const figure = document.querySelector("#how-predictions");
    const before = figure.querySelector("[data-of]").dataset.of, start = performance.now();
    new MutationObserver((_, observer) => {
        const now = figure.querySelector("[data-of]")?.dataset.of;
        if (now && now !== before) { observer.disconnect(); done(performance.now() - start); }
    }).observe(figure, {childList: true, subtree: true, attributes: true});
    slider.value = step;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
})"""


def one_run(page: Page) -> dict[str, float]:
    """Milliseconds from the click to the first step, the last step, and the word that all is done."""
    page.click("#generate")
    # The page itself keeps the times: asking it at every frame, as Playwright would, takes time from the cores.
    # the crisp image comes last
    page.wait_for_function("() => window.done && !window.facet.running", polling=500, timeout=120_000)
    # [step, milliseconds]; the last one is shown again with the 512 px image
    steps, done = page.evaluate("[window.steps, window.done]")
    last = max(step for step, _ in steps)
    return {
        "first_step_ms": steps[0][1],
        "last_step_ms": next(at for step, at in steps if step == last),
        "done_ms": done,
    }


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The first run is left out: it wakes what is slow the first time."""
    return {name: statistics.median(run[name] for run in runs[1:]) for name in runs[0]}


def long_runs(page: Page) -> float:
    """Milliseconds for 100 steps of DDPM and the 512 px image."""
    page.get_by_role("tab", name="Settings").click()
    setting(page, "steps", 100)
    page.locator("#sampler input").click()
    page.get_by_role("option", name="DDPM").click()
    figures = medians([one_run(page) for _ in range(LONG_RUNS + 1)])
    run = page.evaluate("[window.facet.face.record.steps, window.facet.face.record.sampler]")
    if run != [100, "ddpm"]:
        raise RuntimeError(f"{run} was run instead of 100 steps of DDPM")
    return figures["done_ms"]


def live(page: Page) -> float:
    """Milliseconds for a redraw, while the prompt changes from run to run."""
    runs = []
    for age in range(RUNS + 1):
        page.locator("#prompt textarea").fill(f"a smiling woman, {20 + age} years old")
        # until the words have been read
        page.wait_for_timeout(600)
        runs.append({"live_ms": page.evaluate(LIVE)})
        # until it is enlarged
        page.wait_for_timeout(2500)
    return medians(runs)["live_ms"]


def figure(page: Page) -> float:
    """Milliseconds until a figure of "How it works" that asks the U-Net follows its slider."""
    page.goto(page.url.split("?")[0] + "?tab=how#predictions")
    page.wait_for_selector("#how-predictions [data-of]", timeout=120_000)
    rounds = []
    for step in range(20, 20 + 7 * (RUNS + 1), 7):
        # until the other figures in sight have followed
        page.wait_for_timeout(1500)
        rounds.append({"figure_ms": page.evaluate(FIGURE, step)})
    return medians(rounds)["figure_ms"]


def understanding(
    prompts: Sequence[str] = (
        "a smiling woman with glasses",
        "old man, no hat, grey beard",
        "astronaut riding a horse",
    ),
) -> float:
    """Milliseconds, the median, to read a prompt as the page does while one types."""
    clip, taken = Clip.from_file(ROOT / "weights" / "clip.safetensors"), []
    # the first call wakes what is slow the first time
    understand(clip, "")
    for prompt in prompts * 10:
        start = time.perf_counter()
        understand(clip, prompt)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)


def bad_input() -> float:
    """Milliseconds to read the slowest of BAD, each the median of its runs."""
    taken = []
    for prompt in BAD:
        # the first call wakes what is slow the first time
        read(shortened(prompt))
        runs = []
        for _ in range(RUNS):
            start = time.perf_counter()
            read(shortened(prompt))
            runs.append(1000 * (time.perf_counter() - start))
        taken.append(statistics.median(runs))
    return max(taken)


def table(figures: dict[str, float]) -> str:
    """Markdown: each figure beside the most it should be."""
    rows = [(what, f"{figures[name]:,.4g}", most or "") for name, (what, most) in GOALS.items()]
    return markdown.table(("", "measured", "at most"), rows)


def main() -> None:
    start = time.perf_counter()
    with TemporaryDirectory() as folder, running(Path(folder) / "run") as server:
        figures = {"page_answers_s": time.perf_counter() - start}
        with chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(server.address)
            # the face that the page opens with
            page.wait_for_function("() => window.facet?.face?.finished")
            page.evaluate(WATCH)
            best = medians([one_run(page) for _ in range(RUNS + 1)])
            page.locator("#best input").uncheck()
            figures |= medians([one_run(page) for _ in range(RUNS + 1)])
            figures["best_first_step_ms"] = best["first_step_ms"]
            figures |= {"long_done_ms": long_runs(page), "live_ms": live(page), "figure_ms": figure(page)}
        figures |= {"memory_mb": server.figures()["memory_mb"], "understood_ms": understanding()}
        figures |= {"bad_input_ms": bad_input()}
    print(
        json.dumps(
            {
                "machine": f"{platform.machine()}, {platform.system()}",
                "date": date.today().isoformat(),
                "runs": RUNS,
                "steps": DEFAULTS.steps,
                **{name: round(figures[name], 2) for name in GOALS},
            },
            indent=1,
        )
    )
    print(table(figures))


if __name__ == "__main__":
    main()
