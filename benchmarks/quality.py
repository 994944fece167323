"""Quality against network calls: how near to photographs each sampler gets with how much work.

    make bench-quality                  some hours on two CPU cores; what was drawn is kept, so a second run goes on
    make bench-quality ARGS="--faces 100 --budgets 4 10 25"

A network call is one forward of one image. A step takes one, and one more for each kind of guidance that acts at its
time and is not built in (guided.safetensors). For each sampler and each budget of calls, faces are drawn from
validation captions by as many steps as the budget allows.
Their Fréchet distance to the training faces is measured as `make evaluate` does it (training/evaluation/fidelity.py).
100 steps of DDPM, with their own count of calls, are the reference. The student, if there is one, has one count of
calls. Distances depend on the number of faces: only equal numbers compare. Writes quality.json and quality.png here,
prints a table.
"""

import argparse
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks.harness.server import ROOT
from model.errors import InputError, exit_in_one_line
from model.pipeline import FacePipeline
from model.sampler import SAMPLERS, time_grid
from model.settings import DEFAULTS, STUDENT, STUDENT_STEPS, Settings
from training.data.prompts import CAPTIONS
from training.evaluation import markdown
from training.evaluation.evaluate import prompts_of
from training.evaluation.fidelity import CACHE, face_set, fidelity
from training.evaluation.judge import FEATURES, Judge

BUDGETS = (4, 6, 8, 10, 15, 25, 50, 100)
# of the set of faces
SEED = 1
REFERENCE = "ddpm 100 steps"


def calls(steps: int, sampler: str, built_in: bool) -> int:
    """Network calls for one face at the default guidance: each of its kinds takes one more within its interval, unless
    guidance is built in.
    """
    if sampler == STUDENT:
        return STUDENT_STEPS
    if built_in:
        return steps
    times = time_grid(steps, sampler)[:-1]
    at_work = [DEFAULTS.guidance_interval] * (DEFAULTS.guidance > 1) + [DEFAULTS.pag_interval] * (
        DEFAULTS.pag_scale > 0
    )
    return steps + sum(int(((times >= low) & (times <= high)).sum()) for low, high in at_work)


def steps_within(budget: int, sampler: str, built_in: bool) -> int:
    """The most steps whose calls are at most `budget`, from 1. Raises InputError where not even one step is."""
    fitting = [steps for steps in range(1, budget + 1) if calls(steps, sampler, built_in) <= budget]
    if not fitting:
        raise InputError(f"{budget} calls are too few for a step of {sampler}.")
    return fitting[-1]


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    # for each distance
    faces: int
    # network calls for a face
    budgets: list[int]
    samplers: list[str]


def measure(pipe: FacePipeline, judge: Judge, plan: Plan, cache: Path = CACHE) -> dict:
    """ "sampler budget" -> steps, calls, and the distances "pooled" and "spatial".

    REFERENCE, 100 steps of DDPM, and STUDENT, if there is one, are two more rows.
    """
    captions, _ = prompts_of(CAPTIONS, plan.faces)
    built_in = pipe.guided is not None
    within = {
        f"{sampler} {budget}": (sampler, steps_within(budget, sampler, built_in))
        for budget in sorted(plan.budgets)
        for sampler in plan.samplers
    }
    student = {STUDENT: (STUDENT, STUDENT_STEPS)} if pipe.student else {}
    results = {}
    for name, (sampler, steps) in {REFERENCE: ("ddpm", 100), **student, **within}.items():
        distances = fidelity(pipe, judge, [face_set(captions, SEED, Settings(steps=steps, sampler=sampler))], cache)
        results[name] = {"steps": steps, "calls": calls(steps, sampler, built_in)} | {
            kind: distances[kind]["mean"] for kind in FEATURES
        }
        print(name, results[name], flush=True)
    return results


def table(results: dict[str, dict], budgets: list[int], samplers: list[str]) -> str:
    """Markdown: a row for each budget, and for each sampler the steps and both distances."""
    rows = []
    for budget in sorted(budgets):
        cells = [results[f"{sampler} {budget}"] for sampler in samplers]
        rows.append([budget, *(f"{cell['steps']}, {cell['pooled']:.2f} / {cell['spatial']:.1f}" for cell in cells)])
    notes = [
        f"\n{name}, {row['calls']} calls: {row['pooled']:.2f} / {row['spatial']:.1f}"
        for name, row in results.items()
        if name in (REFERENCE, STUDENT)
    ]
    heading = ["calls", *(f"{sampler}: steps, pooled / spatial" for sampler in samplers)]
    return "\n".join([markdown.table(heading, rows), *notes])


def plot(results: dict[str, dict], samplers: list[str], path: Path) -> None:
    """Both distances against calls, a line for each sampler, and a dashed one for the reference."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2), FEATURES):
        for sampler in [*samplers, *({STUDENT} & results.keys())]:
            points = [row for name, row in results.items() if name != REFERENCE and name.split()[0] == sampler]
            axes.plot(
                [row["calls"] for row in points], [row[kind] for row in points], marker="o", markersize=3, label=sampler
            )
        axes.axhline(results[REFERENCE][kind], color="gray", linestyle="--", label=REFERENCE)
        axes.set(
            xscale="log", yscale="log", xlabel="network calls per face", ylabel=f"Fréchet distance, {kind} features"
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=ROOT / "weights")
    parser.add_argument("--faces", type=int, default=300)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), help="network calls for a face")
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--cache", type=Path, default=CACHE, help="where drawn faces are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks", help="folder of quality.json and quality.png")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    with exit_in_one_line("benchmarks.quality"):
        options.out.mkdir(parents=True, exist_ok=True)
        pipe = FacePipeline.from_pretrained(options.weights, options.device)
        judge = Judge.from_file(options.weights / "judge.safetensors", pipe.device)
        plan = Plan(options.faces, options.budgets, options.samplers)
        results = measure(pipe, judge, plan, options.cache)
    networks = {"unet": pipe.unet, "guided": pipe.guided, "student": pipe.student}
    about = {"date": date.today().isoformat(), "faces": options.faces}
    about |= {name: network.info["hash"] for name, network in networks.items() if network}
    (options.out / "quality.json").write_text(json.dumps({**about, "found": results}, indent=1) + "\n")
    plot(results, options.samplers, options.out / "quality.png")
    print(table(results, options.budgets, options.samplers))


if __name__ == "__main__":
    main()
