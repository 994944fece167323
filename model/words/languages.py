"""Languages other than English, and emoji: one table each (languages/*.toml, emoji.toml), matched as it stands."""

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from model.words.marks import FOLLOWED, NEAR, UNKNOWN, Item, Mark
from model.words.text import clean

HERE = Path(__file__).parent
STOPS, COMMAS = ".;!?。！？\n|،؛", ",、，:：()[]/+&"


@dataclass(frozen=True)
class Phrase:
    """One entry of a table."""

    # folded
    text: str
    # where a star stands in it
    pattern: re.Pattern | None
    # as of Mark
    role: str
    kind: str = ""
    states: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class Language:
    name: str
    # words are parted by spaces
    spaced: bool
    prefixes: tuple[str, ...]
    # by their first two letters, or their only one, the longest first
    phrases: dict[str, tuple[Phrase, ...]]


@lru_cache(maxsize=1)
def languages() -> tuple[Language, ...]:
    return tuple(map(load, sorted((HERE / "languages").glob("*.toml"))))


@lru_cache(maxsize=1)
def emoji() -> Language:
    return load(HERE / "emoji.toml")


def load(path: Path) -> Language:
    """Read one table. The same words under two attributes state both."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    states: dict[str, dict[str, bool]] = {}
    kinds: dict[str, str] = {}
    for side, kind, sign in (
        ("near", NEAR, True),
        ("near_lacks", NEAR, False),
        ("has", FOLLOWED, True),
        ("lacks", FOLLOWED, False),
    ):
        for attribute, words in table.get(side, {}).items():
            for word in words:
                kinds.setdefault(word, kind)
                states.setdefault(word, {}).setdefault(attribute, sign)
    meanings = {word: ("item", kinds[word], tuple(said.items())) for word, said in states.items()}
    for section, kind in (("nothing", NEAR), ("unknown", UNKNOWN)):
        meanings |= dict.fromkeys(table.get(section, {}).get("words", []), ("item", kind, ()))
    roles = {"no": "no", "behind": "no behind", "or": "or", "and": "and", "stop": "verb", "silent": "word"}
    for section, role in roles.items():
        meanings = dict.fromkeys(table.get(section, []), (role, "", ())) | meanings
    phrases: dict[str, list[Phrase]] = {}
    for word, meaning in meanings.items():
        text = folded(clean(word)[0])
        start, star, _ = text.partition("*")
        pattern = re.compile(re.escape(text).replace(r"\*", r"\w*")) if star else None
        phrases.setdefault(start[:2], []).append(Phrase(text, pattern, *meaning))
    by_letter = {sign: tuple(sorted(group, key=lambda one: -len(one.text))) for sign, group in phrases.items()}
    prefixes = tuple(map(folded, table.get("prefixes", [])))
    return Language(table.get("name", ""), table.get("spaced", path.stem != "emoji"), prefixes, by_letter)


def folded(text: str) -> str:
    """Lower case, letters without accents, one form of the Arabic alif; as long as before."""
    return "".join(_folded(sign) for sign in text)


@lru_cache(maxsize=4096)
def _folded(sign: str) -> str:
    if sign.isascii():
        return sign.lower()
    base = unicodedata.normalize("NFD", sign)[0]
    return (
        base.lower() if unicodedata.name(base, "").startswith(("LATIN", "ARABIC")) and len(base.lower()) == 1 else sign
    )


def marks(text: str, language: Language) -> list[Mark]:
    """All that a clean text says in this language, words that it does not know as unknown items."""
    whole, said, at = folded(text), [], 0
    while at < len(text):
        sign = text[at]
        if sign in STOPS or sign in COMMAS:
            said.append(Mark("stop" if sign in STOPS else "comma", at, at + 1))
            at += 1
        elif not _letter(sign) and language.name:
            at += 1
        elif hit := _match(whole, at, language):
            phrase, end = hit
            item = Item(at, end, phrase.kind, phrase.states) if phrase.role == "item" else None
            said.append(Mark(phrase.role, at, end, item, noun=True, word=phrase.text))
            at = end
        elif not language.name:
            at += 1
        else:
            end = _unknown_end(whole, at, language)
            said.append(Mark("item", at, end, Item(at, end, UNKNOWN)))
            at = end
    return _joined(said, text)


def written_in(text: str, language: Language) -> bool:
    """Whether a text has a letter with which a phrase of this language begins."""
    return not {key[0] for key in language.phrases}.isdisjoint(folded(text))


def read_share(marks: list[Mark], text: str) -> int:
    """Letters of a text that its marks explain; 0 where none of them states or names anything that a table holds."""
    known = [mark for mark in marks if mark.role not in ("comma", "stop") and (mark.noun or not _strange(mark))]
    if not any(mark.item for mark in known):
        return 0
    return sum(_letter(sign) for mark in known for sign in text[mark.start : mark.end])


def _strange(mark: Mark) -> bool:
    return mark.item is not None and mark.what.kind == UNKNOWN


def _match(text: str, at: int, language: Language) -> tuple[Phrase, int] | None:
    starts = [at] + [at + len(prefix) for prefix in language.prefixes if text.startswith(prefix, at)]
    for start in starts:
        if start >= len(text):
            continue
        first = text[start : start + 2]
        for phrase in language.phrases.get(first, ()) + language.phrases.get(first[:1], ()) * (len(first) > 1):
            if phrase.pattern:
                match = phrase.pattern.match(text, start)
                end = match.end() if match else start
            else:
                end = start + len(phrase.text) if text.startswith(phrase.text, start) else start
            if end == start:
                continue
            if language.spaced and end < len(text) and _letter(text[end]) and not phrase.text.endswith("'"):
                continue
            return phrase, end
    return None


def _word_end(text: str, at: int) -> int:
    while at < len(text) and _letter(text[at]):
        at += 1
    return at


def _unknown_end(text: str, at: int, language: Language) -> int:
    if language.spaced:
        return _word_end(text, at)
    end = at + 1
    while end < len(text) and _letter(text[end]) and not _match(text, end, language):
        end += 1
    return end


def _letter(sign: str) -> bool:
    return sign.isalnum() or unicodedata.category(sign)[0] == "M"


def _joined(marks: list[Mark], text: str) -> list[Mark]:
    """Unknown words side by side become one."""
    joined: list[Mark] = []
    for mark in marks:
        last = joined[-1] if joined else None
        strange = [m is not None and m.item is not None and m.item.kind == UNKNOWN for m in (last, mark)]
        if last and all(strange) and re.fullmatch(r"[\s'’-]*", text[last.end : mark.start]):
            joined[-1] = Mark("item", last.start, mark.end, Item(last.start, mark.end, UNKNOWN))
        else:
            joined.append(mark)
    return joined
