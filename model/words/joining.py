"""English marks -> phrases: unknown words that belong together, and things with the words that tell their kind."""

from dataclasses import replace

from model.words.lexicon import adjectives, people
from model.words.marks import FOLLOWED, NEAR, UNKNOWN, Item, Mark
from model.words.trailing import DONE, FALLING, HAD, MOODS, WORN_SO, completed, is_had, is_hairdo

# parts that no adjective of a whole person describes
FEATURES = ("eyes", "eyebrows", "nose", "ears", "neck", "teeth", "chin", "jaw", "forehead", "lashes")
# parts of which a kind or state is near what an attribute names
STATED = ("lips", "eyebrows")
# the attributes that come close to an unknown kind of a part; for hair see _styled
CLOSE = {
    "expression": ("Smiling",),
    "lips": ("Big_Lips", "Wearing_Lipstick"),
    "eyebrows": ("Bushy_Eyebrows", "Arched_Eyebrows"),
}
# how a thing is worn at a part, and what comes close to it
WORN_AT = (
    ("neck", ("round", "around"), "Wearing_Necklace"),
    ("throat", ("at", "round", "around"), "Wearing_Necklace"),
    ("head", ("on",), "Wearing_Hat"),
    ("ear", ("in", "through"), "Wearing_Earrings"),
    ("ears", ("in", "through"), "Wearing_Earrings"),
)
# what adjectives say of a person that could be said of a thing
MANNERS = {"Chubby", "Pale_Skin", "Smiling", "Attractive", "Blurry", "Bags_Under_Eyes"}
COLOURS = {"Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"}
# what stands between hair and how it is done
BY = ("", "in", "in a", "in an", "in the", "in two", "up in a", "into a", "is in a", "in one", "with", "with a")
DOES = ("in", "a", "an", "the", "two", "up", "into", "is", "one", "with")
# letters of a style of hair: "wet look hair"
SHORT = 16
# fmt: off
PLACES = (
    "on", "at", "round", "against", "in", "over", "above", "below", "across", "between", "around", "under", "behind",
    "down", "along", "through", "from",
)
ENDS = ("all", "up", "to", "end", "tip", "side", "back", "bridge", "middle", "corner", "top", "left", "right", "of")
OWNERS = ("his", "her", "their", "its", "my", "the", "a", "one")
# what a picture is, behind the word that tells its kind
PICTURES = ("photo", "photograph", "picture", "portrait", "image", "light", "selfie", "shot", "look", "style", "face")
BETWEEN = (
    *PLACES, *OWNERS, "beside", "beneath", "inside", "near", "against", "among", "onto", "towards", "toward", "an",
    "of", "at", "with", "by", "to", "for", "like", "into",
)
# adjectives that say nothing alone
SHAPES = ("round", "full", "light", "strong", "little")
LIKE = ("is", "are", "in", "the", "a", "an", "colour", "color", "shape", "size", "of", "like", "as")
# where one looks
WAYS = ("out", "up", "down", "into", "away", "at", "through", "over", "across", "towards", "toward", "past", "in", "on")
PARTICLES = ("up", "back", "down", "out", "off", "over", "on", "in", "away")
# how much there is of a thing
MUCH = ("lots", "loads", "plenty", "tons", "heaps", "touch", "hint", "trace", "bit")
# what a face shows, and words before it tell how
LOOKS = ("frown", "scowl", "sneer", "pout", "grimace", "smirk", "glare")
# fmt: on


def joined(marks: list[Mark], text: str) -> list[Mark]:
    """Unknown words that stand side by side become one phrase, together with a thing or bare part behind them."""
    parts: list[Mark] = []
    for mark in _qualified(marks, text):
        last = parts[-1] if parts and _beside(parts[-1], mark) else None
        taken_in = last is not None and (_goes_behind(mark, last, parts, text) or _tells_more(mark, last, parts, text))
        if not (taken_in or _lies_on(mark, parts)):
            parts.append(_with_strange_words(mark, parts))
    return _of_one_hair(completed(parts, text), text)


