"""The command line: `python -m entrypoints.cli COMMAND`. Commands of this service's own go to `app`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from application.unit_of_work import UnitOfWork
from entrypoints.kernel import cli
from entrypoints.kernel.seed import Demo
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from entrypoints.kernel.container import KernelContainer
    from entrypoints.kernel.settings import KernelSettings

app = cli.app


class Parts:
    """What the kernel's commands need of this service."""

    settings: type["KernelSettings"] = Settings

    def container(self, settings: "KernelSettings") -> "KernelContainer":
        from entrypoints.container import Container  # noqa: PLC0415 (a second to import)

        return Container(settings=settings)

    def documents(self, container: "KernelContainer") -> Mapping[str, Mapping[str, Any]]:
        from entrypoints.http.app import VERSIONS  # noqa: PLC0415 (likewise)
        from entrypoints.http.kernel.server.app import Service  # noqa: PLC0415 (likewise)

        service = Service(container, VERSIONS)
        return {version: service.openapi(version) for version in service.versions}

    async def fill(self, uow: UnitOfWork, demo: Demo, /) -> None:
        from entrypoints.seed import fill  # noqa: PLC0415 (only one command needs it)

        await fill(uow, demo)


def main(arguments: list[str] | None = None) -> None:
    cli.main(Parts(), arguments)


if __name__ == "__main__":
    main()
