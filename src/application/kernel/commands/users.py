"""What users do with their own profile, and those who look after the service with users."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Unpack
from uuid import UUID

from application.kernel.admission import ensure_reauthenticated, require
from application.kernel.identity.identities import forget_links
from application.kernel.permissions import MANAGE_USERS
from application.kernel.ports.callers import Caller, Reauthenticated
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.identity.one_time_tokens import Purpose
from domain.kernel.identity.sessions import SessionsEnded
from domain.kernel.memberships import LastOwner, Role
from domain.kernel.users import GlobalRole, ProfileChanges, User, UserId, UserNotFound, email_address

NAMED_MOST = 5
"""Workspaces that a refusal names."""


async def edit_profile(uow: KernelUnitOfWork, actor: Caller, **changes: Unpack[ProfileChanges]) -> User:
    """Everybody may edit their own profile; another e-mail address takes a fresh proof of who they are.

    It is `pending_email` until what is mailed there is confirmed; until then the address stays as it is, and
    what is mailed to it, where it is verified, undoes the change for seven days. With the present address
    nothing is pending any more.
    """
    user = await uow.users.get(actor.user_id)
    edited = user.edit(at=uow.now, **changes)
    if edited.pending_email != user.pending_email:
        ensure_reauthenticated(actor)
        await uow.one_time_tokens.void(user.id)
    return await _saved(uow, user, edited)


async def delete_own_account(uow: KernelUnitOfWork, actor: Reauthenticated) -> None:
    """Everybody may delete their own account; it takes a fresh proof of who they are, and cannot be undone.

    Their memberships, the invitations that they gave, their links, their password, all secrets that were
    mailed to them and their sessions end, and all their tokens are refused. Address and name are gone; what
    others need stays, as that of a deleted user. The address, where it was verified, is told by mail.

    Refused while a workspace has no other owner: make another member an owner first, or delete it.
    """
    await _delete(uow, actor.user_id, by=actor.user_id)


async def change_roles(
    uow: KernelUnitOfWork, actor: Caller, user_id: UserId, *, roles: Sequence[GlobalRole]
) -> User:
    """A user who manages users may change another user's roles in the whole service."""
    user = await _managed(uow, actor, user_id)
    return await _saved(uow, user, user.change_roles(roles, by=actor.user_id, at=uow.now))


async def suspend_user(uow: KernelUnitOfWork, actor: Caller, user_id: UserId) -> User:
    """A user who manages users may suspend another: their sessions and open invitations end.

    They cannot log in, and what was mailed to them to prove an address or to reset the password is void.
    """
    return await _suspend(uow, await _managed(uow, actor, user_id), by=actor.user_id)


async def restore_user(uow: KernelUnitOfWork, actor: Caller, user_id: UserId) -> User:
    """A user who manages users may restore a suspended one, who has to log in anew."""
    user = await _managed(uow, actor, user_id)
    return await _saved(uow, user, user.restore(by=actor.user_id, at=uow.now))


async def end_sessions_of(uow: KernelUnitOfWork, actor: Caller, user_id: UserId) -> None:
    """A user who manages users may end all sessions of any user; who may log in can open new ones.

    What an external provider's tokens open is no session of ours, and goes on: suspend the user.
    """
    user = await _managed(uow, actor, user_id)
    await uow.users.save(user.recording(SessionsEnded(at=uow.now, user_id=user_id, by=actor.user_id)))
    await uow.sessions.end_all(user_id, at=uow.now)


# ── by an operator, who is no user ─────────────────────────────────────────────────────────


async def grant_role(uow: KernelUnitOfWork, *, account: str, role: GlobalRole) -> User:
    """An operator may give anybody a role in the whole service; the first administrator is made so.

    Here and below `account` is a user's id, or the address that a user has verified: by one that is only
    claimed, an operator would promote the first to claim it.
    """
    user = await _named(uow, account)
    return await _saved(uow, user, user.change_roles({*user.roles, role}, by=None, at=uow.now))


async def revoke_role(uow: KernelUnitOfWork, *, account: str, role: GlobalRole) -> User:
    """An operator may take a role in the whole service from anybody."""
    user = await _named(uow, account)
    return await _saved(uow, user, user.change_roles({*user.roles} - {role}, by=None, at=uow.now))


