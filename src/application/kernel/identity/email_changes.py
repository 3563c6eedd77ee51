"""The end of a change of address: it is confirmed from the new address, or undone from the old one."""

from application.kernel.identity.addresses import take_address
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.identity.one_time_tokens import OneTimeTokenNotFound, Purpose
from domain.kernel.users import Suspended, User, UserNotFound


async def take_pending_email(uow: KernelUnitOfWork, user: User) -> User:
    """The pending address, which its person has proved, takes the place of the one so far.

    What was mailed to either is void. Raises EmailTaken where another user has proved that address.
    """
    await uow.one_time_tokens.void(user.id)
    return await take_address(uow, user.take_pending_email(at=uow.now))


async def undo_email_change(uow: KernelUnitOfWork, *, token: str) -> None:
    """The holder of the secret that was mailed to the former address keeps or restores it; good for a week.

    Before the new address was confirmed nothing else happens. After that all of the user's sessions end:
    the person who changed the address is logged in.

    Refused when another user has proved the address by now.
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
    # changes stay, or a thief of the account could make them void by a change that they undo.
    await uow.one_time_tokens.void(user.id, [Purpose.UNDO_EMAIL_CHANGE], since=found.created_at)
    restored = user.take_email_back(found.email, at=uow.now)
    if restored.email != user.email:
        await uow.sessions.end_all(user.id, at=uow.now)
        await take_address(uow, restored)
    elif restored is not user:
        await uow.users.save(restored)
