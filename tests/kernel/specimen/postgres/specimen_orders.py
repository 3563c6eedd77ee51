"""SpecimenOrders in PostgreSQL: the table, the repository, the queries."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, override

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, array

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.memberships import seen_by_viewer
from adapters.postgres.kernel.tables.mapping import column_names, loader
from adapters.postgres.kernel.tables.paging import Listing, by_number, by_text, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import between, instant, key, metadata, one_of, text, version
from adapters.postgres.kernel.tables.searching import have_words, words_of
from adapters.postgres.kernel.users import users
from adapters.postgres.kernel.workspaces import workspaces
from application.kernel.paging import Page, PageRequest, Sort
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound
from kernel.specimen.domain.specimen_orders import (
    DESCRIPTION_MOST,
    LABELS_MOST,
    TITLE_MOST,
    SpecimenOrder,
    SpecimenOrderAssigneeNotMember,
    SpecimenOrderId,
    SpecimenOrderNotFound,
    SpecimenOrderPriority,
    SpecimenOrderStatus,
)
from kernel.specimen.queries.specimen_orders import (
    SpecimenOrderFilter,
    SpecimenOrderQueries,
    SpecimenOrderSortKey,
    SpecimenOrderView,
)

# Expressions that are indexed, so they have to be written the same wherever they stand. A far day stands for
# no due date; infinity would do, but a datetime cannot hold it.
_DUE: ColumnElement[datetime] = literal_column("coalesce(due_at, '9999-12-31 00:00:00+00'::timestamptz)")
_INSTANT = DateTime(timezone=True)
_RANK = literal_column(
    f"array_position(ARRAY[{', '.join(f"'{priority}'" for priority in SpecimenOrderPriority)}], priority)",
    Integer,
)
_WORDS = words_of("title", "description")

specimen_orders = Table(
    "specimen_orders",
    metadata,
    key(),
    Column("workspace_id", Uuid, ForeignKey(workspaces.c.id, ondelete="CASCADE"), nullable=False),
    text("title"),
    text("description"),
    text("status"),
    text("priority"),
    instant("due_at", nullable=True),
    Column("assignee_id", Uuid, nullable=True),
    Column("labels", ARRAY(Text), nullable=False),
    Column("created_by", Uuid, ForeignKey(users.c.id), nullable=False),
    instant("created_at"),
    instant("updated_at"),
    instant("finished_at", nullable=True),
    version(),
    # An assignee is a member, and whoever leaves is taken off their specimen_orders; a trigger raises the
    # version then, so that no save is lost (see `setup.py`).
    ForeignKeyConstraint(
        ["workspace_id", "assignee_id"],
        ["memberships.workspace_id", "memberships.user_id"],
        name="fk_specimen_orders_assignee_memberships",
        ondelete="SET NULL (assignee_id)",
    ),
    one_of("status", SpecimenOrderStatus),
    one_of("priority", SpecimenOrderPriority),
    between("title", 1, TITLE_MOST),
    between("description", 0, DESCRIPTION_MOST),
    CheckConstraint(f"cardinality(labels) <= {LABELS_MOST}", name="labels_count"),
    CheckConstraint("(status = 'done') = (finished_at IS NOT NULL)", name="finished_when_done"),
    Index(None, "workspace_id", "assignee_id"),
    Index(None, "created_by"),
    Index(None, "workspace_id", "created_at", "id"),
    Index(None, "workspace_id", "title", "id"),
    Index("ix_specimen_orders_workspace_id_due", "workspace_id", _DUE, "id"),
    Index("ix_specimen_orders_workspace_id_rank", "workspace_id", _RANK, "id"),
    # What was done lately; specimen orders that are not done do not enter it.
    Index(
        "ix_specimen_orders_workspace_id_finished_at",
        "workspace_id",
        "finished_at",
        postgresql_where=literal_column("finished_at IS NOT NULL"),
    ),
    Index("ix_specimen_orders_labels", "labels", postgresql_using="gin"),
    Index("ix_specimen_orders_words", _WORDS, postgresql_using="gin"),
    info={"migrated": False},  # made for the tests by `statements`, not by a migration
)


class PostgresSpecimenOrders(PostgresRepository[SpecimenOrder, SpecimenOrderId]):
    table, entity, missing = specimen_orders, SpecimenOrder, SpecimenOrderNotFound
    conflicts: ClassVar[Conflicts] = {
        "fk_specimen_orders_assignee_memberships": lambda: SpecimenOrderAssigneeNotMember(
            "Invite them first.", field="assignee_id"
        ),
        "fk_specimen_orders_workspace_id_workspaces": WorkspaceNotFound,
    }


_VIEW = select(*(specimen_orders.c[name] for name in column_names(SpecimenOrderView)))
_GET = Statement(
    _VIEW.where(
        specimen_orders.c.id == bindparam("specimen_order_id"),
        seen_by_viewer(specimen_orders.c.workspace_id).exists(),
    )
)
_PAGE = Listing(
    SpecimenOrderView,
    _VIEW.where(specimen_orders.c.workspace_id == bindparam("workspace_id")),
    id=specimen_orders.c.id,
    sorts={
        "created_at": by_time(specimen_orders.c.created_at),
        "due_at": by_time(_DUE),
        "priority": by_number(_RANK),
        "title": by_text(specimen_orders.c.title),
    },
    sorted_by=SpecimenOrderSortKey,
    filters={
        "status": specimen_orders.c.status == any_(bindparam("status", type_=ARRAY(Text))),
        "priority": specimen_orders.c.priority == any_(bindparam("priority", type_=ARRAY(Text))),
        "assignee_id": specimen_orders.c.assignee_id == bindparam("assignee_id"),
        "label": specimen_orders.c.labels.contains(
            cast(array([bindparam("label", type_=Text)]), ARRAY(Text))
        ),
        # Said of the indexed expression too, or a window of time could not be read from the index.
        "due_after": (bindparam("due_after", type_=_INSTANT) <= _DUE) & specimen_orders.c.due_at.is_not(None),
        "due_before": (bindparam("due_before", type_=_INSTANT) > _DUE)
        & specimen_orders.c.due_at.is_not(None),
        "q": have_words(_WORDS, bindparam("q", type_=Text)),
    },
    filtered_by=SpecimenOrderFilter,
    gate=seen_by_viewer(bindparam("workspace_id", type_=Uuid)),
    missing=WorkspaceNotFound,
)
_view = loader(SpecimenOrderView)


class PostgresSpecimenOrderQueries(PostgresQueries, SpecimenOrderQueries):
    @override
    async def get(self, viewer: UserId, specimen_order_id: SpecimenOrderId, /) -> SpecimenOrderView:
        return await self._one(
            _GET, {"viewer": viewer, "specimen_order_id": specimen_order_id}, _view, SpecimenOrderNotFound
        )

    @override
    async def page(
        self,
        viewer: UserId,
        workspace_id: WorkspaceId,
        where: SpecimenOrderFilter,
        sort: Sequence[Sort[SpecimenOrderSortKey]],
        page: PageRequest,
        /,
    ) -> Page[SpecimenOrderView]:
        scope = {"viewer": viewer, "workspace_id": workspace_id}
        return await _PAGE.page(self._source, scope, page, sort=sort, where=where)
