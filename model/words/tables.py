"""The tables of languages other than English, and of emoji (languages/*.toml, emoji.toml), made ready to be matched."""

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from model.words.marks import FOLLOWED, NEAR, UNKNOWN
from model.words.text import clean

HERE = Path(__file__).parent
# \w lacks the vowel signs of Hindi
LETTER = r"[\w\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962-\u0963]"
NUMERALS = {sign: number for number, sign in enumerate("〇一二三四五六七八九十")}
# what one has or wears, but for beards
WORN = (
    *("Wearing_Hat", "Eyeglasses", "Wearing_Earrings", "Wearing_Necklace", "Wearing_Necktie", "Wearing_Lipstick"),
    *("Mustache", "Goatee", "Sideburns", "Bangs"),
)
# one form of signs that are written in two ways: traditional Chinese, the nasal signs of Hindi
TWICE = dict(
    zip(
        "塗辮髒絲髮頭髪鬍鬚鏡臉頰領帶項鏈鍊環墜飾釘紅濃妝劉際線後禿陽鏡墨長捲藍綠紫顏閉張開緊眼鵝蛋圓細薄齒顴紋輕麗帥漂亮喪歲嬰兒孩婦媽爺奶個圖畫請膚皙蒼戴嚴肅傷難過氣醜瘦條豐滿無沒別與及著黃褐銀閃ँ",
        "涂辫脏丝发头髪胡须镜脸颊领带项链链环坠饰钉红浓妆刘际线后秃阳镜墨长卷蓝绿紫颜闭张开紧眼鹅蛋圆细薄齿颧纹轻丽帅漂亮丧岁婴儿孩妇妈爷奶个图画请肤皙苍戴严肃伤难过气丑瘦条丰满无没别与及着黄褐银闪ं",
        strict=True,
    )
)


@dataclass(frozen=True)
class Phrase:
    """One entry of a table."""

    # folded
    text: str
    # where a star stands in it
    regex: str | None
    # as of Mark
    role: str
    kind: str = ""
    states: tuple[tuple[str, bool], ...] = ()

    # compiled when it is first asked for: all together take a second
    @cached_property
    def pattern(self) -> re.Pattern | None:
        return re.compile(self.regex) if self.regex else None


@dataclass(frozen=True)
class Language:
    name: str
    # words are parted by spaces
    spaced: bool
    prefixes: tuple[str, ...]
    # by their first two letters, or their only one, the longest first
    phrases: dict[str, tuple[Phrase, ...]]
    # a word can begin with what tells the kind of a thing: "Hornbrille"
    compounds: bool = False
    # of case and owner, behind any word
    endings: tuple[str, ...] = ()
    parts: tuple["Part", ...] = ()
    # with which its phrases begin
    letters: frozenset[str] = frozenset()
    # a number with "years"
    age: re.Pattern | None = None


@dataclass(frozen=True)
class Part:
    """Something that several words describe at once: "langes blondes Haar", "pelo largo y rubio"."""

    # the whole phrase, with the groups "before", "noun" and "after"
    regex: str
    # one of its nouns
    noun: str
    # what describes it
    described: Language

    @cached_property
    def pattern(self) -> re.Pattern:
        return re.compile(self.regex)


@lru_cache(maxsize=1)
def languages() -> tuple[Language, ...]:
    return tuple(map(load, sorted((HERE / "languages").glob("*.toml"))))


def compile_parts() -> None:
    """Else who first writes in a language waits half a second for its patterns."""
    for language in languages():
        for part in language.parts:
            _ = part.pattern


@lru_cache(maxsize=1)
def emoji() -> Language:
    return load(HERE / "emoji.toml")


