"""Changes only to what the caller has seen: `If-Match` (RFC 9110 §13.1.1), whatever carries it here."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from application.kernel.ports import UnitOfWork
from domain.kernel.aggregate import Aggregate
from domain.kernel.errors import Stale


class PreconditionFailed(Stale):
    """It is no longer as you have seen it; read it again and repeat your change."""


@dataclass(frozen=True, slots=True)
class Expected:
    """An aggregate, told by its kind and some of its fields, and the versions of it that may be changed.

    `None` means any version: it has to exist.
    """

    kind: type[Aggregate] | None
    fields: Mapping[str, object]
    versions: Collection[int] | None

    def is_about(self, found: object) -> bool:
        return (
            self.kind is not None
            and isinstance(found, self.kind)
            and all(getattr(found, name) == value for name, value in self.fields.items())
        )


class Watch:
    """Holds what a use case reads against what its caller expects.

    The version is compared with what the transaction has read, and the guard of every save compares it once
    more with what is stored then: so this costs no statement, and leaves no gap.
    """

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._met: bool | None = None

    def over(self, uow: UnitOfWork) -> UnitOfWork:
        """The same unit of work; what counts is the version in which the aggregate is first seen in it."""
        repositories = {
            field.name: _Watched(getattr(uow, field.name), self._look)
            for field in fields(uow)
            if field.name != "now"
        }
        return replace(uow, **repositories)  # type: ignore[arg-type]  # a _Watched does what the other does

    def ensure_met(self) -> None:
        """Raises PreconditionFailed where it was seen in another version, or was never seen.

        Only now: whoever may not do it is told that, and nothing of versions (RFC 9110 §13.2.1).
        """
        if not self._met:
            raise PreconditionFailed

    def _look(self, found: Iterable[object]) -> None:
        for each in found:
            if self._met is None and self._expected.is_about(each):
                versions = self._expected.versions
                self._met = versions is None or getattr(each, "version", None) in versions


class _Watched:
    """A repository that shows to `look` whatever it returns."""

    def __init__(self, repository: object, look: Callable[[Iterable[object]], None]) -> None:
        self._repository = repository
        self._look = look

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        return _shown(getattr(self._repository, name), self._look)


def _shown[**P, T](
    method: Callable[P, Awaitable[T]], look: Callable[[Iterable[object]], None]
) -> Callable[P, Awaitable[T]]:
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        returned = await method(*args, **kwargs)
        look(returned if isinstance(returned, (list, tuple)) else (returned,))
        return returned

    return call
