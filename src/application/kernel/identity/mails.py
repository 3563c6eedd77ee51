"""The mails that events cause: to confirm an address, reset a password, invite, and tell of changed ways in.

Of a change its owner is told at the address that they have proved (OWASP ASVS 5.0, 6.3.7).
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid5

from application.kernel.identity.letters import Letters
from application.kernel.identity.secret_tokens import fingerprint, new_secret
from application.kernel.ports.events import Delivery, Lane, Outgoing, named, nothing
from application.kernel.ports.mail import Mail, Mailer
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.identity.credentials import PasswordChanged
from domain.kernel.identity.identities import IdentityLinked, IdentityUnlinked
from domain.kernel.identity.one_time_tokens import (
    EmailVerificationRequested,
    OneTimeToken,
    OneTimeTokenId,
    OneTimeTokenNotFound,
    PasswordResetRequested,
    Purpose,
)
from domain.kernel.identity.sessions import OtherSessionsEnded
from domain.kernel.invitations import Invitation, InvitationId, InvitationNotFound, MemberInvited
from domain.kernel.users import (
    Email,
    EmailChanged,
    EmailChangeRequested,
    User,
    UserDeleted,
    UserId,
    UserNotFound,
    UserRegistered,
)

MAIL = Lane("mail", passes_parked=True)
"""Each mail says what is so when it leaves, so one that is parked need not hold up the next ones."""


class MailReactions:
    """The reactions that write to people, each outside of every transaction (docs/decisions/0038).

    The fingerprint of a mail's secret, which is made here, is stored after the mail was handed over: so no
    secret is stored, and each attempt has a fresh one. Should the process die in between, the secret is good
    for nothing, and the next attempt sends another.

    Where the recipient has had too many mails and it is withheld, the secret of the mail before stays good.

    Before a mail leaves, a token without a fingerprint is stored, which opens nothing. What makes void what
    was mailed (a changed password, an undone change of address) removes it, too: the secret of a mail that is
    on its way at that moment is never stored.
    """

    def __init__(self, mailer: Mailer, letters: Letters) -> None:
        self._mailer = mailer
        self._letters = letters

    async def verify_address(
        self, uow: KernelUnitOfWork, delivery: Delivery[UserRegistered] | Delivery[EmailChangeRequested]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """A user who registers, or wants another address, is asked to prove it."""
        user_id = delivery.event.user_id
        user = await _active(uow, user_id)
        if user is None or user.email_to_verify is None:
            return None
        email, secret = user.email_to_verify, new_secret()
        id = _token_of(delivery, Purpose.VERIFY_EMAIL)
        await _announce(uow, OneTimeToken.verify_email(id=id, user_id=user_id, email=email, at=uow.now))

        async def stored(uow: KernelUnitOfWork, sent: bool, /) -> None:
            token = await self._to_verify(uow, id)
            if token is not None and await _completed(uow, token, secret if sent else None):
                await uow.one_time_tokens.remove_earlier(token)

        return self._leaving(self._letters.verify_email(email, token=secret), stored)

    async def verify_again(
        self, uow: KernelUnitOfWork, delivery: Delivery[EmailVerificationRequested]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """The same, because the user asked for another mail, unless that was too long ago."""
        token = await self._to_verify(uow, delivery.event.token_id)
        if token is None or token.email is None:
            return None
        secret = new_secret()

        async def stored(uow: KernelUnitOfWork, sent: bool, /) -> None:
            token = await self._to_verify(uow, delivery.event.token_id)
            if token is not None and await _completed(uow, token, secret if sent else None):
                await uow.one_time_tokens.remove_earlier(token)

        return self._leaving(self._letters.verify_email(token.email, token=secret), stored)

    async def reset_password(
        self, uow: KernelUnitOfWork, delivery: Delivery[PasswordResetRequested]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """The owner of the address gets the secret, or else the newest to claim it: a mail proves it.

        Where there is none, or the request has expired meanwhile, it is forgotten.
        """
        found = await self._to_reset(uow, delivery.event.token_id)
        if found is None:
            return None
        _, email, user_id = found
        secret = new_secret()

        async def stored(uow: KernelUnitOfWork, sent: bool, /) -> None:
            found = await self._to_reset(uow, delivery.event.token_id)
            if found is None:
                return
            token, _, still = found
            if not sent or still != user_id:
                await uow.one_time_tokens.remove(token)
                return
            token = replace(token, user_id=user_id, token_hash=fingerprint(secret))
            await uow.one_time_tokens.remove_earlier(await uow.one_time_tokens.save(token))

        return self._leaving(self._letters.reset_password(email, token=secret), stored)

    async def invite(
        self, uow: KernelUnitOfWork, delivery: Delivery[MemberInvited]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """The invited address gets the secret that accepts it, at the invited address and nowhere else."""
        invitation = await _open_invitation(uow, delivery.event.invitation_id)
        if invitation is None:
            return None
        workspace = await uow.workspaces.get(invitation.workspace_id)
        inviter = await uow.users.get(invitation.invited_by)
        secret = new_secret()
        mail = self._letters.invitation(
            invitation.email,
            workspace=workspace.name,
            inviter=inviter.display_name,
            role=invitation.role,
            expires_at=invitation.expires_at,
            token=secret,
        )

        async def stored(uow: KernelUnitOfWork, sent: bool, /) -> None:
            invitation = await _open_invitation(uow, delivery.event.invitation_id)
            if sent and invitation is not None:
                await uow.invitations.set_token(invitation, token_hash=fingerprint(secret))

        return self._leaving(mail, stored)

    async def tell_of_password(
        self, uow: KernelUnitOfWork, delivery: Delivery[PasswordChanged]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """A user is told of a new password, in case that another person set it (NIST SP 800-63B-4 §4.6)."""
        user = await _active(uow, delivery.event.user_id)
        if user is None or user.email is None:
            return None
        return self._leaving(self._letters.password_changed(user.email, proved=user.email_verified))

    async def change_address(
        self, uow: KernelUnitOfWork, delivery: Delivery[EmailChangeRequested]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """The owner of the address so far gets what undoes the change; then the new one is proved.

        In this order, so that no change is confirmed before its undoing is on its way. The secrets of
        earlier changes stay good: one mail more must not make the first one worthless.
        """
        user_id = delivery.event.user_id
        user = await _active(uow, user_id)
        if user is None or user.pending_email is None:
            return None
        if user.verified_email is None:
            return await self.verify_address(uow, delivery)
        email, secret = user.verified_email, new_secret()
        mail = self._letters.email_change_requested(email, pending=user.pending_email, token=secret)
        id = _token_of(delivery, Purpose.UNDO_EMAIL_CHANGE)
        await _announce(uow, OneTimeToken.undo_email_change(id=id, user_id=user_id, email=email, at=uow.now))

        async def stored(uow: KernelUnitOfWork, sent: bool, /) -> None:
            token = await _waiting(uow, id)
            if token is not None:
                await _completed(uow, token, secret if sent else None)

        return replace(self._leaving(mail, stored), then=VERIFY_ADDRESS)

    async def tell_former_address(
        self, _: KernelUnitOfWork, delivery: Delivery[EmailChanged]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """The owner of the former address is told that it is another one now."""
        if delivery.event.formerly is None:
            return None
        return self._leaving(self._letters.email_changed(delivery.event.formerly))

    async def tell_of_deletion(
        self, _: KernelUnitOfWork, delivery: Delivery[UserDeleted]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """The owner of the address of a deleted account is told."""
        if delivery.event.email is None:
            return None
        return self._leaving(self._letters.account_deleted(delivery.event.email))

    async def tell_of_link(
        self, uow: KernelUnitOfWork, delivery: Delivery[IdentityLinked]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """A user is told of one more way to log in; not one who came into being by it."""
        user = await _active(uow, delivery.event.user_id)
        if user is None or not user.verified_email or user.created_at == delivery.event.at:
            return None
        return self._leaving(self._letters.identity_linked(user.verified_email, issuer=delivery.event.issuer))

    async def tell_of_unlinking(
        self, uow: KernelUnitOfWork, delivery: Delivery[IdentityUnlinked]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """A user is told of a way to log in that is lost."""
        user = await _active(uow, delivery.event.user_id)
        if user is None or not user.verified_email:
            return None
        return self._leaving(
            self._letters.identity_unlinked(user.verified_email, issuer=delivery.event.issuer)
        )

    async def tell_of_sessions(
        self, uow: KernelUnitOfWork, delivery: Delivery[OtherSessionsEnded]
    ) -> Outgoing[KernelUnitOfWork] | None:
        """A user is told that they were logged out elsewhere."""
        user = await _active(uow, delivery.event.user_id)
        if user is None or not user.verified_email:
            return None
        return self._leaving(self._letters.sessions_ended(user.verified_email))

    def _leaving(
        self, mail: Mail, stored: Callable[[KernelUnitOfWork, bool], Awaitable[None]] = nothing
    ) -> Outgoing[KernelUnitOfWork]:
        """`stored` is told False where the recipient has had too many mails: nothing is to be stored then."""
        return Outgoing(lambda: self._mailer.send(mail), stored)

    async def _to_verify(self, uow: KernelUnitOfWork, id: OneTimeTokenId) -> OneTimeToken | None:
        """The token that is to prove an address; one that no longer can is removed."""
        token = await _waiting(uow, id)
        if token is None or token.user_id is None:
            return None
        user = await _active(uow, token.user_id)
        pending = user.email_to_verify if user is not None else None
        if pending is None or pending != token.email or token.has_expired(uow.now):
            await uow.one_time_tokens.remove(token)
            return None
        return token

    async def _to_reset(
        self, uow: KernelUnitOfWork, id: OneTimeTokenId
    ) -> tuple[OneTimeToken, Email, UserId] | None:
        """The token that is to reset a password, and whose; one that no longer can is removed."""
        token = await _waiting(uow, id)
        if token is None or token.email is None:
            return None
        user = await uow.users.recipient(token.email)
        if user is None or user.suspended_at is not None or token.has_expired(uow.now):
            await uow.one_time_tokens.remove(token)
            return None
        return token, token.email, user.id


VERIFY_ADDRESS = named(MailReactions.verify_address)


async def _active(uow: KernelUnitOfWork, user_id: UserId) -> User | None:
    try:
        user = await uow.users.get(user_id)
    except UserNotFound:
        return None
    return user if user.suspended_at is None else None


async def _waiting(uow: KernelUnitOfWork, token_id: OneTimeTokenId) -> OneTimeToken | None:
    try:
        return await uow.one_time_tokens.get(token_id)
    except OneTimeTokenNotFound:
        return None


def _token_of(delivery: Delivery[Any], purpose: Purpose) -> OneTimeTokenId:
    """The same for each attempt, so that attempts leave one token and not many."""
    return OneTimeTokenId(uuid5(delivery.id, purpose))


async def _announce(uow: KernelUnitOfWork, token: OneTimeToken) -> None:
    """Stores a token without a fingerprint, in place of that of an attempt before."""
    before = await _waiting(uow, token.id)
    if before is not None:
        await uow.one_time_tokens.remove(before)
    await uow.one_time_tokens.add(token)


async def _completed(uow: KernelUnitOfWork, token: OneTimeToken, secret: str | None) -> bool:
    """Stores the fingerprint of what was mailed; where nothing was, forgets the token and returns False."""
    if secret is None:
        await uow.one_time_tokens.remove(token)
        return False
    await uow.one_time_tokens.save(replace(token, token_hash=fingerprint(secret)))
    return True


async def _open_invitation(uow: KernelUnitOfWork, id: InvitationId) -> Invitation | None:
    """None where it was withdrawn, or has lapsed or expired."""
    try:
        invitation = await uow.invitations.get(id)
    except InvitationNotFound:
        return None
    return None if invitation.has_expired(uow.now) else invitation
