"""Memberships: all that the suites need to know of them."""

from application.kernel.paging import Sort
from application.kernel.queries.memberships import MemberView
from kernel.world.resources import Listed

FILL = {
    "memberships": """
        INSERT INTO memberships (id, workspace_id, user_id, role, joined_at, version)
        SELECT gen_random_uuid(), :workspace, id, 'member', created_at, 1 FROM users WHERE email LIKE 'user-%'
    """,
}
LISTS: dict[str, Listed[MemberView]] = {
    "members": Listed(
        table="memberships",
        ask=lambda world, _, page: world.ask.memberships.page(
            world.team.viewer.user_id, world.team.workspace.id, page
        ),
        sorts={"joined_at": lambda view: view.joined_at},
        fixed=Sort("joined_at"),
    ),
}
