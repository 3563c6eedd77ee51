"""Links between providers' accounts and users in PostgreSQL, and who is behind a proof."""

from collections.abc import Collection
from functools import cache
from typing import ClassVar, override

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
    Uuid,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.identity.auth import sessions
from adapters.postgres.kernel.identity.one_time_tokens import one_time_tokens
from adapters.postgres.kernel.tables.mapping import column_names, loader
from adapters.postgres.kernel.tables.paging import Listing, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository, with_events
from adapters.postgres.kernel.tables.schema import instant, key, metadata, text, version
from adapters.postgres.kernel.users import users
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.ports.sessions import Links
from application.kernel.queries.identities import IdentityQueries, KnownSession, KnownUser, LinkView
from domain.kernel.aggregate import Event
from domain.kernel.identity.identities import Link, LinkedElsewhere, LinkId, LinkNotFound
from domain.kernel.identity.sessions import SessionId
from domain.kernel.users import UNNAMED, UserId, UserNotFound

links = Table(
    "identities",
    metadata,
    key(),
    Column("user_id", Uuid, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    text("issuer"),
    text("subject"),
    instant("created_at"),
    version(),
    UniqueConstraint("issuer", "subject"),
    Index(None, "user_id"),
)


class PostgresLinks(PostgresRepository[Link, LinkId], Links):
    table, entity, missing = links, Link, LinkNotFound
    conflicts: ClassVar[Conflicts] = {
        "uq_identities_issuer_subject": LinkedElsewhere,
        "fk_identities_user_id_users": UserNotFound,  # who was absorbed by another user meanwhile
    }

    @override
    async def of(self, issuer: str, subject: str, /) -> Link | None:
        return await self._first(_OF, {"issuer": issuer, "subject": subject})

    @override
    async def lock_of(self, user_id: UserId, /) -> Collection[Link]:
        rows = await self._transaction.lock(_LOCK_OF, {"user_id": user_id})
        return [self._read(row) for row in rows]

    @override
    async def remove_all(self, user_id: UserId, /, *, recording: Event) -> None:
        if await self.lock_of(user_id):
            await self._record(_REMOVE_ALL, {"id": user_id, "user_id": user_id}, [recording])

    @override
    async def is_all_of_its_user(self, link: Link, /) -> bool:
        # The lock first, and by itself: whatever refers to a user locks their row too, and what did so
        # while this one waited is seen by the next statement only.
        await self._transaction.lock(_LOCK_USER, {"user_id": link.user_id})
        found = await self._transaction.fetchrow(_nothing_else(), {"user_id": link.user_id, "id": link.id})
        return found is not None


_THE_ONE = (links.c.issuer == bindparam("issuer"), links.c.subject == bindparam("subject"))
_OF = PostgresLinks.selecting(lambda query: query.where(*_THE_ONE))
# In one order for everybody, or two transactions could wait for each other.
_LOCK_OF = PostgresLinks.selecting(
    lambda query: query.where(links.c.user_id == bindparam("user_id")).order_by(links.c.id).with_for_update()
)
_removed = delete(links).where(links.c.user_id == bindparam("user_id")).returning(links.c.id).cte("removed")
_REMOVE_ALL = with_events(select(func.count().label("version")).select_from(_removed).cte("changed"))
_LOCK_USER = Statement(select(users.c.id).where(users.c.id == bindparam("user_id")).with_for_update())


@cache
def _nothing_else() -> Statement:
    """One row where nothing but the link, and what comes with logging in, refers to the user.

    Made when it is first needed: by then every table is known that refers to users, today's or tomorrow's.
    """
    user_id, link_id = bindparam("user_id", type_=Uuid), bindparam("id", type_=Uuid)
    references = [
        exists().where(column == user_id, *([links.c.id != link_id] if table is links else ()))
        for table in metadata.sorted_tables
        if table not in {sessions, one_time_tokens}
        for column in table.columns
        if column.references(users.c.id)
    ]
    return Statement(
        select(literal_column("1").label("nothing_else")).where(not_(or_(*references))),
        name="identities.nothing_else",
    )


_KNOWN = (users.c.id, users.c.roles, users.c.suspended_at)
_LACKS = (
    users.c.email.is_(None).label("lacks_email"),
    (users.c.display_name == UNNAMED).label("lacks_name"),
)
_LINKED = Statement(select(*_KNOWN, *_LACKS).join(links, links.c.user_id == users.c.id).where(*_THE_ONE))
_SESSION = Statement(
    select(*_KNOWN, sessions.c.expires_at, sessions.c.ended_at, sessions.c.authenticated_at)
    .join(sessions, sessions.c.user_id == users.c.id)
    .where(users.c.id == bindparam("user_id"), sessions.c.id == bindparam("session_id"))
)
_known_user, _known_session = loader(KnownUser), loader(KnownSession)

_VIEW = select(*(links.c[name] for name in column_names(LinkView))).where(
    links.c.user_id == bindparam("viewer")
)
_GET = Statement(_VIEW.where(links.c.id == bindparam("link_id")))
_PAGE = Listing(
    LinkView,
    _VIEW,
    id=links.c.id,
    sorts={"created_at": by_time(links.c.created_at)},
)
_IN_ORDER_OF_LINKING = (Sort("created_at"),)
_view = loader(LinkView)


class PostgresIdentityQueries(PostgresQueries, IdentityQueries):
    @override
    async def linked(self, issuer: str, subject: str, /) -> KnownUser | None:
        row = await self._source.fetchrow(_LINKED, {"issuer": issuer, "subject": subject})
        return None if row is None else _known_user(row)

    @override
    async def session(self, user_id: UserId, session_id: SessionId, /) -> KnownSession | None:
        row = await self._source.fetchrow(_SESSION, {"user_id": user_id, "session_id": session_id})
        return None if row is None else _known_session(row)

    @override
    async def get(self, viewer: UserId, link_id: LinkId, /) -> LinkView:
        return await self._one(_GET, {"viewer": viewer, "link_id": link_id}, _view, LinkNotFound)

    @override
    async def page(self, viewer: UserId, page: PageRequest, /) -> Page[LinkView]:
        return await _PAGE.page(self._source, {"viewer": viewer}, page, sort=_IN_ORDER_OF_LINKING)
