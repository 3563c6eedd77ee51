"""The real server, but a request with an idempotency key kills it at the point that CRASH_AT names.

before-commit   the work is done and its answer is kept, and the transaction has not ended
before-answer   it is committed, and the answer is finished, and no byte of it was sent
"""

import os
import signal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.postgres.kernel.idempotency import PostgresKeptAnswers
from application.kernel.ports.storing import KeptAnswer
from entrypoints.http.kernel.server.process import serve
from entrypoints.settings import Settings
from kernel.servers import specimen as app

keep, create_app = PostgresKeptAnswers.keep, app.create_app


def crash() -> None:
    """As a machine does: no `finally`, no goodbye to the database or to the client."""
    os.kill(os.getpid(), signal.SIGKILL)


async def keep_and_crash(self: PostgresKeptAnswers, key: bytes, kept: KeptAnswer, /) -> None:
    await keep(self, key, kept)
    crash()


def create_crashing_app() -> ASGIApp:
    app = create_app()

    async def crashing(scope: Scope, receive: Receive, send: Send) -> None:
        keyed = any(name == b"idempotency-key" for name, _ in scope.get("headers", ()))

        async def send_or_crash(message: Message) -> None:
            if keyed and message["type"] == "http.response.start":
                crash()
            await send(message)

        await app(scope, receive, send_or_crash)

    return crashing


if __name__ == "__main__":
    match os.environ["CRASH_AT"]:
        case "before-commit":
            PostgresKeptAnswers.keep = keep_and_crash  # type: ignore[method-assign]  # there is no other way in
        case "before-answer":
            app.create_app = create_crashing_app  # type: ignore[assignment]  # to the server any app will do
    serve("kernel.servers.specimen:create_app", Settings, [])
