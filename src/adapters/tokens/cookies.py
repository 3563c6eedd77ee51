"""Whose session a cookie opens."""

import hmac
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from adapters.tokens.verified import VerifiedTokens
from application.kernel.identity.endings import Endings
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.identity.sessions import use_session
from application.kernel.ports.callers import Caller
from application.kernel.ports.storing import Clock
from application.kernel.ports.world import WorldError
from application.kernel.queries.auth import AuthQueries, KnownCookie
from application.kernel.run import Runner
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.errors import Stale, Unauthenticated
from domain.kernel.identity.sessions import SessionId, SessionNotFound

USES_RECORDED: Final = 20  # in the time after which an idle session ends: so much later, at most, is its end

log = structlog.get_logger(__name__)


class StoredCookieVerifier:
    """A CookieVerifier that asks the database once for each cookie.

    What it said is remembered for `recheck_seconds`, or until `endings` tell otherwise, as with tokens.
    `issuer` names the built-in provider; where its sessions are not `trusted` any more, no cookie is good.
    Where `idle` sessions end, their uses are recorded, a few of them.
    """

    def __init__(
        self,
        run: Runner[KernelUnitOfWork],
        queries: AuthQueries,
        *,
        lifetime: timedelta,
        idle: timedelta | None = None,
        issuer: str,
        cached: int,
        recheck_seconds: float,
        clock: Clock,
        trusted: bool = True,
        endings: Endings | None = None,
    ) -> None:
        self._run = run
        self._lifetime = lifetime
        self._idle = idle
        self._trusted = trusted
        self._queries = queries
        self._issuer = issuer
        self._verified = VerifiedTokens(cached)
        if endings is not None:
            endings.heard_by(self._verified.forget)
        self._recheck_seconds = recheck_seconds
        self._clock = clock
        self.refused: Counter[str] = Counter()
        """How many cookies were refused, by the reason that the log has."""

    async def verify(self, value: str, /) -> Caller:
        """Whose session it is; raises Unauthenticated, with the same words for every kind of bad cookie."""
        if not self._trusted:
            raise self._refused("the built-in issuer is not trusted")
        now = self._clock()
        key = self._verified.key(value)
        identity = self._verified.get(key, now=now.timestamp())
        if identity is None:
            look = self._verified.look()
            try:
                known = await self._known(value, now)
                identity = self._identity(known)
                until = min(known.expires_at.timestamp(), now.timestamp() + self._recheck_seconds)
                self._verified.put(key, identity, expires=until, look=look)
            finally:
                self._verified.leave(look)
        return identity

    async def _known(self, value: str, now: datetime) -> KnownCookie:
        session_id, secret = _parse(value)
        known = await self._queries.cookie(session_id) if session_id is not None else None
        if known is None or not hmac.compare_digest(known.token_hash, fingerprint(secret)):
            raise self._refused("no such session")
        if known.ended_at is not None or now >= known.expires_at:
            raise self._refused("its session has ended")
        if known.suspended_at is not None:
            raise self._refused("its user is suspended")
        await self._record(known, now)
        return known

    async def _record(self, known: KnownCookie, now: datetime) -> None:
        idle = self._idle
        if idle is None or now - known.used_at < idle / USES_RECORDED:
            return
        # The first request has recorded it, and the next request tries again.
        with suppress(Stale, SessionNotFound, WorldError):
            await self._run(use_session, known.session_id, lifetime=self._lifetime, idle=idle)

    def _identity(self, known: KnownCookie) -> Caller:
        return Caller(
            user_id=known.user_id,
            issuer=self._issuer,
            subject=str(known.user_id),
            roles=frozenset(known.roles),
            session_id=known.session_id,
            authenticated_at=known.authenticated_at,
        )

    def _refused(self, reason: str) -> Unauthenticated:
        self.refused[reason] += 1
        log.info("session cookie refused", reason=reason)
        return Unauthenticated("The session cookie is not valid.")


def _parse(value: str) -> tuple[SessionId | None, str]:
    session_id, _, secret = value.partition(".")
    try:
        return SessionId(UUID(hex=session_id)), secret
    except ValueError:
        return None, ""
