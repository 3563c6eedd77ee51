"""Sessions, passwords and one-time tokens: all that the suites need to know of them."""

from application.kernel.paging import Sort
from application.kernel.queries.auth import SessionView
from kernel.world.resources import Listed

FILL = {
    "sessions": """
        INSERT INTO sessions (id, user_id, token_hash, created_at, expires_at, version)
        SELECT gen_random_uuid(), id, email, created_at, timestamptz 'infinity', 1 FROM users
        UNION ALL
        SELECT gen_random_uuid(), :owner, n::text, :at, timestamptz 'infinity', 1
        FROM generate_series(1, 59) AS n
    """,
}
LISTS: dict[str, Listed[SessionView]] = {
    "sessions": Listed(
        table="sessions",
        ask=lambda world, _, page: world.ask.auth.sessions(world.team.owner.user_id, page, current=None),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at", descending=True),
        rows=60,
        short=True,
    ),
}
