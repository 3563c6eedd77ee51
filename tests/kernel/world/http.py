"""What the tests over HTTP share: people who speak, and a contract that every answer is held against."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, override

import httpx2
import pytest
from dependency_injector import providers
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Request, Response
from pydantic import SecretStr

from application.kernel.ports.callers import Caller
from application.kernel.unit_of_work import Begin
from entrypoints.settings import Settings
from kernel.specimen.builders import a_specimen_order
from kernel.specimen.domain.specimen_orders import SpecimenOrder
from kernel.specimen.service import Container, UnitOfWork, create_app
from kernel.world.builders import Team, a_session, a_team, store
from kernel.world.documented import Contract
from kernel.world.fakes import FakeMailer
from kernel.world.working import work_off

BASE_URL = "http://localhost:8000"

type As = Callable[[Caller | None], AsyncClient]


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    """The OpenAPI document, which needs no database."""
    settings = Settings(database_url=SecretStr("postgresql://nobody@localhost/nothing"))
    return create_app(Container(settings=settings)).openapi()


@pytest.fixture
def contract(app: FastAPI, document: dict[str, Any]) -> Contract:
    return Contract(app, document)


class LoggedIn(httpx2.Auth):
    """A session of its own for each client, opened when the client first asks for something.

    It says of a log-in at a provider what the caller does.
    """

    def __init__(self, container: Container, identity: Caller) -> None:
        self._container = container
        self._user_id, self._authenticated_at = identity.user_id, identity.authenticated_at
        self._header: str | None = None

    @override
    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        if self._header is None:
            session = a_session(
                user_id=self._user_id,
                created_at=datetime.now(UTC),
                authenticated_at=self._authenticated_at,
            )
            await store(self._container.begin(), session)
            token = await self._container.token_issuer().issue(self._user_id, session_id=session.id)
            self._header = f"Bearer {token.value}"
        request.headers["authorization"] = self._header
        yield request


@pytest.fixture
async def as_(app: FastAPI, container: Container, contract: Contract) -> AsyncIterator[As]:
    """A client of a user who has logged in, or of nobody. A defect is a 500, as for a real client."""

    async def check(response: Response) -> None:
        contract.check(response, await response.aread())

    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(ASGITransport(app=app, raise_app_exceptions=False))

        def make(identity: Caller | None) -> AsyncClient:
            client = AsyncClient(
                transport=transport,
                base_url=BASE_URL,
                auth=LoggedIn(container, identity) if identity else None,
                event_hooks={"response": [check]},
            )
            stack.push_async_callback(client.aclose)
            return client

        yield make


@pytest.fixture
def client(as_: As) -> AsyncClient:
    """A client that nobody has logged in."""
    return as_(None)


@pytest.fixture
def mailer(container: Container) -> FakeMailer:
    """Takes what the service would mail."""
    mailer = FakeMailer()
    container.mailer.override(providers.Object(mailer))
    return mailer


@pytest.fixture
def work(container: Container, mailer: FakeMailer) -> Callable[[], Awaitable[None]]:
    """Everything that a worker would do now."""

    async def work() -> None:
        await work_off(container)

    return work


def secret_in(mailer: FakeMailer) -> str:
    """What stands in the link of the latest mail."""
    return mailer.sent[-1].text.partition("#token=")[2].split()[0]


@pytest.fixture
async def team(begin: Begin[UnitOfWork]) -> Team:
    """A workspace with one person of each role, and a stranger."""
    team = a_team()
    await store(begin, *team.aggregates)
    return team


@pytest.fixture
async def specimen_order(begin: Begin[UnitOfWork], team: Team) -> SpecimenOrder:
    """An open specimen order of the team."""
    specimen_order = a_specimen_order(workspace_id=team.workspace.id, created_by=team.member.user_id)
    await store(begin, specimen_order)
    return specimen_order


@pytest.fixture
def owner(as_: As, team: Team) -> AsyncClient:
    return as_(team.owner)


@pytest.fixture
def admin(as_: As, team: Team) -> AsyncClient:
    return as_(team.admin)


@pytest.fixture
def member(as_: As, team: Team) -> AsyncClient:
    return as_(team.member)


@pytest.fixture
def viewer(as_: As, team: Team) -> AsyncClient:
    return as_(team.viewer)


@pytest.fixture
def stranger(as_: As, team: Team) -> AsyncClient:
    return as_(team.stranger)
