"""What changes among the built-in provider's signing keys; who makes and seals them is the adapter."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.identity.signing_keys import (
    KeyInUse,
    SigningKey,
    SigningKeyId,
    next_number,
    signing_key,
)


async def add_signing_key(
    uow: KernelUnitOfWork,
    keys: Sequence[SigningKey],
    *,
    kid: str,
    sealed: str,
    ahead: timedelta,
    in_place_of: Collection[SigningKey] = (),
) -> SigningKey:
    """The key that follows `keys`, which are all there are; it is published `ahead` of its first signature.

    Raises KeysRotated where another process has added one since they were read.
    """
    for key in in_place_of:
        await uow.signing_keys.remove(key.go(at=uow.now))
    return await uow.signing_keys.add(
        SigningKey.make(
            id=SigningKeyId(new_id(uow.now)),
            number=next_number(keys),
            kid=kid,
            sealed=sealed,
            at=uow.now,
            ahead=ahead,
        )
    )


async def remove_signing_key(uow: KernelUnitOfWork, key: SigningKey, *, keys: Sequence[SigningKey]) -> None:
    """Any but the one that signs (KeyInUse); `keys` are all there are. Its tokens fail from then on."""
    if key == signing_key(keys, at=uow.now):
        raise KeyInUse
    await uow.signing_keys.remove(key.go(at=uow.now))
