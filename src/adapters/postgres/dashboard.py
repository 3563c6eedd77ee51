"""The dashboard in PostgreSQL: two statements that count a workspace's tasks."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import override

from sqlalchemy import Date, Uuid, bindparam, func, literal_column, select, true

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.memberships import seen_by_viewer
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.users import users
from adapters.postgres.tasks import tasks
from application.queries.dashboard import DAYS, LOAD_MOST, Dashboard, DashboardQueries, FinishedOn, Load
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound
from domain.tasks import Priority, Status

_ACTIVE = frozenset({Status.OPEN, Status.IN_PROGRESS})

_workspace_id = bindparam("workspace_id", type_=Uuid)
_here = tasks.c.workspace_id == _workspace_id
_late = (tasks.c.due_at < bindparam("now")).label("late")
_groups = (
    select(tasks.c.status, tasks.c.priority, tasks.c.assignee_id, _late, func.count().label("count"))
    .where(_here)
    .group_by(tasks.c.status, tasks.c.priority, tasks.c.assignee_id, literal_column("late"))
    .subquery("groups")
)
# One pass over the tasks gives a few rows for each assignee; a viewer who is no member gets none at
# all, and an empty workspace one that is empty.
_COUNT = Statement(
    select(
        _groups.c.status,
        _groups.c.priority,
        _groups.c.assignee_id,
        users.c.display_name,
        _groups.c.late,
        _groups.c.count,
    ).select_from(
        seen_by_viewer(_workspace_id)
        .subquery("gate")
        .outerjoin(_groups, true())
        .outerjoin(users, users.c.id == _groups.c.assignee_id)
    )
)

_day = func.date(func.timezone("UTC", tasks.c.finished_at), type_=Date).label("day")
_FINISHED = Statement(
    select(_day, func.count().label("count"))
    .where(_here, tasks.c.finished_at >= bindparam("since"))
    .group_by(literal_column("day"))
)


class PostgresDashboardQueries(PostgresQueries, DashboardQueries):
    @override
    async def of(self, viewer: UserId, workspace_id: WorkspaceId, now: datetime, /) -> Dashboard:
        today = now.astimezone(UTC).date()
        days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
        since = datetime.combine(days[0], time.min, tzinfo=UTC)
        groups = await self._source.fetch(
            _COUNT, {"viewer": viewer, "workspace_id": workspace_id, "now": now}
        )
        if not groups:
            raise WorkspaceNotFound
        finished = await self._source.fetch(_FINISHED, {"workspace_id": workspace_id, "since": since})

        by_status: Counter[Status] = Counter()
        by_priority: Counter[Priority] = Counter()
        active: Counter[UserId | None] = Counter()
        overdue: Counter[UserId | None] = Counter()
        names: dict[UserId | None, str | None] = {}
        for status, priority, assignee_id, name, late, count in groups:
            if status is None:  # the outer join's row for a workspace without tasks
                break
            by_status[Status(status)] += count
            if Status(status) in _ACTIVE:
                by_priority[Priority(priority)] += count
                active[assignee_id] += count
                overdue[assignee_id] += count if late else 0
                names[assignee_id] = name
        by_day: dict[date, int] = dict(tuple(row) for row in finished)
        return Dashboard(
            by_status={status: by_status[status] for status in Status},
            by_priority={priority: by_priority[priority] for priority in Priority},
            overdue=overdue.total(),
            finished=[FinishedOn(day, by_day.get(day, 0)) for day in days],
            load=[
                Load(assignee_id, names[assignee_id], count, overdue[assignee_id])
                for assignee_id, count in active.most_common(LOAD_MOST)
            ],
        )
