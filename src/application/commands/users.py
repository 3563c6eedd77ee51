"""What users do with their own profile."""

from typing import Unpack

from application.ports import Identity, UnitOfWork
from domain.users import ProfileChanges, User


async def edit_profile(uow: UnitOfWork, actor: Identity, **changes: Unpack[ProfileChanges]) -> User:
    """Everybody may edit their own profile; refused when the e-mail address is another account's."""
    user = await uow.users.get(actor.user_id)
    edited = user.edit(at=uow.now, **changes)
    return user if edited is user else await uow.users.save(edited)
