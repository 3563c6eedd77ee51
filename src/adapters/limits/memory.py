"""Requests counted in this process: the times of each key's latest ones, which is exact in any window."""

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from time import monotonic

from application.kernel.ports.limits import Charge, Standing, Verdict

KEYS_MOST = 100_000  # 30 MB while most are used once in a while; each further request takes 8 bytes
_NEVER = array("d")


class MemoryRateLimits:
    """RateLimits of one process. Of more than `keys_most` keys, those not used for longest are forgotten."""

    def __init__(self, *, keys_most: int = KEYS_MOST, clock: Callable[[], float] = monotonic) -> None:
        """`clock` tells seconds that never go back."""
        self._keys_most = keys_most
        self._clock = clock
        self._times: OrderedDict[str, array[float]] = OrderedDict()
        self.allowed = 0
        self.refused = 0
        self.fell_back = 0

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._times)

    async def charge(self, charges: Sequence[Charge], /) -> Verdict:
        verdict = self.count(charges)
        if verdict.allowed:
            self.allowed += 1
        else:
            self.refused += 1
        return verdict

    def count(self, charges: Sequence[Charge], /) -> Verdict:
        """The same at once, and without the numbers for metrics."""
        now = self._clock()
        known = self._times
        found: list[tuple[array[float] | None, int, float]] = []
        allowed = True
        for key, policy in charges:
            times = known.get(key)
            used, until = 0, now + policy.window_seconds
            if times:
                known.move_to_end(key)
                begin = now - policy.window_seconds
                place = bisect_right(times, begin) if times[0] <= begin else 0
                used = len(times) - place
                if used:
                    until = times[place] + policy.window_seconds
                    if used >= policy.quota:
                        allowed = False
                if place > used:  # seldom, as it moves the others: so what is over costs little
                    del times[:place]
            found.append((times, used, until))
        if not allowed:
            # What is fewer than none left comes of a quota that has become smaller.
            pairs = zip(charges, found, strict=True)
            return Verdict(
                False,
                [
                    Standing(max(policy.quota - used, 0), until - now if used else 0.0)
                    for (_, policy), (_, used, until) in pairs
                ],
            )
        standings: list[Standing] = []
        for (key, policy), (times, used, until) in zip(charges, found, strict=True):
            if times is None:
                known[key] = array("d", (now,))
                if len(known) > self._keys_most:
                    known.popitem(last=False)
            else:
                times.append(now)
            standings.append(Standing(policy.quota - used - 1, until - now))
        return Verdict(True, standings)

    def look(self, charge: Charge) -> Standing:
        """How a key stands, without counting anything."""
        key, policy = charge
        now = self._clock()
        times = self._times.get(key, _NEVER)
        place = bisect_right(times, now - policy.window_seconds)
        used = len(times) - place
        return Standing(
            max(policy.quota - used, 0), times[place] - now + policy.window_seconds if used else 0
        )

    async def give_back(self, charges: Sequence[Charge], /) -> None:
        self.take_back(charges)

    def take_back(self, charges: Sequence[Charge], /) -> None:
        """The latest request of each key was none: which one it is makes no difference to a quota."""
        for key, _ in charges:
            times = self._times.get(key)
            if times:
                times.pop()
            if not times:
                self._times.pop(key, None)

    async def check(self) -> bool:
        return True

    async def close(self) -> None:
        self._times.clear()
