"""Why the domain says no.

    DomainError
    ├── Invalid            the request itself cannot be right
    ├── Unauthenticated    we do not know who is asking
    ├── Forbidden          we know, and they may not
    ├── NotFound           it does not exist, or not for them
    ├── Conflict           it cannot be done to the thing as it is now
    ├── Limited            it was tried too often
    └── Stale              the thing changed since it was read

A rule's error subclasses one category. Its class name becomes the problem `type`, its docstring the
`title` (so the service does not run under `python -OO`); the text it is raised with is the `detail`.
"""

from typing import ClassVar, override


class DomainError(Exception):
    """The request was refused."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class Invalid(DomainError):
    """The request is not valid."""

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        """`field` names the member of the request that has to change, where there is one."""
        super().__init__(detail)
        self.field = field


class Unauthenticated(DomainError):
    """Valid credentials are required."""


class Forbidden(DomainError):
    """You may not do this."""


class NotFound(DomainError):
    """The resource does not exist, or you cannot see it."""

    by_id: ClassVar[dict[object, type["NotFound"]]] = {}
    """By the type of the id that a subclass has named, as in `class XNotFound(NotFound, of=XId)`."""

    @override
    def __init_subclass__(cls, *, of: object = None) -> None:
        """`of` is the type of the ids by which the thing is asked for."""
        if of is not None:
            NotFound.by_id[of] = cls


class Conflict(DomainError):
    """The request conflicts with the current state of the resource."""


class Stale(DomainError):
    """The resource was changed by another request in the meantime."""


class Limited(DomainError):
    """There were too many requests; try again later."""

    def __init__(self, detail: str = "", *, retry_after: int) -> None:
        """`retry_after` counts the seconds until another try may succeed."""
        super().__init__(detail)
        self.retry_after = retry_after
