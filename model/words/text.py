"""A prompt made readable: no invisible characters, one form of every letter, words with their place in the text."""

import re
import unicodedata
from dataclasses import dataclass

# characters of a prompt that are looked at; the rest never fits CLIP's 77 tokens
LONGEST = 2000
# characters that are read: more than 77 tokens of English hold
READABLE = 400
# no word, and slow to part into tokens
LONG = re.compile(r"(\S{60})\S+")
# combining marks on one letter that are kept; more is decoration
MARKS = 4
SHORT = re.compile(r"'(?:s|d|ll|ve|re)$")
SPECIAL = re.compile(r"<\s*(?:start_of_text|end_of_text|\|startoftext\||\|endoftext\|)\s*>", re.IGNORECASE)
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# Unicode categories: formats, controls, surrogates, private use, unassigned
INVISIBLE = {"Cf", "Cc", "Cs", "Co", "Cn"}
SPACES = "\t\n\r\v\f\x00"


@dataclass(frozen=True)
class Token:
    """A word of a prompt."""

    # lower case, straight apostrophe
    text: str
    # in characters of the clean text
    start: int
    end: int
    # what stands between it and the word before
    gap: str


def clean(text: str) -> tuple[str, list[int]]:
    """A text without invisible characters (zero-width joiners, soft hyphens, direction marks), in composed form.

    Returns it with the place of each of its characters in `text`, and the length of `text` at the end. Control
    characters become spaces; a Latin letter keeps no mark that does not belong to it.
    """
    if text.isascii() and text.isprintable():
        return text, list(range(len(text) + 1))
    letters, places, at = [], [], 0
    while at < len(text):
        end = at + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        for sign in _composed(text[at:end][: 1 + MARKS]):
            letters.append(sign)
            places.append(at)
        at = end
    return "".join(letters), [*places, len(text)]


def _composed(letter: str) -> str:
    if letter[0] in SPACES:
        return " "
    if unicodedata.category(letter[0]) in INVISIBLE or "\ufe00" <= letter[0] <= "\ufe0f":
        return ""
    composed = unicodedata.normalize("NFKC", letter)
    if composed[0] in "’‘ʼ`´":
        composed = "'" + composed[1:]
    if len(composed) > 1 and unicodedata.name(composed[0], "").startswith(("LATIN", "ARABIC", "DIGIT")):
        composed = "".join(sign for sign in composed if not unicodedata.combining(sign))
    return composed


def for_clip(text: str) -> str:
    """What CLIP's tokenizer gets: clean, and without marks of a text's beginning and end, which drop what follows."""
    return LONG.sub(r"\1", SPECIAL.sub(" ", clean(text[:LONGEST])[0]))


def tokens(text: str) -> list[Token]:
    """The words of a clean text; hyphens part them, a possessive or short verb is left off ("girl's", "she'd")."""
    words, last = [], 0
    for match in WORD.finditer(text):
        word = match[0].lower().replace("’", "'")
        word = (
            SHORT.sub("", word) if word not in ("it's", "let's", "that's", "there's", "i'd", "i'll", "i've") else word
        )
        words.append(Token(word, match.start(), match.end(), text[last : match.start()]))
        last = match.end()
    return words
