"""Units of work: the repositories on one transaction, committed when the block ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from adapters.postgres.comments import PostgresComments
from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transaction import Transaction
from adapters.postgres.kernel.idempotency import PostgresKeptAnswers
from adapters.postgres.kernel.identity.auth import (
    PostgresCredentials,
    PostgresOneTimeTokens,
    PostgresSessions,
    PostgresSigningKeys,
)
from adapters.postgres.kernel.identity.identities import PostgresLinks
from adapters.postgres.kernel.invitations import PostgresInvitations
from adapters.postgres.kernel.memberships import PostgresMemberships
from adapters.postgres.kernel.users import PostgresUsers
from adapters.postgres.kernel.workspaces import PostgresWorkspaces
from adapters.postgres.notifications import PostgresNotifications
from adapters.postgres.tasks import PostgresTasks
from application.kernel.ports import Clock, UnitOfWork


class PostgresTransactions:
    """A `Begin`. READ COMMITTED: what must not change under a use case is guarded by a version or a lock."""

    def __init__(
        self, database: Database, clock: Clock, *, answers_kept: timedelta = timedelta(hours=24)
    ) -> None:
        self._database = database
        self._clock = clock
        self._answers_kept = answers_kept

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self.open() as transaction:
            yield self.unit_of_work(transaction)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Transaction]:
        """The transaction by itself, for who has more to do in it than a use case."""
        async with self._database.connection() as connection:
            transaction = Transaction(connection)
            try:
                yield transaction
                await transaction.commit()
            except asyncio.CancelledError:
                raise  # nobody waits for a ROLLBACK: the connection is ended, and the transaction with it
            except BaseException:
                await transaction.roll_back()
                raise

    def unit_of_work(self, transaction: Transaction) -> UnitOfWork:
        """The repositories on a transaction, at this instant."""
        now = self._clock()
        return UnitOfWork(
            now=now,
            users=PostgresUsers(transaction),
            credentials=PostgresCredentials(transaction),
            sessions=PostgresSessions(transaction),
            one_time_tokens=PostgresOneTimeTokens(transaction),
            signing_keys=PostgresSigningKeys(transaction),
            links=PostgresLinks(transaction),
            workspaces=PostgresWorkspaces(transaction),
            memberships=PostgresMemberships(transaction),
            invitations=PostgresInvitations(transaction),
            tasks=PostgresTasks(transaction),
            comments=PostgresComments(transaction),
            notifications=PostgresNotifications(transaction),
            kept_answers=PostgresKeptAnswers(transaction, now=now, lifetime=self._answers_kept),
        )
