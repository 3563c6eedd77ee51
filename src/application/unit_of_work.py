"""One transaction of this service: the kernel's collections, and its own."""

from application.kernel.ports.storing import Repository
from application.kernel.unit_of_work import KernelUnitOfWork
from application.queries import Queries
from domain.comments import Comment, CommentId
from domain.notifications import Notification, NotificationId
from domain.tasks import Task, TaskId


class UnitOfWork(KernelUnitOfWork):
    ask: Queries
    tasks: Repository[Task, TaskId]
    comments: Repository[Comment, CommentId]
    notifications: Repository[Notification, NotificationId]
