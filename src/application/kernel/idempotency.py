"""A request that comes twice under one key is done once (draft-ietf-httpapi-idempotency-key-header-07)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from application.kernel.ports.logins import Seal
from application.kernel.ports.storing import KeptAnswer
from application.kernel.run import Runner, within
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.errors import Conflict, Invalid


class IdempotencyKeyInUse(Conflict):
    """A request with this idempotency key is in progress; try again in a moment."""


class IdempotencyKeyReused(Invalid):
    """This idempotency key was already used with another request; a new request needs a new key."""


class AnswerLost(Conflict):
    """This request was completed before, and its response can no longer be read."""


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """`key` identifies the caller, the route and the key that was sent; `fingerprint` the request.

    Both are hashes of 32 bytes.
    """

    key: bytes
    fingerprint: bytes


class Once[U: KernelUnitOfWork]:
    """One request under a key, in the transaction that does its work and keeps its answer.

    So either both the work and its answer are there afterwards, or neither: a request that is refused keeps
    nothing and may come again. `answer` is what was answered before, if it was.
    """

    def __init__(self, uow: U, request: KeyedRequest, *, seal: Seal, answer: str | None) -> None:
        self.run = within(uow)
        self.answer = answer
        self._uow = uow
        self._request = request
        self._seal = seal

    async def keep(self, answer: str) -> None:
        """Keeps the answer, sealed, because it may show a secret that is stored nowhere else."""
        sealed = self._seal.seal(answer, name=self._request.key.hex())
        await self._uow.kept_answers.keep(self._request.key, KeptAnswer(self._request.fingerprint, sealed))


@asynccontextmanager
async def once[U: KernelUnitOfWork](
    run: Runner[U], request: KeyedRequest, *, seal: Seal
) -> AsyncIterator[Once[U]]:
    """Claims the key for as long as the block, and commits at its end.

    Raises IdempotencyKeyInUse, IdempotencyKeyReused, and AnswerLost where the kept answer cannot be unsealed.
    """
    async with run.transaction() as (uow, watch):
        kept = await uow.kept_answers.claim(request.key)
        answer = None
        if kept is not None:
            if kept.fingerprint != request.fingerprint:
                raise IdempotencyKeyReused("Send the request unchanged, or use a new key.")
            answer = seal.unseal(kept.answer, name=request.key.hex())
            if answer is None:
                raise AnswerLost("It was sealed with another AUTH_SECRET.")
            if watch is not None:
                watch.waive()
        yield Once(uow, request, seal=seal, answer=answer)
