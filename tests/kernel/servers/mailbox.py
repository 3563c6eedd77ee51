"""A worker as a process of its own, whose mails are read where `MAILER=console` shows them."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg

from application.kernel.identity.secret_tokens import fingerprint
from kernel.servers.backends import eventually
from kernel.servers.serving import start

PATIENCE_SECONDS = 60

_KNOWN = """
    SELECT FROM one_time_tokens WHERE token_hash = $1 UNION ALL SELECT FROM invitations WHERE token_hash = $1
"""


class Mailbox:
    """Everybody's. A mail is taken once, in the order in which they left, which of different users is any."""

    def __init__(self, worker: Process, database_url: str) -> None:
        self._worker = worker
        self._database_url = database_url

    async def secret(self, *, to: str, page: str) -> str:
        """The secret in the link to `page` of the next mail that has one, which has to be to that address."""
        assert self._worker.stdout is not None
        recipient = ""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self._worker.stdout:
                text = line.decode().strip()
                recipient = text.removeprefix("To: ") if text.startswith("To: ") else recipient
                before, link, secret = text.partition(f"/{page}#token=")
                if link and before.startswith("https://"):
                    assert recipient == to
                    await self._is_good(secret)
                    return secret
        raise AssertionError(f"The worker ended before it sent a mail with a link to {page}.")

    async def _is_good(self, secret: str) -> None:
        """Returns when its fingerprint is stored, right after the mail was handed over; nobody is faster."""
        connection = await asyncpg.connect(self._database_url)
        try:

            async def known() -> bool:
                return bool(await connection.fetch(_KNOWN, fingerprint(secret)))

            await eventually(known)
        finally:
            await connection.close()


@asynccontextmanager
async def mailing(environment: Mapping[str, str]) -> AsyncIterator[Mailbox]:
    """A worker that mails, on the same settings as a server."""
    process = await start(environment, module="entrypoints.worker")
    try:
        yield Mailbox(process, environment["DATABASE_URL"])
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()
