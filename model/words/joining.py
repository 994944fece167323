"""English marks -> phrases: unknown words that belong together, and things with the words that tell their kind."""

from dataclasses import replace

from model.words.lexicon import adjectives
from model.words.marks import FOLLOWED, NEAR, UNKNOWN, Item, Mark

# Things that one has or wears.
HAD = {
    *("Wearing_Hat", "Eyeglasses", "Wearing_Earrings", "Wearing_Necklace", "Wearing_Necktie", "Wearing_Lipstick"),
    *("Heavy_Makeup", "No_Beard", "Mustache", "Goatee", "Sideburns", "Bangs", "5_o_Clock_Shadow"),
}
# of these, what is near them is a hairdo
HAIR = {"Bald", "Bangs", "Wavy_Hair"}
# parts that no adjective of a whole person describes
FEATURES = ("eyes", "eyebrows", "nose", "ears", "neck", "teeth", "chin", "jaw", "forehead", "lashes")
# what adjectives say of a person that could be said of a thing
MANNERS = {"Chubby", "Pale_Skin", "Smiling", "Attractive", "Blurry", "Bags_Under_Eyes"}
# fmt: off
PLACES = ("on", "in", "over", "across", "between", "around", "under", "behind", "down", "along", "through", "from")
OWNERS = ("his", "her", "their", "its", "my", "the", "a", "one")
# what a picture is, behind the word that tells its kind
PICTURES = ("photo", "photograph", "picture", "portrait", "image", "light", "selfie", "shot", "look", "style", "face")
BETWEEN = (*PLACES, "a", "an", "the", "of", "at", "with", "his", "her", "their", "by", "to", "for", "like", "into")
# how hair is done
DONE = ("ed", "drawn", "worn", "swept", "cut", "done", "kept", "held", "put", "spun", "blown", "bound", "shorn")
FALLING = ("sticking", "hanging", "falling", "flowing", "blowing", "cascading", "framing", "spilling")
# adjectives that say nothing alone
SHAPES = ("round", "full", "light", "strong", "little")
PARTICLES = ("up", "back", "down", "out", "off", "over")
# how a thing is worn
WORN_SO = ("loosened", "pushed", "lifted", "tilted", "perched", "pulled", "raised", "lowered", "tied", "askew")
# fmt: on


def joined(marks: list[Mark]) -> list[Mark]:
    """Unknown words that stand side by side become one phrase, together with a thing or bare part behind them."""
    parts: list[Mark] = []
    for mark in _qualified(marks):
        last = parts[-1] if parts and _beside(parts[-1], mark) else None
        if mark.role == "head" and last and _strange(last):
            # "anime hair", "a haunted gaze"
            near = mark.part in ("hair", "expression", "lashes") and mark.word != "look" and last.single
            parts[-1] = _styled(last, mark) if near else _over(last, mark)
        elif mark.part == "hair" and mark.role == "item" and last and _strange(last) and last.single:
            # "iron-grey hair"
            parts[-1:] = [_styled(last, last), mark]
        elif last and last.part == "hair" and _strange(mark) and mark.word.endswith((*DONE, *FALLING)):
            # "hair drawn back"
            parts.append(_styled(mark, mark))
        elif last and mark.word in WORN_SO and last.role == "item" and _is_had(last):
            # "tie loosened"
            parts[-1] = replace(last, end=mark.end, item=replace(last.what, end=mark.end, kind=NEAR))
        elif last and last.part == "hair" and _strange(mark) and last.word.endswith((*DONE, *FALLING)):
            parts[-1] = _styled(last, mark)
        elif last and mark.part in FEATURES and _describes(last) and (mark.role == "head" or _strange_part(mark)):
            # "pale eyelashes" is no pale skin, "striking green eyes" no beauty
            parts[-1] = _over(last, mark)
        elif (mark.role == "head" or _strange_part(mark)) and (place := _place(parts)) is not None:
            # "soot on his face", "scar across left eye"
            parts[place] = replace(_over(parts[place], mark), item=replace(parts[place].what, end=mark.end))
            parts[place + 1 :] = [between for between in parts[place + 1 :] if between.role == "pronoun"]
        elif mark.word in PICTURES and mark.role == "word" and last and _strange(last):
            parts[-1] = _over(last, mark)
        else:
            parts.append(_with_strange_words(mark, parts))
    return parts


