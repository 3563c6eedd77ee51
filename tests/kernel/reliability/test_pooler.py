"""The service behind PgBouncer in transaction mode, while its connections are cut and it dies itself."""

import asyncio
from collections import Counter
from time import perf_counter

from adapters.postgres.kernel.connection.pooling import Pooler
from entrypoints.kernel.service import SERVICE_NAME
from kernel.reliability.conftest import Share, Tell
from kernel.reliability.writers import PUBLIC_URL, WRITERS, Writers, a_team_on, ensure_once
from kernel.servers.backends import ByHand, terminate
from kernel.servers.pgbouncer import PgBouncer, a_pgbouncer
from kernel.servers.serving import environment_of, serving


async def sabotage(pgbouncer: PgBouncer, by_hand: ByHand, until: float) -> Counter[str]:
    """Cuts PgBouncer's connections to the server, and every fourth time kills it and starts another."""
    done = Counter[str]()
    while perf_counter() < until:
        await asyncio.sleep(0.5)
        if sum(done.values()) % 4 == 3:
            await asyncio.to_thread(pgbouncer.kill)
            await asyncio.to_thread(pgbouncer.start)
            done["restarted"] += 1
        else:
            await terminate(by_hand, SERVICE_NAME)
            done["cut"] += 1
    return done


async def test_nothing_acknowledged_is_lost_while_a_pooler_dies(
    empty_database_url: str, by_hand: ByHand, tell: Tell, share: Share
) -> None:
    team, headers = await a_team_on(empty_database_url)
    with a_pgbouncer(empty_database_url, default_pool_size=5) as pgbouncer:
        pooler = Pooler(pgbouncer.url, empty_database_url, statement_seconds=10, lock_seconds=5)
        await pooler.apply_role_settings()
        environment = environment_of(empty_database_url, PUBLIC_URL=PUBLIC_URL) | {
            "DATABASE_URL": pgbouncer.url,
            "DATABASE_DIRECT_URL": empty_database_url,
            "DATABASE_POOLER": "transaction",
            "LOG_LEVEL": "error",  # no test reads the log, and a pipe that is full would stop the server
        }
        async with serving(environment) as (client, _):
            orders = f"/v1/workspaces/{team.workspace.id}/specimen_orders"
            writers = Writers(client, orders, headers, frozenset({409, 503, 504}))
            writing = [asyncio.create_task(writers.write()) for _ in range(WRITERS)]
            done = await sabotage(pgbouncer, by_hand, perf_counter() + share(12))
            writers.stop.set()
            await asyncio.gather(*writing)
    await ensure_once(empty_database_url, writers.acknowledged)
    assert writers.acknowledged
    assert done["cut"]
    tell(
        f"PgBouncer killed {done['restarted']} times, its connections cut {done['cut']} times",
        f"0 of {len(writers.acknowledged)} acknowledged lost, none doubled; failed: {dict(writers.failures)}",
    )
