"""Pictures, captions, formulas and source code as HTML, for the tab "How it works"."""

import ast
import html
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.images import to_pixels
from ui.component import ASSETS, asset
from ui.frames import jpeg, png

# the scripts, styles and figures of the tab; its words are in words/
HOW = ASSETS / "how"

# --- pictures ---------------------------------------------------------------------------------------------------------


def tile(pixels: np.ndarray, title: str, note: str = "", alt: str = "") -> str:
    """One picture with its caption. pixels: (H, W) or (H, W, 3) uint8. title, note, alt: plain text, escaped here."""
    caption = (f"<b>{html.escape(title)}</b>" if title else "") + (f"<span>{html.escape(note)}</span>" if note else "")
    return f"<figure>{image(pixels, alt or title)}<figcaption>{caption}</figcaption></figure>"


def tiles(*items: str, title: str = "", kind: str = "") -> str:
    """Tiles side by side, under a heading where there is one. kind: a class of assets/how/how.css."""
    heading = f"<h4>{html.escape(title)}</h4>" if title else ""
    return f'{heading}<div class="tiles {kind}" style="--count:{len(items)}">{"".join(items)}</div>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names its rows. All of it is HTML."""
    top = "".join(f'<th scope="col">{cell}</th>' if cell else "<td></td>" for cell in head)
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>' for name, *cells in rows
    )
    return f"<table><caption>{caption}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def image(pixels: np.ndarray, alt: str) -> str:
    """(H, W) or (H, W, 3) uint8 -> an <img>."""
    return f'<img src="{source_of(pixels)}" alt="{html.escape(alt)}">'


def source_of(pixels: np.ndarray) -> str:
    """(H, W) or (H, W, 3) uint8 -> a data URI. Small grey ones as PNG, every pixel as computed; all else as JPEG."""
    return jpeg(pixels) if pixels.ndim == 3 or len(pixels) > 128 else png(pixels)


def colour(x: Tensor) -> np.ndarray:
    """(3, H, W), shown as the player shows it: -1 is black, 1 is white, what lies beyond is cut -> (H, W, 3) uint8."""
    return to_pixels(x[None])[0]


def grey(x: Tensor) -> np.ndarray:
    """(H, W) in [-1, 1] -> (H, W) uint8, values outside cut."""
    return colour(x.expand(3, -1, -1))[:, :, 0]


def stretched(x: Tensor) -> np.ndarray:
    """(H, W) of any range -> (H, W) uint8: black is its 1st percentile, white its 99th."""
    low, high = torch.quantile(x.flatten(), torch.tensor([0.01, 0.99], device=x.device))
    return grey((x - low) / (high - low).clamp(min=1e-8) * 2 - 1)


def signed(x: Tensor) -> np.ndarray:
    """(H, W) or (3, H, W) of any range -> uint8: 0 is the middle grey, the largest of either sign black or white."""
    x = x / x.abs().max().clamp(min=1e-8)
    return colour(x) if x.ndim == 3 else grey(x)


# --- words ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Section:
    """One section's words, from assets/how/words/<name>.html."""

    name: str
    title: str
    sentence: str
    detail: str
    # the papers, and what else is behind it
    source: str
    # dotted names of what is shown "in code"
    code: tuple[str, ...]
    question: str
    answer: str


@lru_cache(maxsize=64)
def section(name: str) -> Section:
    """Read a section's words. Its file has one part after each comment that names it."""
    text = asset(f"how/words/{name}.html")
    _, *parts = re.split(r"<!-- (\w+) -->\s*", text)
    words = {key: value.strip() for key, value in zip(parts[::2], parts[1::2])}
    return Section(name, **{**words, "code": tuple(words["code"].split())})


def opening() -> str:
    """The words above the first section."""
    return asset("how/words/start.html")


def closing() -> str:
    """The words below the last section: what to remember."""
    return asset("how/words/end.html")


def heading(words: Section) -> str:
    """A section's heading, which is a link to itself, and what it says in a sentence."""
    return f"""<h3 id="how-{words.name}-heading"><a href="?tab=how#{words.name}">{words.title}</a></h3>
        <p class="lead"><b class="depth">In a sentence</b> {words.sentence}</p>"""


def depths(words: Section) -> str:
    """What a section says in detail and in code, and its question."""
    code = "".join(source(name) for name in words.code)
    return f"""<div class="depths">
        <details class="detail"><summary>In detail</summary>{words.detail}<p class="source">{words.source}</p></details>
        <details class="code"><summary>In code</summary><p>From this repository, as it runs here.</p>{code}</details>
        <details class="question"><summary>Try it: {words.question}</summary><p>{words.answer}</p></details></div>"""


@lru_cache(maxsize=64)
def source(name: str) -> str:
    """The source of a function or class of this repository, without its docstring, with file and line.

    name: dotted, such as "model.diffusion.add_noise".
    """
    module, thing = locate(name)
    lines, first = inspect.getsourcelines(inspect.unwrap(thing))
    text = html.escape(without_docstring(textwrap.dedent("".join(lines))))
    where = f"{module.replace('.', '/')}.py, line {first}"
    return f'<figure class="code"><figcaption>{where}</figcaption><pre tabindex="0"><code>{text}</code></pre></figure>'


def locate(name: str) -> tuple[str, Any]:
    """The module that a dotted name begins with, and the thing it names. Raises ImportError or AttributeError."""
    module, rest = name, []
    while True:
        try:
            thing = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, part = module.rpartition(".")
            if not module:
                raise
            rest.insert(0, part)
    for part in rest:
        thing = getattr(thing, part)
    return module, thing


def without_docstring(text: str) -> str:
    """The source of one function or class, its docstring left out."""
    node = ast.parse(text).body[0]
    lines = text.rstrip().split("\n")
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or ast.get_docstring(node) is None:
        return "\n".join(lines)
    said = node.body[0]
    rest = lines[said.end_lineno :]
    while rest and not rest[0].strip():
        rest.pop(0)
    return "\n".join([*lines[: said.lineno - 1], *rest])


def sign(text: str) -> str:
    """Numbers with a real minus sign."""
    return text.replace("-", "−")
