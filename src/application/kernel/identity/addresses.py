"""Whose an address is: who proves it has it, and those who only claimed it lose it (docs/decisions/0031)."""

from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.users import Email, EmailTaken, User


async def ensure_free(uow: KernelUnitOfWork, email: Email) -> None:
    """Raises EmailTaken where a user has verified the address; where it is only claimed, anybody may.

    A user who verifies it at this very moment is not seen. The claim that is then made beside theirs opens
    nothing, as every other, and never becomes a proof: the index of verified addresses sees to that.
    """
    if await uow.users.holder(email) is not None:
        raise EmailTaken


async def prove_email(uow: KernelUnitOfWork, user: User) -> User:
    """The user, who has shown that the mail of their address is theirs to read.

    Raises EmailTaken, now or when the transaction ends, where another user showed it first.
    """
    proved = user.verify_email(at=uow.now)
    return user if proved is user else await take_address(uow, proved)


async def take_address(uow: KernelUnitOfWork, proved: User) -> User:
    """Saves a user who has a verified address from now on; who only claimed it loses it.

    Raises EmailTaken, now or when the transaction ends, where another user has verified it.
    """
    await uow.users.take_email(proved, at=uow.now)
    return await uow.users.save(proved)
