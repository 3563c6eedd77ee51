"""How many places, where something slow is done or waited for, one party may take at the same time."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from domain.kernel.identity.credentials import TooManyAttempts


class Places:
    """At most `most` for each party, in this process: what one of them floods, others find room in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one_of(self, party: str) -> Iterator[None]:
        """A place until the block ends; raises TooManyAttempts, at once, where the party has no more."""
        if self._taken[party] >= self._most:
            raise TooManyAttempts("Too many requests from here are being worked on.", retry_after=1)
        self._taken[party] += 1
        try:
            yield
        finally:
            self._taken[party] -= 1
            if not self._taken[party]:
                del self._taken[party]
