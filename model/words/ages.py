"""Ages: `"a 5 year old"`, `"in her forties"`, `"aged 70"`, `"mid-thirties"` -> young, not young, or near it."""

import re

from model.words.marks import FOLLOWED, NEAR, Item

TENS = ("ten", "twent", "thirt", "fort", "fift", "sixt", "sevent", "eight", "ninet")
ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = "|".join(f"{ten}y" for ten in TENS[1:])
# "forty", "forty-seven"
_SPOKEN = rf"(?:{_TENS})(?:[ -](?:{'|'.join(ONES)}))?"
NUMBER = rf"(?:\d{{1,3}}|{_SPOKEN}|{'|'.join(TEENS)}|{'|'.join(ONES)}|a hundred)"
DECADE = rf"(?:\d0[' ]?s|{'|'.join(f'{ten}ies' for ten in TENS[1:])})"
# what stands before an age that no "years" follows
BEFORE_AGES = "is|was|looks|looked|turned|turns|maybe|about|only|I'm|he's|she's"
_FROM_TEENS = rf"[1-9]\d|{'|'.join(TEENS[3:])}|{_SPOKEN}"
_END = r"(?=[ ]*(?:[,.;)]|$|with\b|in\b|who\b|whose\b|and\b))"


def _behind(words: str) -> str:
    """A pattern for the place behind one of these words."""
    return f"(?:{'|'.join(f'(?<={word} )' for word in words.split('|'))})"


PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<![\w-])(?:aged\s+)?\d\d[ ]?-[ ]?(?P<years>[1-9]\d)(?![\w-]|[ ]?(?:mm|cm|kg|%))",
        rf"(?:(?:age|aged|at the age of|about|around|over|under|only|not over|not under"
        rf"|(?:no|not) (?:more|less|older|younger) than)\s+)?(?P<years>{NUMBER})"
        rf"(?:[ -]?(?:or|to|-)[ -]?{NUMBER})?[ -]*(?:years?|yrs?|yo|y/?o|y\.o\.)\b\.?"
        r"(?![ ](?:older|younger|later|ago|from))(?:[ -]*(?:old|of age))?\b",
        rf"\b(?:about|around|approx\.?|approximately|circa|perhaps|maybe|roughly|probably)\s+"
        rf"(?P<years>\d\d|{_SPOKEN})\b(?!\s*(?:%|k|mm|cm|kg|feet|ft))",
        rf"{_behind('boy|girl|child|man|son|daughter')}of[ ](?P<years>{NUMBER}){_END}",
        rf"(?<=[a-z] )(?<!out )of[ ](?:about[ ])?(?P<years>{_FROM_TEENS}){_END}",
        rf"\b{_behind(BEFORE_AGES)}(?P<years>{NUMBER})(?=[ ]*(?:[,.;)](?!\d)|$|with\b|and\b))",
        rf"(?<=[,(] )(?P<years>[4-9]|[1-9]\d|{_SPOKEN}|{'|'.join(TEENS + ONES[2:])})"
        r"(?=\s*(?:[,.;)](?!\d)|$))",
        rf"^(?P<years>[1-9]\d|{_SPOKEN}|{'|'.join(TEENS)})(?=, [a-z])",
        r"^(?P<decade>[2-7]0s)(?= (?:male|female|man|woman)\b)",
        r"(?<=[,(] )(?P<decade>[2-7]0s)(?=\s*(?:[,.;)]|$))",
        rf"\b(?:age|aged|at the age of|turning)[ :]+(?P<years>{NUMBER})(?:[ ](?:or|to|and)[ ]{NUMBER})?\b",
        r"(?:(?<=[,(:] )|(?<=of ))(?P<years>[1-9]\d)(?: to | ?- ?)[1-9]\d(?=\s*(?:[,.;)]|$))",
        rf"\bbetween (?P<years>{NUMBER}) and {NUMBER}\b(?! (?:mm|cm|kg|feet|ft))",
        rf"\b(?:barely|just turned|not yet) (?P<years>\d\d|{_SPOKEN}"
        rf"|{'|'.join(TEENS)})\b",
        rf"\b(?:(?:no|not) )?(?:older|younger|more|less|over|under) than (?P<years>{NUMBER})\b",
        rf"(?<![\w-])(?P<years>(?:{_TENS})-(?:{'|'.join(ONES)}))(?=\s*(?:[,.;)]|$))",
        rf"\b(?:in|into)\s+(?:(?:his|her|their|my)\s+)?(?:(?:very|early|mid|middle|late)[ -]+)*"
        rf"(?P<decade>{DECADE})(?:\s+or\s+{DECADE})?(?!\w)",
        rf"\b(?:early|mid|late)[ -]+(?P<decade>{DECADE})(?!\w)",
        rf"\b(?P<years>{NUMBER})[ -]?(?:something|ish)\b",
        rf"\b(?:not )?(?:over|past|under|well over|above|nearly|almost)\s+(?P<years>(?:\d{{2}}|{_TENS}))\b"
        r"(?!\s*(?:%|k|mm))",
        r"\b(?P<months>\d+|a few|some|six|three|nine)[ -]*(?:months?|weeks?|days?)[ -]+old\b",
        r"\b(?P<hundred>centenarian)\b",
    )
]
# years: young from TEEN to GROWN, not young from OLD; all between is near
TEEN, GROWN, MIDDLE, OLD = 13, 30, 40, 60


def ages(text: str) -> list[Item]:
    """Every age that a clean text tells, in order."""
    items: list[Item] = []
    for pattern in PATTERNS:
        for match in pattern.finditer(text):
            if not any(item.start < match.end() and match.start() < item.end for item in items):
                items.append(Item(match.start(), match.end(), *_meaning(match)))
    return sorted(items, key=lambda item: item.start)


def _meaning(match: re.Match) -> tuple[str, tuple[tuple[str, bool], ...]]:
    said = match.groupdict()
    if said.get("months"):
        years = 0
    elif said.get("hundred"):
        years = 100
    elif said.get("decade"):
        word = said["decade"].lower()
        years = int(word[0]) * 10 if word[0].isdigit() else _number(word[:-3] + "y")
    else:
        years = _number(said["years"].lower())
    return young(years)


def young(years: int) -> tuple[str, tuple[tuple[str, bool], ...]]:
    """What an age says of "Young", and whether it is followed or only near."""
    return (FOLLOWED if TEEN <= years < GROWN or years >= OLD else NEAR), (("Young", years < MIDDLE),)


def _number(word: str) -> int:
    """`"47"`, `"forty-seven"`, `"sixteen"` -> the number."""
    if word.isdigit():
        return int(word)
    if word == "a hundred":
        return 100
    if word in TEENS:
        return 10 + TEENS.index(word)
    if word in ONES:
        return 1 + ONES.index(word)
    ten, _, one = word.replace("-", " ").partition(" ")
    return 10 * (1 + TENS.index(ten.removesuffix("y"))) + (1 + ONES.index(one) if one else 0)
