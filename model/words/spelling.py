"""Typing errors: a word that is none, one letter or two swapped ones away from one that the tables know."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from model.words.text import Token

# rows of the keyboard, and letters that one hears or reads for one another
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# letters of a word that few others resemble
LONG = 7
ALIKE = ("aeiouy", "ckqsz", "gj", "mn", "bpv", "dt", "fpv", "lr", "vw", "il")


class Spelling:
    """Words by all that is left of them when one letter is missing (as in SymSpell, Garbe 2012)."""

    # letters of a word that is looked at; a shorter one is too near to others
    LEAST, MOST = 5, 20

    def __init__(self, meant: Iterable[str], others: Iterable[str] = ()):
        """`meant`: what an error can stand for; `others`: what is no error either."""
        self.meant = frozenset(meant)
        self.words = self.meant | frozenset(others)

    @cached_property
    def shortened(self) -> dict[str, list[str]]:
        """A word with one letter missing -> the words that it can be, the shortest first."""
        meant: dict[str, list[str]] = {}
        for word in sorted(self.meant, key=lambda word: (len(word), word)):
            if len(word) >= self.LEAST:
                for short in set(_missing(word)):
                    meant.setdefault(short, []).append(word)
        return meant

    def mended(self, token: Token) -> Token:
        """The token with the word that was meant, or as it is."""
        word = token.text
        if word in self.words or not self.LEAST - 1 <= len(word) <= self.MOST or not word.isalpha() or _is_word(word):
            return token
        meant = next((other for other in _swapped(word) if other in self.meant), "")
        # a letter is missing, is one too many, or is another
        longer = self.shortened.get(word, ())
        meant = meant or next((other for other in longer if word in _undoubled(other)), next(iter(longer), ""))
        least = {short: self.LEAST - (short in _undoubled(word)) for short in _missing(word)}
        meant = meant or next((short for short in least if short in self.meant and len(short) >= least[short]), "")
        others = (other for short in least for other in self.shortened.get(short, ()))
        meant = meant or next((other for other in others if _slipped(word, other)), "")
        return replace(token, text=meant) if meant else token


def _swapped(word: str) -> list[str]:
    """The word with two neighbouring letters swapped."""
    return [word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)]


def _missing(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at in range(len(word))]


def _undoubled(word: str) -> list[str]:
    """ "haiir" -> ["hair"]."""
    return [word[:at] + word[at + 1 :] for at in range(1, len(word)) if word[at] == word[at - 1]]


def _slipped(word: str, other: str) -> bool:
    """Whether one letter differs, of many or of two that a finger or an ear takes for one another."""
    differing = [pair for pair in zip(word, other, strict=False) if pair[0] != pair[1]]
    same = len(word) == len(other) and len(differing) == 1
    return same and (len(word) >= LONG or _mistaken(*differing[0]))


def _mistaken(first: str, second: str) -> bool:
    if any(first in group and second in group for group in ALIKE):
        return True
    (row, at), (other_row, other_at) = _key(first), _key(second)
    return row == other_row and abs(at - other_at) == 1 or row + 1 == other_row and 0 <= at - other_at <= 1


def _key(sign: str) -> tuple[int, int]:
    """Where a letter stands on the keyboard; far away for one that does not."""
    return next(((row, keys.index(sign)) for row, keys in enumerate(ROWS) if sign in keys), (99, 99))


def _is_word(word: str) -> bool:
    """Whether CLIP's tokenizer holds it as one token: then it is a common English word, and no typing error."""
    from model.clip import tokenizer

    return f"{word}</w>" in tokenizer().encoder
