"""Whether the signing keys are of use to this process, seen without waiting for what requests wait for."""

from collections.abc import Sequence

from adapters.tokens.keyring import unseal_key
from application.kernel.ports.logins import Seal
from application.kernel.ports.storing import Clock
from application.kernel.ports.world import Unavailable
from application.kernel.queries.auth import AuthQueries
from domain.kernel.identity.signing_keys import SigningKey, signing_key


class SealedKeys:
    """The signing keys as they are stored. `queries` answers over a connection of its own."""

    def __init__(self, queries: AuthQueries, seal: Seal, clock: Clock) -> None:
        self._queries = queries
        self._seal = seal
        self._clock = clock
        self._unsealed: tuple[str, str] | None = None

    async def usable(self) -> bool:
        """Whether the key that signs can be unsealed. Without one it is: a process makes it when it needs it.

        Raises Unavailable, with the reason, where it cannot, and WorldError where the keys cannot be read.
        """
        records: Sequence[SigningKey] = await self._queries.signing_keys()
        if not records:
            return True
        record = signing_key(records, at=self._clock())
        if self._unsealed != (record.kid, record.sealed):  # nor is it unsealed again each time
            if unseal_key(self._seal, record) is None:
                raise Unavailable("AUTH_SECRET is not the one that the signing key was sealed with.")
            self._unsealed = (record.kid, record.sealed)
        return True
