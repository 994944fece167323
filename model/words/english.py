"""English: a text -> marks, by the phrases and parts of the face of the lexicon."""

from dataclasses import replace

from model.words.ages import ages
from model.words.joining import joined
from model.words.lexicon import TABLE, Meaning, Phrases, Words, lexicon, phrase_set
from model.words.marks import FOLLOWED, IMPLIED, NEAR, UNKNOWN, Item, Mark
from model.words.text import tokens

# words of one noun phrase
REACH = 10
# words that are names too
NAMES = {"bob", "joy", "grace", "pearl", "ruby", "amber", "sandy", "rusty", "earl", "dick", "mark", "curly", "rosy"}
# what a colour says of a person
SKINS = {
    "black": Meaning(FOLLOWED, (("Dark_Skin", True),)),
    "brown": Meaning(NEAR, (("Dark_Skin", True),)),
    "white": Meaning(NEAR, (("Pale_Skin", True),)),
}
# parts of a face that a "no" takes away
MISSABLE = ("expression", "teeth", "eyebrows", "lashes", "ears", "nose", "eyes", "neck", "chin")


def marks(text: str) -> list[Mark]:
    """Everything that a clean English text says, in order."""
    return Reader(text).read()


class Reader:
    """One pass through the words of a text."""

    def __init__(self, text: str):
        self.text, self.lexicon, self.marks = text, lexicon(), []
        self.ages = {age.start: age for age in ages(text)}
        self.words = [self.lexicon.spelling.mended(token) for token in tokens(text)]
        self.group = 0

    def read(self) -> list[Mark]:
        at = 0
        while at < len(self.words):
            if not (at and self.words[at - 1].text == "w" and self.words[at].gap == "/ "):
                self.punctuation(self.words[at].gap)
            at = self.age(at) or self.noun_phrase(at) or self.phrase(at) or self.single(at)
        return joined(self.marks, self.text)

    # --- parts ---

    def emit(self, role: str, first: int, last: int, **more) -> None:
        self.marks.append(
            Mark(role, self.words[first].start, self.words[last].end, word=self.words[first].text, **more)
        )

    def emit_item(self, first: int, last: int, meaning: Meaning, group: int = -1, part: str = "") -> None:
        item = Item(self.words[first].start, self.words[last].end, meaning.kind, meaning.states, meaning.instead)
        if meaning.pronoun in ("object", "owner"):
            item = replace(item, kind=IMPLIED)
        role = "pronoun" if meaning.pronoun else "item"
        self.emit(role, first, last, item=item, group=group, noun=meaning.noun, part=part)

    def punctuation(self, gap: str) -> None:
        if any(sign in gap for sign in ".;!?\n|"):
            self.marks.append(Mark("stop", 0, 0, word="."))
        elif any(sign in gap for sign in ",()[]/+&:") or " - " in gap or "–" in gap or "—" in gap:
            self.marks.append(Mark("and" if "&" in gap or "+" in gap else "comma", 0, 0, word=","))

    def run(self, at: int, length: int) -> Words:
        return tuple(token.text for token in self.words[at : at + length])

    def longest(self, at: int, among: Phrases) -> int:
        """The length of the longest phrase of `among` that begins here and no comma parts; 0 if there is none."""
        if at >= len(self.words):
            return 0
        reach = among.reach.get(self.words[at].text, 0)
        for length in range(min(reach, len(self.words) - at), 0, -1):
            if self.run(at, length) in among and not any(
                sign in token.gap for token in self.words[at + 1 : at + length] for sign in ",.;!?\n"
            ):
                return length
        return 0

    def age(self, at: int) -> int:
        age = self.ages.get(self.words[at].start)
        if age is None:
            return 0
        last = max(i for i in range(at, len(self.words)) if self.words[i].start < age.end)
        self.emit("item", at, last, item=age)
        return last + 1

    def phrase(self, at: int) -> int:
        length = self.longest(at, self.lexicon.phrases)
        if length < self.longest(at, self.lexicon.silent):
            # "kind of"
            return 0
        word = self.words[at].text
        if word in SKINS and self.names_sex(at + 1):
            # "a black woman"
            self.emit_item(at, at, SKINS[word])
            return at + 1
        if word in NAMES and self.is_name(at):
            # "uncle Bob"
            self.emit_item(at, at, Meaning(UNKNOWN))
            return at + 1
        one = word.removesuffix("s")
        if not length and (one,) in self.lexicon.phrases and not self.longest(at, self.lexicon.silent):
            # "crowns"
            meaning, length = self.lexicon.phrases[(one,)], 1
        elif length:
            meaning = self.lexicon.phrases[self.run(at, length)]
        else:
            return 0
        self.emit_item(at, at + length - 1, meaning, part=self.lexicon.heads.get(self.run(at, length), ""))
        return at + length

    def is_name(self, at: int) -> bool:
        """Whether a word is written like a name, behind one that is not."""
        before, word = self.words[at - 1], self.words[at]
        return at > 0 and self.text[before.start].islower() and self.text[word.start].isupper() and word.gap == " "

    def names_sex(self, at: int) -> bool:
        meaning = self.lexicon.phrases.get(self.run(at, self.longest(at, self.lexicon.phrases)))
        return meaning is not None and meaning.kind == FOLLOWED and "Male" in dict(meaning.states)

    def single(self, at: int) -> int:
        word = self.words[at].text
        for role, words in STEERING.items():
            length = self.longest(at, words)
            # "not only" denies nothing
            if length and length >= self.longest(at, self.lexicon.silent):
                after = self.words[at + length].gap if at + length < len(self.words) else "."
                if role == "no" and word in ("no", "not") and after.strip() and self.marks and ":" not in after:
                    # "necklace: no,"
                    role = "no behind"
                self.emit(role, at, at + length - 1)
                return at + length
        head = self.longest(at, self.lexicon.heads)
        length = head or self.longest(at, self.lexicon.silent) or word in ("s", "t")
        # "no hair" says bald
        if head and self.lexicon.heads[self.run(at, length)] == "hair":
            item = Item(self.words[at].start, self.words[at + length - 1].end, FOLLOWED, (("Bald", False),))
            self.emit("head", at, at + length - 1, item=item, part="hair")
            return at + length
        if head and self.lexicon.heads[self.run(at, length)] in MISSABLE and word not in ("look", "air"):
            # "no teeth" and "no expression" ask for something
            kind = NEAR if self.lexicon.heads[self.run(at, length)] in ("expression", "eyebrows") else UNKNOWN
            item = Item(self.words[at].start, self.words[at + length - 1].end, kind)
            self.emit("head", at, at + length - 1, item=item, part=self.lexicon.heads[self.run(at, length)])
            return at + length
        if length:
            part = self.lexicon.heads[self.run(at, length)] if head else ""
            self.emit("head" if head else "word", at, at + length - 1, part=part)
            return at + length
        adverb = word.endswith("ly") and len(word) > 5 and word not in self.lexicon.adjectives
        if adverb or self.named(at):
            # "smiling warmly" says no more than "smiling"
            self.emit("word", at, at)
        else:
            self.emit_item(at, at, _by_ending(word))
        return at + 1

    def named(self, at: int) -> bool:
        """Whether this is the name of a role, as casting calls and scripts begin: `"NICK - a man"`."""
        word, behind = self.words[at], self.text[self.words[at].end :].lstrip()
        alone = not any(mark.role in ("item", "head") for mark in self.marks) and not self.text.isupper()
        return alone and len(word.text) > 2 and self.text[word.start : word.end].isupper() and behind[:1] in (*",:(-",)

    # --- a part of the face and what describes it ---

    def noun_phrase(self, at: int) -> int:
        """`"long wavy blond hair"`, `"eyes that are blue"`, `"hair neither black nor blond"`; 0 if none begins here."""
        if length := self.longest(at, self.lexicon.heads):
            part = self.lexicon.heads[self.run(at, length)]
            described, end = self.behind(at + length, part)
            if described:
                stated = self.own(at, length)
                changed = self.words[at + length].text == "to"
                self.describe(described, part, start=at if not (stated or changed) and end > at else None)
                return end
        for head in range(at + 1, min(at + REACH, len(self.words))):
            if length := self.longest(head, self.lexicon.heads):
                part = self.lexicon.heads[self.run(head, length)]
                if self.apart(at, part) or "," in self.words[head].gap:
                    return 0
                described, end = self.chain(at, part, head)
                if not described or end != head or described[0][1] != at or described[0][0] != "item":
                    return 0
                known = self.longest(at, self.lexicon.phrases)
                near = known and self.lexicon.phrases[self.run(at, known)].kind == NEAR
                if known + bool(near) > head + length - at:
                    return 0
                self.describe(described, part, (head, length))
                # "dark hair pinned up"
                more, end = self.behind(head + length, part)
                if not more or more[0][0] in ("and", "or") or "," in self.words[head + length].gap:
                    return head + length
                self.describe(more, part)
                return end
        return 0

    def apart(self, at: int, part: str) -> bool:
        """Whether a comma parts a word from the noun that says something without it: `"blonde, full beard"`."""
        length = self.longest(at, self.lexicon.described[part])
        behind = self.words[at + length].gap if at + length < len(self.words) else ""
        return bool(length) and "," in behind and self.run(at, length) in self.lexicon.phrases

    def chain(self, at: int, part: str, stop: int) -> tuple[list[tuple[str, int, int]], int]:
        """Words that describe a part, with what holds them together: [(role, first, length)], and where they end."""
        described = []
        while at < stop:
            if described and any(sign in self.words[at].gap for sign in ".;!?\n()"):
                break
            if length := self.longest(at, self.lexicon.described[part]):
                described.append(("item", at, length))
            elif length := next((n for role in STEERING if (n := self.longest(at, STEERING[role]))), 0):
                role = next(role for role in STEERING if self.longest(at, STEERING[role]))
                if role in ("stop", "verb"):
                    break
                described.append((role, at, length))
            elif length := self.longest(at, DEGREES):
                described.append(("word", at, length))
            else:
                break
            at += length
        # An "and" at the end leads on to something else.
        while described and described[-1][0] != "item":
            if stop == at:
                break
            at = described.pop()[1]
        return described, at

    def behind(self, at: int, part: str) -> tuple[list[tuple[str, int, int]], int]:
        """`"is big"`, `"that is neither black nor blond"`, or `"black"` before a comma."""
        start = at
        while at < len(self.words) and self.longest(at, COPULAS) and "." not in self.words[at].gap:
            at += self.longest(at, COPULAS)
        linked = at > start or at < len(self.words) and ":" in self.words[at].gap
        if at >= len(self.words) or not linked and self.words[at].gap.strip(" -"):
            return [], start
        denial = self.words[at - 1].text.endswith("n't")
        described, end = self.chain(at, part, len(self.words))
        if not any(role == "item" for role, *_ in described):
            return [], start
        # The last word may describe what comes next.
        while described and not self.ends(end, linked):
            end = described.pop()[1]
            while described and described[-1][0] != "item":
                end = described.pop()[1]
        if not described:
            return [], start
        return ([("no", at - 1, 1)] if denial else []) + described, end

    def ends(self, at: int, linked: bool) -> bool:
        """Whether a description can end before this word."""
        if at >= len(self.words) or self.words[at].gap.strip(" -"):
            return True
        if self.longest(at, self.lexicon.heads):
            return False
        return linked or any(
            self.longest(at, group) for group in (STEERING["and"], COPULAS, STEERING["stop"], STEERING["verb"])
        )

    def own(self, at: int, length: int, group: int = -1) -> bool:
        """The item of a part that says something by itself ("curls", "braids"); whether it does."""
        meaning = self.lexicon.phrases.get(self.run(at, length))
        if meaning is not None:
            self.emit_item(at, at + length - 1, meaning, group)
        return meaning is not None

    def describe(
        self,
        described: list[tuple[str, int, int]],
        part: str,
        head: tuple[int, int] | None = None,
        start: int | None = None,
    ) -> None:
        """Marks of a part's description; its last word takes in the part behind it, or its first the part before
        it (`start`), unless that says something itself."""
        self.group += 1
        if head and (whole := self.whole(described, part, head)):
            self.emit_item(described[0][1], sum(head) - 1, whole, self.group, part)
            return
        own = self.lexicon.phrases.get(self.run(*head)) if head else None
        merged = False
        for index, (role, first, length) in enumerate(described):
            if role != "item":
                self.emit(role, first, first + length - 1)
                continue
            meaning, last = self.lexicon.described[part][self.run(first, length)], first + length - 1
            takes_in = own is None or own.states and set(own.states) <= set(meaning.states)
            if head and index == len(described) - 1 and takes_in:
                last, merged = sum(head) - 1, own is not None
            elif own is not None and takes_in:
                merged = True
            first, start = (first, None) if start is None else (start, None)
            self.emit_item(first, last, meaning, self.group, part)
        if own is not None and head and not merged:
            self.own(head[0], head[1], self.group)

    def whole(self, described: list[tuple[str, int, int]], part: str, head: tuple[int, int]) -> Meaning | None:
        """What a part says with all that describes it: "long black hair", "tiny red lips" are near as a whole.

        None where each word says its own: "wavy" and "blond hair".
        """
        if any(
            role in ("no", "or", "and") or index and "," in self.words[first].gap
            for index, (role, first, _) in enumerate(described)
        ):
            return None
        said = [
            self.lexicon.described[part][self.run(first, length)] for role, first, length in described if role == "item"
        ]
        own = self.lexicon.phrases.get(self.run(*head))
        kinds = [meaning.kind for meaning in said]
        if part != "hair":
            whole = NEAR in kinds and len(kinds) > 1 and UNKNOWN not in kinds
        else:
            whole = NEAR in kinds or own is not None and (own.kind == NEAR or ("Bangs", True) in own.states)
        if not whole:
            return None
        said += [own] if own else []
        states = dict(state for meaning in said for state in meaning.states)
        instead = dict.fromkeys(name for meaning in said for name in meaning.instead)
        return Meaning(NEAR, tuple(states.items()), tuple(instead), noun=True)


