"""What the tests over HTTP share: people who speak, and a contract that every answer is held against."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response
from pydantic import SecretStr

from application.ports import Begin, Identity
from builders import Team, a_task, a_team, store
from documented import Contract
from domain.tasks import Task
from entrypoints.container import Container
from entrypoints.http.app import create_app
from entrypoints.settings import Settings

BASE_URL = "http://localhost:8000"

type As = Callable[[Identity | None], AsyncClient]


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    """The OpenAPI document, which needs no database."""
    settings = Settings(database_url=SecretStr("postgresql://nobody@localhost/nothing"))
    return create_app(Container(settings=settings)).openapi()


@pytest.fixture
def contract(app: FastAPI, document: dict[str, Any]) -> Contract:
    return Contract(app, document)


@pytest.fixture
async def as_(app: FastAPI, container: Container, contract: Contract) -> AsyncIterator[As]:
    """A client of somebody who has logged in, or of nobody. A defect is a 500, as for a real client."""

    async def check(response: Response) -> None:
        contract.check(response, await response.aread())

    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(ASGITransport(app=app, raise_app_exceptions=False))

        def make(identity: Identity | None) -> AsyncClient:
            headers = {}
            if identity is not None:
                token = container.token_issuer().issue(identity.user_id)
                headers["authorization"] = f"Bearer {token.value}"
            hooks = {"response": [check]}
            client = AsyncClient(transport=transport, base_url=BASE_URL, headers=headers, event_hooks=hooks)
            stack.push_async_callback(client.aclose)
            return client

        yield make


@pytest.fixture
def client(as_: As) -> AsyncClient:
    """A client that nobody has logged in."""
    return as_(None)


@pytest.fixture
async def team(begin: Begin) -> Team:
    """A workspace with one person of each role, and a stranger."""
    team = a_team()
    await store(begin, *team.aggregates)
    return team


@pytest.fixture
async def task(begin: Begin, team: Team) -> Task:
    """An open task of the team."""
    task = a_task(workspace_id=team.workspace.id, created_by=team.member.user_id)
    await store(begin, task)
    return task


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
