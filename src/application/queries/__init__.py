"""What people can ask of this service: for each resource its views and the protocol that answers them."""

from dataclasses import dataclass

from application.kernel.queries import KernelQueries
from application.queries.comments import CommentQueries
from application.queries.dashboard import DashboardQueries
from application.queries.notes import NoteQueries
from application.queries.notifications import NotificationQueries
from application.queries.tasks import TaskQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries(KernelQueries):
    """Everything that can be asked: the kernel's questions, and this service's own."""

    tasks: TaskQueries
    comments: CommentQueries
    dashboard: DashboardQueries
    notifications: NotificationQueries
    notes: NoteQueries
