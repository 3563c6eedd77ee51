"""What users do with their notifications."""

from application.kernel.ports.callers import Caller
from application.unit_of_work import UnitOfWork
from domain.notifications import Notification, NotificationId, NotificationNotFound


async def mark_notification(
    uow: UnitOfWork, actor: Caller, notification_id: NotificationId, *, read: bool
) -> Notification:
    """Everybody may mark their own notifications as read, and as unread again."""
    notification = await uow.notifications.get(notification_id)
    if notification.user_id != actor.user_id:
        raise NotificationNotFound
    marked = notification.mark(read=read, at=uow.now)
    return notification if marked is notification else await uow.notifications.save(marked)
