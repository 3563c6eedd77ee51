"""The stream `security` of the log: every note of the audit log, when it is committed, and who was refused.

Accounts are told by pseudonyms, the same each time: whoever reads the log recognises one, and does not learn
whose it is. Beside the user's own requests, whose lines have their id.
"""

from collections.abc import Collection
from typing import Final

import structlog

from application.kernel.origin import present_origin
from application.kernel.ports.audit import Kind, Note, Pseudonyms
from domain.kernel.users import UserId

log = structlog.get_logger("security")

_WARNINGS: Final[Collection[str]] = frozenset(
    {Kind.LOG_IN_FAILED, Kind.PROOF_FAILED, Kind.LOCKED_OUT, Kind.TOKEN_REUSED}
)


class SecurityLog:
    """A `Tell`."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms

    def __call__(self, note: Note) -> None:
        entry, origin = note.entry, note.origin
        write = log.warning if entry.kind in _WARNINGS else log.info
        write(
            str(entry.kind),
            audit_id=str(note.id),
            account=entry.account or self._account(entry.user_id),
            by=self._account(entry.by),
            reason=entry.reason,
            workspace_id=entry.workspace_id and str(entry.workspace_id),
            channel=origin.channel.value,
            client=origin.address,
            details=dict(entry.details),
        )

    def denied(self, user_id: UserId | None, rule: str) -> None:
        """Somebody who is known wanted what they may not do; in the log alone, since it changed nothing."""
        origin = present_origin()
        log.warning(
            "access_denied",
            by=self._account(user_id),
            reason=rule,
            channel=origin.channel.value,
            client=origin.address,
        )

    def _account(self, user_id: UserId | None) -> str | None:
        return None if user_id is None else self._pseudonyms.of(str(user_id))