def _of_one_hair(marks: list[Mark], text: str) -> list[Mark]:
    """Hair with how it is done right behind it is one thing: "gray hair in a tight bun", "dark hair pinned up"."""
    whole: list[Mark] = []
    for mark in marks:
        if (at := _hair_before(whole, mark, text)) is None:
            whole.append(mark)
            continue
        hair = whole[at]
        said = hair.item if hair.role == "item" and hair.item else Item(hair.start, hair.end, NEAR)
        states = tuple((dict(said.states) | dict(mark.what.states)).items())
        instead = tuple(dict.fromkeys(said.instead + mark.what.instead))
        item = Item(hair.start, mark.end, NEAR, states, instead)
        whole[at:] = [replace(mark, start=hair.start, item=item, word=hair.word)]
    return whole


def _hair_before(marks: list[Mark], done: Mark, text: str) -> int | None:
    """Where the hair is among the marks that this, right behind it, tells how it is done; None if it does not."""
    if done.role != "item" or done.what.kind != NEAR or not (done.part == "hair" or is_hairdo(done)):
        return None
    at = len(marks) - 1
    while at >= 0 and marks[at].role in ("word", "verb") and marks[at].word in DOES:
        at -= 1
    if at < 0 or marks[at].part != "hair" or marks[at].role not in ("head", "item") or marks[at].unknown:
        return None
    return at if text[marks[at].end : done.start].strip(" -").lower() in BY else None


def _goes_behind(mark: Mark, last: Mark, parts: list[Mark], text: str) -> bool:
    """A noun or particle takes in the word before it: "haunted gaze", "wise-looking", "pageboy haircut". Whether so."""
    if mark.role == "head" and last.strange:
        # "anime hair", "a haunted gaze"
        alone = last.single or mark.part == "hair" and last.end - last.start <= SHORT
        near = mark.part in (*STATED, "hair", "expression") and mark.word != "look" and alone
        parts[-1] = _styled(last, mark) if near else _over(last, mark)
    elif mark.word in ("looking", "lookin") and last.role == "item" and last.single and _ends_in(mark, last, text):
        # "worried-looking"
        seems = replace(last.what, kind=NEAR, instead=("Smiling",)) if last.strange else last.what
        parts[-1] = _longer(replace(last, item=seems), mark)
    elif mark.role == "head" and mark.part in ("expression", "face") and _is_mood(last):
        # "angry look"
        parts[-1] = _longer(last, mark)
    elif mark.role == "head" and mark.part == "hair" and last.role == "item" and is_hairdo(last):
        # "pageboy haircut"
        parts[-1] = _longer(last, mark)
    elif mark.role == "word" and last.strange and (mark.word in PICTURES or _is_particle(mark, last)):
        # "passport photo"
        parts[-1] = _over(last, mark)
    else:
        return False
    return True


def _tells_more(mark: Mark, last: Mark, parts: list[Mark], text: str) -> bool:
    """A word tells more of the hair, part or thing right before it: "hair drawn back", "tie loosened". Whether so."""
    if mark.part == "hair" and mark.role == "item" and last.strange and last.single:
        # "iron-grey hair"
        parts[-1] = replace(mark, start=last.start, item=replace(mark.what, start=last.start, kind=NEAR))
    elif last.part == "hair" and mark.strange and mark.word.endswith((*DONE, *FALLING)):
        # "hair drawn back"
        parts[-1:] = [_styled(last, mark)] if last.role == "head" else [last, _styled(mark, mark)]
    elif last.role == "head" and last.part != "hair" and mark.unknown:
        # "eyes cast down", "chin tattoo"
        parts[-1] = _over(last, mark)
    elif mark.word in WORN_SO and last.role == "item" and is_had(last):
        # "tie loosened"
        parts[-1] = _longer(replace(last, item=replace(last.what, kind=NEAR)), mark)
    elif last.part == "hair" and mark.strange and _goes_on(last, text):
        parts[-1] = _styled(last, mark)
    elif mark.part == "eyes" and mark.role == "head" and _is_mood(last):
        # "mournful eyes"
        parts[-1] = _longer(last, mark)
    elif mark.part in FEATURES and _describes(last) and (mark.role == "head" or _strange_part(mark)):
        # "pale eyelashes" is no pale skin, "striking green eyes" no beauty
        parts[-1] = _over(last, mark)
    else:
        return False
    return True


