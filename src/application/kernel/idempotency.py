"""A request that comes twice under one key is done once (draft-ietf-httpapi-idempotency-key-header-07)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from application.kernel.ports import KeptAnswer, Seal, UnitOfWork
from domain.kernel.errors import Conflict, Invalid


class IdempotencyKeyInUse(Conflict):
    """A request with this idempotency key is being worked on; repeat it in a moment."""


class IdempotencyKeyReused(Invalid):
    """This idempotency key came with another request before; a new request needs a new key."""


class AnswerLost(Conflict):
    """This was done before, and its answer can no longer be read."""


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """`key` tells whose request of what kind it is, `fingerprint` what was sent; hashes of 32 bytes."""

    key: bytes
    fingerprint: bytes


async def answer_once(
    uow: UnitOfWork, request: KeyedRequest, answer: Callable[[UnitOfWork], Awaitable[str]], *, seal: Seal
) -> tuple[str, bool]:
    """The answer, and whether it is the one that was kept; `answer` does the work in the same transaction.

    So either both the work and its answer are there afterwards, or neither: a request that is refused keeps
    nothing and may come again. Sealed, because an answer may show a secret that is stored nowhere else.
    """
    name = request.key.hex()
    kept = await uow.kept_answers.claim(request.key)
    if kept is None:
        given = await answer(uow)
        await uow.kept_answers.keep(request.key, KeptAnswer(request.fingerprint, seal.seal(given, name=name)))
        return given, False
    if kept.fingerprint != request.fingerprint:
        raise IdempotencyKeyReused("Send it as it was, or under a new key.")
    opened = seal.unseal(kept.answer, name=name)
    if opened is None:
        raise AnswerLost("It was sealed with another AUTH_SECRET.")
    return opened, True
