"""Counts word errors between what was said and what was written down.

Both sides go through the same plain rules, which take away what is a matter of spelling and no more: case,
punctuation, digits for number words, and sounds of hesitation, which Whisper is trained to leave out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import jiwer

_HESITATIONS: Final = frozenset({"uh", "um", "uhm", "er", "erm", "hm", "hmm", "mm", "mhm"})
_SAME: Final = {
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "ok": "okay",
    "alright": "all right",
    "yknow": "you know",
    "gonna": "going to",
}
_ONES: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# In brackets stands what is no word: [laughter], <noise>, {CG}.
_BRACKETED: Final = re.compile(r"\[[^\]]*\]|<[^>]*>|\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Score:
    """Word errors (substitutions, deletions and insertions) and how many words were said."""

    errors: int
    words: int

    def __add__(self, other: "Score") -> "Score":
        return Score(self.errors + other.errors, self.words + other.words)

    @property
    def percent(self) -> float:
        """Errors in a hundred words."""
        return 100 * self.errors / self.words if self.words else 0.0


def score(reference: str, text: str) -> Score:
    """The word errors of `text`, counted on the shortest way from one to the other (Levenshtein)."""
    said, written = comparable(reference), comparable(text)
    if not said:
        return Score(len(written), 0)
    alignment = jiwer.process_words(" ".join(said), " ".join(written))
    return Score(alignment.substitutions + alignment.deletions + alignment.insertions, len(said))


def total(scores: Iterable[Score]) -> Score:
    """All scores as one: errors over words, so that a long recording counts more than a short one."""
    return sum(scores, Score(0, 0))


def comparable(text: str) -> list[str]:
    """The words of a text in the form in which they are compared."""
    plain = _BRACKETED.sub(" ", text).lower().replace("\u2019", "'")  # the curly one that books print
    words: list[str] = []
    for raw in re.findall(r"[a-z']+|[0-9]+", plain):
        word = raw.strip("'")
        spoken = _spoken(int(word)) if word.isdigit() else _SAME.get(word, word)
        words += spoken.split()
    return [word for word in words if word not in _HESITATIONS]


def _spoken(number: int) -> str:
    """A number below a hundred in words; a larger one as it is, because there is more than one way to say it."""
    if number < len(_ONES):
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f" {_ONES[ones]}" if ones else "")
    return str(number)
