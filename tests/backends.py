"""The server's processes as they are seen from outside: which there are, what they do, how they end."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

type ByHand = asyncpg.Connection[asyncpg.Record]

PATIENCE = 10  # seconds, for what takes milliseconds: no test waits as long unless it fails

_BACKENDS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = $1 AND ($2::text IS NULL OR state = $2)
"""


async def eventually(condition: Callable[[], Awaitable[bool]], *, seconds: float = PATIENCE) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 (what happens elsewhere sets no event)
            await asyncio.sleep(0.01)


async def backends(by_hand: ByHand, application: str, *, state: str | None = None) -> list[int]:
    """The processes that serve an application here: all, or the `active` or the `idle in transaction`.

    "Here" is the database that `by_hand` is connected to: pytest-xdist's workers share the server.
    """
    return [row["pid"] for row in await by_hand.fetch(_BACKENDS, application, state)]


async def await_backends(by_hand: ByHand, application: str, count: int, *, state: str | None = None) -> None:
    """Returns when so many processes serve the application."""

    async def there() -> bool:
        return len(await backends(by_hand, application, state=state)) == count

    await eventually(there)


async def terminate(by_hand: ByHand, application: str, *, state: str | None = None) -> None:
    """Ends the processes that serve the application, and returns when they have gone."""
    pids = await backends(by_hand, application, state=state)
    await by_hand.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids)

    async def gone() -> bool:
        return not {*pids} & {*await backends(by_hand, application)}

    await eventually(gone)
