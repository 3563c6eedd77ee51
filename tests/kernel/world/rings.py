"""Key rings in memory: of several processes on the same tables, at a time that a test moves."""

import asyncio
from typing import override

from joserfc.jwk import ECKey

from adapters.tokens.keyring import KeyRing, seal_key
from adapters.tokens.local import LocalIssuer, LocalTokenIssuer
from adapters.tokens.sealing import SIGNING_KEYS, JweSeal
from application.kernel.ports.world import Unavailable
from application.kernel.run import Runner
from domain.kernel.identity.signing_keys import SigningKey
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_signing_key, store
from kernel.world.fakes import FakeAuthQueries, FakeClock, MemoryTransactions

ISSUER = "https://api.example.com"
AUDIENCE = "shop"
LIFETIME = 600  # seconds
KEY_DAYS = 90
SECRET = "a secret of thirty-two characters"


def seal_of(secret: str) -> JweSeal:
    """The seal of signing keys under a secret."""
    return JweSeal(secret, SIGNING_KEYS)


class SwitchedQueries(FakeAuthQueries):
    """Counts what it is asked, and can be away, or slow: `hold` keeps everybody waiting until it is set."""

    def __init__(self, transactions: MemoryTransactions[UnitOfWork]) -> None:
        super().__init__(transactions)
        self.reads = 0
        self.away = False
        self.hold: asyncio.Event | None = None

    @override
    async def signing_keys(self) -> list[SigningKey]:
        self.reads += 1
        keys = await super().signing_keys()
        if self.hold is not None:
            await self.hold.wait()
        if self.away:
            raise Unavailable("The database does not answer.")
        return keys


class Processes:
    """What processes share: the tables, and the time."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.transactions = MemoryTransactions(self.clock, UnitOfWork)
        self.queries = SwitchedQueries(self.transactions)

    def ring(self, *, secret: str = SECRET) -> KeyRing:
        """The key ring of one more process."""
        return KeyRing(
            Runner(self.transactions),
            self.queries,
            seal=seal_of(secret),
            key_days=KEY_DAYS,
            token_seconds=LIFETIME,
            clock=self.clock,
            monotonic=lambda: self.clock().timestamp(),
        )

    def token_issuer(self, ring: KeyRing) -> LocalTokenIssuer:
        return LocalTokenIssuer(
            ring, issuer=ISSUER, audience=AUDIENCE, lifetime_seconds=LIFETIME, clock=self.clock
        )

    async def add(self, key: ECKey, *, number: int = 1, secret: str = SECRET) -> SigningKey:
        """A key that a test has itself, so that it can sign with it whatever it likes."""
        record = a_signing_key(number=number, kid=key.thumbprint(), sealed=seal_key(seal_of(secret), key))
        await store(self.transactions, record)
        return record

    async def stored(self) -> list[SigningKey]:
        return await FakeAuthQueries(self.transactions).signing_keys()


def local_issuer(ring: KeyRing) -> LocalIssuer:
    return LocalIssuer(ring, issuer=ISSUER, audience=AUDIENCE, longest_lifetime=LIFETIME)
