"""A mail server that takes mails, or is as bad as a test says: it hangs, refuses mails, or is away.

It speaks as much of SMTP (RFC 5321) as our client needs.
"""

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Literal

type Mood = Literal["good", "silent", "stalls after data", "not now", "never", "closing"]
"""What it does with a mail: takes it; says nothing from the connection on, or once it has the mail; answers
451 or 550 to the recipient; answers 421 to the connection."""

_RECIPIENT = re.compile(r"^RCPT TO:<([^>]*)>", re.IGNORECASE)


class MailServer:
    """On a port of its own, which stays the same while it is away."""

    def __init__(self) -> None:
        self.mood: Mood = "good"
        self.moods: dict[str, Mood] = {}
        """Another mood for a recipient, whatever it is for others."""
        self.taken: list[tuple[float, str, str]] = []
        """When, for whom and what, as it was received, whether or not that was answered."""
        self.connections = 0
        self.talking = 0
        self.most_talking = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """From now on nobody listens on the port, and every conversation is cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    @property
    def recipients(self) -> list[str]:
        return [recipient for _, recipient, _ in self.taken]

    def environment(self) -> dict[str, str]:
        """The settings of a worker that mails through it."""
        return {
            "MAILER": "smtp",
            "MAIL_FROM": "no-reply@loomworks.example",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.port),
            "SMTP_SECURITY": "none",
        }

    async def _accepted(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._open.add(writer)
        self.connections += 1
        self.talking += 1
        self.most_talking = max(self.most_talking, self.talking)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._talk(reader, lambda line: writer.write(f"{line}\r\n".encode()))
        finally:
            self.talking -= 1
            self._open.discard(writer)
            writer.close()

    def _mood_for(self, recipient: str) -> Mood:
        return self.moods.get(recipient, self.mood)

    async def _talk(self, reader: StreamReader, say: Callable[[str], None]) -> None:
        mood = self._mood_for("")
        if mood == "silent":
            await reader.read()
            return
        say("421 closing" if mood == "closing" else "220 sink")
        recipient = ""
        while line := (await reader.readline()).decode().strip():
            if found := _RECIPIENT.match(line):
                recipient = found[1]
                mood = self._mood_for(recipient)
                if mood == "silent":
                    await reader.read()
                    return
                say({"not now": "451 later", "never": "550 never"}.get(mood, "250 OK"))
            elif line.upper() == "DATA":
                say("354 go on")
                text = (await reader.readuntil(b"\r\n.\r\n")).decode()
                self.taken.append((monotonic(), recipient, text))
                if mood == "stalls after data":
                    await reader.read()
                    return
                say("250 OK")
            elif line.upper() == "QUIT":
                say("221 bye")
                return
            else:
                say("250 sink")


@asynccontextmanager
async def a_mail_server() -> AsyncIterator[MailServer]:
    server = MailServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
