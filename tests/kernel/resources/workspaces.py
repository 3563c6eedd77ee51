"""Workspaces: all that the suites need to know of them."""

from application.kernel.paging import Sort
from application.kernel.queries.workspaces import WorkspaceView
from kernel.world.resources import Listed

FILL = {
    "workspaces": """
        INSERT INTO workspaces (id, name, slug, created_at, version)
        SELECT gen_random_uuid(), 'Workspace', 'filled-' || n, :at, 1 FROM generate_series(1, 10000) AS n
    """,
    "memberships": """
        INSERT INTO memberships (id, workspace_id, user_id, role, joined_at, version)
        SELECT gen_random_uuid(), id, :owner, 'member', :now, 1 FROM workspaces
        WHERE slug LIKE 'filled-%' ORDER BY slug LIMIT 60
    """,
}
LISTS: dict[str, Listed[WorkspaceView]] = {
    "workspaces": Listed(
        table="memberships",  # the viewer's lead to their workspaces
        ask=lambda world, _, page: world.ask.workspaces.page(world.team.owner.user_id, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at", descending=True),
        rows=60,
        short=True,
    ),
}