def _with_strange_words(mark: Mark, parts: list[Mark]) -> Mark:
    """An unknown mark with all unknown ones right before it, which leave `parts`: "chef in a kitchen"."""
    while _strange(mark):
        before = len(parts) - 1
        while before >= 0 and parts[before].role in ("word", "verb") and parts[before].word in BETWEEN:
            before -= 1
        if before < 0 or parts[before].role != "item":
            break
        adjective = before == len(parts) - 1 and mark.noun and _describes(parts[before])
        if not _strange(parts[before]) and not adjective:
            break
        mark = replace(_over(parts[before], mark), noun=mark.noun)
        del parts[before:]
    return mark


def _qualified(marks: list[Mark]) -> list[Mark]:
    """What one has or wears takes in the words right before it that tell its kind: "thin mustache", "felt hat"."""
    qualified: list[Mark] = []
    for mark in marks:
        left = 2
        while left and mark.role == "item" and mark.what.kind != UNKNOWN and mark.noun and qualified:
            if qualified[-1].role == "word" and qualified[-1].word in PARTICLES and _beside(qualified[-1], mark):
                # "lined-up beard"
                before = qualified[-2] if len(qualified) > 1 else None
                if before is None or not (_strange(before) and _beside(before, qualified[-1])):
                    break
                mark = replace(mark, start=qualified.pop().start)
            last = qualified[-1]
            if not (_tells_kind(last, mark) and last.single and _beside(last, mark)):
                break
            qualified.pop()
            left -= 1
            # a shy smile is a smile
            kind = NEAR if mark.what.kind == FOLLOWED and mark.part != "smile" else mark.what.kind
            mark = replace(mark, start=last.start, item=replace(mark.what, start=last.start, kind=kind), word=last.word)
        qualified.append(mark)
    return qualified


def _tells_kind(last: Mark, mark: Mark) -> bool:
    """Whether a word before a thing that one has, a hairdo or a smile is about that and nothing else."""
    had = _is_had(mark)
    if not had and not _is_hairdo(mark) and mark.part != "smile":
        return False
    # "spiky choker"
    of_hair = had and last.role == "item" and "Bangs" in last.what.instead and not last.part and not mark.part
    silent = last.role == "head" and not last.item or last.role == "word" and last.word in SHAPES
    return _strange(last) or silent or of_hair or had and _describes(last)


def _is_had(mark: Mark) -> bool:
    """Whether this is a thing that one has or wears."""
    return not HAD.isdisjoint(name for name, _ in mark.what.states) or "Bangs" in mark.what.instead


def _is_hairdo(mark: Mark) -> bool:
    return mark.what.kind == NEAR and not HAIR.isdisjoint(name for name, _ in mark.what.states)


def _describes(mark: Mark) -> bool:
    """Whether this is an adjective: before a thing ("a happy dog", "a neutral wall") it says nothing of a face."""
    if mark.role != "item" or not mark.single or mark.part:
        return False
    names = {name for name, _ in mark.what.states}
    return mark.word in adjectives() or bool(names) and names <= MANNERS


def _place(marks: list[Mark]) -> int | None:
    """Of an unknown thing that lies on a part of the face, right before it: "soot on his"."""
    at = len(marks) - 1
    while at >= 0 and (marks[at].role in ("word", "verb") or marks[at].role == "pronoun"):
        at -= 1
    between = [mark.word for mark in marks[at + 1 :]]
    unknown = at >= 0 and marks[at].role == "item" and marks[at].what.kind == UNKNOWN
    return at if unknown and between and between[0] in PLACES and set(between) <= {*PLACES, *OWNERS} else None


def _beside(first: Mark, second: Mark) -> bool:
    return first.end + 1 >= second.start


def _styled(first: Mark, last: Mark) -> Mark:
    """Unknown words for how the hair is done or what a face expresses."""
    instead = ("Smiling",) if last.part == "expression" else ("Straight_Hair", "Wavy_Hair", "Bangs")
    item = Item(first.start, last.end, NEAR, (), instead)
    return Mark("item", first.start, last.end, item, noun=True, word=first.word, part="hair")


def _strange(mark: Mark) -> bool:
    return mark.role == "item" and mark.what.kind == UNKNOWN and not mark.what.instead


def _strange_part(mark: Mark) -> bool:
    return mark.role == "item" and mark.what.kind == UNKNOWN and bool(mark.part)


def _over(first: Mark, last: Mark) -> Mark:
    return Mark("item", first.start, last.end, Item(first.start, last.end, UNKNOWN), noun=True, word=first.word)
