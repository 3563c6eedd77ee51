"""Who is behind a proof: the user whom it names, made at first sight, and what they may do."""

from collections.abc import Collection, Mapping
from typing import NoReturn
from uuid import UUID

from application.kernel.identity.identities import admit_stranger, link_identity
from application.kernel.permissions import GLOBAL_GRANTS, Permission
from application.kernel.ports import Clock, Identity, Proof, TokenVerifier
from application.kernel.queries.identities import IdentityQueries, KnownSession, KnownUser
from application.kernel.run import Runner
from domain.kernel.errors import DomainError, Unauthenticated
from domain.kernel.identity.auth import SessionEnded, SessionNotFound
from domain.kernel.identity.identities import Link, LinkedElsewhere, NothingToLink
from domain.kernel.users import EmailTaken, GlobalRole, Suspended, UserId

REFUSED = "The access token is not valid."
"""All that a bearer learns; the reason is the cause of the error."""

ATTEMPTS = 3


class KnownAccounts:
    """An `Accounts` that asks one question a proof, and admits whoever the answer does not know.

    Nothing is remembered here: what a question answers is as true as the last commit.
    """

    def __init__(
        self,
        run: Runner,
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

    async def recognise(self, proof: Proof, /) -> Identity:
        """Who that is here; raises Unauthenticated, always with the same words, from the reason."""
        known = await (self._of_session(proof) if proof.issuer == self._local_issuer else self._linked(proof))
        if known.suspended_at is not None:
            _refuse(Suspended())
        return Identity(
            user_id=known.user_id,
            issuer=proof.issuer,
            subject=proof.subject,
            client=proof.client,
            scopes=proof.scopes,
            permissions=self._permissions(known.roles, proof),
            session_id=proof.session_id,
        )

    async def _of_session(self, proof: Proof) -> KnownSession:
        """The built-in provider's subjects are our users, and its tokens are as good as their session."""
        if proof.session_id is None:
            _refuse(SessionNotFound("The token names no session."))
        try:
            user_id = UserId(UUID(proof.subject))
        except ValueError:
            _refuse(SessionNotFound("The subject is no user id."))
        session = await self._queries.session(user_id, proof.session_id)
        if session is None:
            _refuse(SessionNotFound())
        if session.ended_at is not None or session.expires_at <= self._clock():
            _refuse(SessionEnded())
        return session

    async def _linked(self, proof: Proof) -> KnownUser:
        for _ in range(ATTEMPTS):
            known = await self._queries.linked(proof.issuer, proof.subject)
            if known is not None:
                return known
            try:
                user = await self._run(
                    admit_stranger, proof, email_trusted=proof.issuer in self._trusted_for_email
                )
            except (LinkedElsewhere, EmailTaken):
                continue  # another request at the same time was first: now there is something to find
            return KnownUser(user.id, user.roles, user.suspended_at)
        raise LinkedElsewhere

    def _permissions(self, stored: Collection[GlobalRole], proof: Proof) -> frozenset[Permission]:
        """What the roles that are stored grant, and those of the provider's that the settings map."""
        mapped = self._role_map.get(proof.issuer, {})
        roles = {*stored, *(mapped[role] for role in proof.roles if role in mapped)}
        return frozenset().union(*(GLOBAL_GRANTS[role] for role in roles))


class Linking:
    """Links by proof: whoever is logged in here shows a token of the other provider."""

    def __init__(self, run: Runner, tokens: TokenVerifier, *, local_issuer: str) -> None:
        self._run = run
        self._tokens = tokens
        self._local_issuer = local_issuer

    async def link(self, actor: Identity, *, token: str) -> Link:
        """Everybody may link the account of a provider that they have an access token of.

        Refused when it is another user's, unless that user came into being by such a token and did nothing
        yet: then the two become one.
        """
        try:
            proof = await self._tokens.prove(token)
        except Unauthenticated as reason:  # of the body; the caller's own token was good
            raise NothingToLink(REFUSED, field="token") from reason
        if proof.issuer == self._local_issuer:
            raise NothingToLink("It is this service's own; send one of the other provider.", field="token")
        try:
            return await self._run(link_identity, actor, proof)
        except LinkedElsewhere:
            # Perhaps only just now, by this very token at another endpoint; then it can be resolved.
            return await self._run(link_identity, actor, proof)


def _refuse(reason: DomainError) -> NoReturn:
    raise Unauthenticated(REFUSED) from reason
