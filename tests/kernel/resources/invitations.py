"""Invitations: all that the suites need to know of them."""

from application.kernel.paging import Sort
from application.kernel.queries.invitations import InvitationView
from kernel.world.resources import Listed

FILL = {
    "invitations": """
        INSERT INTO invitations
            (id, workspace_id, email, role, token_hash, invited_by, created_at, expires_at, version)
        SELECT gen_random_uuid(), :workspace, 'guest-' || n || '@example.com', 'member', n::text, :owner, :at,
               timestamptz 'infinity', 1
        FROM generate_series(1, 10000) AS n
        UNION ALL
        SELECT gen_random_uuid(), numbered.id, users.email, 'member', 'own-' || n, :owner, :at,
               timestamptz 'infinity', 1
        FROM (SELECT id, row_number() OVER (ORDER BY slug) AS n FROM workspaces WHERE id <> :workspace
              LIMIT 60) AS numbered
        JOIN users ON users.id = :outsider
    """,
}
_NEWEST_FIRST = Sort("created_at", descending=True)
LISTS: dict[str, Listed[InvitationView]] = {
    "invitations": Listed(
        table="invitations",
        ask=lambda world, _, page: world.ask.invitations.page(
            world.team.owner.user_id, world.team.workspace.id, page
        ),
        sorts={"created_at": lambda view: view.created_at},
        fixed=_NEWEST_FIRST,
    ),
    "invitations of mine": Listed(
        table="invitations",
        ask=lambda world, _, page: world.ask.invitations.mine(world.team.outsider.id, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=_NEWEST_FIRST,
        rows=60,
        short=True,
    ),
}
