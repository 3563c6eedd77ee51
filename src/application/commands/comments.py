"""What members do with comments."""

from application.kernel.admission import admit
from application.kernel.ports.callers import Caller
from application.permissions import MODERATE_COMMENTS, WRITE_COMMENTS
from application.unit_of_work import UnitOfWork
from domain.comments import Comment, CommentId, CommentNotFound
from domain.kernel.aggregate import new_id
from domain.tasks import TaskId, TaskNotFound


async def add_comment(uow: UnitOfWork, actor: Caller, task_id: TaskId, *, body: str) -> Comment:
    """Any member but a viewer may comment on a task."""
    task = await uow.tasks.get(task_id)
    await admit(uow, actor, task.workspace_id, WRITE_COMMENTS, otherwise=TaskNotFound)
    return await uow.comments.add(
        Comment.add(
            id=CommentId(new_id(uow.now)),
            task_id=task.id,
            workspace_id=task.workspace_id,
            body=body,
            by=actor.user_id,
            at=uow.now,
        )
    )


async def edit_comment(uow: UnitOfWork, actor: Caller, comment_id: CommentId, *, body: str) -> Comment:
    """Its author may edit a comment for 15 minutes, while they may comment there at all."""
    comment, _ = await _admitted(uow, actor, comment_id)
    return await uow.comments.save(comment.edit(body=body, by=actor.user_id, at=uow.now))


async def delete_comment(uow: UnitOfWork, actor: Caller, comment_id: CommentId) -> None:
    """Its author may delete a comment while they may comment there at all; owners and admins anybody's."""
    comment, moderator = await _admitted(uow, actor, comment_id)
    await uow.comments.remove(comment.delete(by=actor.user_id, moderator=moderator, at=uow.now))


async def _admitted(uow: UnitOfWork, actor: Caller, comment_id: CommentId) -> tuple[Comment, bool]:
    """The comment, and whether the actor moderates where it is."""
    comment = await uow.comments.get(comment_id)
    role = await admit(uow, actor, comment.workspace_id, WRITE_COMMENTS, otherwise=CommentNotFound)
    return comment, role in MODERATE_COMMENTS.roles
