"""How much of what is known to be said a transcript has. It decides nothing about what follows from that."""

from collections.abc import Sequence
from difflib import SequenceMatcher


def share_heard(said: Sequence[str], text: str) -> float:
    """Which share of the words `said` the `text` has in their order, 0 to 1.

    Args:
        said: lower-case words without punctuation; at least one.
        text: as a model writes it, with capitals and punctuation.
    """
    words = ["".join(filter(str.isalnum, word)).lower() for word in text.split()]
    blocks = SequenceMatcher(a=said, b=words, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(said)
