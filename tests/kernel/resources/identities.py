"""Links to accounts of providers: all that the suites need to know of them."""

from application.kernel.paging import Sort
from application.kernel.queries.identities import LinkView
from kernel.world.resources import Listed

FILL = {
    "identities": """
        INSERT INTO identities (id, user_id, issuer, subject, created_at, version)
        SELECT gen_random_uuid(), id, 'https://id.example.com', id::text, created_at, 1 FROM users
        UNION ALL
        SELECT gen_random_uuid(), :owner, 'https://id.example.com', n::text, :at, 1
        FROM generate_series(1, 59) AS n
    """,
}
LISTS: dict[str, Listed[LinkView]] = {
    "links": Listed(
        table="identities",
        ask=lambda world, _, page: world.ask.identities.page(world.team.owner.user_id, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at"),
        rows=60,
        short=True,
    ),
}
