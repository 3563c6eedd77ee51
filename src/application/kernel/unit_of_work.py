"""One transaction, as use cases see it: what it can reach, and the instant it happens at."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from application.kernel.ports.sessions import Links, OneTimeTokens, Sessions
from application.kernel.ports.storing import KeptAnswers, Repository
from application.kernel.ports.tenancy import Invitations, Memberships, Users, Workspaces
from application.kernel.queries import KernelQueries
from domain.kernel.aggregate import Aggregate
from domain.kernel.identity.credentials import Credential
from domain.kernel.identity.signing_keys import SigningKey, SigningKeyId
from domain.kernel.users import UserId


class KernelUnitOfWork:
    """What every service's transactions reach. A service adds its own: `books: Repository[Book, BookId]`.

    `now` is the instant of the transaction, aware UTC. Each repository is made when it is first asked for:
    most use cases need two or three.

    `ask` answers questions on the transaction's connection, and sees what the transaction has changed; a
    service names its own: `ask: Queries`. `If-Match` is held against what repositories return, and not
    against what is read through `ask`.
    """

    now: datetime
    ask: KernelQueries
    users: Users
    credentials: Repository[Credential, UserId]
    sessions: Sessions
    one_time_tokens: OneTimeTokens
    signing_keys: Repository[SigningKey, SigningKeyId]
    links: Links
    workspaces: Workspaces
    memberships: Memberships
    invitations: Invitations
    kept_answers: KeptAnswers

    def __init__(self, now: datetime, make: Callable[[str], object]) -> None:
        """`make` gives what has a name, which is one of the annotations; raises KeyError."""
        self.now = now
        self._make = make

    if not TYPE_CHECKING:  # the annotations say what there is; to mypy every other name is an error

        def __getattr__(self, name: str) -> object:
            try:
                made = self._make(name)
            except KeyError:
                raise AttributeError(f"{type(self).__name__} has no {name}.") from None
            setattr(self, name, made)
            return made


class Asking[Q: KernelQueries](Protocol):
    """A unit of work, by what can be asked in it."""

    @property
    def ask(self) -> Q: ...


type Seen = Callable[[Aggregate], None]
"""Is called with each aggregate that a transaction reads, before the use case receives it."""


class Begin[U: Asking[KernelQueries]](Protocol):
    def __call__(self, seen: Seen | None = None, /) -> AbstractAsyncContextManager[U]:
        """Opens a transaction: committed when the block ends, rolled back when it raises."""
