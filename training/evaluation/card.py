"""The tables of the model card: made from evaluation.json, written between two markers, so that both always agree."""

from dataclasses import dataclass

from training.evaluation.markdown import Place, table

PLACE = Place("<!-- evaluate:begin -->", "<!-- evaluate:end -->")
KINDS = {"single": "one attribute", "three": "three attributes", "caption": "whole captions"}
SPACES = {"pooled": "pooled features", "pixels": "root mean square, grey levels"}


def card(report: dict) -> str:
    """Markdown for a report of training/evaluation/evaluate.py. Leaves out what was not measured."""
    size, settings = report["size"], ", ".join(f"{name} {value}" for name, value in report["settings"].items())
    sets = f"{size['sets']} sets" if size["sets"] > 1 else "One set"
    parts = [
        f"{sets} of {size['count']} faces from captions of validation faces, at the defaults ({settings}).",
        *(make(report) for make in (goals_table, distances_table, distances_note, adherence_table, attributes_table)),
    ]
    optional = {"memorisation": copies_table, "diversity": diversity_note, "loss_by_noise": loss_table}
    parts += [make(report[key]) for key, make in optional.items() if report.get(key)]
    parts += [clip_note(report), inception_note(report.get("inception_fid"))]
    return "\n\n".join(parts)


