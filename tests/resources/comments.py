"""Comments: all that the suites need to know of them."""

from datetime import datetime

from application.kernel.paging import Sort
from application.queries.comments import CommentView
from domain.comments import Comment, CommentId
from domain.kernel.aggregate import new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import TaskId
from kernel.world.builders import NOW, a_user_id, a_workspace_id
from kernel.world.resources import Listed
from resources.tasks import FILLED, a_task_id


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
}
