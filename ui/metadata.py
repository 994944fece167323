"""The texts inside a picture -> a record's settings: Facet's own, and what the web UIs of Stable Diffusion write."""

import json
import re
from collections.abc import Mapping
from typing import Any

from model.errors import InputError
from model.settings import MAX_SEED, PNG_KEY

# EXIF's field for it
COMMENT = "UserComment"
# characters of one text
LONGEST = 200_000
# The last lines of `parameters`, as AUTOMATIC1111's web UI began it: "Steps: 20, Sampler: Euler a, CFG scale: 7,
# Seed: 1, ..."; some write bars for commas.
LAST_LINES = re.compile(r"(?:^|\n)Steps: *\d+ *[,|] .*", re.DOTALL)
NEGATIVE = re.compile(r"(?:^|\n)Negative prompt: *")
PAIR = re.compile(r"([A-Z][\w ./()-]{0,40}): *(\"(?:\\.|[^\"\\])*\"|[^,|\n]*)")


def settings_in(texts: Any, others: Any = ()) -> tuple[dict[str, Any], list[str], str]:
    """What a picture's texts ask for.

    :param texts:  name -> text; `facet` counts before `parameters`, and that before EXIF's comment.
    :param others: names of further texts, for the error.
    :return:       values for `Settings.read`; a line for all that is known to be ignored; whose the text is, ""
                   for Facet's.
    :raises InputError: one line, where no text holds settings.
    """
    texts = {name: text for name, text in texts.items() if isinstance(text, str)} if isinstance(texts, Mapping) else {}
    if any(len(text) > LONGEST for text in texts.values()):
        raise InputError(f"This picture's texts are longer than {LONGEST} characters.")
    if PNG_KEY in texts:
        return _own(texts[PNG_KEY]), [], ""
    if "parameters" in texts:
        return *_of_web_ui(texts["parameters"]), "another program"
    # The web UIs' place in JPEG and WebP. Cameras write there too, so it must look like theirs.
    if LAST_LINES.search(texts.get(COMMENT, "").replace("\r\n", "\n")):
        return *_of_web_ui(texts[COMMENT]), "another program"
    others = [*others, COMMENT] if isinstance(others, list) and COMMENT in texts else others
    named = ", ".join(str(name)[:40] for name in others[:8]) if isinstance(others, list) else ""
    raise InputError(f"This picture holds no settings{f', only texts of other programs ({named})' if named else ''}.")


def _own(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("This picture's settings are damaged: their text is cut off or changed.") from None
    if not isinstance(values, dict):
        raise InputError("This picture's settings are none of Facet's: their text is no list of named values.")
    return values


def _of_web_ui(text: str) -> tuple[dict[str, Any], list[str]]:
    """Prompt, negative prompt and seed; the steps, samplers and scales of another model mean nothing here."""
    text = text.replace("\r\n", "\n").strip()
    last = LAST_LINES.search(text)
    pairs = {name: value.strip() for name, value in PAIR.findall(last.group())} if last else {}
    prompt, *negative = NEGATIVE.split(text[: last.start()] if last else text, maxsplit=1)
    values: dict[str, Any] = {"prompt": prompt.strip()} | ({"negative_prompt": negative[0].strip()} if negative else {})
    # longer than any seed, and int() itself refuses thousands of digits
    if (seed := pairs.get("Seed", "")).isdecimal() and len(seed) <= 20 and int(seed) <= MAX_SEED:
        values["seed"] = int(pairs.pop("Seed"))
    if not any(values.values()):
        raise InputError("This picture's text of another program holds no prompt.")
    named = [*list(pairs)[:8], *(["and more"] if len(pairs) > 8 else [])]
    return values, [f"{', '.join(named)} of another program."] if named else []