@dataclass(frozen=True)
class Goal:
    """A figure of a report and the bound that it should keep."""

    what: str
    # keys of the report, from the outermost on
    path: tuple[str, ...]
    bound: float
    # else at least the bound
    at_most: bool = False

    def wanted(self) -> str:
        return f"at {'most' if self.at_most else 'least'} {self.bound:.4g}"

    def held(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound


GOALS = (
    Goal("Fréchet distance, pooled", ("frechet", "pooled", "mean"), 0.33, at_most=True),
    Goal("Fréchet distance, spatial", ("frechet", "spatial", "mean"), 11.5, at_most=True),
    Goal("precision", ("beside_validation", "generated", "precision", "mean"), 0.88),
    Goal("recall", ("beside_validation", "generated", "recall", "mean"), 0.80),
    Goal("validation loss", ("weights", "unet", "validation_loss"), 0.0655, at_most=True),
    *(
        Goal(f"adherence, {KINDS[kind]}, of the judge's margin", ("adherence", kind, "share_of_margin"), share)
        for kind, share in {"single": 1.14, "three": 1.01, "caption": 0.93}.items()
    ),
    *(
        Goal(f"no copies: lowest percentile of generated / of validation, {words}", ("memorisation", space, "ratio"), 1)
        for space, words in SPACES.items()
    ),
    Goal("CLIP's zero-shot margin, of the judge's", ("clip_on_faces", "share_of_margin"), 0.85),
    Goal("CLIP's retrieval, precision at 10", ("clip_on_faces", "retrieval"), 0.60),
    *(
        Goal(f"CLIP's understanding of words, {name}", ("understanding", name), 0.90)
        for name in ("precision", "recall", "order", "filler")
    ),
    *(
        Goal(
            f"Fréchet distance, {name}: the defaults' / that of 100 steps of DDPM",
            ("ddpm_100", "ratio", name),
            1.10,
            at_most=True,
        )
        for name in ("pooled", "spatial")
    ),
)


def goals(report: dict) -> list[tuple[Goal, float]]:
    """The goals whose figures the report holds, with these."""
    if ddpm := report.get("ddpm_100"):
        ratio = {
            name: ddpm["defaults"][name]["mean"] / ddpm["ddpm_100"][name]["mean"] for name in ("pooled", "spatial")
        }
        report = report | {"ddpm_100": ddpm | {"ratio": ratio}}
    found = []
    for goal in GOALS:
        value = report
        for key in goal.path:
            value = (value or {}).get(key)
        if value is not None:
            found.append((goal, value))
    return found


def goals_table(report: dict) -> str:
    rows = [
        (goal.what, f"{value:.3g}", goal.wanted(), "yes" if goal.held(value) else "no") for goal, value in goals(report)
    ]
    return table(("figure", "measured", "goal", "reached"), rows)


def distances_table(report: dict) -> str:
    """A row each for generated faces, for real ones (the floor) and for damaged real ones (the scale)."""
    beside, scale = report.get("beside_validation", {}), report.get("scale", {})
    faces = [("**generated**", report["frechet"], beside.get("generated", {}))]
    faces += [
        (f"real, {name}", real, beside.get("floor", {}) if name == "as they are" else {})
        for name, real in scale.items()
        if name not in ("count", "sources")
    ]
    rows = [
        (
            name,
            _cell(distances["pooled"]),
            _cell(distances["spatial"]),
            _cell(others.get("kernel"), 1000),
            _cell(others.get("precision")),
            _cell(others.get("recall")),
        )
        for name, distances, others in faces
    ]
    return table(("faces", "Fréchet, pooled", "Fréchet, spatial", "kernel x 1000", "precision", "recall"), rows)


def distances_note(report: dict) -> str:
    """How to read the table of distances, and how far apart the two kinds of sources are."""
    scale = report.get("scale", {})
    note = "Mean ± standard deviation over the sets. " if report["size"]["sets"] > 1 else ""
    note += (
        "Fréchet distances are to all training faces, in features of the frozen judge "
        f"({report['weights']['judge']['hash']}). "
        "Kernel distance, precision and recall compare with as many validation faces."
    )
    if scale:
        note += (
            f" A set of real faces has {scale['count']} validation faces, which no network has seen. Only the kernel "
            'distance, precision and recall of "real, as they are" use training faces, since they compare with '
            "validation faces."
        )
    if "sources" in scale:
        told = ", ".join(
            f"{name} {distances['pooled']['mean']:.2f} / {distances['spatial']['mean']:.2f}"
            for name, distances in scale["sources"].items()
            if name != "count"
        )
        note += (
            f" Real faces by source, {scale['sources']['count']} each, pooled / spatial: {told}. "
            "Generated faces have the look of full-size sources."
        )
    return note


def adherence_table(report: dict) -> str:
    rows = [
        (
            KINDS[kind],
            figures["faces"],
            f"{figures['balanced_accuracy']:.3f}",
            f"{figures['judge_on_real']:.3f}",
            _cell({"mean": figures["share_of_margin"], "spread": figures.get("spread")}),
        )
        for kind, figures in report["adherence"].items()
    ]
    return table(
        ("prompts", "faces", "balanced accuracy", "the judge's on real faces", "share of its margin over 0.5"), rows
    )


def attributes_table(report: dict) -> str:
    real = report["weights"]["judge"]["validation"]["balanced_accuracy"]
    sorted_rates = sorted(report["adherence"]["single"]["attributes"].items(), key=lambda item: -item[1])
    rates = table(
        ("attribute", "generated", "real"),
        [(name, f"{value:.2f}", f"{real[name]:.2f}") for name, value in sorted_rates],
    )
    return (
        "<details><summary>Balanced accuracy of each attribute: faces generated from it alone, and real faces"
        f"</summary>\n\n{rates}\n\n</details>"
    )


def copies_table(spaces: dict) -> str:
    rows = [
        [SPACES[space]]
        + [
            f"{figures[f'{kind}_{name}']:.3g}"
            for kind in ("generated", "validation")
            for name in ("first_percentile", "median")
        ]
        for space, figures in spaces.items()
    ]
    return table(
        (
            "distance to the nearest training face or its mirror image",
            "generated, 1st percentile",
            "median",
            "validation, 1st percentile",
            "median",
        ),
        rows,
    )


def diversity_note(figures: dict) -> str:
    least = sorted(figures["attributes"].items(), key=lambda item: item[1])[:3]
    return (
        f"Faces of one prompt spread {figures['ratio']:.2f} times as far as real faces with the same attribute (mean "
        "distance of two, pooled features). The least varied are "
        f"{', '.join(f'{name} ({ratio:.2f})' for name, ratio in least)}."
    )


def clip_note(report: dict) -> str:
    """What CLIP understands of words and sees in faces."""
    words, faces = report["understanding"], report.get("clip_on_faces", {})
    note = (
        f"**CLIP.** {words['prompts']} prompts are written by hand, without sight of the table of words. CLIP's head "
        f"reads their attributes with precision {words['precision']:.2f} and recall {words['recall']:.2f}. The mean "
        f"cosine of a list of three attributes to its reverse is {words['order']:.2f}, and to itself among words that "
        f'say nothing {words["filler"]:.2f}. Both "x, no y" and "no x, y" are read right for {words["scope"]:.0%} of '
        "the pairs."
    )
    if faces:
        note += (
            " On validation faces, prompts alone classify the 40 attributes with a balanced accuracy of "
            f"{faces['zero_shot']:.3f}: {faces['share_of_margin']:.0%} of the margin over 0.5 of the judge "
            f"({faces['judge']:.3f}), which is trained on the labels. Of the ten faces among 1,000 that fit a caption "
            f"of three attributes best, {faces['retrieval']:.0%} are right."
        )
    return note


def inception_note(figures: dict | None) -> str:
    if not figures:
        return (
            "Inception FID: not measured (`make evaluate` with `ARGS=--inception` does; its weights are not bundled)."
        )
    return (
        f"Inception FID to the {figures['photographs']:,} training faces: {figures['generated']:.1f} for "
        f"{figures['faces']:,} generated faces, {figures['real']:.1f} for as many validation faces (it grows as the "
        "count falls; the literature's is of 50,000)."
    )


def loss_table(losses: dict) -> str:
    rows = [(f"loss, {name} faces", *(f"{loss:.3f}" for loss in losses[name])) for name in ("training", "validation")]
    return table(("noise level, t up to", *(f"{t:g}" for t in losses["t"])), rows)


def _cell(figure: dict | None, times: float = 1) -> str:
    """`12.34 ± 0.45`; the spread is left out where there is one set only. Empty for None."""
    if not figure:
        return ""
    spread = f" ± {times * figure['spread']:.2f}" if figure["spread"] is not None else ""
    return f"{times * figure['mean']:.2f}{spread}"
