"""What happens to the links between users and the accounts that providers keep of them."""

from contextlib import suppress

from application.kernel.identity.addresses import take_address
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.ports.callers import Claims, Reauthenticated
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.errors import DomainError, Invalid
from domain.kernel.identity.identities import Link, LinkedElsewhere, LinkId, LinkNotFound, LinksRemoved
from domain.kernel.identity.one_time_tokens import OneTimeToken, OneTimeTokenId, OneTimeTokenNotFound
from domain.kernel.users import (
    UNNAMED,
    DeletedMeanwhile,
    Email,
    EmailTaken,
    User,
    UserId,
    UserNotFound,
    display_name_from,
    email_address,
)


async def admit_stranger(uow: KernelUnitOfWork, claims: Claims, *, email_trusted: bool) -> User:
    """A person whom a trusted issuer vouches for is a user from the first time on.

    They are an earlier user where both sides proved the same address: the issuer, if its word on addresses
    is trusted, and that user to us. An address that was only claimed links no account: an attacker may have
    registered it in advance. A new user gets it where no user here has proved it; if the issuer is trusted
    and has, from those who claim it.

    Raises DeletedMeanwhile for a token that is older than the end of the account that its person had here.
    """
    await _ensure_not_of_a_deleted_user(uow, claims)
    email = _address(claims.email)
    proved = email_trusted and claims.email_verified
    holder = await uow.users.holder(email) if email else None
    if holder is not None and proved:
        user = await _there(uow, holder.id, otherwise=EmailTaken)
    else:
        stranger = User.admit(
            id=UserId(new_id(uow.now)),
            email=None if holder else email,
            email_verified=proved,
            name=claims.name or (email.partition("@")[0] if email else None),
            at=uow.now,
        )
        if stranger.email_verified:
            await uow.users.take_email(stranger, at=uow.now)
        user = await uow.users.add(stranger)
    await uow.links.add(_link(uow, user.id, claims))
    return user


def tells_more(claims: Claims, *, lacks_email: bool, lacks_name: bool, email_trusted: bool) -> bool:
    """Whether a provider tells more of a user than it did the first time."""
    email = lacks_email and email_trusted and claims.email_verified and _address(claims.email) is not None
    return email or (lacks_name and display_name_from(claims.name) != UNNAMED)


async def fill_in(uow: KernelUnitOfWork, user_id: UserId, claims: Claims, *, email_trusted: bool) -> None:
    """A user who was first seen without an address or a name gets those that their provider tells later.

    An address only where a trusted issuer has verified it, and no other user has: it links no account after
    the fact, and who only claimed it loses it.
    """
    user = await uow.users.get(user_id)
    email = _address(claims.email) if email_trusted and claims.email_verified else None
    if email is not None and await uow.users.holder(email) is not None:
        email = None
    filled = user.fill_in(email=email, name=claims.name, at=uow.now)
    if filled.email != user.email:
        await take_address(uow, filled)
    elif filled is not user:
        await uow.users.save(filled)


async def link_identity(uow: KernelUnitOfWork, actor: Reauthenticated, claims: Claims) -> Link:
    """A user who proves that an account of a provider is theirs may link it.

    Refused when it is another user's, unless that user is nothing but this account seen for the first time:
    then it was theirs all along, and that user is gone.
    """
    await _there(uow, actor.user_id, otherwise=UserNotFound)
    link = await uow.links.of(claims.issuer, claims.subject)
    if link is None:
        return await uow.links.add(_link(uow, actor.user_id, claims))
    if link.user_id == actor.user_id:
        return link
    other = await uow.users.get(link.user_id)
    if other.roles or other.suspended_at is not None or not await uow.links.is_all_of_its_user(link):
        raise LinkedElsewhere
    moved = await uow.links.save(link.move(to=actor.user_id, at=uow.now))
    await uow.users.remove(other.be_absorbed(into=actor.user_id, at=uow.now))
    return moved


async def unlink_identity(uow: KernelUnitOfWork, actor: Reauthenticated, link_id: LinkId) -> None:
    """Everybody may unlink their own; refused when there would be no other way left to log in.

    It takes a fresh proof of who they are, and they are told by mail.
    """
    links = await uow.links.lock_of(actor.user_id)
    link = next((link for link in links if link.id == link_id), None)
    if link is None:
        raise LinkNotFound
    last = len(links) == 1 and not await _has_password(uow, actor.user_id)
    await uow.links.remove(link.unlink(last=last, at=uow.now))


async def forget_links(uow: KernelUnitOfWork, user_id: UserId) -> None:
    """Removes the links of a user who is deleted.

    Who comes again with such an account is a new user, but not with a token from before: a client that has
    not noticed yet would make one at once.
    """
    accounts = [_account_hash(link.issuer, link.subject) for link in await uow.links.lock_of(user_id)]
    if accounts:
        await uow.links.remove_all(user_id, recording=LinksRemoved(at=uow.now, user_id=user_id))
        await uow.one_time_tokens.add_or_replace(
            [
                OneTimeToken.deleted(id=OneTimeTokenId(new_id(uow.now)), account_hash=each, at=uow.now)
                for each in accounts
            ]
        )


async def _ensure_not_of_a_deleted_user(uow: KernelUnitOfWork, claims: Claims) -> None:
    with suppress(OneTimeTokenNotFound):
        deleted = await uow.one_time_tokens.with_token(_account_hash(claims.issuer, claims.subject))
        if claims.issued_at <= deleted.created_at.timestamp():
            raise DeletedMeanwhile


async def _there(uow: KernelUnitOfWork, user_id: UserId, *, otherwise: type[DomainError]) -> User:
    """The user, who is not deleted before this transaction ends; raises `otherwise` where they are."""
    locked = [user for user in await uow.users.lock(user_id) if user.deleted_at is None]
    if not locked:
        raise otherwise
    return locked[0]


def _account_hash(issuer: str, subject: str) -> str:
    return fingerprint(f"deleted\0{issuer}\0{subject}")


def _link(uow: KernelUnitOfWork, user_id: UserId, claims: Claims) -> Link:
    return Link.make(
        id=LinkId(new_id(uow.now)),
        user_id=user_id,
        issuer=claims.issuer,
        subject=claims.subject,
        at=uow.now,
    )


async def _has_password(uow: KernelUnitOfWork, user_id: UserId) -> bool:
    with suppress(UserNotFound):
        await uow.credentials.get(user_id)
        return True
    return False


def _address(text: str | None) -> Email | None:
    with suppress(Invalid):
        return email_address(text) if text else None
    return None
