"""The record of a face: the settings that make it again. One plain dict in links, PNG files, the gallery and exports."""

import json
from collections.abc import Mapping
from typing import Any

from model.clip import LONGEST
from model.errors import InputError
from model.pipeline import DEFAULTS, check_settings

KEY = "facet"  # of the text inside a PNG


def make(
    prompt: str,
    negative_prompt: str = "",
    seed: int = 0,
    steps: int = DEFAULTS.steps,
    guidance: float = DEFAULTS.guidance,
    sampler: str = DEFAULTS.sampler,
) -> dict[str, Any]:
    """The record of these settings, which have been checked. Of a prompt that is far too long only the beginning is kept."""
    return {
        "prompt": prompt[:LONGEST],
        "negative_prompt": negative_prompt[:LONGEST],
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "sampler": sampler,
    }


DEFAULT = make("")


def read_record(values: Any) -> tuple[dict[str, Any], list[str]]:
    """A record from anything that claims to be one: a link's parameters, a PNG's text.

    Returns the record, defaults in place of what is missing or cannot be used, and one line for everything ignored.
    """
    record, ignored = dict(DEFAULT), []
    for name, value in values.items() if isinstance(values, Mapping) else ():
        try:
            record[name] = _checked(name, value)
        except InputError as error:
            ignored.append(str(error))
    _, steps, _, guidance = check_settings(record["seed"], record["steps"], record["sampler"], record["guidance"])
    return record | {"steps": steps, "guidance": guidance}, ignored  # the student has its own


def _checked(name: str, value: Any) -> Any:
    if name not in DEFAULT:
        raise InputError(f"{name[:40]!r} is no setting.")
    if name in ("prompt", "negative_prompt"):
        if not isinstance(value, str) or len(value) > LONGEST:
            raise InputError(f"The {name.replace('_', ' ')} must be text of at most {LONGEST} characters.")
        return value
    if name != "sampler" and isinstance(value, str):
        value = _number(value)
    settings = {key: DEFAULT[key] for key in ("seed", "steps", "sampler", "guidance")} | {name: value}
    seed, steps, sampler, guidance = check_settings(**settings)
    return {"seed": seed, "steps": steps, "sampler": sampler, "guidance": guidance}[name]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # which the check refuses, naming it


def as_text(record: Mapping[str, Any]) -> str:
    """The text that a PNG carries under KEY."""
    return json.dumps(dict(record), ensure_ascii=False)
