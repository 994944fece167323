"""What stands behind a thing and belongs to it: "cap, worn backwards", "helmet with a lamp", "eyes cast down"."""

from dataclasses import replace

from model.words.lexicon import KINDS
from model.words.marks import FOLLOWED, IMPLIED, NEAR, UNKNOWN, Item, Mark

# Things that one has or wears.
HAD = {
    *("Wearing_Hat", "Eyeglasses", "Wearing_Earrings", "Wearing_Necklace", "Wearing_Necktie", "Wearing_Lipstick"),
    *("Heavy_Makeup", "No_Beard", "Mustache", "Goatee", "Sideburns", "Bangs", "5_o_Clock_Shadow"),
}
# of these, what is near them is a hairdo
HAIR = {"Bald", "Bangs", "Wavy_Hair"}
# what moods are drawn with
MOODS = {"Smiling", "Mouth_Slightly_Open", "Bags_Under_Eyes"}
# how a thing goes on, by words of kinds.toml
DONE, FALLING, WORN_SO, APART, DETERMINERS, TOWARDS, HOLDERS, BODY = (
    tuple(KINDS["trailing"][name])
    for name in ("done", "falling", "worn_so", "apart", "determiners", "towards", "holders", "body")
)


def completed(marks: list[Mark], text: str) -> list[Mark]:
    """Marks with what trails behind each thing taken into it."""
    whole: list[Mark] = []
    at = 0
    while at < len(marks):
        mark, end = marks[at], at + 1
        if _takes(mark):
            end = _trail(marks, at, text) or _attached(marks, at, text) or end
        if end == at + 1:
            end = _likened(marks, at, text) or end
        if _seems(marks, at):
            # "he looks kind"
            mark = replace(mark, item=replace(mark.what, kind=NEAR, instead=("Smiling",)))
        if end > at + 1:
            # pale as death is pale, and who grins like a cat smiles
            smiles = mark.role == "item" and mark.what.states == (("Smiling", True),)
            alike = mark.role == "item" and marks[at + 1].word in (("as", "like") if smiles else ("as",))
            whole.append(_grown(mark, marks[at:end], mark.what.kind if alike else NEAR))
            # the sex that a "her" inside tells
            whole += [one for one in marks[at + 1 : end] if _owner(one)]
        else:
            whole.append(mark)
        at = end
    return whole


def is_had(mark: Mark) -> bool:
    """Whether this is a thing that one has or wears."""
    return not HAD.isdisjoint(name for name, _ in mark.what.states) or "Bangs" in mark.what.instead


def is_hairdo(mark: Mark) -> bool:
    return mark.what.kind == NEAR and not HAIR.isdisjoint(name for name, _ in mark.what.states)


def _takes(mark: Mark) -> bool:
    """Whether words behind this can belong to it: a thing that one has or wears, hair, a look."""
    known = mark.role == "item" and mark.what.kind in (FOLLOWED, NEAR)
    if not known:
        return False
    shown = mark.part in ("hair", "expression") or _is_of(mark) or _is_narrow(mark)
    return is_had(mark) or is_hairdo(mark) or shown


def _is_narrow(mark: Mark) -> bool:
    """Whether this says narrow eyes and no more."""
    return {name for name, _ in mark.what.states} == {"Narrow_Eyes"}


def _is_of_mood(mark: Mark) -> bool:
    return mark.role == "item" and mark.what.kind != UNKNOWN and {name for name, _ in mark.what.states} <= MOODS


def _is_of(mark: Mark) -> bool:
    """Whether an "of" or "by" behind this goes on with it: "suspicious of strangers", "king of thieves"."""
    names = {name for name, _ in mark.what.states} or set(mark.what.instead)
    return mark.what.kind == NEAR and bool(names) and (names <= MOODS or names <= {"Male"})


def _trail(marks: list[Mark], at: int, text: str) -> int:
    """Where a participle's phrase ends that stands behind the thing: "pushed up on his head"; 0 if none does."""
    mark, first = marks[at], at + 1
    if _ends_so(mark, text) and first < len(marks) and _goes_on(marks[first]):
        return _end(marks, first)
    if first + 1 < len(marks) and marks[first].role == "comma" and marks[first + 1].word in APART:
        apart = is_had(mark) and (marks[first + 1].role == "word" or marks[first + 1].strange)
        return _end(marks, first + 2) if apart else 0
    if first >= len(marks) or not marks[first].strange:
        return 0
    return _end(marks, first + 1) if _is_how(mark, marks[first].word) else 0


def _is_how(mark: Mark, word: str) -> bool:
    """Whether a word tells how the thing is worn or done."""
    if mark.part == "hair" or is_hairdo(mark):
        return word.endswith((*DONE, *FALLING)) or word in WORN_SO
    return is_had(mark) and word in WORN_SO


