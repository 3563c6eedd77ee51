"""A console with the service in it: `make shell`. What a unit of work does in it is rolled back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from entrypoints.kernel.container import KernelContainer
from entrypoints.kernel.logging import configure_logging

_BANNER = """
container   everything that is wired: container.tokens(), container.database()
ask         the queries: await ask.users.…
trying()    a unit of work that is rolled back: async with trying() as uow: await uow.users.…
run         runs a use case and commits it: await run(use_case, caller, …)
"""


class _RolledBack(Exception):
    """Ends a transaction that is not to be committed."""


def main(container: KernelContainer) -> None:
    """Reads and runs what is typed, `await` as well, until the end of the input."""
    from IPython import start_ipython  # noqa: PLC0415 (only developers have it)

    configure_logging(container.settings())
    names = {
        "container": container,
        "ask": container.queries(),
        "run": container.run(),
        "trying": lambda: _trying(container),
    }
    start_ipython(
        argv=[
            f"--TerminalInteractiveShell.banner1={_BANNER}",
            "--TerminalInteractiveShell.confirm_exit=False",
        ],
        user_ns=names,
    )


@asynccontextmanager
async def _trying(container: KernelContainer) -> AsyncIterator[Any]:
    try:
        async with container.begin()() as uow:
            yield uow
            raise _RolledBack
    except _RolledBack:
        pass
