"""The curve of learning: how far the faces were from photographs, against the images that the U-Net had seen by then.

    python -m training.evaluation.curve runs/unet/snapshots/*.safetensors weights/unet.safetensors

training/unet/train.py keeps the snapshots. Of each, faces are drawn from the same validation captions and seeds, in 25
steps of DPM-Solver++ without perturbed-attention guidance (it leads the faces away from the photographs, the more the
less a network has learnt), and their Fréchet distance to the training faces is measured as `make evaluate` does it.
Writes docs/curve.json and docs/curve.png. A curve of several trainings is drawn a part at a time: moments of curve.json
that are not measured again stay in it.
"""

import argparse
import json
from pathlib import Path

from model.errors import exit_in_one_line
from model.pipeline import FacePipeline
from model.settings import Settings
from training.data.prompts import CAPTIONS
from training.evaluation.evaluate import prompts_of
from training.evaluation.fidelity import CACHE, face_set, fidelity
from training.evaluation.judge import FEATURES, Judge
from training.evaluation.sheet import moments

# of the set of faces
SEED = 1
# of all moments, whatever the defaults have become since
RUN = Settings(steps=25, sampler="dpmpp", pag_scale=0.0)


def plot(points: dict[str, dict[str, float]], path: Path) -> None:
    """Both distances against images seen, logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2), FEATURES):
        axes.plot(
            [int(images) for images in points], [point[kind] for point in points.values()], marker="o", markersize=3
        )
        axes.set(xscale="log", yscale="log", xlabel="images seen", ylabel=f"Fréchet distance, {kind} features")
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluation.curve", description=__doc__.split("\n")[0])
    parser.add_argument("unets", nargs="+", type=Path, help="U-Nets of several moments, in any order")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder with their CLIP and the judge")
    parser.add_argument("--faces", type=int, default=300, help="of each; distances of equal numbers compare")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where drawn faces are kept")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of curve.json and curve.png")
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.evaluation.curve"):
        options.out.mkdir(parents=True, exist_ok=True)
        latest = FacePipeline.from_pretrained(options.weights)
        judge = Judge.from_file(options.weights / "judge.safetensors", latest.device)
        captions, _ = prompts_of(CAPTIONS, options.faces)
        file, points = options.out / "curve.json", {}
        if file.is_file() and (before := json.loads(file.read_text()))["faces"] == options.faces:
            points = before["points"]
        for images, pipe in moments(latest, options.unets):
            distances = fidelity(pipe, judge, [face_set(captions, SEED, RUN)], options.cache)
            points[str(images)] = {kind: distances[kind]["mean"] for kind in FEATURES}
            print(f"{images:,} images", points[str(images)], flush=True)
    points = dict(sorted(points.items(), key=lambda item: int(item[0])))
    file.write_text(json.dumps({"faces": options.faces, "points": points}, indent=1) + "\n")
    plot(points, options.out / "curve.png")


if __name__ == "__main__":
    main()