async def suspend_account(uow: KernelUnitOfWork, *, account: str) -> User:
    """An operator may suspend anybody, as `suspend_user` does."""
    return await _suspend(uow, await _named(uow, account), by=None)


async def restore_account(uow: KernelUnitOfWork, *, account: str) -> User:
    """An operator may let anybody in again, as `restore_user` does."""
    user = await _named(uow, account)
    return await _saved(uow, user, user.restore(by=None, at=uow.now))


async def delete_account(uow: KernelUnitOfWork, *, account: str) -> User:
    """An operator may delete anybody's account, as `delete_own_account` does, with the same refusal."""
    return await _delete(uow, (await _named(uow, account)).id, by=None)


async def _managed(uow: KernelUnitOfWork, actor: Caller, user_id: UserId) -> User:
    """The user, whom the actor may manage now and until the transaction ends.

    What the token said when it was verified is not enough: two who suspend each other at the same instant, or
    take each other's role, would leave none. The second has lost it under the lock.
    """
    require(actor, MANAGE_USERS)
    locked = {user.id: user for user in await uow.users.lock(actor.user_id, user_id)}
    if (acting := locked.get(actor.user_id)) is not None:
        roles = actor.vouched.union(acting.roles) if acting.suspended_at is None else frozenset[GlobalRole]()
        require(replace(actor, roles=roles), MANAGE_USERS)
    if user_id not in locked:
        raise UserNotFound
    return locked[user_id]


async def _suspend(uow: KernelUnitOfWork, user: User, *, by: UserId | None) -> User:
    suspended = await _saved(uow, user, user.suspend(by=by, at=uow.now))
    await uow.sessions.end_all(user.id, at=uow.now)
    await uow.one_time_tokens.void(user.id)
    await uow.invitations.lapse(user.id, at=uow.now)
    return suspended


async def _delete(uow: KernelUnitOfWork, user_id: UserId, *, by: UserId | None) -> User:
    # The lock first: whatever comes to refer to the user waits for it, and what did before is seen from here.
    locked = await uow.users.lock(user_id)
    if not locked:
        raise UserNotFound
    (user,) = locked
    deleted = user.delete(by=by, at=uow.now)
    await _leave_all(uow, user_id)
    await uow.invitations.lapse(user_id, at=uow.now)
    await forget_links(uow, user_id)
    with suppress(UserNotFound):
        await uow.credentials.remove(await uow.credentials.get(user_id))
    await uow.one_time_tokens.void(user_id, [*Purpose])
    await uow.sessions.end_all(user_id, at=uow.now)
    return await uow.users.save(deleted)


async def _leave_all(uow: KernelUnitOfWork, user_id: UserId) -> None:
    locked = await uow.memberships.lock_of(user_id)
    left, alone = [], []
    for membership in (each for each in locked if each.user_id == user_id):
        here = [each for each in locked if each.workspace_id == membership.workspace_id]
        owners = [each for each in here if each.role is Role.OWNER]
        try:
            left.append(membership.leave(owners=owners, by=user_id, remover=membership.role, at=uow.now))
        except LastOwner:
            alone.append(membership.workspace_id)
    if alone:
        names = [f"“{(await uow.workspaces.get(id)).name}”" for id in alone[:NAMED_MOST]]
        more = [f"{len(alone) - NAMED_MOST} more"] if len(alone) > NAMED_MOST else []
        raise LastOwner(
            "These workspaces have no other owner; make another member an owner there first, or delete them: "
            f"{', '.join([*names, *more])}."
        )
    for membership in left:
        await uow.memberships.remove(membership)


async def _named(uow: KernelUnitOfWork, account: str) -> User:
    with suppress(ValueError):
        return await uow.users.get(UserId(UUID(account)))
    address = email_address(account)
    user = await uow.users.holder(address)
    if user is not None:
        return user
    claimant = await uow.users.recipient(address)
    if claimant is None:
        raise UserNotFound
    raise UserNotFound(
        f"No user has verified this address. If you mean the newest to claim it: {claimant.id}."
    )


async def _saved(uow: KernelUnitOfWork, before: User, after: User) -> User:
    return before if after is before else await uow.users.save(after)