def _lies_on(mark: Mark, parts: list[Mark]) -> bool:
    """A part of the face, or a thing on it, takes in what lies there or it is likened to: "soot on his face"."""
    if (mark.role == "head" or _strange_part(mark)) and (place := _place(parts)) is not None:
        # "scar across left eye"
        lies = _longer(parts[place], mark)
        if near := _worn_at(parts[place:], mark):
            lies = replace(lies, item=replace(lies.what, kind=NEAR, **near))
        parts[place:] = [lies, *_owners(parts[place:])]
    elif mark.role == "item" and is_had(mark) and (place := _inside(parts)) is not None:
        # "ice in his beard", "a feather in her hat"
        start = parts[place].start
        inside = replace(mark, start=start, item=replace(mark.what, start=start, kind=NEAR), word=parts[place].word)
        parts[place:] = [inside, *_owners(parts[place:])]
    elif mark.strange and (head := _likened(parts)) is not None:
        # "eyes the colour of rain", "hair like straw"
        like = _styled if parts[head].part in (*STATED, "hair") else _over
        parts[head:] = [like(parts[head], mark)]
    else:
        return False
    return True


def _worn_at(marks: list[Mark], part: Mark) -> dict[str, tuple]:
    """What comes close to an unknown thing in the hair or round the neck, for its Item: "leaves in her hair"."""
    thing, way = marks[0], {mark.word for mark in marks[1:]}
    if thing.word.endswith("ing"):
        return {}
    if part.part == "hair" and "in" in way:
        return {"instead": ("Straight_Hair", "Wavy_Hair", "Bangs")}
    worn = next((name for word, ways, name in WORN_AT if word == part.word and not way.isdisjoint(ways)), None)
    return {"states": ((worn, True),)} if worn and thing.strange else {}


def _owners(marks: list[Mark]) -> list[Mark]:
    """The pronouns, which tell the sex wherever they stand."""
    return [mark for mark in marks if mark.role == "pronoun"]


def _longer(mark: Mark, last: Mark) -> Mark:
    return replace(mark, end=last.end, item=replace(mark.what, end=last.end))


def _is_particle(mark: Mark, last: Mark) -> bool:
    """ "back" of "leaning back"."""
    return mark.word in PARTICLES and last.word.endswith("ing")


def _with_strange_words(mark: Mark, parts: list[Mark]) -> Mark:
    """An unknown mark with all unknown ones right before it, which leave `parts`: "chef in a kitchen"."""
    word = mark.word
    while mark.strange:
        before = len(parts) - 1
        while before >= 0 and parts[before].role in ("word", "verb") and parts[before].word in BETWEEN:
            before -= 1
        if before < 0 or parts[before].role != "item":
            break
        # a young scientist in a lab coat and a pretty flight nurse are so themselves
        thing = mark.noun and not {mark.word, word} & people()
        adjective = before == len(parts) - 1 and thing and _describes(parts[before]) and not is_had(parts[before])
        if not parts[before].strange and not adjective:
            break
        mark = replace(_over(parts[before], mark), noun=mark.noun)
        del parts[before:]
    if mark.strange and (start := _way(parts)) is not None:
        mark = replace(_over(parts[start], mark), noun=mark.noun)
        del parts[start:]
    return mark


def _ends_in(looking: Mark, last: Mark, text: str) -> bool:
    """Whether a "looking" belongs to the word before it: "wise-looking", "sad looking,"."""
    return text[last.end : looking.start] == "-" or text[looking.end : looking.end + 1] in ("", *",.;)")


def _goes_on(hair: Mark, text: str) -> bool:
    """Whether more can follow on how hair is done: "pinned loosely", "like a bird's nest"."""
    return hair.word.endswith((*DONE, *FALLING)) or " like " in text[hair.start : hair.end]


