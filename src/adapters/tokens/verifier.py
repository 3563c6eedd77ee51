"""Whom a bearer token speaks for: the issuer that it names decides, among those that are trusted."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import structlog

from adapters.tokens.compact import BadTokenError, Compact, read_compact
from adapters.tokens.verified import VerifiedTokens
from application.kernel.identity.endings import Endings
from application.kernel.ports.callers import Accounts, Caller, Claims
from application.kernel.ports.storing import Clock
from domain.kernel.errors import Unauthenticated

log = structlog.get_logger(__name__)


class Issuer(Protocol):
    """One issuer that is trusted: its keys, its algorithms, and how its access tokens are known."""

    @property
    def names(self) -> Collection[str]:
        """What its tokens have as `iss`, to the letter."""

    async def read(self, token: str, read: Compact, /, *, now: float) -> Claims:
        """What the token says, once its signature and its claims were found good at `now` (Unix seconds).

        `read` is the token, read strictly and not yet believed. Raises BadTokenError, and Unavailable where
        the issuer's keys cannot be had.
        """


class IssuedTokenVerifier:
    """A TokenVerifier for the tokens of one or several issuers.

    What was verified is remembered for `recheck_seconds`, and never past the token's expiry: so long, at
    most, does a token outlive its session, its key, or its user's suspension; and not at all where this
    process has ended the session, which `endings` tell.
    """

    def __init__(
        self,
        issuers: Collection[Issuer],
        accounts: Accounts,
        *,
        longest_token: int,
        cached: int,
        recheck_seconds: float,
        clock: Clock,
        endings: Endings | None = None,
    ) -> None:
        self._issuers = {name: issuer for issuer in issuers for name in issuer.names}
        self._accounts = accounts
        self._longest_token = longest_token
        self._verified = VerifiedTokens(cached)
        if endings is not None:
            endings.heard_by(self._verified.forget)
        self._recheck_seconds = recheck_seconds
        self._clock = clock
        self.refused: Counter[str] = Counter()
        """How many tokens were refused, by the reason that the log has. Reasons come from the code alone."""

    async def verify(self, token: str, /) -> Caller:
        """Who the bearer is; raises Unauthenticated, with the same words for every kind of bad token."""
        now = self._clock().timestamp()
        if len(token) > self._longest_token:  # before anything is done that takes longer with its length
            raise self._refused(BadTokenError(f"longer than {self._longest_token} bytes"), {})
        key = self._verified.key(token)
        identity = self._verified.get(key, now=now)
        if identity is None:
            proof = await self._prove(token, now)
            look = self._verified.look()
            try:
                identity = await self._accounts.recognise(proof)
                until = min(proof.expires_at, now + self._recheck_seconds)
                self._verified.put(key, identity, expires=until, look=look)
            except Unauthenticated as error:
                self.refused[type(error.__cause__ or error).__name__] += 1
                log.info(
                    "access token refused",
                    reason=_told(error.__cause__),
                    subject_sha256=_hashed(proof.subject),
                )
                raise
            finally:
                self._verified.leave(look)
        return identity

    async def read(self, token: str, /) -> Claims:
        """What the token says, whoever that may be here; raises Unauthenticated as `verify` does."""
        return await self._prove(token, self._clock().timestamp())

    async def _prove(self, token: str, now: float) -> Claims:
        claims: dict[str, Any] = {}
        try:
            read = read_compact(token, longest=self._longest_token)
            claims = read.payload
            issuer = claims.get("iss")
            trusted = self._issuers.get(issuer) if isinstance(issuer, str) else None
            if trusted is None:
                raise BadTokenError("another issuer", came=issuer, wanted=tuple(self._issuers))
            return await trusted.read(token, read, now=now)
        except BadTokenError as reason:
            raise self._refused(reason, claims) from None

    def _refused(self, reason: BadTokenError, claims: Mapping[str, Any]) -> Unauthenticated:
        # Never the token, and of its name a digest: the log must not become a way in.
        self.refused[str(reason)] += 1
        log.info("access token refused", **reason.log_fields, jti_sha256=_hashed(claims.get("jti")))
        return Unauthenticated("The access token is not valid.")


def _told(cause: BaseException | None) -> str:
    """The class of the reason, and what it says of the case where it says anything."""
    return ": ".join(filter(None, (type(cause).__name__, str(cause))))


def _hashed(name: object) -> str | None:
    if not isinstance(name, str):
        return None
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
