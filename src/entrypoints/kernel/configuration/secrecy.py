"""How hard a secret is to guess, as far as its text alone can tell."""

import re
from collections import Counter
from itertools import pairwise
from math import log2

LEAST_CHARACTERS = 32
LEAST_BITS = 64  # `openssl rand -hex 16`, of 128 bits, looks like 74 to 115; the command `secret` like 180

_READ = 512  # characters; more add nothing to a secret that is good
_REPEATED = re.compile(r"(.+?)\1+", re.DOTALL)


def apparent_bits(secret: str) -> float:
    """Shannon's entropy of its characters, in bits. What repeats, and 0123 or dcba, counts once.

    An upper bound: a sentence out of a book looks well, and is not.
    """
    once = _without_runs(_REPEATED.sub(r"\1", secret[:_READ]))
    counts = Counter(once).values()
    return sum(count * log2(len(once) / count) for count in counts)


def _without_runs(text: str) -> str:
    """Without the characters that go on as the two before them began: by steps of one, up or down."""
    codes = [ord(character) for character in text]
    steps = [after - before for before, after in pairwise(codes)]
    goes_on = [abs(step) == 1 and step == before for before, step in pairwise(steps)]
    return text[:2] + "".join(text[at] for at, going in enumerate(goes_on, start=2) if not going)
