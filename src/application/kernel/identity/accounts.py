"""Who is behind a claims: the user whom it names, made at first sight, and what they may do."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import NoReturn
from uuid import UUID

from application.kernel.identity.identities import admit_stranger, fill_in, link_identity, tells_more
from application.kernel.ports.callers import Caller, Claims, Reauthenticated, TokenVerifier
from application.kernel.ports.storing import Clock
from application.kernel.ports.world import Contention
from application.kernel.queries.identities import IdentityQueries, KnownSession, KnownUser
from application.kernel.run import Runner
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.errors import DomainError, Stale, Unauthenticated
from domain.kernel.identity.identities import Link, LinkedElsewhere, NothingToLink
from domain.kernel.identity.sessions import SessionEnded, SessionNotFound
from domain.kernel.users import DeletedMeanwhile, EmailTaken, GlobalRole, Suspended, UserId, UserNotFound

REFUSED = "The access token is not valid."
"""All that a bearer learns; the reason is the cause of the error."""

TRIES = 3


class KnownAccounts:
    """An `Accounts` that asks one question a claims, and admits users that the answer does not know.

    Nothing is remembered here: what a question answers is as true as the last commit.
    """

    def __init__(
        self,
        run: Runner[KernelUnitOfWork],
        queries: IdentityQueries,
        clock: Clock,
        *,
        local_issuer: str,
        trusted_for_email: Collection[str] = (),
        role_map: Mapping[str, Mapping[str, GlobalRole]] | None = None,
    ) -> None:
        """`role_map` says for an issuer which of its roles is which of ours."""
        self._run = run
        self._queries = queries
        self._clock = clock
        self._local_issuer = local_issuer
        self._trusted_for_email = frozenset(trusted_for_email)
        self._role_map = role_map or {}

    async def recognise(self, claims: Claims, /) -> Caller:
        """Who that is here; raises Unauthenticated, always with the same words, from the reason."""
        known: KnownUser | KnownSession
        if claims.issuer == self._local_issuer:
            known = session = await self._of_session(claims)
            authenticated_at = session.authenticated_at
        else:
            known = await self._linked(claims)
            authenticated_at = _instant(claims.authenticated_at)
        if known.suspended_at is not None:
            _refuse(Suspended())
        vouched = self._vouched(claims)
        return Caller(
            user_id=known.user_id,
            issuer=claims.issuer,
            subject=claims.subject,
            client=claims.client,
            scopes=claims.scopes,
            roles=vouched.union(known.roles),
            vouched=vouched,
            session_id=claims.session_id,
            authenticated_at=authenticated_at,
        )

    async def _of_session(self, claims: Claims) -> KnownSession:
        """The built-in provider's subjects are our users, and its tokens are as good as their session."""
        if claims.session_id is None:
            _refuse(SessionNotFound("The token names no session."))
        try:
            user_id = UserId(UUID(claims.subject))
        except ValueError:
            _refuse(SessionNotFound("The subject is no user id."))
        session = await self._queries.session(user_id, claims.session_id)
        if session is None:
            _refuse(SessionNotFound())
        if session.ended_at is not None or session.expires_at <= self._clock():
            _refuse(SessionEnded())
        return session

    async def _linked(self, claims: Claims) -> KnownUser:
        for _ in range(TRIES):
            known = await self._queries.linked(claims.issuer, claims.subject)
            if known is not None:
                await self._fill_in(known, claims)
                return known
            try:
                user = await self._run(
                    admit_stranger, claims, email_trusted=claims.issuer in self._trusted_for_email
                )
            except (LinkedElsewhere, EmailTaken):
                continue  # another request at the same time was first: now there is something to find
            except DeletedMeanwhile:
                _refuse(DeletedMeanwhile())
            return KnownUser(user.id, user.roles, user.suspended_at)
        raise LinkedElsewhere

    async def _fill_in(self, known: KnownUser, claims: Claims) -> None:
        trusted = claims.issuer in self._trusted_for_email
        lacks = {"lacks_email": known.lacks_email, "lacks_name": known.lacks_name}
        if known.suspended_at is None and tells_more(claims, **lacks, email_trusted=trusted):
            # Another request was first, or another user has the address by now: that is no refusal.
            with suppress(Stale, EmailTaken, UserNotFound, Contention):
                await self._run(fill_in, known.user_id, claims, email_trusted=trusted)

    def _vouched(self, claims: Claims) -> frozenset[GlobalRole]:
        """The provider's roles that the settings map."""
        mapped = self._role_map.get(claims.issuer, {})
        return frozenset(mapped[role] for role in claims.roles if role in mapped)


class Linking:
    """Links by claims: a user who is logged in here shows a token of the other provider."""

    def __init__(self, run: Runner[KernelUnitOfWork], tokens: TokenVerifier, *, local_issuer: str) -> None:
        self._run = run
        self._tokens = tokens
        self._local_issuer = local_issuer

    async def link(self, actor: Reauthenticated, *, token: str) -> Link:
        """Everybody may link the account of a provider that they have an access token of.

        It is one more way to log in, so it takes a fresh proof of who they are, and they are told by mail.
        Refused when it is another user's, unless that user came into being by such a token and did nothing
        yet: then the two become one.
        """
        try:
            claims = await self._tokens.read(token)
        except Unauthenticated as reason:  # of the body; the caller's own token was good
            raise NothingToLink(REFUSED, field="token") from reason
        if claims.issuer == self._local_issuer:
            raise NothingToLink("It is this service's own; send one of the other provider.", field="token")
        try:
            return await self._run(link_identity, actor, claims)
        except LinkedElsewhere:
            # Perhaps only just now, by this very token at another endpoint; then it can be resolved.
            return await self._run(link_identity, actor, claims)


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _refuse(reason: DomainError) -> NoReturn:
    raise Unauthenticated(REFUSED) from reason
