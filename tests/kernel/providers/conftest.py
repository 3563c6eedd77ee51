"""What these tests need beside the suite's own: Node with the packages of package-lock.json."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kernel.providers.openid_provider import OpenIdProvider, an_openid_provider

PACKAGES = Path(__file__).with_name("node_modules")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not shutil.which("node") or not PACKAGES.exists():
        raise pytest.UsageError(
            "These tests need Node 20 or newer and its packages: run make test-providers."
        )


@pytest.fixture
async def provider() -> AsyncIterator[OpenIdProvider]:
    async with an_openid_provider() as provider:
        yield provider


@pytest.fixture
async def another_provider() -> AsyncIterator[OpenIdProvider]:
    async with an_openid_provider() as provider:
        yield provider
