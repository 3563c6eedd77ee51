"""All that the service has of one user, in one document."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from application.kernel.paging import Page, PageRequest
from application.kernel.ports.callers import Reauthenticated
from application.kernel.ports.storing import Clock
from application.kernel.queries import KernelQueries
from application.kernel.queries.auth import SessionView
from application.kernel.queries.identities import LinkView
from application.kernel.queries.invitations import InvitationView
from application.kernel.queries.users import Profile
from application.kernel.queries.workspaces import WorkspaceView
from domain.kernel.users import UserId

EXPORTED_MOST = 1000
"""Items of each part. One answer has to fit into memory, and a page of a list costs no more by its item."""

type ExportPart[Q: KernelQueries] = Callable[[Q, UserId, PageRequest], Awaitable[Page[Any]]]
"""A list of what a service has of a user, beside the kernel's. One statement for any user."""


@dataclass(slots=True)
class AccountExport:
    """All that the service has of the user who is logged in.

    Each part has `most` items at most; `incomplete` names those of which there are more, which the part's own
    list has, page by page. `workspaces` are those that the user is a member of, `invitations` those to their
    verified address. `more` has what the service has beside, by the names of its parts.
    """

    exported_at: datetime
    most: int
    incomplete: Sequence[str]
    profile: Profile
    identities: Sequence[LinkView]
    sessions: Sequence[SessionView]
    workspaces: Sequence[WorkspaceView]
    invitations: Sequence[InvitationView]
    more: Mapping[str, Sequence[Any]]


class Export[Q: KernelQueries]:
    """Asks one question after the other. What is committed in between is in the later parts alone."""

    def __init__(
        self, queries: Q, clock: Clock, parts: Mapping[str, ExportPart[Q]], *, most: int = EXPORTED_MOST
    ) -> None:
        """`parts` are a service's own."""
        self._queries = queries
        self._clock = clock
        self._parts = parts
        self._first = PageRequest(limit=most)

    async def of(self, actor: Reauthenticated) -> AccountExport:
        """Everybody may have all that is here of themselves, as one document; it takes a fresh proof.

        A stolen access token is not to take everything at once. There are no secrets in it.
        """
        ask, user_id, first = self._queries, actor.user_id, self._first
        profile = await ask.users.profile(user_id)
        identities = await ask.identities.page(user_id, first)
        sessions = await ask.auth.sessions(user_id, first, current=actor.session_id)
        workspaces = await ask.workspaces.page(user_id, first)
        invitations = await ask.invitations.mine(user_id, first)
        more = {name: await part(ask, user_id, first) for name, part in self._parts.items()}
        pages: dict[str, Page[Any]] = {
            "identities": identities,
            "sessions": sessions,
            "workspaces": workspaces,
            "invitations": invitations,
            **more,
        }
        return AccountExport(
            exported_at=self._clock(),
            most=first.limit,
            incomplete=[name for name, page in pages.items() if page.next is not None],
            profile=profile,
            identities=identities.items,
            sessions=sessions.items,
            workspaces=workspaces.items,
            invitations=invitations.items,
            more={name: page.items for name, page in more.items()},
        )