def _way(marks: list[Mark]) -> int | None:
    """Of a word before a place that tells where a face turns: "looking out of a"."""
    at = len(marks) - 1
    while at >= 0 and marks[at].role in ("word", "verb") and marks[at].word in (*WAYS, *OWNERS, "an", "of"):
        at -= 1
    turned = 0 <= at < len(marks) - 1 and marks[at].role == "word" and marks[at].word in ("looking", "facing")
    return at if turned and marks[at + 1].word in WAYS else None


def _likened(marks: list[Mark]) -> int | None:
    """Of a bare part of the face that words behind it liken to something: "eyes the colour of"."""
    at = len(marks) - 1
    while at >= 0 and marks[at].role in ("word", "verb") and marks[at].word in LIKE:
        at -= 1
    words = {mark.word for mark in marks[at + 1 :]}
    alike = "like" in words or "of" in words and not words.isdisjoint(("colour", "color", "shape", "size"))
    # "hair in a net"
    alike = alike or "in" in words and at >= 0 and marks[at].part == "hair"
    return at if alike and at >= 0 and marks[at].role == "head" and marks[at].part != "expression" else None


def _qualified(marks: list[Mark], text: str) -> list[Mark]:
    """What one has or wears takes in the words right before it that tell its kind: "thin mustache", "felt hat"."""
    qualified: list[Mark] = []
    for mark in marks:
        left = 4
        while left and mark.role == "item" and mark.what.kind != UNKNOWN and qualified and _has_kinds(mark):
            if qualified[-1].role == "word" and qualified[-1].word in PARTICLES and _beside(qualified[-1], mark):
                # "lined-up beard"
                before = qualified[-2] if len(qualified) > 1 else None
                hyphen = before is not None and text[before.end : qualified[-1].start] == "-"
                if before is None or not before.strange or not (hyphen or before.word.endswith("ed")):
                    break
                mark = replace(mark, start=qualified.pop().start)
            last = qualified[-1]
            several = is_had(mark) and (last.strange or _same(last, mark) or _is_origin(last))
            if not (_tells_kind(last, mark) and (last.single or several) and _beside(last, mark)):
                break
            qualified.pop()
            left -= 1
            mark = replace(mark, start=last.start, item=replace(mark.what, start=last.start, kind=NEAR), word=last.word)
        while mark.role == "item" and qualified and _measures(qualified, mark):
            # "too much rouge", "really tired"
            start, kind = qualified[-1].start, NEAR if mark.noun else mark.what.kind
            mark = replace(mark, start=start, item=replace(mark.what, start=start, kind=kind))
            qualified.pop()
        qualified.append(mark)
    return qualified


def _measures(marks: list[Mark], mark: Mark) -> bool:
    """Whether the last word tells how much of a thing there is, or how much it is so."""
    last, names = marks[-1], {name for name, _ in mark.what.states}
    if last.role != "word" or not _beside(last, mark):
        return False
    if mark.noun and (is_had(mark) or "Rosy_Cheeks" in names) and "Heavy_Makeup" not in names:
        much = last.word in ("much", "many") and len(marks) > 1 and marks[-2].word in ("too", "so")
        return last.word in MUCH or much or last.word in ("too", "so") and mark.start - last.start > len(last.word) + 1
    near = mark.what.kind == NEAR and not mark.part and not is_had(mark) and not names & {"Male", "Young"}
    return near and last.word.endswith("ly") and len(last.word) > 4


def _has_kinds(mark: Mark) -> bool:
    """Whether words before this can tell its kind: a noun, or "stubbled" of "white-stubbled"."""
    return mark.noun or is_had(mark) and mark.word.endswith("ed")


def _tells_kind(last: Mark, mark: Mark) -> bool:
    """Whether a word before a thing that one has, a hairdo or a smile is about that and nothing else."""
    had, waves = is_had(mark), mark.part == "hair" and mark.noun and mark.single
    if not had and not is_hairdo(mark) and mark.part != "smile" and not waves and mark.word not in LOOKS:
        return False
    if (
        not had
        and last.role == "item"
        and mark.part != "smile"
        and {name for name, _ in last.what.states} == {"Wavy_Hair"}
    ):
        # "ringlet wig"
        return True
    # "spiky choker"
    of_hair = had and last.role == "item" and "Bangs" in last.what.instead and not last.part and not mark.part
    silent = last.role == "head" and last.part != "hair" or last.role == "word" and last.word in SHAPES
    same = had and _same(last, mark)
    # "toothless smile", "squinting smile"
    names = {name for name, _ in last.what.states} if last.role == "item" else HAD
    mood = mark.part == "smile" and last.part in ("", "teeth") and not names & (HAD | {"Male", "Young"})
    return (
        last.strange
        or silent
        or of_hair
        or same
        or mood
        or had
        and (mark.noun and _describes(last) or _is_origin(last) or _is_owner(last))
    )


