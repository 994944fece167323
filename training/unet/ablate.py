"""Recipes side by side: short U-Net trainings of equal time, each from the same start, and what each reaches.

    python -m training.unet.ablate --minutes 5 batch=16 batch=32 learning_rate=1e-3 batch=32,learning_rate=1e-3
    python -m training.unet.ablate --minutes 15 --faces 500 --start-from weights/unet.safetensors default batch=32

Each word changes fields of TrainConfig in training/unet/recipes.py ("default" changes none). Prints a row for each:
images a second and the loss on validation faces, the same faces, times and noise for all; with --faces also what the
frozen judge says of as many faces drawn at the defaults from the same captions and seeds (see
training/evaluation/evaluate.py): a loss does not tell how good a face looks.
"""

import argparse
import json
import math
from dataclasses import fields, replace
from pathlib import Path

from model.clip import Clip
from model.errors import InputError, exit_in_one_line
from model.pipeline import FacePipeline
from model.unet import UNet
from training.core.run import Run
from training.data.prepared import load_prepared
from training.data.prompts import CAPTIONS
from training.evaluation import markdown
from training.evaluation.adherence import adherence
from training.evaluation.evaluate import known_accuracy, prompts_of
from training.evaluation.fidelity import Photographs, beside_validation, draw, face_set, to_training
from training.evaluation.judge import Judge
from training.unet.recipes import RECIPES, TrainConfig
from training.unet.train import train


def changed(config: TrainConfig, word: str) -> TrainConfig:
    """`"batch=32,learning_rate=1e-3"` applied to a recipe.

    Raises InputError for what is no number or no field of numbers.
    """
    numbers = {field.name: type(getattr(config, field.name)) for field in fields(config)}
    for change in word.split(",") if word != "default" else []:
        name, _, value = change.partition("=")
        if numbers.get(name) not in (int, float):
            raise InputError(f"{name!r} is no number of the recipe.")
        try:
            config = replace(config, **{name: numbers[name](value)})
        except ValueError as error:
            raise InputError(f"{change!r}: {value!r} is no {numbers[name].__name__}.") from error
    return config


def judged(pipe: FacePipeline, judge: Judge, photographs: Photographs, count: int, cache: Path) -> list[str]:
    """Cells: Fréchet distances, recall, and adherence to whole captions as a share of the judge's margin."""
    captions, stated = prompts_of(CAPTIONS, count)
    seen = judge.activations(draw(pipe, face_set(captions, 1), cache))
    distances, beside = to_training(judge, [seen]), beside_validation(photographs, [seen])["generated"]
    share = adherence(seen["logits"] > 0, stated, known_accuracy(judge))["share_of_margin"]
    pooled, spatial, recall = distances["pooled"]["mean"], distances["spatial"]["mean"], beside["recall"]["mean"]
    return [f"{pooled:.2f}", f"{spatial:.1f}", f"{recall:.2f}", f"{share:.2f}"]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.unet.ablate", description=__doc__.split("\n")[0])
    parser.add_argument("changes", nargs="+", help='as "batch=32,learning_rate=1e-3", or "default"')
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, for each")
    parser.add_argument("--faces", type=int, default=0, help="for the judge to look at; none without it")
    parser.add_argument("--recipe", choices=RECIPES, default="default", help="what is changed")
    parser.add_argument("--start-from", type=Path, help="a U-Net that all start from; random weights without it")
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument(
        "--weights", type=Path, default=Path("weights"), help="folder with CLIP, and for --faces all other networks"
    )
    parser.add_argument("--state-dir", type=Path, default=Path("runs/ablate"), help="a folder for each is made in it")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.unet.ablate"):
        # wrong words show before hours are spent
        recipes = {word: changed(RECIPES[options.recipe], word) for word in options.changes}
        prepared, clip = load_prepared(options.prepared), Clip.from_file(options.weights / "clip.safetensors")
        if options.faces:
            prompts_of(CAPTIONS, options.faces)
            pipe, judge = (
                FacePipeline.from_pretrained(options.weights, options.device),
                Judge.from_file(options.weights / "judge.safetensors"),
            )
            photographs = Photographs.of(judge, prepared, options.state_dir)
        heading, rows = ["recipe", "images", "images/s", "validation loss"], []
        if options.faces:
            heading += ["Fréchet, pooled", "spatial", "recall", "adherence"]
        for word, config in recipes.items():
            run = options.state_dir / word
            # it may have begun from other weights
            if (run / "state.pt").exists():
                raise InputError(f"{run} holds an earlier comparison: delete it or choose another --state-dir.")
            train(
                prepared,
                clip,
                replace(config, checkpoint_seconds=math.inf),
                Run(run, run / "unet.safetensors", options.minutes, options.device, options.start_from),
            )
            last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
            speed = f"{last['images'] / last['seconds']:.1f}"
            rows.append([word, f"{last['images']:,}", speed, f"{last['validation_loss']:.5f}"])
            if options.faces:
                # without what learnt from the bundled U-Net
                own = pipe.with_unet(UNet.from_file(run / "unet.safetensors", pipe.device))
                rows[-1] += judged(own, judge, photographs, options.faces, options.state_dir)
            print(" | ".join(rows[-1]), flush=True)
        print(markdown.table(heading, rows))


if __name__ == "__main__":
    main()
