"""What an endpoint may ask for. The one file that reaches the container: once, when the app is made."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, FastAPI, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from structlog.contextvars import bind_contextvars

from application.commands.auth import PasswordLogin
from application.ports import Clock, Identity, Queries, TokenVerifier
from application.run import Runner
from domain.errors import Unauthenticated
from entrypoints.container import Container
from entrypoints.http.readiness import Readiness


@dataclass(frozen=True, slots=True)
class Provided:
    """What the container has for endpoints. To ask it anew for each request would cost 8 µs of each."""

    tokens: TokenVerifier
    run: Runner
    queries: Queries
    login: PasswordLogin
    clock: Clock
    readiness: Readiness


def provide(app: FastAPI, container: Container) -> None:
    """Makes all of it, which connects to nothing yet."""
    database, migrations = container.database(), container.migrations()
    app.state.provided = Provided(
        tokens=container.tokens(),
        run=container.run(),
        queries=container.queries(),
        login=container.password_login(),
        clock=container.clock(),
        readiness=Readiness({"database": database.ping, "migrations": lambda: migrations.reached(database)}),
    )


def _provided(request: Request) -> Provided:
    return cast("Provided", request.app.state.provided)


class Bearer(SecurityBase):
    """Who is asking: the scheme in the documentation and the dependency at once, so one level deep."""

    def __init__(self) -> None:
        self.scheme_name = "bearer"
        self.model = HTTPBearer(bearerFormat="JWT", description="The `access_token` of a log-in.")

    async def __call__(self, request: Request) -> Identity:
        """Raises Unauthenticated."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send an access token: `Authorization: Bearer …`.")
        identity = await _provided(request).tokens.verify(token.strip())
        bind_contextvars(user_id=str(identity.user_id))
        return identity


async def _run(request: Request) -> Runner:
    return _provided(request).run


async def _ask(request: Request) -> Queries:
    return _provided(request).queries


async def _login(request: Request) -> PasswordLogin:
    return _provided(request).login


async def _now(request: Request) -> datetime:
    return _provided(request).clock()


async def _readiness(request: Request) -> Readiness:
    return _provided(request).readiness


Actor = Annotated[Identity, Depends(Bearer())]
"""Whoever the bearer token speaks for; without a good one the answer is 401."""

Run = Annotated[Runner, Depends(_run)]
"""Runs a use case in a transaction."""

Ask = Annotated[Queries, Depends(_ask)]
"""Answers questions."""

Login = Annotated[PasswordLogin, Depends(_login)]
"""The built-in provider."""

Now = Annotated[datetime, Depends(_now)]
"""The present instant, aware UTC."""

Ready = Annotated[Readiness, Depends(_readiness)]
"""Whether the service can do its work."""