def _same(last: Mark, mark: Mark) -> bool:
    """Whether two words name one thing: "hoop earrings"."""
    return last.role == "item" and bool(mark.what.states) and dict(last.what.states) == dict(mark.what.states)


def _is_origin(mark: Mark) -> bool:
    """ "Mexican" of "Mexican hat", "tall" of "tall hat", "ginger" of "ginger sideburns"."""
    if mark.role != "item" or mark.part:
        return False
    coloured = mark.what.kind == NEAR and {name for name, _ in mark.what.states} & COLOURS
    return bool(coloured) or mark.what.kind == UNKNOWN and mark.what.instead in (("Pale_Skin",), ("Attractive",))


def _is_owner(mark: Mark) -> bool:
    """ "king's" of "king's crown", "samurai" of "samurai helmet", and no "man" of "man glasses beard"."""
    if mark.role != "item" or not {name for name, _ in mark.what.states} <= {"Male", "Young"}:
        return False
    return mark.what.kind == NEAR or mark.what.kind == FOLLOWED and mark.end - mark.start > len(mark.word)


def _describes(mark: Mark) -> bool:
    """Whether this is an adjective: before a thing ("a happy dog", "a neutral wall") it says nothing of a face."""
    if mark.role != "item" or not mark.single or mark.part:
        return False
    names = {name for name, _ in mark.what.states}
    return mark.word in adjectives() or bool(names) and names <= MANNERS


def _is_mood(mark: Mark) -> bool:
    names = {name for name, _ in mark.what.states} if mark.role == "item" else set()
    near = mark.role == "item" and mark.what.kind == NEAR and mark.single
    return near and (names <= MOODS if names else mark.what.instead == ("Smiling",))


def _place(marks: list[Mark]) -> int | None:
    """Of an unknown thing that lies on a part of the face, right before it: "soot on his"."""
    at = len(marks) - 1
    while at >= 0 and (marks[at].role in ("word", "verb") or marks[at].role == "pronoun"):
        at -= 1
    between = [mark.word for mark in marks[at + 1 :]]
    unknown = at >= 0 and marks[at].role == "item" and marks[at].what.kind == UNKNOWN
    if not (unknown and between and set(between) <= {*PLACES, *ENDS, *OWNERS}):
        return None
    # "throwing her head back"
    return at if between[0] in (*PLACES, "all", "up") or marks[at].word.endswith("ing") else None


def _inside(marks: list[Mark]) -> int | None:
    """Of an unknown thing in or on what one has, right before it: "ice in his"."""
    at = _place(marks)
    if at is None or marks[at].word in people() or marks[at + 1].word not in ("in", "on", "through"):
        return None
    return at if any(mark.role == "pronoun" or mark.word == "the" for mark in marks[at + 1 :]) else None


def _beside(first: Mark, second: Mark) -> bool:
    return first.end + 1 >= second.start


def _styled(first: Mark, last: Mark) -> Mark:
    """Unknown words for how the hair is done, what a face expresses or how a part of it is."""
    instead = CLOSE.get(last.part) or CLOSE.get(first.part) or ("Straight_Hair", "Wavy_Hair", "Bangs")
    item = Item(first.start, last.end, NEAR, (), instead)
    return Mark("item", first.start, last.end, item, noun=True, word=first.word, part="hair")


def _strange_part(mark: Mark) -> bool:
    return mark.unknown and bool(mark.part)


def _over(first: Mark, last: Mark) -> Mark:
    return Mark("item", first.start, last.end, Item(first.start, last.end, UNKNOWN), noun=True, word=first.word)