# ends of a word that tell the sex: "infantryman", "headmistress"
MEN = ("man", "men", "father", "master", "boy")
NO_MEN = {
    "norman",
    "everyman",
    "ottoman",
    "shaman",
    "talisman",
    "herman",
    "newman",
    "freeman",
    "goldman",
    "grandmaster",
}
WOMEN = ("woman", "women", "mother", "mistress", "lady", "girl", "maid")


def _by_ending(word: str) -> Meaning:
    """What a word says that no table holds: the sex, where its end tells it of an office or a trade."""
    for ends, male in ((WOMEN, False), (MEN, True)):
        if word not in NO_MEN and any(word.endswith(end) and len(word) > len(end) + 2 for end in ends):
            return Meaning(NEAR, (("Male", male),), noun=True)
    return Meaning(UNKNOWN)


# Words that steer what a "no" reaches, and such as hold a description together.
STEERING = {role: phrase_set("|".join(words)) for role, words in TABLE["steering"].items()}
DEGREES = phrase_set(
    "very|really|quite|so|too|slightly|rather|a bit|somewhat|extremely|super|kind of|kinda|a little|fairly|pretty|"
    "naturally|ol|ole|a|an|the|all|totally|completely|mostly|incredibly|such|any|at all|partly|unusually|noticeably"
)
COPULAS = phrase_set(
    "as|to|is|are|was|were|be|that|which|should|looks|look|being|isn't|aren't|s|has been|must|wasn't|kept|styled|of"
)
