"""What is measured without HTTP, in this process: verifying a token."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from pydantic import SecretStr

from application.kernel.identity.sessions import open_session
from domain.kernel.users import UserId
from entrypoints.container import Container
from entrypoints.kernel.container import close
from entrypoints.settings import Settings


class TokenMicros(NamedTuple):
    """Microseconds to verify a token that is remembered, and one that is not: signature and claims alone, and
    with the statement that asks for its session and its user."""

    remembered: float
    proved: float
    recognised: float


async def token_micros(url: str, *, secret: str, user: UUID) -> TokenMicros:
    settings = Settings(_env_file=None, database_url=SecretStr(url), auth_secret=SecretStr(secret))
    forgetful = settings.model_copy(update={"auth_recheck_seconds": 0.0})
    with_cache, without = Container(settings=settings), Container(settings=forgetful)
    try:
        session = await with_cache.run()(
            open_session, UserId(user), token_hash="", lifetime=timedelta(hours=1)
        )
        token = (await with_cache.token_issuer().issue(UserId(user), session_id=session.id)).value
        return TokenMicros(
            await _micros(lambda: with_cache.tokens().verify(token), 2000),
            await _micros(lambda: without.tokens().read(token), 50),
            await _micros(lambda: without.tokens().verify(token), 50),
        )
    finally:
        await close(with_cache)
        await close(without)


async def _micros(work: Callable[[], Awaitable[object]], times: int) -> float:
    """For one, in the best of 15 rounds."""
    taken = []
    for _ in range(15):
        begun = time.perf_counter()
        for _ in range(times):
            await work()
        taken.append((time.perf_counter() - begun) / times)
    return min(taken) * 1e6
