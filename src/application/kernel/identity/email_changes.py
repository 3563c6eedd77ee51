"""The end of a change of address: it is confirmed from the new address, or undone from the old one."""

from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.identity.auth import OneTimeTokenNotFound, Purpose
from domain.kernel.users import Email, Suspended, User, UserNotFound


async def take_pending_email(uow: KernelUnitOfWork, user: User) -> User:
    """The pending address, which its person has proved, takes the place of the one so far.

    What was mailed to either is void. Raises EmailTaken where somebody else has proved that address.
    """
    if user.pending_email is not None:
        await _free(uow, user.pending_email, user)
    await uow.one_time_tokens.void(user.id)
    return await uow.users.save(user.take_pending_email(at=uow.now))


async def undo_email_change(uow: KernelUnitOfWork, *, token: str) -> None:
    """Whoever has the secret that was mailed to the address before keeps it, or has it back; good for a week.

    Before the new address was confirmed nothing else happens. After that all of the user's sessions end:
    whoever changed the address is logged in.

    Refused when somebody else has proved the address by now.
    """
    found = await uow.one_time_tokens.with_token(fingerprint(token))
    if found.user_id is None or found.email is None:
        raise OneTimeTokenNotFound
    found.redeem(Purpose.UNDO_EMAIL_CHANGE, email=found.email, at=uow.now)
    try:
        user = await uow.users.get(found.user_id)
        user.ensure_active()
    except (UserNotFound, Suspended):
        raise OneTimeTokenNotFound from None
    await uow.one_time_tokens.remove(found)
    await uow.one_time_tokens.void(user.id)
    # And secrets of later changes: who brings an older one has had the address for longer. Those of earlier
    # changes stay, or whoever stole the account could make them void by a change that they undo.
    await uow.one_time_tokens.void(user.id, [Purpose.UNDO_EMAIL_CHANGE], since=found.created_at)
    if user.email != found.email:
        await _free(uow, found.email, user)
        await uow.sessions.end_all(user.id, at=uow.now)
    restored = user.take_email_back(found.email, at=uow.now)
    if restored is not user:
        await uow.users.save(restored)


async def _free(uow: KernelUnitOfWork, email: Email, user: User) -> None:
    """Takes an address that `user` has proved from whoever has only claimed it; raises EmailTaken."""
    holder = await uow.users.by_email(email)
    if holder is not None and holder.id != user.id:
        await uow.users.save(holder.give_email_up(at=uow.now))
