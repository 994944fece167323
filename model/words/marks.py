"""Marks: what a reader of any language finds in a text, before it is known what a "no" reaches."""

from dataclasses import dataclass, replace

FOLLOWED, NEAR, UNKNOWN = "followed", "near", "unknown"
# the sex that a "him" or "her" tells by the way
IMPLIED = "implied"
# Attributes of which the denial of something near is a denial too: who wants no sombrero wants no hat.
# fmt: off
WHOLE = {
    "Wearing_Hat", "Eyeglasses", "Wearing_Earrings", "Wearing_Necklace", "Wearing_Necktie", "Wearing_Lipstick",
    "Heavy_Makeup", "No_Beard", "5_o_Clock_Shadow", "Sideburns", "Mustache", "Goatee", "Wavy_Hair", "Black_Hair",
    "Blond_Hair", "Brown_Hair", "Gray_Hair", "Receding_Hairline", "Smiling", "Mouth_Slightly_Open", "Bags_Under_Eyes",
    "Narrow_Eyes", "Arched_Eyebrows", "Bushy_Eyebrows", "Big_Nose", "Pointy_Nose", "Big_Lips", "Rosy_Cheeks",
    "High_Cheekbones", "Chubby",
}
# fmt: on
# words behind a thing that take it away, but no person
TAKEN = ("off", "away", "gone", "none", "removed")


@dataclass(frozen=True)
class Item:
    """One thing that a prompt asks for, with its place in the text."""

    # in characters
    start: int
    end: int
    # FOLLOWED: drawn as said; NEAR: only something near it is; UNKNOWN: nothing of it; IMPLIED
    kind: str
    # attributes, and whether the face has them
    states: tuple[tuple[str, bool], ...] = ()
    # of an unknown thing: the attributes that come closest
    instead: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mark:
    """An item, or a word that steers what a "no" reaches."""

    # "item", "no", "no behind", "or", "and", "comma", "stop", "verb", "word"
    role: str
    start: int
    end: int
    item: Item | None = None
    # items of one noun ("wavy blond hair") share a number
    group: int = -1
    # a thing that one has or wears: "without hat and glasses" reaches both
    noun: bool = False
    word: str = ""
    # of the face, that this is or describes
    part: str = ""

    @property
    def what(self) -> Item:
        """The item, of a mark that has one."""
        assert self.item is not None
        return self.item

    @property
    def unknown(self) -> bool:
        """Whether this is a thing that the model does not know."""
        return self.role == "item" and self.what.kind == UNKNOWN

    @property
    def strange(self) -> bool:
        """Whether it is one that no attribute comes close to."""
        return self.unknown and not self.what.instead

    @property
    def single(self) -> bool:
        # "pilot" of "pilot's", "little" of "litle"
        return -1 <= self.end - self.start - len(self.word) <= len("'s")


def items(marks: list[Mark]) -> list[Item]:
    """The items of a text, those denied that a "no" reaches.

    A "no" reaches the thing behind it, all of one noun ("no long gray hair"), what an "or" or "nor" adds, and a list
    that ends with an "or" ("no hat, glasses or earrings"). "Without" and verbs reach also a thing that an
    "and" adds.
    """
    asked: list[Item] = []
    denial: Mark | None = None
    # the last item that the "no" has reached
    reached: Mark | None = None
    # an "or" or a list's comma stands behind it
    linked = False
    # the last "no" that an item has taken in
    named: Mark | None = None
    for index, mark in enumerate(marks):
        if mark.role == "no":
            twice = (
                denial is not None and reached is None and denial.word in ("never", "not") and mark.word == "without"
            )
            denial, reached, linked = None if twice else mark, None, False
        elif mark.role == "no behind" and asked and _meant(mark, asked[-1]) and not _bare_head_before(marks, index):
            asked[-1] = replace(denied(asked[-1]), end=max(asked[-1].end, mark.end))
        elif mark.role == "or":
            linked = True
        elif mark.role == "and" and reached:
            linked = denial is not None and denial.word not in ("no", "not", "never") and _thing_next(marks, index)
            denial = denial if linked else None
        elif mark.role == "comma" and reached:
            linked = _or_ahead(marks, index)
            denial = denial if linked else None
        elif mark.role == "stop" or mark.role == "verb" and reached and not linked:
            denial = None
        elif mark.role == "implied":
            asked.append(mark.what)
        elif mark.role == "head" and mark.item and denial and (reached is None or linked):
            asked.append(denied(mark.what, denial if reached is None else None))
            reached, linked = mark, False
        elif mark.role == "item":
            same = reached is not None and mark.group >= 0 and mark.group == reached.group
            if denial and (reached is None or linked or same):
                asked.append(denied(mark.what, denial if reached is None and denial is not named else None))
                named = denial
                if mark.what.kind != UNKNOWN or mark.noun:
                    reached, linked = mark, False
            else:
                denial = None
                asked.append(mark.what)
    return asked


def denied(item: Item, denial: Mark | None = None) -> Item:
    """What a "no" makes of an item: the opposite of the one attribute that it states; of all else nothing is known."""
    if len(item.states) == 1 and (item.kind == FOLLOWED or item.states[0][0] in WHOLE):
        item = replace(item, states=((item.states[0][0], not item.states[0][1]),))
    else:
        kind = NEAR if item.kind == NEAR else UNKNOWN
        item = replace(item, kind=kind, states=(), instead=item.instead or tuple(name for name, _ in item.states))
    return item if denial is None else replace(item, start=min(item.start, denial.start))


def _meant(mark: Mark, item: Item) -> bool:
    """Whether a "no" behind an item means it: hats come off, while a woman looks away."""
    return mark.word not in TAKEN or not item.states or item.states[0][0] in WHOLE


def _thing_next(marks: list[Mark], index: int) -> bool:
    """Whether a thing follows, and no verb before it."""
    following = next((mark for mark in marks[index + 1 :] if mark.role != "word"), None)
    return following is not None and following.role == "item" and following.noun


def _bare_head_before(marks: list[Mark], index: int) -> bool:
    """Whether a part of the face stands right before: "hair off the forehead"."""
    return index > 0 and marks[index - 1].role == "head"


def _or_ahead(marks: list[Mark], index: int) -> bool:
    """Whether a list of things goes on behind this comma and ends with an "or"."""
    for mark in marks[index + 1 :]:
        if mark.role == "or":
            return True
        if mark.role not in ("item", "comma", "word") or mark.role == "item" and not mark.noun:
            return False
    return False
