"""What is measured without HTTP, in this process: verifying a token, and the dashboard's SQL."""

import statistics
import time
from datetime import UTC, datetime
from uuid import UUID

from joserfc.jwk import ECKey

from adapters.postgres.dashboard import PostgresDashboardQueries
from adapters.postgres.database import Database
from adapters.tokens.local import LocalTokenIssuer, LocalTokenVerifier
from domain.users import UserId
from domain.workspaces import WorkspaceId


async def token_micros() -> tuple[float, float]:
    """Microseconds to verify a token that is remembered, and one that is not."""

    def now() -> datetime:
        return datetime.now(UTC)

    key = ECKey.generate_key("P-256")
    issuer = LocalTokenIssuer(key, issuer="bench", audience="bench", lifetime_seconds=600, clock=now)
    # It remembers one token, so two that take turns are new each time.
    verifier = LocalTokenVerifier(
        [key], issuer="bench", audience="bench", longest_lifetime_seconds=600, cached=1, clock=now
    )
    one, two = (issuer.issue(UserId(UUID(int=number))).value for number in (1, 2))
    remembered, fresh = [], []
    for _ in range(15):
        begun = time.perf_counter()
        for _ in range(20):
            await verifier.verify(one)
            await verifier.verify(two)
        fresh.append((time.perf_counter() - begun) / 40)
        begun = time.perf_counter()
        for _ in range(2000):
            await verifier.verify(two)
        remembered.append((time.perf_counter() - begun) / 2000)
    return min(remembered) * 1e6, min(fresh) * 1e6


async def dashboard_millis(url: str, *, viewer: UUID, workspace: UUID) -> float:
    """Milliseconds that the dashboard's statements take, one after the other, with nothing else running."""
    database = Database(url, pool_size=1)
    queries = PostgresDashboardQueries(database)
    taken = []
    try:
        for _ in range(7):
            begun = time.perf_counter()
            await queries.of(UserId(viewer), WorkspaceId(workspace), datetime.now(UTC))
            taken.append(time.perf_counter() - begun)
    finally:
        await database.close()
    return statistics.median(taken) * 1e3
