"""Failed proofs of identity, written down for those who look after security.

Nothing of what was typed is kept: neither the password nor the address, in whose place people type passwords.
"""

from collections.abc import Collection

from application.kernel.ports.attempts import Limit
from application.kernel.ports.audit import Audit, Entry, Kind, Pseudonyms
from application.kernel.queries.auth import KnownCredential
from domain.kernel.errors import DomainError
from domain.kernel.identity.credentials import LoginDenied
from domain.kernel.users import Suspended, UserId

ENTRIES_OF_ACCOUNT = 20
"""That are told apart within an hour: from so many networks on, they are one attack."""

ENTRIES_OF_UNKNOWN = 200
"""Of all that are about no account, together: an attacker with many networks could go on for ever."""


class Failures:
    """Writes down what failed, for the use case that is about to refuse it. Each is committed by itself."""

    def __init__(self, audit: Audit, pseudonyms: Pseudonyms) -> None:
        self._audit = audit
        self._pseudonyms = pseudonyms

    async def of_password(self, email: str, known: KnownCredential | None, *, matches: bool) -> None:
        """A log-in with this address, which need not be one; and whether the password was right."""
        if known is None:
            reason = "unknown_address"
        else:
            reason = "suspended" if matches and known.suspended else "wrong_password"
        await self._of_address(Kind.LOG_IN_FAILED, reason, email, known)

    async def of_lock(self, email: str, known: KnownCredential | None, used_up: Collection[Limit]) -> None:
        """The log-in that has just failed was the last one that these limits allow for a while."""
        for limit in used_up:
            await self._of_address(Kind.LOCKED_OUT, limit.of, email, known)

    async def of_proof(self, user_id: UserId, used_up: Collection[Limit]) -> None:
        """A person who is logged in as this user did not know the password; perhaps for the last time."""
        await self._note(Entry(kind=Kind.PROOF_FAILED, reason="wrong_password", user_id=user_id, by=user_id))
        for limit in used_up:
            await self._note(Entry(kind=Kind.LOCKED_OUT, reason=limit.of, user_id=user_id, by=user_id))

    async def of_provider(self, provider: str, refusal: DomainError) -> None:
        """A log-in through a provider, which told us nothing that we believe, or of a suspended user."""
        if isinstance(refusal, LoginDenied):
            reason = "denied_there"
        else:
            reason = "suspended" if isinstance(refusal.__cause__, Suspended) else "not_believed"
        await self._note(Entry(kind=Kind.LOG_IN_FAILED, reason=reason, details={"provider": provider}))

    async def of_code(self) -> None:
        """A code that no log-in ended in, that was used before, or that another browser has."""
        await self._note(Entry(kind=Kind.LOG_IN_FAILED, reason="wrong_code"))

    async def _of_address(self, kind: Kind, reason: str, email: str, known: KnownCredential | None) -> None:
        user_id = None if known is None else known.user_id
        account = self._pseudonyms.of(email) if known is None else None
        await self._note(Entry(kind=kind, reason=reason, user_id=user_id, account=account))

    async def _note(self, entry: Entry) -> None:
        most = ENTRIES_OF_UNKNOWN if entry.user_id is None else ENTRIES_OF_ACCOUNT
        await self._audit.note(entry, most=most)
