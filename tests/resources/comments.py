"""Comments: all that the suites need to know of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from application.commands.comments import add_comment, delete_comment, edit_comment
from application.kernel.paging import PageRequest, Sort
from application.queries.comments import CommentView
from domain.comments import Comment, CommentId, CommentNotFound
from domain.kernel.aggregate import Aggregate, new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import TaskId
from kernel.world.builders import NOW, a_user, a_user_id, a_workspace, a_workspace_id
from kernel.world.resources import Example, Listed, Matrix, Places, Statements, World, in_a_workspace, json
from resources import tasks
from resources.tasks import FILLED, a_task, a_task_id


def a_comment(
    *,
    id: CommentId | None = None,
    task_id: TaskId | None = None,
    workspace_id: WorkspaceId | None = None,
    author_id: UserId | None = None,
    body: str = "The engine weaves just as the Jacquard loom weaves.",
    created_at: datetime = NOW,
    edited_at: datetime | None = None,
) -> Comment:
    return Comment(
        id=id or CommentId(new_id(created_at)),
        task_id=task_id or a_task_id(),
        workspace_id=workspace_id or a_workspace_id(),
        author_id=author_id or a_user_id(),
        body=body,
        created_at=created_at,
        edited_at=edited_at,
    )


LATER = NOW + timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5)


# ── contracts ────────────────────────────────────────────────────────────────────────────────────


def comment_example() -> Example:
    user, workspace = a_user(), a_workspace()
    task = a_task(workspace_id=workspace.id, created_by=user.id)
    comment = a_comment(
        task_id=task.id, workspace_id=workspace.id, author_id=user.id, body="Well\nwoven.", edited_at=LATER
    )
    changed = replace(comment, body="Better.", edited_at=LATER + timedelta(minutes=1))
    return Example((user, workspace, task), comment, changed, CommentNotFound)


EXAMPLES = [comment_example]


# ── the world ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Made:
    comment: Comment


def of(world: World) -> Made:
    """A comment of the member's on the task."""
    return world.once(
        Made,
        lambda: Made(
            a_comment(
                id=CommentId(world.id("comment")),
                task_id=tasks.of(world).task.id,
                workspace_id=world.workspace_id,
                author_id=world.member,
                created_at=world.at,
            )
        ),
    )


def stored(world: World) -> Sequence[Aggregate]:
    return [of(world).comment]


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    task_id = tasks.of(world).task.id
    return [
        a_comment(task_id=task_id, workspace_id=world.workspace_id, author_id=world.owner)
        for _ in range(count)
    ]


def places(world: World) -> Places:
    return {"comment_id": of(world).comment.id}


PEOPLE: list[str] = []

MATRIX: Matrix = {
    "POST /v1/tasks/{task_id}/comments": in_a_workspace(
        "member", 201, weak=("viewer", 403), send=json(body="Which wool?")
    ),
    "GET /v1/tasks/{task_id}/comments": in_a_workspace("viewer", weak=None),
    "GET /v1/comments/{comment_id}": in_a_workspace("viewer", weak=None),
    "PATCH /v1/comments/{comment_id}": in_a_workspace(
        "member", weak=("owner", 403), send=json(body="Whose wool?")
    ),
    "DELETE /v1/comments/{comment_id}": in_a_workspace("member", 204, weak=("viewer", 403)),
}


# ── statements ───────────────────────────────────────────────────────────────────────────────────

COMMANDS: Statements = {
    # task, standing, change
    "add_comment": (
        3,
        lambda it: it.run(add_comment, it.team.member, tasks.of(it.world).task.id, body="Which wool?"),
    ),
    # task, standing; change, comment
    "add_comment, and shown": (
        6,
        lambda it: it.run.showing(
            lambda ask, actor, comment: ask.comments.get(actor.user_id, comment.id),
            add_comment,
            it.team.member,
            tasks.of(it.world).task.id,
            body="Which wool?",
        ),
    ),
    # comment, standing, change
    "edit_comment": (
        3,
        lambda it: it.run(edit_comment, it.team.member, of(it.world).comment.id, body="Whose wool?"),
    ),
    "delete_comment": (3, lambda it: it.run(delete_comment, it.team.admin, of(it.world).comment.id)),
}

QUERIES: Statements = {
    "comments.get": (1, lambda it: it.ask.comments.get(it.team.viewer.user_id, of(it.world).comment.id)),
    "comments.of_author": (
        1,
        lambda it: it.ask.comments.of_author(it.team.member.user_id, PageRequest(limit=20)),
    ),
    "comments.page": (
        1,
        lambda it: it.ask.comments.page(
            it.team.viewer.user_id, tasks.of(it.world).task.id, PageRequest(limit=20)
        ),
    ),
}

FILLINGS = {
    "0006": """
        INSERT INTO comments (id, task_id, workspace_id, author_id, body, created_at, version)
        SELECT gen_random_uuid(), id, workspace_id, created_by, 'Which wool?', now(), 1 FROM tasks
    """,
}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────

FILL = {
    "comments": """
        INSERT INTO comments (id, task_id, workspace_id, author_id, body, created_at, version)
        SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', :workspace, :owner, 'loom', :at, 1
        FROM generate_series(1, 10000) AS n
    """,
}
LISTS: dict[str, Listed[CommentView]] = {
    "comments": Listed(
        table="comments",
        ask=lambda world, _, page: world.ask.comments.page(world.team.viewer.user_id, FILLED, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at"),
    ),
    # For an export, which is asked for once: no index has the order.
    "comments of their author": Listed(
        table="comments",
        ask=lambda world, _, page: world.ask.comments.of_author(world.team.owner.user_id, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at", descending=True),
        short=True,
    ),
}
