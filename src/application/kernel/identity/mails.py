"""The mails that events cause: to confirm an address, reset a password, invite, and tell of changed ways in.

Of a change its owner is told at the address that they have proved (OWASP ASVS 5.0, 6.3.7).
"""

from dataclasses import replace

from application.kernel.identity.letters import Letters
from application.kernel.identity.secret_tokens import fingerprint, new_secret
from application.kernel.ports.events import Delivery
from application.kernel.ports.mail import Mail, Mailer
from application.kernel.ports.world import Unavailable, WorldError
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.identity.auth import (
    EmailVerificationRequested,
    OneTimeToken,
    OneTimeTokenId,
    OneTimeTokenNotFound,
    OtherSessionsEnded,
    PasswordChanged,
    PasswordResetRequested,
)
from domain.kernel.identity.identities import IdentityLinked, IdentityUnlinked
from domain.kernel.invitations import InvitationNotFound, MemberInvited
from domain.kernel.users import (
    EmailChanged,
    EmailChangeRequested,
    User,
    UserDeleted,
    UserId,
    UserNotFound,
    UserRegistered,
)


class MailWaits(WorldError):
    """The mail could not be sent; it is tried again."""


class MailReactions:
    """The reactions that write to somebody.

    The mail leaves inside of the transaction that stores the fingerprint of its secret, which is made here:
    so no secret is stored, and each attempt has a fresh one. Should the transaction fail after that, the
    secret is good for nothing, and the next attempt sends another.

    It leaves before anything is stored: where the recipient has had too many mails and it is withheld, the
    secret of the mail before stays good.
    """

    def __init__(self, mailer: Mailer, letters: Letters) -> None:
        self._mailer = mailer
        self._letters = letters

    async def verify_address(
        self, uow: KernelUnitOfWork, delivery: Delivery[UserRegistered] | Delivery[EmailChangeRequested]
    ) -> None:
        """Whoever registers, or wants another address, is asked to prove it."""
        user = await _active(uow, delivery.event.user_id)
        if user is None or user.email_to_verify is None:
            return
        secret = new_secret()
        token = OneTimeToken.verify_email(
            id=OneTimeTokenId(new_id(uow.now)), user_id=user.id, email=user.email_to_verify, at=uow.now
        )
        if await self._send(self._letters.verify_email(user.email_to_verify, token=secret)):
            await uow.one_time_tokens.add(replace(token, token_hash=fingerprint(secret)))
            await uow.one_time_tokens.remove_earlier(token)

    async def verify_again(
        self, uow: KernelUnitOfWork, delivery: Delivery[EmailVerificationRequested]
    ) -> None:
        """The same, because the user asked for another mail."""
        token = await _waiting(uow, delivery.event.token_id)
        if token is None or token.user_id is None:
            return
        user = await _active(uow, token.user_id)
        if user is None or user.email_to_verify is None or user.email_to_verify != token.email:
            await uow.one_time_tokens.remove(token)
            return
        secret = new_secret()
        if not await self._send(self._letters.verify_email(token.email, token=secret)):
            await uow.one_time_tokens.remove(token)
            return
        await uow.one_time_tokens.save(replace(token, token_hash=fingerprint(secret)))
        await uow.one_time_tokens.remove_earlier(token)

    async def reset_password(self, uow: KernelUnitOfWork, delivery: Delivery[PasswordResetRequested]) -> None:
        """Whoever has the address gets the secret, or else the newest to claim it: a mail proves it.

        Where nobody does, the request is forgotten.
        """
        token = await _waiting(uow, delivery.event.token_id)
        if token is None or token.email is None:
            return
        user = await uow.users.recipient(token.email)
        if user is None or user.suspended_at is not None or token.has_expired(uow.now):
            await uow.one_time_tokens.remove(token)
            return
        secret = new_secret()
        if not await self._send(self._letters.reset_password(token.email, token=secret)):
            await uow.one_time_tokens.remove(token)
            return
        sent = await uow.one_time_tokens.save(replace(token, user_id=user.id, token_hash=fingerprint(secret)))
        await uow.one_time_tokens.remove_earlier(sent)

    async def invite(self, uow: KernelUnitOfWork, delivery: Delivery[MemberInvited]) -> None:
        """Whoever was invited gets the secret that accepts it, at the invited address and nowhere else."""
        try:
            invitation = await uow.invitations.get(delivery.event.invitation_id)
        except InvitationNotFound:  # withdrawn, or lapsed
            return
        if invitation.has_expired(uow.now):
            return
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
        if await self._send(mail):
            await uow.invitations.set_token(invitation, token_hash=fingerprint(secret))

    async def tell_of_password(self, uow: KernelUnitOfWork, delivery: Delivery[PasswordChanged]) -> None:
        """Whoever has a new password is told, in case that it was somebody else (NIST SP 800-63B-4 §4.6)."""
        user = await _active(uow, delivery.event.user_id)
        if user is not None and user.email is not None:
            await self._send(self._letters.password_changed(user.email, proved=user.email_verified))

    async def tell_of_email_change(
        self, uow: KernelUnitOfWork, delivery: Delivery[EmailChangeRequested]
    ) -> None:
        """Whoever has proved the address so far gets what undoes the change.

        Those of earlier changes stay good: one mail more must not make the first one worthless.
        """
        user = await _active(uow, delivery.event.user_id)
        if user is None or user.pending_email is None or user.verified_email is None:
            return
        secret = new_secret()
        token = OneTimeToken.undo_email_change(
            id=OneTimeTokenId(new_id(uow.now)),
            user_id=user.id,
            email=user.verified_email,
            token_hash=fingerprint(secret),
            at=uow.now,
        )
        mail = self._letters.email_change_requested(
            user.verified_email, pending=user.pending_email, token=secret
        )
        if await self._send(mail):
            await uow.one_time_tokens.add(token)

    async def tell_former_address(self, _: KernelUnitOfWork, delivery: Delivery[EmailChanged]) -> None:
        """Whoever had proved the address before is told that it is another one now."""
        if delivery.event.formerly is not None:
            await self._send(self._letters.email_changed(delivery.event.formerly))

    async def tell_of_deletion(self, _: KernelUnitOfWork, delivery: Delivery[UserDeleted]) -> None:
        """Whoever had proved the address of an account that is deleted is told."""
        if delivery.event.email is not None:
            await self._send(self._letters.account_deleted(delivery.event.email))

    async def tell_of_link(self, uow: KernelUnitOfWork, delivery: Delivery[IdentityLinked]) -> None:
        """Whoever can be logged in as in one more way is told; not who came into being by it."""
        user = await _active(uow, delivery.event.user_id)
        if user is not None and user.verified_email and user.created_at != delivery.event.at:
            issuer = delivery.event.issuer
            await self._send(self._letters.identity_linked(user.verified_email, issuer=issuer))

    async def tell_of_unlinking(self, uow: KernelUnitOfWork, delivery: Delivery[IdentityUnlinked]) -> None:
        """Whoever has lost a way to log in is told."""
        user = await _active(uow, delivery.event.user_id)
        if user is not None and user.verified_email:
            issuer = delivery.event.issuer
            await self._send(self._letters.identity_unlinked(user.verified_email, issuer=issuer))

    async def tell_of_sessions(self, uow: KernelUnitOfWork, delivery: Delivery[OtherSessionsEnded]) -> None:
        """Whoever was logged out elsewhere is told."""
        user = await _active(uow, delivery.event.user_id)
        if user is not None and user.verified_email:
            await self._send(self._letters.sessions_ended(user.verified_email))

    async def _send(self, mail: Mail) -> bool:
        """False where the recipient has had too many mails; then nothing is to be stored for this one."""
        try:
            return await self._mailer.send(mail)
        except Unavailable as away:
            # To the outbox, Unavailable is a world in which nothing can be delivered. Without its mail server
            # the service has other things to do, so this counts against the event.
            raise MailWaits(str(away)) from away


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
