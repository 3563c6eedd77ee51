"""Passwords under argon2id, on threads of their own."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore, Lock

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerifyMismatchError

from application.kernel.ports.world import Unavailable

# The parameters of OWASP's Password Storage Cheat Sheet for argon2id: about 20 ms of one core.
MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
WAIT_SECONDS = 5.0  # by then the client has given up, or a proxy has for them


class Argon2Passwords:
    """At most `hashers` work at a time, each on a thread; `queue` more may wait, and the next is refused.

    A flood of log-ins so costs a bounded amount of memory and time, and never the event loop. No caller waits
    for longer than `wait_seconds`, however slow the machine is just now.
    """

    def __init__(self, *, hashers: int, queue: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._argon2 = PasswordHasher(PASSES, MEMORY_KIB, LANES, type=Type.ID)
        # Well formed, of today's cost, and the hash of nothing that anybody knows.
        self._nobodys = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${'A' * 22}${'A' * 43}"
        self._threads = ThreadPoolExecutor(hashers, thread_name_prefix="argon2")
        self._room = BoundedSemaphore(hashers + queue)
        self._counting = Lock()  # what has been hashed leaves on the hashers' threads
        self.hashers = hashers
        self.inside = 0
        """Passwords that are being hashed or wait for it."""
        self.refused = 0
        """How many found no room, or waited for too long."""
        self._wait_seconds = wait_seconds

    async def hash(self, password: str, /) -> str:
        """The password's hash in PHC form; raises Unavailable when too many wait, or for too long."""
        return await self._on_a_thread(lambda: self._argon2.hash(_as_bytes(password)))

    async def verify(self, password: str, stored: str | None, /) -> bool:
        """Takes as long for `None`, an unknown account, as for a wrong password; raises Unavailable."""
        matches = await self._on_a_thread(lambda: self._matches(password, stored or self._nobodys))
        return matches and stored is not None

    def is_outdated(self, stored: str, /) -> bool:
        """Made with other parameters than those of today."""
        return self._argon2.check_needs_rehash(stored)

    def _matches(self, password: str, stored: str) -> bool:
        try:
            return self._argon2.verify(stored, _as_bytes(password))
        except VerifyMismatchError:
            return False

    async def _on_a_thread[T](self, work: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            self.refused += 1
            raise Unavailable("Too many passwords wait to be hashed.")
        with self._counting:
            self.inside += 1
        future = self._threads.submit(work)
        # Also when the client has left: a client that hangs up while it waits makes room for the next.
        future.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError as late:
            self.refused += 1
            raise Unavailable("Passwords are hashed too slowly at the moment.") from late

    def _leave[T](self, _: Future[T]) -> None:
        with self._counting:
            self.inside -= 1
        self._room.release()


def _as_bytes(password: str) -> bytes:
    """One spelling for what looks the same (NIST SP 800-63B-4 §3.1.1.2), and never an error."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