def _end(marks: list[Mark], at: int) -> int:
    """The end of a phrase: a comma, a stop, an "and", a verb, or a thing that says something by itself."""
    while at < len(marks):
        mark = marks[at]
        joint = mark.role == "verb" and mark.word in ("in", "with")
        inside = mark.role == "word" or mark.role == "head" or mark.strange or _of_hair(mark) or _owner(mark)
        if not (joint or inside):
            break
        at += 1
    while marks[at - 1].role in ("verb", "word") and marks[at - 1].word in ("in", "with", "a", "the"):
        at -= 1
    return at


def _attached(marks: list[Mark], at: int, text: str) -> int:
    """Where a thing ends that a preposition joins: "with a lamp", "down to his waist"; 0 if none does."""
    mark, first = marks[at], at + 1
    if first >= len(marks) or marks[first].role not in ("word", "verb"):
        return 0
    word, last = marks[first].word, first + 1
    while last < len(marks) and (marks[last].role == "word" and marks[last].word in DETERMINERS or _owner(marks[last])):
        last += 1
    if last >= len(marks):
        return 0
    thing = marks[last]
    name = text[thing.start : thing.end].lower().rpartition(" ")[2]
    if mark.part == "expression":
        return last + 1 if word == "of" and thing.role == "item" else 0
    if _is_of(mark):
        named = text[thing.start].isupper()
        return last + 1 if word in ("of", "by", "about") and thing.strange and not named else 0
    # "squinting into the sun"
    looks = word in ("into", "at", "against") and mark.single and mark.what.kind == NEAR and _is_narrow(mark)
    if looks or word in ("with", "w", "wit", "wiv", "of") or word == "from" and is_had(mark):
        return last + 1 if thing.strange else 0
    if word == "in" and thing.role == "item" and thing.part == "beard":
        return last + 1
    place = word in TOWARDS and (thing.role == "head" or name in BODY or name in HOLDERS)
    return last + 1 if place else 0


def _ends_so(mark: Mark, text: str) -> bool:
    """Whether the thing ends with a participle already: "hair tied"."""
    return _is_how(mark, text[mark.start : mark.end].lower().replace("-", " ").rpartition(" ")[2])


def _goes_on(mark: Mark) -> bool:
    """Whether a word behind a participle belongs to it."""
    if mark.role == "verb":
        return mark.word in ("in", "with")
    adverb = mark.role == "word" and mark.word.endswith("ly")
    return adverb or mark.role == "word" and mark.word in TOWARDS or mark.strange or _owner(mark)


def _of_hair(mark: Mark) -> bool:
    return mark.role == "item" and mark.what.kind == NEAR and (mark.part == "hair" or is_hairdo(mark))


def _owner(mark: Mark) -> bool:
    return mark.role == "pronoun" and mark.what.kind == IMPLIED


def _seems(marks: list[Mark], at: int) -> bool:
    """Whether this is an unknown word that ends a sentence of how somebody looks."""
    mark = marks[at]
    if not at or not mark.strange or not mark.single or marks[at - 1].word not in ("looks", "seems", "appears"):
        return False
    return at + 1 == len(marks) or marks[at + 1].role in ("comma", "stop", "and")


def _likened(marks: list[Mark], at: int, text: str) -> int:
    """The end of a likeness ("pale as death") or of what a look tells ("expression of mild amusement"); 0 if none."""
    mark, last = marks[at], at + 2
    if last >= len(marks) or marks[at + 1].role != "word":
        return 0
    if mark.role == "head" and mark.part == "expression" and marks[at + 1].word == "of":
        while last < len(marks) and (marks[last].role == "word" or marks[last].strange or _is_of_mood(marks[last])):
            last += 1
        return last if marks[last - 1].role == "item" else 0
    # "skin as white as milk"
    likened = bool(mark.part) and " as " in text[mark.start : mark.end]
    known = mark.role == "item" and mark.what.kind != UNKNOWN and (mark.single or likened)
    if known and "Male" not in dict(mark.what.states) and marks[at + 1].word in ("as", "like"):
        while last < len(marks) and marks[last].role == "word" and marks[last].word in DETERMINERS:
            last += 1
        return last + 1 if last < len(marks) and marks[last].strange else 0
    return 0


def _grown(mark: Mark, inside: list[Mark], kind: str) -> Mark:
    """The thing with its trail."""
    end = max(one.end for one in inside)
    item = mark.item if mark.role == "item" and mark.item else Item(mark.start, end, kind, (), ("Smiling",))
    states = dict(item.states)
    for one in inside[1:]:
        states |= dict(one.item.states) if one.item and one.item.kind == NEAR else {}
    item = replace(item, end=end, kind=kind, states=tuple(states.items()))
    return replace(mark, role="item", end=end, item=item)
