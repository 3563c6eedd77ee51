"""The server's processes as they are seen from outside: which there are, what they do, how they end.

And a proxy on the way to them, by which a network fails when a test says so.
"""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

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


CANCEL_REQUEST = b"\0\0\0\x10\x04\xd2\x16\x2e"  # how its one message begins, on a connection of its own


class Proxy:
    """Stands between a `Database` and the server, on a TCP port of its own, and can be cruel."""

    def __init__(self, dsn: str) -> None:
        self._dsn = urlsplit(dsn)
        self._server: asyncio.Server | None = None
        self._open: set[StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._port = 0
        self.silent = False
        """Takes connections and never says a word."""
        self.frozen = False
        """Swallows whatever is said, as a network does from one moment to the next."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.delay_of_cancels = 0.0
        """Seconds that a request to stop a statement is on its way."""
        self.lost_answer_to: bytes | None = None
        """Cuts the connection when the server answers the statement that contains this."""

    @property
    def url(self) -> str:
        user = self._dsn.netloc.rpartition("@")[0]
        return f"postgresql://{user}@127.0.0.1:{self._port}{self._dsn.path}?sslmode=disable"

    @property
    def stalled(self) -> bool:
        """Stops in both directions and loses nothing: all of it arrives when the network is back.

        As it is with TCP, which sends again what was lost. Who connects meanwhile hears nothing until then.
        """
        return not self._flowing.is_set()

    @stalled.setter
    def stalled(self, stalled: bool) -> None:
        if stalled:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Nobody listens on the port from now on, and every connection is cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        self.stalled = False  # what waits for the network would wait for ever
        if self._serving:
            await asyncio.wait(self._serving)

    def _accepted(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError):
            if self.silent:
                await reader.read()
                return
            await self._flowing.wait()
            there, here = await self._dial()
            self._open.add(here)
            lose = asyncio.Event()
            await asyncio.wait(
                [
                    asyncio.create_task(self._pass(reader, here, lose, outward=True)),
                    asyncio.create_task(self._pass(there, writer, lose, outward=False)),
                ]
            )

    async def _pass(
        self, source: StreamReader, sink: StreamWriter, lose: asyncio.Event, *, outward: bool
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if self.frozen:
                    continue
                await self._flowing.wait()
                if outward and data.startswith(CANCEL_REQUEST):
                    await asyncio.sleep(self.delay_of_cancels)
                if outward and self.lost_answer_to is not None and self.lost_answer_to in data:
                    lose.set()
                if not outward and lose.is_set():
                    break
                sink.write(data)
                await sink.drain()
        await self._flowing.wait()  # nor does it travel that one side has left
        sink.transport.abort()

    async def _dial(self) -> tuple[StreamReader, StreamWriter]:
        if folder := parse_qs(self._dsn.query).get("host"):
            return await asyncio.open_unix_connection(f"{folder[0]}/.s.PGSQL.5432")
        return await asyncio.open_connection(self._dsn.hostname, self._dsn.port)
