"""The fixed prompts of the evaluation, with what each states, so that evaluating needs no photographs.

    python -m training.data.prompts --prepared runs/prepared      draw them again, for new wording

captions.txt       a caption of each of 900 validation faces, as training/data/captions.py words them
threes.txt         640 prompts of three attributes that a validation face has or lacks, in CelebA's wording
understanding.txt  prompts as people write them, by hand; never drawn

One prompt a line: `prompt | +Present -Absent`. What is not named is unmentioned.
"""

import argparse
from pathlib import Path
from random import Random

import numpy as np

from model.attributes import ATTRIBUTES, attributes_to_prompt, conflict
from model.errors import InputError, exit_in_one_line
from training.data.captions import caption
from training.data.prepared import Prepared, load_prepared

HERE = Path(__file__).parent
CAPTIONS, THREES, UNDERSTANDING = (HERE / f"{name}.txt" for name in ("captions", "threes", "understanding"))

# a prompt, and what it states: (40,) int8 of 1, -1 and 0 for unmentioned
Prompts = list[tuple[str, np.ndarray]]


def read_prompts(path: Path) -> Prompts:
    """Read a file of `prompt | +Present -Absent` lines; lines that begin with # are remarks, empty ones nothing.

    Raises InputError for a file that cannot be read, a line without "|" or another name.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text ({error}).") from error
    prompts = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        prompt, mark, statements = line.rpartition("|")
        if not mark:
            raise InputError(f"{path.name}, line {number} ({line[:40]}): write `prompt | +Smiling -Male`.")
        stated = np.zeros(len(ATTRIBUTES), dtype=np.int8)
        for word in statements.split():
            if word[1:] not in ATTRIBUTES:
                raise InputError(
                    f"{path.name} states {word!r}, which is none of the 40 attributes with a + or - before it."
                )
            stated[ATTRIBUTES.index(word[1:])] = 1 if word[0] == "+" else -1
        prompts.append((prompt.strip(), stated))
    return prompts


def write_prompts(path: Path, prompts: Prompts, remark: str) -> None:
    """The inverse of `read_prompts`."""
    lines = [f"# {remark}"]
    for prompt, stated in prompts:
        words = [f"{'+' if value > 0 else '-'}{name}" for name, value in zip(ATTRIBUTES, stated) if value]
        lines.append(f"{prompt} | {' '.join(words)}".rstrip())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw_captions(prepared: Prepared, count: int) -> Prompts:
    """One caption of each of `count` validation faces, chosen at random."""
    rows, rng = prepared.attributes[prepared.validation].numpy(), Random(900)
    frequency = prepared.attributes[~prepared.validation].float().mean(0).clamp(min=1e-3).numpy()
    if count > len(rows):
        raise InputError(f"{count} captions need as many validation faces; there are {len(rows)}.")
    return [caption(rows[index], frequency, rng) for index in rng.sample(range(len(rows)), count)]


def draw_threes(prepared: Prepared, count: int) -> Prompts:
    """Prompts of three attributes in CelebA's wording: such as occur together, as often wanted as not.

    The first attribute goes through all 40, not wanted and then wanted; a random validation face that suits it adds
    two more.
    """
    rows, rng, prompts = prepared.attributes[prepared.validation].numpy(), Random(3), []
    while len(prompts) < count:
        first, wanted = divmod(len(prompts) % (2 * len(ATTRIBUTES)), 2)
        suited = np.flatnonzero(rows[:, first] == wanted)
        if not len(suited):
            raise InputError(
                f"No validation face {'has' if wanted else 'lacks'} {ATTRIBUTES[first]}: more faces are needed."
            )
        row, chosen = rows[rng.choice(suited)], [first]
        for _ in range(2):
            of_kind = [i for i in np.flatnonzero(row == rng.choice((True, False))) if i not in chosen]
            chosen += [rng.choice(of_kind)] if of_kind else []
        present, absent = ([ATTRIBUTES[i] for i in chosen if row[i] == kind] for kind in (True, False))
        # CelebA's labels contradict each other now and then
        if len(chosen) == 3 and not conflict(present, absent):
            stated = np.zeros(len(ATTRIBUTES), dtype=np.int8)
            stated[chosen] = np.where(row[chosen], 1, -1)
            prompts.append((attributes_to_prompt(present, absent), stated))
    return prompts


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.data.prompts", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for captions.txt and threes.txt")
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.data.prompts"):
        prepared = load_prepared(options.prepared)
        drawn = draw_captions(prepared, 900), draw_threes(prepared, 640)
    for path, prompts in zip((CAPTIONS, THREES), drawn):
        remark = (
            "Drawn from the labels of CelebA's validation faces by `python -m training.data.prompts`; "
            "format: prompt | statements"
        )
        write_prompts(options.out / path.name, prompts, remark)


if __name__ == "__main__":
    main()
