"""Typing errors: a word that is none, one letter or two swapped ones away from one that the tables know."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from model.words.text import Token


class Spelling:
    """Words by all that is left of them when one letter is missing (as in SymSpell, Garbe 2012)."""

    # letters of a word that is looked at; a shorter one is too near to others
    LEAST, MOST = 5, 20

    def __init__(self, words: Iterable[str]):
        self.words = frozenset(words)

    @cached_property
    def shortened(self) -> dict[str, str]:
        """A word with one letter missing -> the word."""
        meant: dict[str, str] = {}
        for word in sorted(self.words, key=len):
            if len(word) >= self.LEAST:
                for short in _missing(word):
                    meant.setdefault(short, word)
        return meant

    def mended(self, token: Token) -> Token:
        """The token with the word that was meant, or as it is."""
        word = token.text
        if word in self.words or not self.LEAST - 1 <= len(word) <= self.MOST or not word.isalpha() or _is_word(word):
            return token
        if swapped := next((other for other in _swapped(word) if other in self.words), ""):
            return replace(token, text=swapped)
        for short in (word, *_missing(word)):
            if short in self.words and len(short) >= self.LEAST or short in self.shortened:
                return replace(token, text=short if short in self.words else self.shortened[short])
        return token


def _swapped(word: str) -> list[str]:
    """The word with two neighbouring letters swapped."""
    return [word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)]


def _missing(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at in range(len(word))]


def _is_word(word: str) -> bool:
    """Whether CLIP's tokenizer holds it as one token: then it is a common English word, and no typing error."""
    from model.clip import tokenizer

    return f"{word}</w>" in tokenizer().encoder
