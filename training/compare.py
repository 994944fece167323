"""Recipes side by side: short U-Net trainings of equal time, each from the same start, and what each reaches.

    python -m training.compare --minutes 5 batch=16 batch=32 learning_rate=1e-3 batch=32,learning_rate=1e-3

Each word changes fields of train_unet.TrainConfig ("default" changes none). One line is printed for each when it is done: images a
second and the loss on validation faces, the same faces, times and noise for all.
"""

import argparse
import json
import math
from dataclasses import fields, replace
from pathlib import Path

from model.clip import Clip
from model.errors import FacetError, InputError
from training.prepare import load_prepared
from training.train_unet import RECIPES, TrainConfig, train


def changed(config: TrainConfig, word: str) -> TrainConfig:
    """`"batch=32,learning_rate=1e-3"` applied to a recipe. Raises InputError for what is no number or no field of numbers."""
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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__.split("\n")[0])
    parser.add_argument("changes", nargs="+", help='as "batch=32,learning_rate=1e-3", or "default"')
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, for each")
    parser.add_argument("--recipe", choices=RECIPES, default="default", help="what is changed")
    parser.add_argument("--start-from", type=Path, help="a U-Net that all start from; random weights without it")
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.prepare wrote")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder with clip.safetensors")
    parser.add_argument("--state-dir", type=Path, default=Path("runs/compare"), help="a folder for each is made in it")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    try:
        recipes = {word: changed(RECIPES[options.recipe], word) for word in options.changes}  # told before hours are spent
        prepared, clip = load_prepared(options.prepared), Clip.from_file(options.weights / "clip.safetensors")
        found = []
        for word, config in recipes.items():
            run = options.state_dir / word
            train(prepared, clip, replace(config, checkpoint_seconds=math.inf), run, run / "unet.safetensors", options.minutes, options.device,
                  options.start_from)
            last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
            found.append(f"{word:40} {last['images']:9} images {last['images'] / last['seconds']:6.1f} images/s "
                         f"validation loss {last['validation_loss']:.5f}")
        print("\n".join(found))
    except FacetError as error:
        raise SystemExit(f"compare: {error}") from error


if __name__ == "__main__":
    main()