def load(path: Path) -> Language:
    """Read one table."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    roles = {"no": "no", "behind": "no behind", "or": "or", "and": "and", "stop": "verb", "silent": "word"}
    said = {word: (role, "", ()) for section, role in roles.items() for word in table.get(section, [])}
    prefixes, endings = (tuple(map(folded, table.get(name, []))) for name in ("prefixes", "endings"))
    spaced, compounds = table.get("spaced", path.stem != "emoji"), table.get("compounds", False)
    language = Language(table.get("name", ""), spaced, prefixes, {}, compounds, endings)
    parts = tuple(_part(table, part, language) for part in table.get("parts", {}).values())
    phrases = _phrases(said | meanings(table), prefixes)
    first = {start[0] for start in phrases}
    # "OL" in Japanese makes no Latin text Japanese
    foreign = {sign for sign in first if not sign.isascii()}
    letters = frozenset(foreign if 2 * len(foreign) > len(first) else first)
    return replace(language, phrases=phrases, parts=parts, letters=letters, age=_age(table.get("years", []), language))


def _age(years: list[str], language: Language) -> re.Pattern | None:
    end = rf"(?!{LETTER})" if language.spaced else ""
    return (
        re.compile(rf"(\d{{1,3}}|[{''.join(NUMERALS)}]{{1,3}})[\s-]*{_any(map(_tidy, years))}{end}") if years else None
    )


def meanings(table: dict) -> dict[str, tuple]:
    """Words -> (role, kind, states). The same words under two attributes state both."""
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
    _inherit(states)
    meanings = {word: ("item", kinds[word], tuple(said.items())) for word, said in states.items()}
    for section, kind in (("nothing", NEAR), ("unknown", UNKNOWN)):
        meanings |= dict.fromkeys(table.get(section, {}).get("words", []), ("item", kind, ()))
    return meanings


def _inherit(states: dict[str, dict[str, bool]]) -> None:
    """A word says also what the same word with a star does: "anziano" is a man, "anzian*" is old."""
    single = {word: said for word, said in states.items() if " " not in word}
    starred = [(word.removesuffix("*"), said) for word, said in single.items() if word.endswith("*")]
    for word, said in single.items():
        if "*" not in word:
            for start, more in starred:
                if word.startswith(start):
                    said |= {name: has for name, has in more.items() if name not in said}


def _longest(phrase: Phrase) -> tuple[int, bool]:
    return -len(phrase.text.strip("*+")), phrase.text[-1:] in "*+"


def _phrases(meanings: dict[str, tuple], prefixes: tuple[str, ...] = ()) -> dict[str, tuple[Phrase, ...]]:
    """By their first letters. In a phrase of several words each may carry a prefix: "ربطة العنق"."""
    phrases: dict[str, list[Phrase]] = {}
    for word, meaning in meanings.items():
        text = _tidy(word)
        several = bool(prefixes) and " " in text
        pattern = _regex(text).replace(r"\ ", rf"\s+{_any(prefixes)}?") if several else _regex(text)
        regex = pattern if several or "*" in text or "+" in text else None
        phrases.setdefault(re.split(r"[*+]", text)[0][:2], []).append(Phrase(text, regex, *meaning))
    return {sign: tuple(sorted(group, key=_longest)) for sign, group in phrases.items()}


def _part(table: dict, part: dict, language: Language) -> Part:
    """Adjectives before the noun, behind it or both, with "and", commas and degrees between them.

    Where a language puts them before (`behind_noun = false`), only a verb leads to those behind: "Haare sind lang".
    """
    # an adjective's ending is short: "ross*" is no "rossetto"
    described = {word.replace("*", "+"): meaning for word, meaning in meanings(part).items()}
    space = r"\s+" if language.spaced else r"\s*"
    prefix, ending = (f"{_any(affixes)}?" if affixes else "" for affixes in (language.prefixes, language.endings))

    def any_of(words: Iterable[str]) -> str:
        return (
            _any(map(_tidy, words)).replace(r"\ ", rf"\s+{prefix}")
            + ending
            + (f"(?!{LETTER})" if language.spaced else "")
        )

    nouns = any_of(word for other in table["parts"].values() for word in _nouns(table, other))
    adjective, link = prefix + any_of(described), any_of(table["and"] + table["degrees"])
    particle = f"(?:{any_of(table['particles'])}{space})?" if "particles" in table else ""
    more = f"(?:{link}{space}){{0,2}}"
    joint = rf"(?:\s*[,、，])?{space}{more}"
    # in Arabic nothing stands before
    before = (
        "(?!)"
        if table.get("before_noun") is False
        else f"{adjective}(?:{particle and space + particle}{joint}{adjective}){{0,3}}{space}{particle}"
    )
    verb = f"(?:{any_of(table['verbs'])}{space})" + ("?" if table["behind_noun"] else "")
    behind = f"{adjective}(?!{space}{nouns})"
    last = rf"\s*[,、，]{space}{more}{behind}(?=\s*(?:[,.;!?、，。]|$))"
    after = f"{space}{verb}{more}{behind}(?:{space}{more}{behind}|{last}){{0,3}}"
    noun = prefix + any_of(_nouns(table, part))
    pattern = f"(?P<before>{before})?(?P<noun>{noun})(?P<after>{after})?"
    return Part(pattern, _tidy(_nouns(table, part)[0]).strip("*"), replace(language, phrases=_phrases(described)))


def _nouns(table: dict, part: dict) -> list[str]:
    """The words of a part; of one that has none, the words for all that one has or wears."""
    if "words" in part:
        return part["words"]
    beards = [table[side].get("No_Beard", []) for side in ("lacks", "near_lacks")]
    worn = [table[side].get(name, []) for side in ("has", "near") for name in WORN]
    return [word for words in beards + worn for word in words]


def _any(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(_regex, sorted(words, key=len, reverse=True)))})"


def _tidy(word: str) -> str:
    return folded(clean(word)[0])


def _regex(text: str) -> str:
    return re.escape(text).replace(r"\*", f"{LETTER}*").replace(r"\+", f"{LETTER}{{0,3}}")


def folded(text: str) -> str:
    """Lower case, letters without accents, one form of the Arabic alif; as long as before."""
    return "".join(_folded(sign) for sign in text)


@lru_cache(maxsize=4096)
def _folded(sign: str) -> str:
    if sign.isascii():
        return sign.lower()
    if sign in TWICE:
        return TWICE[sign]
    base = unicodedata.normalize("NFD", sign)[0]
    return (
        base.lower() if unicodedata.name(base, "").startswith(("LATIN", "ARABIC")) and len(base.lower()) == 1 else sign
    )
