"""Comments on a task."""

from typing import Annotated, TypedDict

from fastapi import Body

from application.commands import comments as commands
from application.kernel.admission import NOT_ADMITTED
from application.kernel.paging import Page
from application.kernel.ports.callers import Caller
from application.queries import Queries
from application.queries.comments import CommentView
from domain.comments import BODY_MOST, Comment, CommentId, EditWindowClosed, NotTheAuthor
from domain.tasks import TaskId
from entrypoints.http.dependencies import Ask, Run
from entrypoints.http.kernel.document.examples import INSTANT
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.inputs import Paging, strict, text
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="comments")


@strict
class CommentText(TypedDict):
    """What a comment says."""

    body: Annotated[str, text(least=1, most=BODY_MOST, examples=["Which cards does it take?"])]


async def _view(ask: Queries, actor: Caller, comment: Comment) -> CommentView:
    return await ask.comments.get(actor.user_id, comment.id)


@router.post(
    "/tasks/{task_id}/comments",
    use_case=commands.add_comment,
    location="/comments/{id}",
    refuses=NOT_ADMITTED,
)
async def add_comment(
    task_id: TaskId, actor: Actor, run: Run, body: Annotated[CommentText, Body()]
) -> CommentView:
    return await run.showing(_view, commands.add_comment, actor, task_id, **body)


@router.get("/tasks/{task_id}/comments")
async def list_comments(task_id: TaskId, actor: Actor, ask: Ask, query: Paging) -> Page[CommentView]:
    """Any member may list the comments on a task, the oldest first."""
    return await ask.comments.page(actor.user_id, task_id, query.page)


@router.get("/comments/{comment_id}")
async def get_comment(comment_id: CommentId, actor: Actor, ask: Ask) -> CommentView:
    """Any member may see a comment."""
    return await ask.comments.get(actor.user_id, comment_id)


@router.patch(
    "/comments/{comment_id}",
    use_case=commands.edit_comment,
    example={"edited_at": INSTANT},
    changes=Comment,
    refuses=(*NOT_ADMITTED, NotTheAuthor, EditWindowClosed),
)
async def edit_comment(
    comment_id: CommentId, actor: Actor, run: Run, body: Annotated[CommentText, Body()]
) -> CommentView:
    return await run.showing(_view, commands.edit_comment, actor, comment_id, **body)


@router.delete(
    "/comments/{comment_id}",
    use_case=commands.delete_comment,
    changes=Comment,
    refuses=(*NOT_ADMITTED, NotTheAuthor),
)
async def delete_comment(comment_id: CommentId, actor: Actor, run: Run) -> None:
    await run(commands.delete_comment, actor, comment_id)
